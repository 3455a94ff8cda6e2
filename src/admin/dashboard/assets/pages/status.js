// The relay as a whole: version, store, uptime, and where programs ask.

import { get, unready } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, duration, time } from "../format.js";
import { data, facts, heading, section, state } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Status";

export async function load(_, signal) {
  const status = await get(["status"], {}, signal);
  return { status, reason: status.ready ? null : await unready(signal) };
}

export function view({ status, reason }) {
  const deliveries = (word) => h("a", { href: link("deliveries", null, { state: word }) }, count(status.counts[word]));
  return [
    heading("Status", state(status.ready ? "ready" : "not ready")),
    section("Relay", facts([
      ["Version", status.version],
      ["Started", time(status.started_at)],
      ["Up for", duration(Date.now() - Date.parse(status.started_at))],
      ["Accepts", reason === null ? "yes" : ["no: ", data(reason)]],
    ])),
    section("Store", facts([
      ["On disk", bytes(status.store.bytes)],
      ["Free on the disk", bytes(status.store.free_bytes)],
      ["Full", status.store.full && data(status.store.full)],
      ["Of the events alone", bytes(status.store.event_bytes)],
      ["Events", h("a", { href: link("events") }, count(status.store.events))],
      ["Format", String(status.store.format)],
    ])),
    section("Deliveries", facts([
      ["Pending", deliveries("pending")],
      ["In flight", deliveries("in_flight")],
      ["Delivered", deliveries("delivered")],
      ["Parked", deliveries("parked")],
      ["Cancelled", deliveries("cancelled")],
      ["Kept aside", h("a", { href: link("quarantine") }, count(status.counts.quarantined))],
    ])),
    section("For programs", h("p", {}, h("a", { href: "metrics" }, "Metrics"), " (Prometheus), ",
      h("a", { href: "healthz" }, "health"), ", ", h("a", { href: "readyz" }, "readiness"))),
  ];
}
