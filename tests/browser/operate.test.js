// What a person does on each page, against a real relay: the page says what came of it, and the API shows that it happened.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Visit, launch } from "./browser.js";
import { Relay, eventually } from "./relay.js";

let browser, relay;
before(async () => {
  browser = await launch();
  relay = await Relay.start();
});
after(async () => {
  await relay?.stop();
  await browser?.close();
});

const says = (page, text) => page.getByRole("status").getByText(text).waitFor();
const confirm = (page, name) => page.getByRole("dialog").getByRole("button", { name }).click();

test("the overview tells what happened, in pictures and in numbers", async () => {
  const event = await relay.send("{}", { type: "counted" });
  await relay.attempted(event);
  await relay.send("{}", { secret: "another secret" });
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  const chart = (name) => page.getByRole("img", { name: new RegExp(`^${name} in the last 24 hours: `) });
  await page.getByRole("img", { name: "Accepted in the last 24 hours: 1; at most 1 in" }).waitFor();
  await page.getByRole("img", { name: "Refused in the last 24 hours: 1; at most 1 in" }).waitFor();
  assert.match(await chart("Failed attempts").getAttribute("aria-label"), /: 2; at most 2 in \d+ min, at \d\d:\d\d\.$/);
  assert.match(await chart("Accepted").locator("path.bars").getAttribute("d"), /^M\d+ 40v-40h/);
  await page.getByText("The same as a table").click();
  const table = page.getByRole("region", { name: "Counts by hour" });
  // An hour may have begun meanwhile.
  const hour = async (n) => (await table.locator("tbody tr").nth(n).locator("td").allInnerTexts()).map((text) => Number(text) || 0);
  const [newest, before] = [await hour(0), await hour(1)];
  assert.deepEqual(newest.map((count, n) => count + before[n]), [1, 1, 2, 1]);
  assert.ok((await table.locator("tbody tr").count()) >= 24);
  await visit.accessible("the table of the charts");
  // What fails is not told to be well, and leads to what can be done.
  const row = page.getByRole("table", { name: "Destinations" }).getByRole("row", { name: /^refuses/ });
  assert.match(await row.innerText(), /failing/);
  await row.getByRole("link", { name: "refuses" }).click();
  await page.getByText("What is parked waits for you").waitFor();
  await page.getByText("The application answered 422.").waitFor();
  await visit.end();
});

test("a delivery is parked, retried and cancelled where it is listed", async () => {
  const event = await relay.send("{}", { type: "listed" });
  await relay.attempted(event);
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go(`#/deliveries?event=${event}&destination=busy`);
  await page.getByRole("button", { name: "Park the delivery to busy" }).click();
  await says(page, "The delivery to busy is put aside until somebody retries it.");
  await page.getByText("person").waitFor();
  const state = async () => (await relay.api(`deliveries?event=${event}&destination=busy`)).items[0];
  assert.deepEqual([(await state()).state, (await state()).reason], ["parked", "person"]);
  await page.getByRole("button", { name: "Retry the delivery to busy" }).click();
  await says(page, "The delivery to busy is due now.");
  // What is under way cannot be cancelled.
  await eventually("it failed again", async () => (await state()).attempts_made === 2 && (await state()).state === "pending");
  await page.getByRole("cell", { name: "pending" }).waitFor();
  await page.getByRole("button", { name: "Cancel the delivery to busy" }).click();
  await confirm(page, "Cancel the delivery");
  await says(page, "The delivery to busy is cancelled.");
  await page.getByRole("cell", { name: "cancelled" }).waitFor();
  // The button is gone, and who uses keys is not lost.
  assert.equal(await page.evaluate(() => document.activeElement.localName), "h1");

  // Parking on the event's own page.
  await visit.go(`#/events/${event}`);
  await page.getByRole("article", { name: "Delivery to refuses" }).getByText("the application refused it for good").waitFor();
  await visit.end();
});

test("many deliveries are cancelled by a filter that names them", async () => {
  for (let n = 0; n < 3; n += 1) await relay.attempted(await relay.send(`{"n": ${n}}`, { type: "many" }));
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/deliveries?state=parked");
  assert.equal(await page.getByRole("button", { name: /^Cancel all/ }).count(), 0, "not all of everything");
  await visit.go("#/deliveries?state=parked&destination=refuses");
  const { items } = await relay.api("deliveries?state=parked&destination=refuses");
  assert.ok(items.length >= 3);
  await page.getByRole("button", { name: "Cancel all that are parked" }).click();
  await confirm(page, "Cancel them");
  await says(page, `${items.length} deliveries are cancelled.`);
  await page.getByText("No delivery is like this.").waitFor();
  assert.deepEqual((await relay.api("deliveries?state=parked&destination=refuses")).items, []);
  await visit.end();
});

