// The relay as a whole: version, store, uptime, and reading the configuration again.

import { get, post, unready } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, counted, duration, time } from "../format.js";
import { asking, ask, data, facts, heading, section, state } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Status";

export async function load(_, signal) {
  const status = await get(["status"], {}, signal);
  return { status, reason: status.ready ? null : await unready(signal) };
}

export function view({ status, reason }, context) {
  const deliveries = (word) => h("a", { href: link("deliveries", null, { state: word }) }, count(status.counts[word]));
  return [
    heading("Status", state(status.ready ? "ready" : "not ready"), reload(context)),
    section("Relay", facts([
      ["Version", status.version],
      ["Started", time(status.started_at)],
      ["Up for", duration(Date.now() - Date.parse(status.started_at))],
      ["Accepts", reason === null ? "yes" : ["no: ", data(reason)]],
    ])),
    section("Store", facts([
      ["On disk", bytes(status.store.bytes)],
      ["Events", h("a", { href: link("events") }, count(status.store.events))],
      ["Format", String(status.store.format)],
    ])),
    section("Deliveries", facts([
      ["Pending", deliveries("pending")],
      ["In flight", deliveries("in_flight")],
      ["Delivered", deliveries("delivered")],
      ["Parked", deliveries("parked")],
      ["Cancelled", deliveries("cancelled")],
    ])),
    section("For programs", h("p", {}, h("a", { href: "metrics" }, "Metrics"), " (Prometheus), ",
      h("a", { href: "healthz" }, "health"), ", ", h("a", { href: "readyz" }, "readiness"))),
  ];
}

function reload(context) {
  const open = () => ask(context, "Read relay.toml again", "Reload",
    h("p", {}, "The new configuration is applied whole, or not at all. Queues and connections go on."),
    async () => {
      try {
        const { changed } = await post(["reload"]);
        return changed.length ? `${counted(changed.length, "change")}: ${changed.join(", ")}` : "Nothing is different.";
      } catch (problem) {
        problem.message = [problem.message, ...problem.problems].join("\n");
        throw problem;
      }
    });
  return asking(context, "Reload configuration", open);
}
