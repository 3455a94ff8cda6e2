// Requests whose proof failed, kept aside for a while, so that they can be judged again when a secret was wrong here.

import { get, listed, namesOf, post } from "../api.js";
import { h } from "../dom.js";
import { bytes, count, counted, moment, relative, time } from "../format.js";
import { TIMES, ask, asking, data, empty, facts, filters, heading, pager, rowLink, section, shown, table, wrong } from "../parts.js";
import { link } from "../route.js";

/** Why requests are not believed, in the API's words and in ours. */
const REASONS = {
  missing_header: "no signature", bad_encoding: "unreadable signature", unknown_version: "unknown version",
  missing_timestamp: "no timestamp", bad_timestamp: "bad timestamp", timestamp_too_old: "too old", timestamp_in_future: "from the future",
  missing_part: "a signed part is missing", no_secret: "no secret is valid", mismatch: "wrong signature",
  key_unavailable: "keys cannot be had", unknown_key: "unknown key", bad_certificate: "bad certificate", bad_claim: "bad claim",
  other_recipient: "for somebody else",
};

/** What is still refused after a release is told by reason, of so many. */
const TOLD_MAX = 500;

export const title = () => "Quarantine";

export async function load({ query }, signal) {
  const [list, sources, found] = await Promise.all([
    listed(["quarantine"], query, signal), namesOf("sources", signal), get(["quarantine", "reasons"], {}, signal),
  ]);
  const fits = (group) => ["source", "reason"].every((name) => !query[name] || query[name] === group[name]);
  return { list, query, sources, groups: found.items.filter(fits) };
}

export function view({ list, query, sources, groups }, context) {
  const fields = [
    { name: "source", label: "Source", options: sources },
    { name: "reason", label: "Reason", options: Object.keys(REASONS) },
    { name: "since", label: "Since", hint: "2h, or a time", title: TIMES },
    { name: "until", label: "Until", hint: "15m, or a time", title: TIMES },
  ];
  return [
    heading("Quarantine", shown(list, "request", "requests", query), list.items.length > 0 && releaseMany(query, context)),
    !query.cursor && groups.length > 0 && section("Why", reasons(groups, context)),
    filters("quarantine", fields, query),
    list.problem ? wrong(list.problem) : list.items.length ? rows(list.items) : empty("No request is kept aside."),
    pager("quarantine", query, list.next),
  ];
}

/** Reasons that are shown; the rest is in the list. */
const GROUPS_MAX = 10;

/** A line for each source and reason: how many, what to do, and doing it. */
function reasons(groups, context) {
  const columns = [
    { name: "Source", of: (g) => h("a", { href: link("quarantine", null, { source: g.source }), class: "row" }, data(g.source)) },
    { name: "Reason", of: (g) => reason(g.reason) },
    { name: "Requests", class: "number", of: (g) => count(g.requests) },
    { name: "Last", of: (g) => relative(g.last_at) },
    { name: "What helps", class: "wide", of: (g) => sentence(g.advice) },
  ];
  if (context.operates) columns.push({ name: "Do", class: "do", of: (g) => release(g, context) });
  return [
    table("Why", columns, groups.slice(0, GROUPS_MAX), (g) => `${g.source} ${g.reason}`, "roomy"),
    groups.length > GROUPS_MAX && empty(`The ${GROUPS_MAX} largest of ${count(groups.length)}: choose a source or a reason for others.`),
  ];
}

const sentence = (words) => h("bdi", {}, `${words[0].toUpperCase()}${words.slice(1)}.`);

/** Reads secrets again, so that who has just corrected one needs no other page; then what passes goes its way. */
function release(group, context) {
  const filter = { source: group.source, reason: group.reason };
  const open = () => ask(context, `Release what now passes for ${group.source}`, "Release",
    [h("p", {}, "Each request is verified again with the present secrets. What passes becomes an event of the time at which it came, ",
      "and is delivered; what does not stays here."),
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "reload", checked: true }),
      "First read relay.toml and its secrets again")],
    async (given) => {
      if (given.get("reload")) await post(["reload"]);
      const result = await post(["quarantine", "release"], filter);
      return [released(result), ...(result.still_refused ? await why(filter) : [])].join("\n");
    });
  return asking(context, "Release what now passes", open, { "aria-label": `Release what now passes for ${group.source}` });
}

/** A reason for people; the API's word where it is a new one. */
export const reason = (word) => REASONS[word] ?? word;

function rows(requests) {
  return table("Requests", [
    { name: "Received", of: (r) => rowLink(link("quarantine", r.id), time(r.received_at)) },
    { name: "Age", class: "quiet", of: (r) => relative(r.received_at) },
    { name: "Source", of: (r) => data(r.source) },
    { name: "Reason", of: (r) => [reason(r.reason), h("span", { class: "under" }, data(r.reason))] },
    { name: "From", of: (r) => data(r.peer) },
    { name: "Size", class: "number", of: (r) => bytes(r.body_bytes) },
  ], requests, (r) => r.id);
}

/** What came of a release, for people. */
export function released({ released: good, still_refused: bad }) {
  const rest = bad ? `${counted(bad, "request is", "requests are")} refused still.` : "none is refused still.";
  return `${counted(good, "request")} released; ${rest}`;
}

/** All that fit the filter, also on its other pages. */
function releaseMany(query, context) {
  const filter = () => {
    const of = {};
    for (const name of ["source", "reason"]) if (query[name]) of[name] = query[name];
    for (const name of ["since", "until"]) if (query[name]) of[name] = moment(query[name]);
    return of;
  };
  const named = Object.entries(query).filter(([name, value]) => value && name !== "cursor");
  const open = () => ask(context, "Judge again", "Judge again",
    [h("p", {}, "Each request is verified with the present secrets. What passes becomes an event and is delivered; ",
      "what does not stays here."),
    h("p", {}, named.length ? "All requests that fit:" : "All requests that are kept aside, of every source."),
    named.length > 0 && facts(named.map(([name, value]) => [name, data(value)]))],
    async () => {
      const result = await post(["quarantine", "release"], filter());
      return [released(result), ...(result.still_refused ? await why(filter()) : [])].join("\n");
    });
  return asking(context, "Judge again", open);
}

/** Why what is there still is refused, the most frequent reason first. */
async function why(filter) {
  const { items } = await get(["quarantine"], { ...filter, limit: TOLD_MAX });
  const found = new Map();
  for (const one of items) found.set(one.reason, (found.get(one.reason) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]).map(([word, times]) => `${times} × ${reason(word)}`);
}
