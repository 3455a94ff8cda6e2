// The applications: how each stands, and pausing one.

import { all, post } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, count, relative } from "../format.js";
import { action, byTrouble, data, empty, facts, heading, oldestDue, standing, state } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Destinations";

export const load = (_, signal) => all(["destinations"], signal);

export function view(destinations, context) {
  return [
    heading("Destinations"),
    destinations.length ? byTrouble(destinations).map((d) => card(d, context)) : empty("No destination is configured."),
  ];
}

function card(destination, context) {
  const { name } = destination;
  const deliveries = (number, word) => h("a", { href: link("deliveries", null, { destination: name, state: word }) }, count(number));
  return h("article", { class: "card", "data-key": name, "aria-label": name },
    h("div", { class: "heading" }, h("h2", {}, data(name)),
      h("div", { class: "beside" }, state(standing(destination)), pause(destination, context))),
    facts([
      ["URL", data(destination.url)],
      ["Waiting", deliveries(destination.pending, "pending")],
      ["In flight", deliveries(destination.in_flight, "in_flight")],
      ["Parked", deliveries(destination.parked, "parked")],
      ["Oldest due", oldestDue(destination) ?? NOTHING],
      ["Breaker", destination.breaker.replace("_", " ")],
      ["Next probe", destination.next_probe_at && relative(destination.next_probe_at)],
      ["Rests, as it asked to", destination.rests_until && relative(destination.rests_until)],
      ["Last success", relative(destination.last_success_at)],
      ["Last error", destination.last_error && data(destination.last_error)],
    ]));
}

function pause(destination, context) {
  if (!context.can("pause_destination")) return null;
  const [label, word, said] = destination.paused
    ? ["Resume", "resume", "gets deliveries again"]
    : ["Pause", "pause", "is paused; its deliveries wait"];
  const work = async () => {
    await post(["destinations", destination.name, word]);
    return `${destination.name} ${said}.`;
  };
  return action(context, label, work, { "aria-label": `${label} ${destination.name}` });
}
