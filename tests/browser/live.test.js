// The page of what happens: a real relay's stream, filters in the address bar, pause, bounded lines, and what it does without one.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Visit, launch } from "./browser.js";
import { Relay } from "./relay.js";

let browser, relay;
before(async () => {
  browser = await launch();
  relay = await Relay.start({ guarded: true });
});
after(async () => {
  await relay?.stop();
  await browser?.close();
});

/** A viewer at the page, whose stream is open. */
async function watching(hash = "#/live") {
  const visit = await Visit.at(browser, relay);
  await visit.page.getByLabel("Token").fill("viewers-token-0123456789");
  await visit.page.getByRole("button", { name: "Log in" }).click();
  await visit.page.getByRole("heading", { name: "Log in" }).waitFor({ state: "detached" });
  await visit.go(hash);
  await visit.page.getByText("Connected.").waitFor();
  return visit;
}

test("what happens shows to a viewer, with the dashboard's login", async () => {
  const visit = await watching();
  const { page } = visit;
  const log = page.getByRole("log");
  const event = await relay.send(`{"a": 1}`, { type: "<b>bold</b>" });
  await log.getByText("<b>bold</b>").waitFor();
  await log.getByText("503", { exact: true }).waitFor();
  await log.getByText("parked", { exact: true }).waitFor();
  assert.equal(await log.getByRole("link", { name: "event", exact: true }).first().getAttribute("href"), `#/events/${event}`);
  await visit.onlyText();
  await visit.accessible("live");
  await visit.picture("live");
  await visit.end();
});

test("filters are in the address bar, and a pause holds the lines", async () => {
  const visit = await watching("#/live?destination=ok");
  const { page } = visit;
  const log = page.getByRole("log");
  await relay.send("{}", { type: "first" });
  await log.getByText("delivered").waitFor();
  assert.equal(await log.getByText("busy").count(), 0, "of another destination");
  await page.getByRole("button", { name: "Pause" }).click();
  const lines = await log.getByRole("listitem").count();
  await relay.send("{}", { type: "second" });
  await page.getByRole("button", { name: "Go on (3 wait)" }).waitFor();
  assert.equal(await log.getByRole("listitem").count(), lines);
  await page.getByRole("button", { name: /Go on/ }).click();
  await log.getByText("second").waitFor();
  assert.equal(await log.getByRole("listitem").count(), lines + 3);
  await page.getByRole("search").getByLabel("Source").selectOption("quiet");
  await page.waitForURL(/#\/live\?source=quiet&destination=ok$/);
  await visit.end();
});

test("lines are bounded, and what was missed is told", async () => {
  const visit = await watching();
  const { page } = visit;
  const state = (n) => `event: state\ndata: ${JSON.stringify({ id: `e${n}.1`, event_id: `e${n}`, destination: "ok", state: "delivered" })}\n\n`;
  const many = Array.from({ length: 300 }, (_, n) => state(n)).join("");
  // One that ends would be opened again after three seconds, and tell the same once more.
  const once = "retry: 3600000\n\n";
  const missed = `event: missed\ndata: {"count": 1234}\n\nevent: missed\ndata: {"count": null}\n\n`;
  await page.route(/\/api\/v1\/live/, (route) => route.fulfill({ contentType: "text/event-stream", body: once + missed + many }));
  await visit.go("#/live");
  await page.getByText("1,234 facts went by unseen; the lists have all.").waitFor();
  await page.getByRole("log").getByRole("listitem").nth(199).waitFor();
  assert.equal(await page.getByRole("log").getByRole("listitem").count(), 200);
  await visit.end();
});

test("without a stream new events are looked for", async () => {
  const visit = await watching();
  const { page } = visit;
  const problem = { status: 503, contentType: "application/problem+json", body: "{}" };
  await page.route(/\/api\/v1\/live/, (route) => route.fulfill(problem));
  await visit.go("#/live");
  await page.getByText("There is no stream").waitFor();
  // The first look tells what was there before.
  await page.waitForResponse(/\/api\/v1\/events/);
  await relay.send("{}", { type: "looked-for" });
  await page.getByRole("log").getByText("looked-for").waitFor();
  visit.tolerates(/503/);
  await visit.end();
});
