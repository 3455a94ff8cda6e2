// Many events delivered again: what runs, and beginning another.

import { all, get, post } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, count, counted, moment, relative } from "../format.js";
import { action, ask, asking, data, empty, heading, pager, shown, state, table } from "../parts.js";

/** Slow enough for most applications; a person can say another. */
const RATE_DEFAULT = 50;

export const title = () => "Replays";

export async function load({ query }, signal) {
  const [list, sources, destinations] = await Promise.all([
    get(["replays"], query, signal), all(["sources"], signal), all(["destinations"], signal),
  ]);
  return { list, query, sources: sources.map((s) => s.name), destinations: destinations.map((d) => d.name) };
}

export function view({ list, query, sources, destinations }, context) {
  return [
    heading("Replays", shown(list, "replay", "replays", query), begin(sources, destinations, context)),
    list.items.length ? rows(list.items, context) : empty("Nothing was replayed by filter. One event is replayed on its own page."),
    pager("replays", query, list.next),
  ];
}

function rows(replays, context) {
  const columns = [
    { name: "Begun", of: (r) => relative(r.created_at) },
    { name: "Id", of: (r) => data(r.id) },
    { name: "State", of: (r) => state(r.state) },
    { name: "Events", class: "number", of: (r) => count(r.matched) },
    { name: "Created", class: "number", of: (r) => count(r.created) },
    { name: "Delivered", class: "number", of: (r) => count(r.delivered) },
    { name: "Failed", class: "number", of: (r) => count(r.failed) },
    { name: "A second", class: "number", of: (r) => (r.rate_per_s === null ? NOTHING : count(r.rate_per_s)) },
  ];
  if (context.operates) columns.push({ name: "Do", class: "do", of: (r) => changes(r, context) });
  return table("Replays", columns, replays, (r) => r.id);
}

function changes(replay, context) {
  const change = (label, word, said) => action(context, label, async () => {
    await post(["replays", replay.id, word]);
    return `The replay ${said}.`;
  }, { "aria-label": `${label} the replay ${replay.id}` });
  if (replay.state === "running") return [change("Pause", "pause", "is paused"), change("Cancel", "cancel", "is cancelled")];
  if (replay.state === "paused") return [change("Resume", "resume", "goes on"), change("Cancel", "cancel", "is cancelled")];
  return null;
}

/** In two steps: first how many events it would be, then doing it. */
function begin(sources, destinations, context) {
  const choice = (name, label, options) => h("label", {}, h("span", {}, label),
    h("select", { name }, ["", ...options].map((one) => h("option", { value: one }, one || "any"))));
  const text = (name, label, placeholder) => h("label", {}, h("span", {}, label), h("input", { name, placeholder, autocomplete: "off" }));
  const fields = () => h("div", { class: "filters" },
    choice("source", "Source", sources), text("type", "Type", "invoice.paid"),
    choice("state", "State", ["pending", "delivered", "parked", "cancelled", "unrouted"]), choice("destination", "Went to", destinations),
    text("since", "Since", "2h, or a time"), text("until", "Until", "15m, or a time"),
    choice("to", "Deliver to", destinations), h("label", {}, h("span", {}, "Deliveries a second"),
      h("input", { name: "rate", type: "number", min: "1", value: String(RATE_DEFAULT), required: true })));
  const open = () => ask(context, "Replay many events", "Count them", fields(), async (given) => {
    const wish = asked(given);
    const { matched } = await post(["replays"], { ...wish, dry_run: true });
    if (matched) confirm(context, wish, matched);
    return matched ? `${counted(matched, "event")} would be replayed.` : "No event is like this.";
  });
  return asking(context, "Replay many", open, { class: "main" });
}

function confirm(context, wish, matched) {
  const rate = h("p", {}, `At ${counted(wish.rate_per_s, "delivery", "deliveries")} a second.`);
  ask(context, `Replay ${counted(matched, "event")}`, "Replay", rate, async () => {
    await post(["replays"], wish);
    return "The replay has begun.";
  });
}

function asked(given) {
  const filter = {};
  for (const name of ["source", "type", "state", "destination", "since", "until"]) {
    const value = given.get(name);
    if (value) filter[name] = name === "since" || name === "until" ? moment(value) : value;
  }
  const to = given.get("to") ? { to: [given.get("to")] } : {};
  return { filter, ...to, rate_per_s: Number(given.get("rate")) };
}
