// Many events delivered again: what runs, how far it is, and beginning another.

import { get, namesOf, post } from "../api.js";
import { h } from "../dom.js";
import { clock, count, counted, duration, moment, relative } from "../format.js";
import { action, ask, asking, data, empty, heading, pager, shown, state, table } from "../parts.js";
import { link } from "../route.js";

/** Slow enough for most applications; a person can say another. */
const RATE_DEFAULT = 50;

const STATES = ["pending", "delivered", "parked", "cancelled", "unrouted"];

export const title = () => "Replays";

export async function load({ query }, signal) {
  const [list, sources, destinations] = await Promise.all([
    get(["replays"], query, signal), namesOf("sources", signal), namesOf("destinations", signal),
  ]);
  return { list, query, sources, destinations };
}

export function view({ list, query, sources, destinations }, context) {
  return [
    heading("Replays", shown(list, "replay", "replays", query), begin(context, { sources, destinations, main: true })),
    list.items.length ? rows(list.items, context) : empty("Nothing was replayed by filter. One event is replayed on its own page."),
    pager("replays", query, list.next),
  ];
}

function rows(replays, context) {
  const columns = [
    { name: "Begun", of: (r) => [relative(r.created_at), h("span", { class: "under" }, data(r.id))] },
    { name: "Events", of: (r) => filterOf(r) },
    { name: "State", of: (r) => state(r.state) },
    { name: "Progress", class: "progress", of: progress },
    { name: "Created", class: "number", of: (r) => count(r.created) },
    { name: "Delivered", class: "number", of: (r) => count(r.delivered) },
    { name: "Failed", class: "number", of: (r) => count(r.failed) },
  ];
  if (context.operates) columns.push({ name: "Do", class: "do", of: (r) => changes(r, context) });
  return table("Replays", columns, replays, (r) => r.id, "roomy own");
}

/** Which events, and where to: in the words of the filter. */
function filterOf({ filter = {}, to = [] }) {
  const value = (name, text) => (name === "since" || name === "until" ? clock(text) : text);
  const words = Object.entries(filter).map(([name, text]) => [h("span", { class: "quiet" }, `${name} `), data(value(name, text)), " "]);
  return [words.length ? words : "all events", to.length > 0 && h("span", { class: "under" }, "to ", data(to.join(", ")))];
}

function progress(replay) {
  const through = replay.through ?? replay.created;
  const left = replay.state === "running" && replay.rate_per_s ? Math.max(0, replay.matched - through) / replay.rate_per_s : 0;
  return [
    h("progress", { max: String(Math.max(1, replay.matched)), value: String(replay.matched ? Math.min(through, replay.matched) : 1),
      "aria-label": `Progress of the replay ${replay.id}` }),
    h("span", { class: "under" }, `${count(through)} of ${count(replay.matched)}`,
      replay.rate_per_s === null ? null : `, ${count(replay.rate_per_s)} a second`, left >= 1 && `, ${duration(left * 1000)} left`),
  ];
}

function changes(replay, context) {
  const change = (label, word, said) => action(context, label, async () => {
    await post(["replays", replay.id, word]);
    return `The replay ${said}.`;
  }, { "aria-label": `${label} the replay ${replay.id}` });
  const cancel = () => ask(context, "Cancel this replay", "Cancel the replay",
    h("p", {}, "No more deliveries are made. Those that were made go on."),
    async () => {
      await post(["replays", replay.id, "cancel"]);
      return "The replay is cancelled.";
    });
  const ends = asking(context, "Cancel", cancel, { "aria-label": `Cancel the replay ${replay.id}` });
  if (replay.state === "running") return [change("Pause", "pause", "is paused"), ends];
  if (replay.state === "paused") return [change("Resume", "resume", "goes on"), ends];
  return null;
}

/** In two steps: first how many events it would be, then doing it. `preset`: what the filter begins with. */
export function begin(context, { sources, destinations, preset = {}, label = "Replay many", main = false }) {
  const choice = (name, text, options, none = "any") => h("label", {}, h("span", {}, text),
    h("select", { name }, ["", ...options].map((one) => h("option", { value: one, selected: one === (preset[name] ?? "") }, one || none))));
  const text = (name, text, placeholder) => h("label", {}, h("span", {}, text),
    h("input", { name, placeholder, value: preset[name] ?? "", autocomplete: "off" }));
  const fields = () => [
    h("fieldset", { class: "filters" }, h("legend", {}, "Which events"),
      choice("source", "Source", sources), text("type", "Type", "invoice.paid"),
      choice("state", "State", STATES), choice("destination", "Went to", destinations),
      text("since", "Since", "2h, or a time"), text("until", "Until", "15m, or a time")),
    h("fieldset", { class: "filters" }, h("legend", {}, "How"),
      choice("to", "Deliver to", destinations, "as the routes say"), h("label", {}, h("span", {}, "Deliveries a second"),
        h("input", { name: "rate", type: "number", min: "1", value: String(RATE_DEFAULT), required: true }))),
  ];
  const open = () => ask(context, "Replay many events", "Count them", fields(), async (given) => {
    const wish = asked(given);
    const { matched } = await post(["replays"], { ...wish, dry_run: true });
    if (matched) confirm(context, wish, matched);
    return matched ? `${counted(matched, "event")} would be replayed.` : "No event is like this.";
  });
  return asking(context, label, open, { class: main ? "main" : null });
}

function confirm(context, wish, matched) {
  const time = matched / wish.rate_per_s;
  const said = [
    h("p", {}, `${counted(wish.rate_per_s, "delivery", "deliveries")} a second${time >= 1 ? `, so about ${duration(time * 1000)}` : ""}.`),
    h("p", {}, "To ", wish.to ? data(wish.to.join(", ")) : "where the routes send them now", "."),
  ];
  ask(context, `Replay ${counted(matched, "event")}`, "Replay", said, async () => {
    await post(["replays"], wish);
    location.hash = link("replays").slice(1);
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
