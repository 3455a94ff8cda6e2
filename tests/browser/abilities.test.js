// Pages and buttons of an API that can more than this version's: they show when it can, and only then. The answers here are those
// that the API's contract tells; everything else is the relay's own.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Visit, launch } from "./browser.js";
import { Relay } from "./relay.js";

const AT = "2026-11-25T10:00:00.123Z";
const EVIL = `"><script>alert(1)</script>`;
const REFUSED = { id: "q1", source: "github", received_at: AT, reason: EVIL, peer: "203.0.113.7", body_bytes: 8 };
const REPLAY = { id: "r1", state: "running", matched: 20, created: 12, delivered: 10, failed: 1, rate_per_s: 50, created_at: AT };

const SENT = [
  ["event", { id: "e1", source: "github", type: EVIL, received_at: AT }],
  ["attempt", { id: "e1.1", event_id: "e1", destination: "busy", state: "pending", attempts: [{ number: 1, started_at: AT, duration_ms: 12, status: 503, error: null }] }],
  ["state", { id: "e1.1", event_id: "e1", destination: "busy", state: "parked" }],
].map(([kind, data]) => `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`).join("");

/** A day of which the relay ran three hours, an hour ago not at all, and since then again. */
function day() {
  const [step, now] = [300_000, Date.now()];
  const last = now - (now % step);
  const at = (ms) => new Date(ms).toISOString();
  const ran = (n) => n < 12 || (n >= 24 && n < 60);
  const counts = { duplicates: 0, refused: 0, delivered: 2, failed_attempts: 0, parked: 0 };
  const of = (n) => ({ at: at(last - n * step), accepted: n === 30 ? 7 : 1, ...counts });
  const items = Array.from({ length: 288 }, (_, n) => 287 - n).filter(ran).map(of);
  return { step_ms: step, since: at(last - 287 * step), until: at(now), items };
}

/** What the API answers, by method and path. */
const ANSWERS = {
  "GET /history": day(),
  "GET /audit": { items: [{ at: AT, who: "ops", action: "replay", target: EVIL, result: "done", peer: "203.0.113.7" }], next: null },
  "GET /quarantine": { items: [REFUSED], next: null },
  "GET /quarantine/reasons": { items: [{ source: "github", reason: "mismatch", detail: EVIL, requests: 3, first_at: AT, last_at: AT, secrets: [], advice: EVIL }] },
  "GET /quarantine/q1": { ...REFUSED, headers: [["content-type", "application/json"], ["x-evil", EVIL]] },
  "POST /quarantine/release": { released: 1, still_refused: 2 },
  "DELETE /quarantine/q1": {},
  "GET /replays": { items: [REPLAY, { ...REPLAY, id: "r2", state: "paused", rate_per_s: null }], next: null },
  "POST /replays": { ...REPLAY, matched: 7 },
  "POST /replays/r1/pause": { ...REPLAY, state: "paused" },
  "POST /destinations/busy/pause": {},
  "POST /sources/quiet/pause": {},
};

let browser, relay;
before(async () => {
  browser = await launch();
  relay = await Relay.start();
});
after(async () => {
  await relay?.stop();
  await browser?.close();
});

/** A visit of a relay whose API can all that. `asked` gets what changes were asked for. */
async function visited(asked) {
  const visit = await Visit.at(browser, relay);
  await visit.page.route(/\/session$/, async (route) => {
    const answer = await (await route.fetch()).json();
    await route.fulfill({ json: { ...answer, abilities: ["audit", "live", "quarantine", "replays", "pause_destination", "pause_source", "arm_source"] } });
  });
  await visit.page.route(/\/api\/v1\//, async (route) => {
    const request = route.request();
    const path = new URL(request.url()).pathname.replace("/api/v1", "");
    if (request.method() !== "GET") asked.push([`${request.method()} ${path}`, request.postDataJSON()]);
    if (path === "/live") return route.fulfill({ contentType: "text/event-stream", body: SENT });
    if (path === "/quarantine/q1/body") return route.fulfill({ contentType: "application/octet-stream", body: `{"a": 1}` });
    const answer = ANSWERS[`${request.method()} ${path}`];
    return answer ? route.fulfill({ json: answer }) : route.continue();
  });
  await visit.page.reload();
  await visit.page.locator("main h1:not(.waiting)").waitFor();
  return visit;
}

test("what the API cannot do is not shown", async () => {
  const { abilities } = await (await fetch(`${relay.admin}/session`)).json();
  const visit = await Visit.at(browser, relay);
  const pages = await visit.page.getByRole("navigation", { name: "Pages" }).getByRole("link").allInnerTexts();
  for (const [name, word] of [["Quarantine", "quarantine"], ["Replays", "replays"], ["Live", "live"], ["Alerts", "alerts"], ["Audit", "audit"]]) {
    assert.equal(pages.includes(name), abilities.includes(word), name);
  }
  await visit.end();
});

