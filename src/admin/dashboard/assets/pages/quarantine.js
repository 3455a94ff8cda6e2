// Requests whose proof failed, kept aside for a while, so that they can be judged again when a secret was wrong here.

import { all, get, post } from "../api.js";
import { h } from "../dom.js";
import { bytes, counted, moment, relative, time } from "../format.js";
import { TIMES, ask, asking, data, empty, filters, heading, pager, rowLink, shown, table } from "../parts.js";
import { link } from "../route.js";

export const title = () => "Quarantine";

export async function load({ query }, signal) {
  const times = { since: moment(query.since), until: moment(query.until) };
  const [list, sources] = await Promise.all([get(["quarantine"], { ...query, ...times }, signal), all(["sources"], signal)]);
  return { list, query, sources: sources.map((s) => s.name) };
}

export function view({ list, query, sources }, context) {
  const fields = [
    { name: "source", label: "Source", options: sources },
    { name: "reason", label: "Reason", hint: "mismatch" },
    { name: "since", label: "Since", hint: "2h, or a time", title: TIMES },
    { name: "until", label: "Until", hint: "15m, or a time", title: TIMES },
  ];
  return [
    heading("Quarantine", shown(list, "request", "requests", query), list.items.length > 0 && releaseMany(query, sources, context)),
    filters("quarantine", fields, query),
    list.items.length ? rows(list.items) : empty("No request is kept aside."),
    pager("quarantine", query, list.next),
  ];
}

function rows(requests) {
  return table("Requests", [
    { name: "Received", of: (r) => rowLink(link("quarantine", r.id), time(r.received_at)) },
    { name: "Age", class: "quiet", of: (r) => relative(r.received_at) },
    { name: "Source", of: (r) => data(r.source) },
    { name: "Reason", of: (r) => data(r.reason) },
    { name: "From", of: (r) => data(r.peer) },
    { name: "Size", class: "number", of: (r) => bytes(r.body_bytes) },
  ], requests, (r) => r.id);
}

/** What came of a release, for people. */
export function released({ released: good, still_refused: bad }) {
  const rest = bad ? `${counted(bad, "request is", "requests are")} refused still.` : "none is refused still.";
  return `${counted(good, "request")} released; ${rest}`;
}

function releaseMany(query, sources, context) {
  const open = () => ask(context, "Judge again", "Judge again",
    [h("p", {}, "Each request is verified with the present secrets. What passes becomes an event and is delivered; ",
      "what does not stays here."),
      h("label", {}, "Of the source ", h("select", { name: "source" },
        sources.map((name) => h("option", { value: name, selected: name === query.source }, name))))],
    async (given) => released(await post(["quarantine", "release"], { source: given.get("source") })));
  return asking(context, "Judge again", open);
}
