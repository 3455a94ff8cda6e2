// What is to be delivered, was, or gave up: one line for each event and destination.

import { all as actions } from "../act.js";
import { listed, namesOf, post } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, counted, moment, relative, time } from "../format.js";
import { TIMES, ask, asking, data, empty, filters, heading, pager, rowLink, shown, state, table, wrong } from "../parts.js";
import { link } from "../route.js";

const STATES = ["pending", "in_flight", "delivered", "parked", "cancelled"];

/** A bulk cancel comes in steps of some thousands; nobody waits for more of them than this. */
const STEPS_MAX = 200;

export const title = () => "Deliveries";

export async function load({ query }, signal) {
  const [list, sources, destinations] = await Promise.all([
    listed(["deliveries"], query, signal), namesOf("sources", signal), namesOf("destinations", signal),
  ]);
  return { list, query, sources, destinations };
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
    heading("Deliveries", shown(list, "delivery", "deliveries", query), list.items.length > 0 && cancelMany(query, context)),
    filters("deliveries", fields, query),
    list.problem ? wrong(list.problem) : list.items.length ? rows(list.items, context) : empty("No delivery is like this."),
    pager("deliveries", query, list.next),
  ];
}

function rows(deliveries, context) {
  return table("Deliveries", columns(context), deliveries, (d) => d.id);
}

/** The columns of every table of deliveries. */
export function columns(context) {
  const common = [
    { name: "Created", of: (d) => rowLink(link("events", d.event_id, { delivery: d.id }), time(d.created_at)) },
    { name: "Destination", of: (d) => data(d.destination) },
    { name: "Source", of: (d) => data(d.source ?? NOTHING) },
    { name: "State", of: (d) => [state(d.state), d.reason && h("span", { class: "quiet" }, ` ${d.reason}`)] },
    { name: "Attempts", class: "number", of: (d) => String(d.attempts_made) },
    { name: "Next attempt", of: (d) => relative(d.next_attempt_at) },
    { name: "Settled", of: (d) => relative(d.settled_at) },
  ];
  return context.operates ? [...common, { name: "Do", class: "do", of: (d) => actions(context, d) }] : common;
}

/** Only where the filter says which, and that they have not ended: nobody means all of them by accident. */
function cancelMany(query, context) {
  const { state: word, destination, source, event } = query;
  if (!["pending", "parked"].includes(word) || !(destination || source || event)) return null;
  const open = () => ask(context, `Cancel all that are ${word}`, "Cancel them",
    h("p", {}, "All deliveries of this filter, also on its other pages, are not tried again. Their events stay, and can be replayed."),
    async () => {
      const filter = { state: word };
      for (const name of ["destination", "source", "event", "since", "until"]) {
        if (query[name]) filter[name] = name === "since" || name === "until" ? moment(query[name]) : query[name];
      }
      let [cancelled, more] = [0, true];
      for (let step = 0; more && step < STEPS_MAX; step += 1) {
        const answer = await post(["deliveries", "cancel"], { filter });
        cancelled += answer.cancelled;
        more = answer.more;
      }
      return `${counted(cancelled, "delivery is", "deliveries are")} cancelled${more ? "; there may be more" : ""}.`;
    });
  return asking(context, `Cancel all that are ${word}`, open);
}
