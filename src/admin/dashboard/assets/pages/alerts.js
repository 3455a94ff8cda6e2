// Alarms: what is wrong now, what was lately, and whether those who should hear of it can be reached.

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, count, counted, relative, time } from "../format.js";
import { action, data, empty, heading, rowLink, section, state, table } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Alerts";

export const load = (_, signal) => get(["alerts"], { limit: 500 }, signal);

export function view({ items, enabled, receivers }, context) {
  const now = items.filter((a) => a.state !== "ended");
  const over = items.filter((a) => a.state === "ended");
  if (!enabled) {
    return [heading("Alerts"), empty("Alarms are off: ", h("code", {}, "[alerts]"), " in relay.toml switches them on.")];
  }
  return [
    heading("Alerts", receivers.length > 0 && test(context)),
    section("Now", now.length ? rows("Alarms", now) : empty("Nothing is wrong.")),
    now.filter((a) => a.state === "firing").map((a) =>
      h("div", { class: "notice bad", "data-key": `advice-${a.id}` }, h("p", {}, data(`${a.summary}: ${a.advice}`)))),
    over.length > 0 && section("Over", rows("Alarms that are over", over)),
    section("Receivers", receivers.length ? receiversTable(receivers) : empty("Nobody is told: ", h("code", {}, "to"), " is empty.")),
  ];
}

/** Where to look at what an alarm is about. */
function place({ subject }) {
  if (subject.source) return link("events", null, { source: subject.source });
  if (subject.destination) return link("deliveries", null, { destination: subject.destination });
  return link("status");
}

function rows(label, alarms) {
  return table(label, [
    { name: "What", of: (a) => rowLink(place(a), data(a.summary)) },
    { name: "State", of: (a) => state(a.state) },
    { name: "How much", of: (a) => data(a.detail) },
    { name: "Since", of: (a) => time(a.since) },
    { name: "Over", of: (a) => (a.ended_at ? relative(a.ended_at) : NOTHING) },
    { name: "Last sent", of: (a) => relative(a.last_sent_at) },
  ], alarms, (a) => a.id);
}

function receiversTable(receivers) {
  return table("Receivers", [
    { name: "To", of: (r) => data(r.to) },
    { name: "Form", of: (r) => r.form },
    { name: "Waiting", class: "number", of: (r) => count(r.waiting) },
    { name: "Last sent", of: (r) => relative(r.last_sent_at) },
    { name: "Last error", of: (r) => (r.last_error ? data(r.last_error) : NOTHING) },
  ], receivers, (r) => `${r.form} ${r.to}`);
}

function test(context) {
  return action(context, "Send a test", async () => {
    const { results } = await post(["alerts", "test"]);
    const bad = results.filter((r) => r.status === null || r.status < 200 || r.status > 299);
    if (bad.length === 0) return `${counted(results.length, "receiver")} took it.`;
    throw new Error(bad.map((r) => `${r.to}: ${r.error ?? `answered ${r.status}`}`).join("\n"));
  });
}
