// One application: how it stands, what that means, and what is held up there.

import { get, post } from "../api.js";
import { note, trend } from "../backlog.js";
import { h } from "../dom.js";
import { NOTHING, count, counted, duration, relative, time } from "../format.js";
import { advice, ask, asking, data, empty, facts, heading, oldestDue, section, state, table } from "../parts.js";
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
  return { ...destination, latest: waiting.items, failed: await failed(destination, signal) };
}

/** Deliveries among which one is looked for that was attempted: others wait behind it. */
const LOOKED_AT = 20;

/** The newest delivery that gave up, or else waits after a failure, with its attempts: it tells why; null where none does. */
async function failed({ name, parked, pending, blocked_by: blocking }, signal) {
  const state = parked ? "parked" : pending ? "pending" : null;
  if (!state) return null;
  const { items } = await get(["deliveries"], { destination: name, state, limit: LOOKED_AT }, signal);
  const found = [...items, ...blocking].find((one) => one.attempts_made > 0);
  // It may be gone meanwhile, and then it tells nothing.
  return found ? get(["deliveries", found.id], {}, signal).catch(() => null) : null;
}

export function view(destination, context) {
  const { name } = destination;
  const to = (number, word) => h("a", { href: link("deliveries", null, { destination: name, state: word }) }, count(number));
  const said = advice(destination);
  return [
    heading(data(name), state(destination.standing), retryAll(destination, context), pause(destination, context)),
    said && h("p", { class: "advice" }, said),
    destination.failed && section("Why", why(destination.failed)),
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

/** What the application said last to a delivery that failed, in full: nobody should have to look for it. */
function why(delivery) {
  const last = delivery.attempts[delivery.attempts.length - 1];
  if (!last) return empty("No attempt was made.");
  const said = last.status === null
    ? ["No whole answer came: ", data(last.detail ?? last.error)]
    : `The application answered ${last.status}.`;
  return [
    h("p", { class: "line" }, h("strong", {}, said), time(last.started_at),
      quiet(`attempt ${last.number}, after ${duration(last.duration_ms)}`),
      h("a", { href: link("events", delivery.event_id, { delivery: delivery.id }) }, "The event")),
    last.response_body && h("pre", { tabindex: "0", class: "short", "aria-label": "What the application answered" }, last.response_body),
  ];
}

/** All that gave up is due again; what gives up once more is not met twice. */
function retryAll(destination, context) {
  const { name, parked } = destination;
  if (!parked) return null;
  const open = () => ask(context, `Retry all that is parked for ${name}`, "Retry them",
    h("p", {}, `${counted(parked, "delivery gets", "deliveries get")} a new budget and ${parked === 1 ? "is" : "are"} due now. `,
      "Is the application mended?"),
    async () => {
      let [retried, cursor] = [0, null];
      do {
        const done = await post(["deliveries", "retry"], { filter: { destination: name }, ...(cursor && { cursor }) });
        retried += done.retried;
        cursor = done.next;
      } while (cursor);
      return `${counted(retried, "delivery is", "deliveries are")} due now.`;
    });
  return asking(context, `Retry all ${count(parked)} parked`, open, { class: "main", "data-do": "retry", "data-key": "retry" });
}

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
