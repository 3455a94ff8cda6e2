// One application: how it stands, what that means, and what is held up there.

import { get } from "../api.js";
import { note, trend } from "../backlog.js";
import { h } from "../dom.js";
import { NOTHING, count, counted, relative } from "../format.js";
import { advice, data, empty, facts, heading, oldestDue, section, standing, state, table } from "../parts.js";
import { link } from "../route.js";
import { columns } from "./deliveries.js";
import { pause } from "./destinations.js";

export const title = (destination) => `Destination ${destination.name}`;

export async function load({ id }, signal) {
  const [destination, waiting] = await Promise.all([
    get(["destinations", id], {}, signal),
    get(["deliveries"], { destination: id, limit: 10 }, signal),
  ]);
  note([destination]);
  return { ...destination, latest: waiting.items };
}

export function view(destination, context) {
  const { name } = destination;
  const to = (number, word) => h("a", { href: link("deliveries", null, { destination: name, state: word }) }, count(number));
  const said = advice(destination);
  return [
    heading(data(name), state(standing(destination)), pause(destination, context)),
    said && h("p", { class: "advice" }, said, destination.parked > 0 && [" ", replayable(name)]),
    facts([
      ["URL", data(destination.url)],
      ["Waiting", [to(destination.pending, "pending"), trend(name) && quiet(` ${trend(name)}`)]],
      ["Oldest due", oldestDue(destination) ?? NOTHING],
      ["In flight", [to(destination.in_flight, "in_flight"), quiet(` of ${count(destination.in_flight_max)} at most`)]],
      ["Rate", destination.per_second === null ? "not bounded" : `${count(destination.per_second)} a second at most`],
      ["Parked", to(destination.parked, "parked")],
      ["Delivered since the start", count(destination.delivered)],
      ["Breaker", destination.breaker.replace("_", " ")],
      ["Next probe", destination.next_probe_at && relative(destination.next_probe_at)],
      ["Rests until", destination.rests_until && relative(destination.rests_until)],
      ["Last success", relative(destination.last_success_at)],
      ["Last error", destination.last_error && [data(destination.last_error), " ", relative(destination.last_error_at)]],
      ["Order", destination.is_ordered ? "one at a time for each order key" : "as they come"],
    ]),
    destination.is_ordered && section("Held up", held(destination, context)),
    section("Latest deliveries", destination.latest.length
      ? table("Latest deliveries", columns(context).filter((c) => c.name !== "Destination"), destination.latest, (d) => d.id)
      : empty("Nothing was for it yet."),
    h("p", { class: "more" }, h("a", { href: link("deliveries", null, { destination: name }) }, "All its deliveries"))),
  ];
}

const quiet = (text) => h("span", { class: "quiet" }, text);

/** All that is parked can be replayed at once, from the list of its events. */
const replayable = (name) => h("a", { href: link("events", null, { state: "parked", destination: name }) }, "Replay many at once");

/** Order keys for which deliveries wait behind one that fails: that one is mended, parked or cancelled, and the rest goes on. */
function held(destination, context) {
  if (!destination.blocked_keys) return empty("No delivery waits behind another one.");
  const shown = columns(context).filter((c) => c.name !== "Destination" && c.name !== "Settled");
  shown.splice(1, 0, { name: "Order key", of: (d) => data(d.order_key ?? NOTHING) });
  return [
    h("p", { class: "hint" }, `Deliveries of ${counted(destination.blocked_keys, "order key")} wait behind these. `,
      "Retry one when the application is mended; park or cancel it, and those behind it go on."),
    table("Deliveries that others wait for", shown, destination.blocked_by, (d) => d.id),
  ];
}
