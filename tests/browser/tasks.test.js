// What somebody does who is called at three in the morning, from the overview on. Each walk counts clicks and pages and looks at the
// time, so that the way to the end cannot grow without somebody noticing.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { Visit, launch } from "./browser.js";
import { Relay, eventually } from "./relay.js";

/** Far more than a script takes, and what a person may take. */
const MINUTE_MS = 60_000;

let browser, relay;
before(async () => {
  browser = await launch();
  relay = await Relay.start();
});
after(async () => {
  await relay?.stop();
  await browser?.close();
});

/** A visit that counts. */
class Walk {
  clicks = 0;
  pages = new Set();
  #start = Date.now();

  static async begin() {
    const walk = new Walk();
    walk.visit = await Visit.at(browser, relay);
    walk.page = walk.visit.page;
    walk.#note();
    return walk;
  }

  async click(what) {
    await what.click();
    this.clicks += 1;
    this.#note();
  }

  #note() {
    this.pages.add(new URL(this.page.url()).hash.split("?")[0] || "#/");
  }

  /** The walk was as short as this, and took no minute. */
  async end(context, clicks, pages) {
    this.#note();
    const took = Date.now() - this.#start;
    context.diagnostic(`${this.clicks} clicks on ${this.pages.size} pages (${[...this.pages].join(", ")}), ${(took / 1000).toFixed(1)} s`);
    assert.deepEqual([this.clicks, this.pages.size], [clicks, pages]);
    assert.ok(took < MINUTE_MS, `${took} ms`);
    await this.visit.end();
  }
}

const says = (page, text) => page.getByRole("status").getByText(text).waitFor();

test("why deliveries to one destination fail, and trying them again", async (context) => {
  for (let n = 0; n < 5; n += 1) await relay.attempted(await relay.send(`{"n": ${n}}`));
  const walk = await Walk.begin();
  const { page } = walk;
  const row = page.getByRole("table", { name: "Destinations" }).getByRole("row", { name: /^refuses/ });
  // Where all is well comes behind what is not.
  const names = await page.getByRole("table", { name: "Destinations" }).locator("tbody a.row").allInnerTexts();
  assert.ok(names.indexOf("refuses") < names.indexOf("ok"), `${names}`);
  assert.match(await row.innerText(), /failing\s+answered 422/);
  await walk.click(row.getByRole("link", { name: "refuses" }));

  await page.getByText("The application answered 422.").waitFor();
  assert.equal(await page.getByLabel("What the application answered").textContent(), "<svg/onload=alert(1)>");
  await page.getByText("What is parked waits for you: retry it when the application is mended.").waitFor();
  await walk.visit.accessible("a destination that fails");
  await walk.visit.picture("task-destination");

  relay.mended.add("/refuses");
  await walk.click(page.getByRole("button", { name: "Retry all 5 parked" }));
  await walk.visit.accessible("the dialog of a retry");
  await walk.click(page.getByRole("dialog").getByRole("button", { name: "Retry them" }));
  await says(page, "5 deliveries are due now.");
  await page.getByRole("heading", { name: "Why" }).waitFor({ state: "detached" });
  await page.getByText("ok", { exact: true }).first().waitFor();
  // The page says "ok" after the first success.
  const delivered = async () => (await relay.api("deliveries?destination=refuses&state=delivered")).items.length;
  await eventually("all five are delivered", async () => (await delivered()) === 5);
  assert.equal((await relay.api("destinations/refuses")).parked, 0);
  await walk.end(context, 3, 2);
});

test("a wrong secret is mended, and the night's quarantine released", async (context) => {
  const right = "what the provider signs with since last night";
  for (let n = 0; n < 40; n += 1) await relay.send(`{"night": ${n}}`, { source: "quiet", type: "night", secret: right });
  await relay.send(`{"forged": true}`, { source: "quiet", secret: "of nobody" });
  const walk = await Walk.begin();
  const { page } = walk;
  await walk.click(page.getByRole("list", { name: "Figures" }).getByRole("link", { name: /kept aside/ }));

  const row = page.getByRole("table", { name: "Why" }).getByRole("row", { name: /^quiet/ });
  assert.match(await row.innerText(), /wrong signature/);
  assert.match(await row.innerText(), /41/);
  await row.getByText("compare file secret with what the provider shows").waitFor();
  await walk.visit.accessible("why requests are kept aside");
  await walk.visit.picture("task-quarantine");

  writeFileSync(join(relay.folder, "secret"), right, { mode: 0o600 });
  await walk.click(row.getByRole("button", { name: "Release what now passes for quiet" }));
  await walk.visit.accessible("the dialog of what passes now");
  await walk.visit.picture("task-release");
  await walk.click(page.getByRole("dialog").getByRole("button", { name: "Release" }));
  await says(page, "40 requests released; 1 request is refused still.");
  assert.equal((await relay.api("events?source=quiet&type=night")).items.length, 40);
  assert.equal((await relay.api("quarantine?source=quiet")).items.length, 1);
  await walk.end(context, 3, 2);
});

describe("many of everything", () => {
  let crowd;
  before(async () => {
    const destination = (n) => `[destinations.d${n}]\nurl = "http://127.0.0.1:1/${n}"\nretry = { schedule = ["10m"] }\n`;
    const source = (n) => `[sources.s${n}]\npath = "/in/s${n}"\nprovider = "github"\nsecrets = [{ file = "secret" }]\n`
      + `[[routes]]\nfrom = "s${n}"\nto = ["d${n}"]\n`;
    const all = Array.from({ length: 1000 }, (_, n) => destination(n) + source(n)).join("");
    crowd = await Relay.start({ more: `\n${all}` });
  });
  after(() => crowd.stop());

  test("of a thousand destinations the worst show first, and the rest is counted", async (context) => {
    await crowd.send("{}", { source: "s777" });
    await eventually("d777 fails", async () => (await crowd.api("destinations/d777")).standing === "failing");
    const visit = await Visit.at(browser, crowd);
    const { page } = visit;
    const answers = [];
    page.on("response", (answer) => {
      if (answer.url().includes("/api/v1/")) answers.push(answer.body().then((body) => body.length, () => 0));
    });
    const begun = Date.now();
    await visit.go("");
    const took = Date.now() - begun;
    const table = page.getByRole("table", { name: "Destinations" });
    assert.match(await table.locator("tbody tr").first().innerText(), /^d777\s+failing/);
    assert.equal(await table.locator("tbody tr").count(), 12);
    // Four of its own beside the thousand.
    await page.getByRole("link", { name: "992 more destinations" }).waitFor();
    assert.match(await page.getByRole("table", { name: "Sources" }).locator("tbody tr").first().innerText(), /^s777/);
    await page.getByRole("link", { name: "991 more sources" }).waitFor();
    const bytes = (await Promise.all(answers)).reduce((sum, size) => sum + size, 0);
    context.diagnostic(`the overview: ${bytes} bytes of answers, ${took} ms`);
    assert.ok(bytes > 5000 && bytes < 150_000, `${bytes} bytes`);
    await visit.picture("overview-crowd");
    await visit.go("#/destinations?name=d77");
    await page.getByRole("table", { name: "Destinations" }).locator("tbody tr").nth(10).waitFor();
    assert.equal(await page.getByRole("table", { name: "Destinations" }).locator("tbody tr").count(), 11);
    await visit.go("#/destinations");
    await page.getByText("Those that need a look most, 200 of 1,004: find others by name.").waitFor();
    await visit.accessible("a thousand destinations");
    await visit.picture("destinations-crowd");
    await visit.end();
  });
});