test("a destination is paused, and what its order keys hold up is let go", async () => {
  for (let n = 0; n < 3; n += 1) await relay.send(`{"k": "customer-7", "n": ${n}}`, { source: "orders" });
  // What is under way cannot be parked.
  await eventually("the first one has failed", async () => {
    const { items } = await relay.api("deliveries?destination=ordered&state=pending");
    return items.some((delivery) => delivery.attempts_made > 0);
  });
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/destinations/ordered");
  await page.getByText("Deliveries of 1 order key wait behind these.").waitFor();
  assert.ok(!(await page.locator("main").innerText()).includes("hidden"));
  const held = page.getByRole("table", { name: "Deliveries that others wait for" });
  await held.getByRole("cell", { name: "customer-7" }).waitFor();
  const [first] = (await relay.api("destinations/ordered")).blocked_by;
  await held.getByRole("button", { name: "Park the delivery to ordered" }).click();
  await says(page, "is put aside");
  assert.equal((await relay.api(`deliveries/${first.id}`)).state, "parked");

  await page.getByRole("button", { name: "Pause ordered" }).click();
  await says(page, "ordered is paused; its deliveries wait.");
  await page.getByText("Nothing is sent to it until somebody resumes it.").waitFor();
  assert.equal((await relay.api("destinations/ordered")).paused, true);
  await visit.go("#/destinations");
  await page.getByRole("button", { name: "Resume ordered" }).click();
  await says(page, "ordered gets deliveries again.");
  assert.equal((await relay.api("destinations/ordered")).paused, false);
  await visit.end();
});

test("a source is paused and goes on", async () => {
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/sources");
  await page.getByRole("button", { name: "Pause quiet" }).click();
  await says(page, "quiet is paused: providers get 503 and come again.");
  await assert.rejects(relay.send("{}", { source: "quiet" }), /answered 503/);
  await page.getByRole("row", { name: /^quiet/ }).getByText("paused").waitFor();
  await page.getByRole("button", { name: "Resume quiet" }).click();
  await says(page, "quiet accepts again.");
  await relay.send("{}", { source: "quiet" });
  await page.getByRole("row", { name: /^quiet/ }).getByText("when stored").waitFor();
  await visit.end();
});

