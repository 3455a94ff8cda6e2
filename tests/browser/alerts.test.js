// The page of alarms: a relay where nothing alarms, and the answers of one where something does, with text that tries to be more.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Visit, launch } from "./browser.js";
import { Relay } from "./relay.js";

const AT = "2026-11-25T10:00:00.123Z";
const EVIL = `"><script>alert(1)</script><img src=x onerror=alert(1)>`;
const FIRING = {
  id: "2", kind: "destination_failing", subject: { destination: "app" }, state: "firing", summary: "destination app is failing",
  detail: `no success for 12m; last error: ${EVIL}`, advice: "`hookhold destinations` shows more.",
  since: AT, began_at: AT, ended_at: null, last_sent_at: AT,
};
const ENDED = { ...FIRING, id: "1", state: "ended", ended_at: AT };
const ALERTS = {
  items: [FIRING, ENDED], next: null, enabled: true,
  receivers: [{ to: "https://chat.example/***", form: "slack", waiting: 1, last_sent_at: AT, last_error: "answered 404" }],
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

test("where nothing alarms the page says how to begin", async () => {
  const visit = await Visit.at(browser, relay);
  await visit.go("#/alerts");
  await visit.page.getByText("Alarms are off:").waitFor();
  await visit.accessible("alerts off");
  await visit.end();
});

test("what is wrong is shown, on the overview too, and receivers are tried", async () => {
  const visit = await Visit.at(browser, relay);
  const { page } = visit;
  const asked = [];
  await page.route(/\/api\/v1\/alerts/, async (route) => {
    const { pathname, searchParams } = new URL(route.request().url());
    if (pathname.endsWith("/test")) {
      asked.push(route.request().method());
      return route.fulfill({ json: { results: [{ to: "https://chat.example/***", form: "slack", took_ms: 3, status: 404, answer: "no", error: null }] } });
    }
    const state = searchParams.get("state");
    return route.fulfill({ json: { ...ALERTS, items: ALERTS.items.filter((a) => !state || a.state === state) } });
  });
  await visit.go("");
  await page.getByRole("link", { name: "destination app is failing" }).click();
  await page.getByRole("table", { name: "Alarms", exact: true }).getByText("no success for 12m").waitFor();
  await page.getByRole("table", { name: "Alarms that are over" }).getByText("ended").waitFor();
  await page.getByRole("table", { name: "Receivers" }).getByText("answered 404").waitFor();
  await visit.accessible("alerts");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByText("https://chat.example/***: answered 404").waitFor();
  assert.deepEqual(asked, ["POST"]);
  await visit.onlyText();
  await visit.end();
});