test("what is kept aside is looked at, judged again and dropped", async () => {
  const asked = [];
  const visit = await visited(asked);
  const { page } = visit;
  await page.getByRole("link", { name: "Quarantine", exact: true }).click();
  await page.getByRole("table", { name: "Requests" }).getByRole("cell", { name: EVIL }).waitFor();
  await visit.accessible("the quarantine");
  await visit.picture("quarantine");
  await page.getByRole("button", { name: "Judge again" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Judge again" }).click();
  await page.getByRole("status").getByText("1 request released; 2 requests are refused still.").waitFor();
  await page.getByRole("table", { name: "Requests" }).locator("tbody a.row").click();
  await page.getByLabel("Content of the body").waitFor();
  await visit.accessible("a refused request");
  await visit.onlyText();
  await visit.picture("refused");
  await page.getByRole("button", { name: "Drop" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drop" }).click();
  await page.waitForURL(/#\/quarantine\?source=github$/);
  assert.deepEqual(asked, [["POST /quarantine/release", {}], ["DELETE /quarantine/q1", null]]);
  await visit.end();
});

test("many events are replayed, after they were counted", async () => {
  const asked = [];
  const visit = await visited(asked);
  const { page } = visit;
  await page.getByRole("link", { name: "Replays" }).click();
  await page.getByRole("button", { name: "Pause the replay r1" }).click();
  await page.getByRole("status").getByText("The replay is paused.").waitFor();
  await visit.accessible("the replays");
  await visit.picture("replays");
  await page.getByRole("button", { name: "Replay many" }).click();
  const dialog = page.getByRole("dialog");
  await visit.picture("replay-many");
  await visit.accessible("the dialog of a replay");
  await dialog.getByLabel("Source").selectOption("github");
  await dialog.getByLabel("Deliver to").selectOption("ok");
  await dialog.getByRole("button", { name: "Count them" }).click();
  await page.getByRole("dialog", { name: "Replay 7 events" }).getByRole("button", { name: "Replay" }).click();
  await page.getByRole("status").getByText("The replay has begun.").waitFor();
  const wish = { filter: { source: "github" }, to: ["ok"], rate_per_s: 50 };
  assert.deepEqual(asked, [["POST /replays/r1/pause", {}], ["POST /replays", { ...wish, dry_run: true }], ["POST /replays", wish]]);
  await visit.end();
});

test("charts tell nothing, no event, and a relay that did not run apart", async () => {
  const visit = await visited([]);
  const { page } = visit;
  const accepted = page.getByRole("img", { name: /^Accepted in the last 24 hours: 54; at most 9 in 15 min/ });
  await accepted.waitFor();
  await page.getByRole("img", { name: "Refused in the last 24 hours: 0; none." }).waitFor();
  const columns = async (part) => (await accepted.locator(`path.${part}`).getAttribute("d")).split("M").length - 1;
  // Of twenty hours nothing is known, which is no gap.
  const gaps = await columns("gap");
  assert.ok(gaps >= 3 && gaps <= 5, `${gaps} quarters of an hour`);
  assert.ok((await columns("bars")) >= 16);
  await page.getByText("Where it is grey, the relay did not run.").waitFor();
  // Also on a page that was refreshed.
  await page.waitForResponse(/api\/v1\/history/);
  // All of it: what comes later puts back what the pointer says.
  await visit.calm();
  const { x, y, width, height } = await accepted.boundingBox();
  await page.mouse.move(x + 3, y + height / 2);
  await page.getByText(/^\d\d:\d\d to \d\d:\d\d: nothing is known$/).waitFor();
  await page.mouse.move(x + width - 2, y + height / 2);
  await page.getByText(/^\d\d:\d\d to \d\d:\d\d: \d$/).waitFor();
  await visit.picture("overview-day");
  await visit.end();
});

test("who changed what shows where the API tells it", async () => {
  const visit = await visited([]);
  const { page } = visit;
  await page.getByRole("link", { name: "Audit" }).click();
  await page.getByRole("cell", { name: EVIL }).waitFor();
  await visit.onlyText();
  await visit.accessible("the audit log");
  await visit.picture("audit");
  await visit.end();
});

test("what happens shows live", async () => {
  const visit = await visited([]);
  const { page } = visit;
  await page.getByRole("link", { name: "Live", exact: true }).click();
  const log = page.getByRole("log");
  await log.getByText(EVIL).first().waitFor();
  await log.getByText("503").first().waitFor();
  await log.getByText("parked").first().waitFor();
  await visit.onlyText();
  await visit.accessible("live");
  await visit.picture("live");
  await page.getByRole("link", { name: "Status" }).click();
  await page.getByRole("heading", { name: "Status" }).waitFor();
  const before = visit.calls.filter((path) => path.endsWith("/live")).length;
  // A stream that had not ended would be opened again after three seconds: that nothing happens can be seen in no other way.
  await page.waitForTimeout(4000);
  assert.equal(visit.calls.filter((path) => path.endsWith("/live")).length, before);
  await visit.end();
});

test("destinations and sources are paused", async () => {
  const asked = [];
  const visit = await visited(asked);
  const { page } = visit;
  await visit.go("#/destinations");
  await page.getByRole("button", { name: "Pause busy" }).click();
  await page.getByRole("status").getByText("busy is paused; its deliveries wait.").waitFor();
  await visit.go("#/sources");
  await page.getByRole("button", { name: "Pause quiet" }).click();
  await page.getByRole("status").getByText("quiet is paused: providers get 503 and come again.").waitFor();
  await visit.accessible("sources that can be paused");
  assert.deepEqual(asked, [["POST /destinations/busy/pause", {}], ["POST /sources/quiet/pause", {}]]);
  await visit.end();
});
