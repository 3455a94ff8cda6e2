// The dashboard in a real browser, with a real relay: what people see and do, what attackers send, and who is kept out.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { Visit, launch } from "./browser.js";
import { Relay, TOKENS } from "./relay.js";

/** What the whole dashboard may weigh. */
const BYTES_MAX = 200 * 1024;

const EVIL = `"><script>alert(1)</script><img src=x onerror=alert(1)>`;

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser?.close());

describe("a relay without tokens", () => {
  let relay, hostile, sample, refused;

  before(async () => {
    relay = await Relay.start();
    sample = await relay.send(`{"number": 12345678901234567890.10, "b": [1, {}], "a": "x", "a": "y"}`, { type: "invoice.paid" });
    hostile = await relay.send(JSON.stringify({ x: EVIL, y: `"><svg/onload=alert(1)>`, z: "\u202etxt.exe" }), {
      type: EVIL, id: `${EVIL}-id`, query: "?q=%3Cscript%3Ealert(1)%3C/script%3E",
      headers: { "content-type": "text/html", "x-evil": EVIL, "user-agent": "<img src=x onerror=alert(1)>" },
    });
    await relay.attempted(sample);
    await relay.attempted(hostile);
    for (let n = 0; n < 3; n += 1) await relay.send(`{"k": "customer", "n": ${n}}`, { source: "orders" });
    await relay.send(`{}`, { secret: "another secret", source: "quiet" });
    refused = (await relay.api("quarantine?source=quiet")).items[0].id;
    await relay.act("replays", { filter: { source: "github" }, to: ["ok"] });
  });
  after(() => relay.stop());

  const PAGES = {
    overview: () => "", events: () => "#/events", event: () => `#/events/${sample}`, hostile: () => `#/events/${hostile}`,
    deliveries: () => "#/deliveries", destinations: () => "#/destinations", destination: () => "#/destinations/ordered",
    sources: () => "#/sources", quarantine: () => "#/quarantine", refused: () => `#/quarantine/${refused}`, replays: () => "#/replays",
    alerts: () => "#/alerts", configuration: () => "#/configuration", status: () => "#/status", nowhere: () => "#/nowhere",
  };

  for (const colorScheme of ["light", "dark"]) {
    test(`every page can be used by everybody (${colorScheme})`, async () => {
      const visit = await Visit.at(browser, relay, { colorScheme });
      for (const [name, hash] of Object.entries(PAGES)) {
        await visit.go(hash());
        if (["event", "hostile", "refused"].includes(name)) await visit.page.getByLabel("Content of the body").waitFor();
        await visit.accessible(`${name}, ${colorScheme}`);
        await visit.onlyText();
        await visit.picture(`${name}-${colorScheme}`);
      }
      const bytes = [...visit.sizes.values()].reduce((sum, size) => sum + size, 0);
      assert.ok(visit.sizes.size > 15 && bytes > 20_000 && bytes < BYTES_MAX, `${visit.sizes.size} files, ${bytes} bytes`);
      await visit.end();
    });
  }

  test("every page fits a phone", async () => {
    const visit = await Visit.at(browser, relay, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    for (const [name, hash] of Object.entries(PAGES)) {
      await visit.go(hash());
      if (["event", "refused"].includes(name)) await visit.page.getByLabel("Content of the body").waitFor();
      const over = await visit.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.ok(over <= 0, `${name} is too wide by ${over}`);
      await visit.accessible(`${name}, phone`);
      await visit.picture(`${name}-phone`);
    }
    await visit.end();
  });

  test("hostile text is text, wherever it shows", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await visit.go(`#/events/${hostile}`);
    await page.getByLabel("Content of the body").waitFor();
    for (const details of await page.locator("details").all()) await details.locator("summary").click();
    for (const way of await page.getByRole("group", { name: "Show the body as" }).getByRole("button").all()) {
      await way.click();
      await visit.onlyText();
    }
    await page.getByRole("button", { name: "Text" }).click();
    const text = await page.locator("main").innerText();
    for (const part of [EVIL, `${EVIL}-id`, "?q=%3Cscript%3E", `<svg/onload=alert(1)>`, "⟨U+202E⟩"]) {
      assert.ok(text.includes(part), `${part} does not show`);
    }
    assert.ok((await page.title()).startsWith(EVIL));
    const evil = encodeURIComponent(EVIL);
    const places = ["#/events", "#/deliveries", `#/events?type=${evil}`, `#/events?source=${evil}`, `#/${evil}`, `#/events/${evil}`];
    for (const hash of places) {
      await visit.go(hash);
      await visit.onlyText();
    }
    // An id or a name that cannot be is refused.
    visit.tolerates(/status of 40[04]/);
    await visit.end();
  });

  test("a body shows as it came", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    const body = page.getByLabel("Content of the body");
    const shows = async (event, way) => {
      await visit.go(`#/events/${event}`);
      if (way) await page.getByRole("button", { name: way, exact: true }).click();
      return body.textContent();
    };
    assert.equal(await shows(sample), `{\n  "number": 12345678901234567890.10,\n  "b": [\n    1,\n    {}\n  ],\n  "a": "x",\n  "a": "y"\n}`);
    assert.equal(await shows(await relay.send("{\"a\": ", { source: "quiet" })), `{"a": `);
    const quiet = (bytes, type) => relay.send(bytes, { source: "quiet", headers: { "content-type": type } });
    const binary = await quiet(Buffer.from([0, 255, 65, 66]), "application/octet-stream");
    assert.match(await shows(binary), /^000000 {2}00 ff 41 42 .* ··AB$/);
    assert.equal(await page.getByRole("button", { name: "Text", exact: true }).count(), 0);
    const form = await quiet("a=1&payload=%7B%22b%22%3A2%7D", "application/x-www-form-urlencoded");
    assert.equal(await shows(form), `a = 1\npayload = {\n  "b": 2\n}`);
    const large = await relay.send(`"${"x".repeat(400_000)}"`, { source: "quiet" });
    await visit.go(`#/events/${large}`);
    await page.getByRole("button", { name: /^Show 39\d KiB$/ }).click();
    await page.getByText(/more characters: download the file/).waitFor();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
    assert.equal(download.suggestedFilename(), `${large}.bin`);
    await visit.end();
  });

  test("a person replays, retries and cancels", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    const event = await relay.send(`{"act": 1}`);
    await relay.attempted(event);
    await visit.go(`#/events/${event}`);
    const got = (path) => relay.seen.filter((one) => one.path === path && String(one.body) === `{"act": 1}`).length;
    assert.deepEqual([got("/ok"), got("/refuses")], [1, 1]);

    await page.getByRole("button", { name: "Replay" }).click();
    const dialog = page.getByRole("dialog");
    await visit.accessible("the replay's dialog");
    await dialog.getByLabel("busy").uncheck();
    await dialog.getByLabel("refuses").uncheck();
    await dialog.getByRole("button", { name: "Replay" }).click();
    await page.getByRole("status").getByText("1 delivery is due now.").waitFor();
    await page.getByRole("article", { name: "Delivery to ok" }).nth(1).getByText("delivered", { exact: true }).waitFor();
    assert.equal(got("/ok"), 2);

    const refused = page.getByRole("article", { name: "Delivery to refuses" });
    await refused.getByText("parked", { exact: true }).waitFor();
    await refused.getByRole("button", { name: "Retry" }).click();
    await page.getByRole("status").getByText("The delivery to refuses is due now.").waitFor();
    await refused.getByText("2.", { exact: true }).waitFor();
    assert.equal(got("/refuses"), 2);

    const busy = page.getByRole("article", { name: "Delivery to busy" });
    await busy.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Back" }).click();
    await busy.getByText("pending", { exact: true }).waitFor();
    await busy.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel the delivery" }).click();
    await busy.getByText("cancelled", { exact: true }).waitFor();
    assert.equal((await relay.api(`deliveries?event=${event}&state=cancelled`)).items.length, 1);
    await visit.end();
  });

  test("what was not believed is looked at, judged again and dropped", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await relay.send(JSON.stringify({ x: EVIL }), { secret: "another secret", headers: { "x-evil": EVIL } });
    await visit.go("#/quarantine?source=github");
    await page.getByText("1 request", { exact: true }).waitFor();
    await visit.accessible("the quarantine");
    await visit.picture("quarantine");
    await page.getByRole("button", { name: "Judge again" }).click();
    await visit.accessible("the dialog of a release");
    await page.getByRole("dialog").getByRole("button", { name: "Judge again" }).click();
    await page.getByRole("status").getByText("0 requests released; 1 request is refused still. 1 × wrong signature").waitFor();
    await page.getByLabel("Reason").selectOption("missing_header");
    await page.waitForURL(/reason=missing_header/);
    await page.getByText("No request is kept aside.").waitFor();
    await visit.go("#/quarantine?source=github");
    await page.getByRole("table", { name: "Requests" }).locator("tbody a.row").click();
    await page.getByLabel("Content of the body").waitFor();
    await visit.onlyText();
    await visit.accessible("a refused request");
    await visit.picture("refused");
    assert.ok((await page.locator("main").innerText()).includes(EVIL));
    await page.getByRole("button", { name: "Drop" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
    await page.getByText("No request is kept aside.").waitFor();
    await visit.end();
  });

  test("filters and pages are in the address bar", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    for (let n = 0; n < 60; n += 1) await relay.send(`{"n": ${n}}`, { source: "quiet", type: n % 2 ? "odd" : "even" });
    await visit.go("#/events?source=quiet&type=odd&since=1h");
    await page.getByText("30 events", { exact: true }).waitFor();
    assert.equal(await page.getByLabel("Type").inputValue(), "odd");
    await page.getByLabel("Type").fill("even");
    await page.getByLabel("Type").press("Enter");
    await page.waitForURL(/type=even/);
    await page.locator("tbody tr", { hasText: "odd" }).first().waitFor({ state: "detached" });
    await page.getByRole("link", { name: "Clear" }).click();
    await page.waitForURL(/#\/events$/);
    await page.getByText("50 events on this page").waitFor();
    await page.getByRole("link", { name: "Older" }).click();
    await page.waitForURL(/cursor=/);
    await page.getByRole("link", { name: "Newest" }).waitFor();
    assert.ok((await page.locator("tbody tr").count()) < 50);
    await page.goBack();
    await page.getByText("50 events on this page").waitFor();
    await page.getByLabel("Source").selectOption("github");
    await page.waitForURL(/source=github/);
    await page.getByText(/^\d events$/).waitFor();
    await visit.end();
  });

  test("text in bodies is looked for within a time, and that stands in the address bar", async () => {
    await relay.send(`{"order": "A-4711"}`, { source: "quiet", type: "sought" });
    await relay.send(`{"order": "A-4712"}`, { source: "quiet", type: "sought" });
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await visit.go("#/events");
    await page.getByLabel("Text in the body").fill("A-4711");
    await page.getByLabel("Text in the body").press("Enter");
    await page.waitForURL(/q=A-4711&since=7d/);
    await page.getByText("1 event", { exact: true }).waitFor();
    await visit.accessible("a search");
    await visit.picture("search");
    await visit.go("#/events?q=A-4711&since=40d");
    await page.getByRole("alert").getByText("a search may look at 31 days: move `since` closer to `until`").waitFor();
    assert.equal(await page.getByLabel("Text in the body").inputValue(), "A-4711");
    await visit.go("#/events?q=A-471&since=1h&source=quiet&state=delivered&destination=ok&type=sought");
    await page.getByText("2 events", { exact: true }).waitFor();
    await visit.go("#/events?q=nowhere&since=1h");
    await page.getByText("No event is like this.").waitFor();
    visit.tolerates(/status of 400/);
    await visit.end();
  });

  test("a keyboard is enough", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    const focus = () => page.evaluate(() => document.activeElement.outerHTML.slice(0, 90));
    await page.keyboard.press("Tab");
    assert.match(await focus(), /id="skip"/);
    await page.keyboard.press("Enter");
    assert.match(await focus(), /^<h1/);
    await page.keyboard.press("g");
    await page.keyboard.press("e");
    await page.waitForURL(/#\/events$/);
    await page.getByRole("heading", { name: "Events" }).waitFor();
    await page.waitForFunction(() => document.activeElement.localName === "h1");
    await page.keyboard.press("/");
    assert.match(await focus(), /name="source"/);
    await page.locator("main h1").focus();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("k");
    assert.equal(await page.evaluate(() => document.activeElement.closest("tr").rowIndex), 1);
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await visit.accessible("the keys");
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.closest("tr").rowIndex), 1, "the focus comes back");
    await page.keyboard.press("Enter");
    await page.waitForURL(/#\/events\/.+/);
    await visit.end();
  });

  test("what is new shows by itself, and nothing is asked while nobody looks", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await visit.go("#/events?type=fresh");
    await page.getByText("No event is like this.").waitFor();
    await page.getByLabel("Provider's id").fill("half typed");
    await relay.send("{}", { source: "quiet", type: "fresh" });
    await page.getByText("1 event", { exact: true }).waitFor();
    assert.equal(await page.getByLabel("Provider's id").inputValue(), "half typed");
    const hide = (hidden) => page.evaluate((is) => {
      Object.defineProperty(document, "hidden", { value: is, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
    await hide(true);
    await visit.calm();
    const before = visit.calls.length;
    // Longer than the wait between two refreshes: that nothing happens can be seen in no other way.
    await page.waitForTimeout(6000);
    assert.equal(visit.calls.length, before);
    await hide(false);
    await page.waitForResponse(/api\/v1\/events/);
    await visit.end();
  });
});

describe("a relay with tokens", () => {
  let relay, event;

  before(async () => {
    relay = await Relay.start({ guarded: true });
    event = await relay.send("{}");
    await relay.attempted(event);
  });
  after(() => relay.stop());

  const login = async (visit, token) => {
    await visit.page.getByLabel("Token").fill(token);
    await visit.page.getByRole("button", { name: "Log in" }).click();
  };

  test("a token opens it, and a logout closes it", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await visit.go(`#/events/${event}`);
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    assert.equal(await page.getByRole("navigation").getByRole("link").count(), 0);
    await visit.accessible("the login");
    await visit.picture("login");
    await login(visit, "wrong");
    await page.getByRole("alert").getByText("the token is not known").waitFor();
    visit.tolerates(/status of 401/);
    await login(visit, TOKENS.operator);
    await page.getByRole("heading", { name: "push" }).waitFor();
    await page.getByText("operator", { exact: false }).first().waitFor();
    const [cookie] = await visit.context.cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.value.includes(TOKENS.operator)], [true, "Strict", false]);
    assert.equal(await page.evaluate(() => document.cookie), "");
    await page.getByRole("article", { name: "Delivery to refuses" }).getByRole("button", { name: "Retry" }).click();
    await page.getByRole("status").getByText("The delivery to refuses is due now.").waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    assert.equal(await page.getByText("push").count(), 0);
    const stolen = await fetch(`${relay.admin}/api/v1/events`, { headers: { cookie: `${cookie.name}=${cookie.value}` } });
    assert.equal(stolen.status, 401);
    await visit.end();
  });

  test("who may not see bodies whole is told why nothing is looked for", async () => {
    relay.edit((written) => written.replace("tokens = [", 'mask = { body = ["/card"] }\ntokens = ['));
    await relay.act("reload");
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await login(visit, TOKENS.viewer);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await visit.go("#/events?q=4242&since=1h");
    await page.getByRole("alert").getByText("this token may not see all of every body").waitFor();
    await visit.accessible("a search that is refused");
    visit.tolerates(/status of 403/);
    await visit.end();
    relay.edit((written) => written.replace('mask = { body = ["/card"] }\n', ""));
    await relay.act("reload");
  });

  test("a viewer looks and cannot act", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await login(visit, TOKENS.viewer);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    const places = ["#/events", `#/events/${event}`, "#/deliveries", "#/destinations", "#/destinations/busy", "#/sources", "#/quarantine",
      "#/replays", "#/configuration", "#/status"];
    for (const hash of places) {
      await visit.go(hash);
      await visit.accessible(`${hash}, as a viewer`);
      assert.equal(await page.getByRole("button", { name: /Retry|Replay|Cancel|Reload|Pause|Arm|Park|Judge/ }).count(), 0, hash);
    }
    const status = await page.evaluate(async (id) => (await fetch(`api/v1/events/${id}/replay`, { method: "POST" })).status, event);
    assert.equal(status, 403);
    visit.tolerates(/status of 403/);
    await visit.end();
  });

  test("a relay that went away is told of, and comes back with a login", async () => {
    const visit = await Visit.at(browser, relay);
    const { page } = visit;
    await login(visit, TOKENS.viewer);
    await page.getByRole("heading", { name: "Overview" }).waitFor();
    await relay.down();
    await page.getByText(/^The relay cannot be reached. What is shown was so at \d\d:\d\d:\d\d.$/).waitFor();
    await page.getByRole("heading", { name: "Destinations" }).waitFor();
    await visit.accessible("a relay that went away");
    await visit.picture("away");
    await relay.up(new URL(relay.admin).host);
    // Sessions are in memory: a restart ends them.
    await page.getByRole("heading", { name: "Log in" }).waitFor({ timeout: 120_000 });
    visit.tolerates(/net::ERR_|status of 401/);
    await visit.end();
  });
});
