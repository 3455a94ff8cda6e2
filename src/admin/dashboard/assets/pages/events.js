// What came in, newest first.

import { listed, namesOf } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, bytes, relative, time } from "../format.js";
import { TIMES, data, empty, filters, heading, pager, rowLink, shown, state, table, wrong } from "../parts.js";
import { link } from "../route.js";
import { begin } from "./replays.js";

const STATES = ["pending", "delivered", "parked", "cancelled", "unrouted"];
/** Destinations of an event that are named in its row. */
const NAMED_MAX = 3;

/** How far back text is looked for where nobody says it: a search reads bodies, and must have an end. */
const SEARCHED = "7d";
const SEARCH = `Within at most 31 days; where no time is said, the last ${SEARCHED}`;

export const title = () => "Events";

export async function load({ query }, signal) {
  const [list, sources, destinations] = await Promise.all([
    listed(["events"], query, signal), namesOf("sources", signal), namesOf("destinations", signal),
  ]);
  return { list, query, sources, destinations };
}

export function view({ list, query, sources, destinations }, context) {
  const fields = [
    { name: "source", label: "Source", options: sources },
    { name: "type", label: "Type", hint: "invoice.paid" },
    { name: "state", label: "State", options: STATES },
    { name: "destination", label: "Destination", options: destinations },
    { name: "provider_event_id", label: "Provider's id", hint: "evt_…" },
    { name: "q", label: "Text in the body", hint: "as written", title: SEARCH },
    { name: "since", label: "Since", hint: "2h, or a time", title: TIMES },
    { name: "until", label: "Until", hint: "15m, or a time", title: TIMES },
  ];
  const complete = (given) => (given.q && !given.since ? { ...given, since: SEARCHED } : given);
  return [
    heading("Events", shown(list, "event", "events", query),
      list.items.length > 0 && !query.q && context.can("replays") &&
        begin(context, { sources, destinations, preset: query, label: "Replay these" })),
    filters("events", fields, query, complete),
    list.problem ? wrong(list.problem) : list.items.length ? rows(list.items) : none(list),
    pager("events", query, list.next),
  ];
}

/** A page reads a bounded part of what is stored: nothing on it is not yet nothing at all. */
const none = (list) => empty(list.next ? "Nothing is like this so far: the search goes on with Older." : "No event is like this.");

function rows(events) {
  return table("Events", [
    { name: "Received", of: (e) => rowLink(link("events", e.id), time(e.received_at)) },
    { name: "Age", class: "quiet", of: (e) => relative(e.received_at) },
    { name: "Source", of: (e) => data(e.source) },
    { name: "Type", of: (e) => (e.type === null ? NOTHING : data(e.type)) },
    { name: "State", of: (e) => state(e.state) },
    { name: "Destinations", of: (e) => whereTo(e.deliveries) },
    { name: "Size", class: "number", of: (e) => bytes(e.body_bytes) },
  ], events, (e) => e.id);
}

function whereTo(deliveries) {
  const names = [...new Set(deliveries.map((d) => d.destination))];
  const more = names.length - NAMED_MAX;
  if (!names.length) return NOTHING;
  return [h("span", { class: "names" }, names.slice(0, NAMED_MAX).map((name) => data(name))), more > 0 && ` and ${more} more`];
}
