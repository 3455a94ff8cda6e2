// What is to be delivered, was, or gave up: one line for each event and destination.

import { all, get, post } from "../api.js";
import { NOTHING, moment, relative, time } from "../format.js";
import { TIMES, action, data, empty, filters, heading, pager, rowLink, shown, state, table } from "../parts.js";
import { link } from "../route.js";

const STATES = ["pending", "in_flight", "delivered", "parked", "cancelled"];

export const title = () => "Deliveries";

export async function load({ query }, signal) {
  const times = { since: moment(query.since), until: moment(query.until) };
  const [list, sources, destinations] = await Promise.all([
    get(["deliveries"], { ...query, ...times }, signal), all(["sources"], signal), all(["destinations"], signal),
  ]);
  return { list, query, sources: sources.map((s) => s.name), destinations: destinations.map((d) => d.name) };
}

export function view({ list, query, sources, destinations }, context) {
  const fields = [
    { name: "state", label: "State", options: STATES },
    { name: "destination", label: "Destination", options: destinations },
    { name: "source", label: "Source", options: sources },
    { name: "event", label: "Event", hint: "an event's id" },
    { name: "since", label: "Since", hint: "2h, or a time", title: TIMES },
    { name: "until", label: "Until", hint: "15m, or a time", title: TIMES },
  ];
  return [
    heading("Deliveries", shown(list, "delivery", "deliveries", query)),
    filters("deliveries", fields, query),
    list.items.length ? rows(list.items, context) : empty("No delivery is like this."),
    pager("deliveries", query, list.next),
  ];
}

function rows(deliveries, context) {
  const columns = [
    { name: "Created", of: (d) => rowLink(link("events", d.event_id, { delivery: d.id }), time(d.created_at)) },
    { name: "Destination", of: (d) => data(d.destination) },
    { name: "Source", of: (d) => data(d.source ?? NOTHING) },
    { name: "State", of: (d) => [state(d.state), d.reason && ` ${d.reason}`] },
    { name: "Attempts", class: "number", of: (d) => String(d.attempts_made) },
    { name: "Next attempt", of: (d) => relative(d.next_attempt_at) },
    { name: "Settled", of: (d) => relative(d.settled_at) },
  ];
  if (context.operates) columns.push({ name: "Do", class: "do", of: (d) => retry(context, d) });
  return table("Deliveries", columns, deliveries, (d) => d.id);
}

/** Retry is for what has ended, and for what waits. The API refuses it elsewhere. */
export function retry(context, delivery) {
  if (delivery.state !== "parked" && delivery.state !== "pending") return null;
  const work = async () => {
    await post(["deliveries", delivery.id, "retry"]);
    return `The delivery to ${delivery.destination} is due now.`;
  };
  return action(context, "Retry", work, { "aria-label": `Retry the delivery to ${delivery.destination}`, "data-do": "retry" });
}