test("events that fit a filter are counted, replayed slowly, held and called off", async () => {
  // At one a second they take longer than this test.
  for (let n = 0; n < 100; n += 1) await relay.send(`{"n": ${n}}`, { source: "quiet", type: "again" });
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/events?source=quiet&type=again");
  await page.getByRole("button", { name: "Replay these" }).click();
  const dialog = page.getByRole("dialog");
  assert.equal(await dialog.getByLabel("Type").inputValue(), "again");
  await visit.accessible("the dialog of a replay");
  await dialog.getByLabel("Deliver to").selectOption("ok");
  await dialog.getByLabel("Deliveries a second").fill("1");
  await dialog.getByRole("button", { name: "Count them" }).click();
  await page.getByRole("dialog", { name: "Replay 100 events" }).getByRole("button", { name: "Replay" }).click();
  await page.waitForURL(/#\/replays$/);
  await page.getByRole("progressbar").first().waitFor();
  await page.getByRole("button", { name: /^Pause the replay/ }).click();
  await says(page, "The replay is paused.");
  const [replay] = (await relay.api("replays")).items;
  assert.deepEqual([replay.state, replay.matched, replay.filter.type, replay.to], ["paused", 100, "again", ["ok"]]);
  await page.getByRole("button", { name: /^Resume the replay/ }).click();
  await says(page, "The replay goes on.");
  await page.getByRole("button", { name: /^Cancel the replay/ }).click();
  await confirm(page, "Cancel the replay");
  await page.getByRole("cell", { name: "cancelled" }).waitFor();
  assert.equal((await relay.api(`replays/${replay.id}`)).state, "cancelled");
  await visit.end();
});

test("a request that nobody proved is released by a person", async () => {
  await relay.send(`{"vouched": true}`, { source: "quiet", secret: "another secret" });
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/quarantine?source=quiet");
  await page.getByRole("table", { name: "Requests" }).locator("tbody a.row").first().click();
  await page.getByText("wrong secret, or the request was changed").waitFor();
  await page.getByRole("button", { name: "Release without proof" }).click();
  await visit.accessible("the dialog of a release without proof");
  await confirm(page, "Release it");
  await says(page, "It is released without proof.");
  await page.getByText("No request is kept aside.").waitFor();
  assert.equal((await relay.api("quarantine?source=quiet")).items.length, 0);
  await visit.end();
});

test("the configuration shows without secrets, and is read again", async () => {
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/configuration");
  const text = page.getByLabel("Text of the configuration");
  await text.getByText("[sources.orders]").waitFor();
  const shown = await page.locator("main").innerText();
  assert.ok(shown.includes(`url = "http://***@127.0.0.1`) && shown.includes(`x-key = "***"`) && !shown.includes("hidden"), shown);
  await page.getByRole("cell", { name: "localhost" }).waitFor();
  relay.edit((written) => written.replace(`path = "/in/orders"`, `path = "/in/changed"`));
  await page.getByRole("button", { name: "Reload" }).click();
  await confirm(page, "Reload");
  await says(page, "1 change: sources.orders: changed");
  await text.getByText("/in/changed").waitFor();
  relay.edit((written) => written.replace("/in/changed", "/in/orders").replace("provider =", "provdier ="));
  await page.getByRole("button", { name: "Reload" }).click();
  await confirm(page, "Reload");
  await page.getByRole("alert").getByText("did you mean").waitFor();
  await page.getByText("What was in force before stays in force.").waitFor();
  await text.getByText("/in/changed").waitFor();
  visit.tolerates(/status of 422/);
  await visit.accessible("a configuration that cannot be used");
  await visit.picture("configuration-bad");
  relay.edit((written) => written.replace("provdier =", "provider ="));
  await relay.act("reload");
  await visit.end();
});

test("what cannot be looked for is told beside the filters", async () => {
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  await visit.go("#/events?since=nonsense");
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Since").inputValue(), "nonsense");
  await visit.accessible("a filter that cannot be");
  await page.getByLabel("Since").fill("1h");
  await page.getByLabel("Since").press("Enter");
  await page.getByRole("table", { name: "Events" }).waitFor();
  visit.tolerates(/status of 400/);
  await visit.end();
});

test("colours follow the system until somebody chooses", async () => {
  const visit = await Visit.at(browser, relay, { colorScheme: "light" });
  const { page } = visit;
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = ["rgb(255, 255, 255)", "rgb(20, 24, 26)"];
  assert.equal(await paper(), light);
  await page.emulateMedia({ colorScheme: "dark" });
  assert.equal(await paper(), dark);
  await page.getByRole("button", { name: "Colours: as the system. Change to: light" }).click();
  assert.equal(await paper(), light);
  await visit.go("#/events");
  assert.equal(await paper(), light, "it is remembered");
  await page.getByRole("button", { name: "Colours: light. Change to: dark" }).click();
  await page.emulateMedia({ colorScheme: "light" });
  assert.equal(await paper(), dark);
  await visit.accessible("dark by choice");
  await visit.end();
});

test("on a phone the pages are behind a button", async () => {
  const visit = await Visit.at(browser, relay, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  const { page } = visit;
  const menu = page.getByRole("button", { name: "Pages" });
  assert.equal(await page.getByRole("link", { name: "Sources" }).count(), 0);
  await menu.click();
  assert.equal(await menu.getAttribute("aria-expanded"), "true");
  await visit.accessible("the way to the pages, on a phone");
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Sources" }).click();
  await page.getByRole("heading", { name: "Sources" }).waitFor();
  assert.equal(await menu.getAttribute("aria-expanded"), "false");
  await visit.end();
});

test("nothing moves for who does not want it", async () => {
  const visit = await Visit.at(browser, relay, { reducedMotion: "reduce" });
  await visit.go("#/configuration");
  const moving = await visit.page.evaluate(() => [...document.querySelectorAll("*")].filter((e) => {
    const { transitionDuration, animationName } = getComputedStyle(e);
    return animationName !== "none" || transitionDuration.split(",").some((time) => parseFloat(time) > 0);
  }).length);
  assert.equal(moving, 0);
  await visit.end();
});
