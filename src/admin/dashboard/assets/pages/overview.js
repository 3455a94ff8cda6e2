// Whether all is well, and if not, where to look.

import { all, get, unready } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, bytes, count, relative } from "../format.js";
import { byTrouble, data, empty, heading, oldestDue, rowLink, section, standing, state, table } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Overview";

export async function load(_, signal) {
  const [status, destinations, sources, alarms] = await Promise.all([
    get(["status"], {}, signal), all(["destinations"], signal), all(["sources"], signal), get(["alerts"], { state: "firing" }, signal),
  ]);
  return { status, destinations, sources, alarms: alarms.items, reason: status.ready ? null : await unready(signal) };
}

export function view({ status, destinations, sources, alarms, reason }) {
  const sum = (list, field) => list.reduce((total, one) => total + (one[field] ?? 0), 0);
  const failing = destinations.filter((d) => !["ok", "paused"].includes(standing(d)));
  const waiting = status.counts.pending + status.counts.in_flight;
  return [
    heading("Overview", state(status.ready ? "ready" : "not ready")),
    reason && h("div", { class: "notice bad", role: "alert" }, h("p", {}, "The relay does not accept webhooks: ", data(reason))),
    alarms.map((a) => h("div", { class: "notice bad", "data-key": `alarm-${a.id}` },
      h("p", {}, h("a", { href: link("alerts") }, a.summary), ": ", data(a.detail)))),
    h("ul", { class: "figures", "aria-label": "Figures" },
      figure("accepted", sum(sources, "accepted"), "since the start", link("events")),
      figure("delivered", status.counts.delivered, "deliveries", link("deliveries", null, { state: "delivered" })),
      figure("waiting", waiting, `${count(status.counts.in_flight)} in flight`, link("deliveries", null, { state: "pending" })),
      figure("failing", failing.length, failing.length === 1 ? "destination" : "destinations", link("destinations"), failing.length > 0),
      figure("parked", status.counts.parked, "wait for a person", link("deliveries", null, { state: "parked" }), status.counts.parked > 0),
      figure("stored", status.store.events, bytes(status.store.bytes), link("status"))),
    section("Destinations", destinations.length ? toTable(byTrouble(destinations)) : empty("No destination is configured.")),
    section("Sources", sources.length ? fromTable(sources) : empty("No source is configured.")),
    status.store.events === 0 && empty("No event is stored yet. ", h("code", {}, "hookhold send demo"), " sends a sample."),
  ];
}

function figure(name, number, under, href, alarms = false) {
  return h("li", { class: alarms ? "alarms" : null },
    h("a", { href }, h("span", { class: "name" }, name), h("strong", {}, count(number)), h("span", { class: "under" }, under)));
}

function toTable(destinations) {
  return table("Destinations", [
    { name: "Name", of: (d) => rowLink(link("deliveries", null, { destination: d.name }), data(d.name)) },
    { name: "State", of: (d) => state(standing(d)) },
    { name: "Oldest due", of: (d) => oldestDue(d) ?? NOTHING },
    { name: "Waiting", class: "number", of: (d) => count(d.pending) },
    { name: "In flight", class: "number", of: (d) => count(d.in_flight) },
    { name: "Parked", class: "number", of: (d) => count(d.parked) },
    { name: "Last success", of: (d) => relative(d.last_success_at) },
  ], destinations, (d) => d.name);
}

function fromTable(sources) {
  return table("Sources", [
    { name: "Name", of: (s) => rowLink(link("events", null, { source: s.name }), data(s.name)) },
    { name: "Provider", of: (s) => data(s.provider) },
    { name: "Accepted", class: "number", of: (s) => count(s.accepted) },
    { name: "Rejected", class: "number", of: (s) => count(s.rejected) },
    { name: "Duplicates", class: "number", of: (s) => count(s.duplicates) },
    { name: "Last event", of: (s) => relative(s.last_event_at) },
  ], sources, (s) => s.name);
}
