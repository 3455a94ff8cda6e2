// A browser in which nothing goes unseen: dialogs, errors, messages of the console, and calls to other hosts fail the test.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { eventually } from "./relay.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** Where a person can look at what the test saw. */
const PICTURES = join(process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../target", import.meta.url)), "browser");

/** Files of this folder are shown in place of those in the binary (`src/admin/dashboard/assets`): for who changes a page and does not
 *  want to build each time. What they are shown with stays the binary's: its policy, its API. */
const ASSETS = process.env.HOOKHOLD_ASSETS;

const CHROMIUM = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = CHROMIUM.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("there is no Chromium: install one, or name it in CHROMIUM");
  // Tests of a container run as root, where Chromium's own sandbox does not start.
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
}

async function fromFolder(route) {
  const path = new URL(route.request().url()).pathname.replace("/assets/", "") || "/";
  const file = join(ASSETS, path === "/" ? "index.html" : path);
  if (!existsSync(file)) return route.continue();
  const kind = { js: "text/javascript", css: "text/css", svg: "image/svg+xml", html: "text/html" }[file.split(".").pop()];
  try {
    const { headers } = await fetch(new URL("/", route.request().url()));
    const policy = { "content-security-policy": headers.get("content-security-policy") ?? "" };
    return await route.fulfill({ body: readFileSync(file), contentType: `${kind}; charset=utf-8`, headers: policy });
  } catch {
    // The relay, or the page, has gone away: so have its files.
    return route.abort().catch(() => {});
  }
}

/** A person at the dashboard of `relay`. */
export class Visit {
  /** What must not happen, as it happened. */
  wrong = [];
  /** Bytes of each file that was sent. */
  sizes = new Map();
  /** Every call, as path. */
  calls = [];
  /** Those of them that are under way. */
  #underWay = new Set();

  static async at(browser, relay, options = {}) {
    const visit = new Visit();
    visit.relay = relay;
    visit.context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    visit.page = await visit.context.newPage();
    visit.page.setDefaultTimeout(60_000);
    const { host } = new URL(relay.admin);
    if (ASSETS) await visit.context.route(/:\d+\/(assets\/.*)?$/, fromFolder);
    visit.page.on("dialog", async (dialog) => {
      visit.wrong.push(`a dialog: ${dialog.message()}`);
      await dialog.dismiss();
    });
    visit.page.on("pageerror", (error) => visit.wrong.push(`an error: ${error.message}`));
    visit.page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) visit.wrong.push(`the console: ${message.text()}`);
    });
    visit.page.on("popup", () => visit.wrong.push("a window was opened"));
    for (const end of ["requestfinished", "requestfailed"]) visit.page.on(end, (request) => visit.#underWay.delete(request));
    visit.page.on("request", (request) => {
      const url = new URL(request.url());
      if (url.protocol === "about:") return;
      visit.#underWay.add(request);
      visit.calls.push(url.pathname);
      if (url.host !== host) visit.wrong.push(`a call to ${url.host}`);
    });
    visit.page.on("response", async (response) => {
      const path = new URL(response.url()).pathname;
      const isFile = path === "/" || path.startsWith("/assets/");
      // A page that is left has no bodies any more.
      if (response.status() === 200 && isFile) visit.sizes.set(path, (await response.body().catch(() => "")).length);
    });
    await visit.go("");
    return visit;
  }

  /** Opens the page at this place of the address bar, and waits until it is there. It is loaded anew: what was shown before cannot
   *  be taken for it. */
  async go(hash) {
    await this.page.goto("about:blank");
    await this.page.goto(`${this.relay.admin}/${hash}`);
    await this.page.locator("main h1:not(.waiting)").waitFor();
  }

  /** Waits until what was under way, and what followed from it, has ended: nothing was for half a second. */
  async calm() {
    let quiet = 0;
    await eventually("nothing is under way", () => {
      quiet = this.#underWay.size > 0 ? 0 : quiet + 1;
      return quiet > 10;
    });
  }

  /** Nobody is kept out, and every text can be read: axe finds nothing. */
  async accessible(name) {
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => globalThis.axe.run());
    const said = violations.map((v) => `${v.id}: ${v.nodes.map((node) => node.html.slice(0, 200)).join("\n  ")}`);
    assert.deepEqual(said, [], name);
  }

  async picture(name) {
    mkdirSync(PICTURES, { recursive: true });
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
  }

  /** Nothing on the page came from text that was meant as elements. */
  async onlyText() {
    const strange = await this.page.evaluate(() => {
      const ours = ["assets/app.js", "assets/theme.js"];
      const script = (e) => e.localName === "script" && ours.includes(e.getAttribute("src")) && !e.textContent;
      // A chart is drawn of paths alone, and says what it shows.
      const chart = (e) => e.matches("figure > svg.chart[role=img][aria-label]") && [...e.children].every((c) => c.localName === "path");
      const own = (e) => script(e) || chart(e);
      const active = "script, img, svg, iframe, object, embed, style, base, audio, video, meta[http-equiv], form[action]";
      const elements = [...document.querySelectorAll(active)].filter((e) => !own(e)).map((e) => e.outerHTML);
      const isActive = (name) => name.startsWith("on") || name === "style";
      const attributes = [...document.querySelectorAll("*")].flatMap((e) => e.getAttributeNames().filter(isActive));
      return [...elements, ...attributes];
    });
    assert.deepEqual(strange, []);
  }

  /** What the browser itself says of an answer that the test asked for is no fault. */
  tolerates(expected) {
    this.wrong = this.wrong.filter((wrong) => !(wrong.startsWith("the console:") && expected.test(wrong)));
  }

  async end() {
    await this.context.close();
    assert.deepEqual(this.wrong, []);
  }
}
