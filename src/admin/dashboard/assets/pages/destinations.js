// The applications: how each stands, and pausing one. Those that need a look come first.

import { get, post } from "../api.js";
import { note, trend } from "../backlog.js";
import { h } from "../dom.js";
import { NOTHING, count, counted, relative } from "../format.js";
import { action, data, empty, heading, oldestDue, rowLink, state, table } from "../parts.js";
import { go, link } from "../route.js";

/** Rows at once; a filter by name finds the rest. */
const ROWS_MAX = 200;
/** More than these are looked through by name. */
export const FEW = 20;

export const title = () => "Destinations";

export async function load({ query }, signal) {
  const list = await get(["destinations"], { order: "trouble", limit: ROWS_MAX, name: query.name }, signal);
  note(list.items);
  return { list, query };
}

export function view({ list, query }, context) {
  const { items, total, standing } = list;
  const well = (standing.ok ?? 0) + (standing.retrying ?? 0);
  const beside = well < total ? `${count(total - well)} of ${count(total)} need a look` : counted(total, "destination");
  return [
    heading("Destinations", h("p", { class: "shown" }, beside)),
    (query.name || total > FEW) && finder("destinations", query),
    total ? rows(items, context) : empty(query.name ? "No destination has such a name." : "No destination is configured."),
    total > items.length && empty(`Those that need a look most, ${count(items.length)} of ${count(total)}: find others by name.`),
  ];
}

/** Finds by a part of the name, where there are many. */
export function finder(page, query) {
  const submit = (event) => {
    event.preventDefault();
    go(link(page, null, { name: new FormData(event.target).get("name") }));
  };
  return h("form", { class: "filters", role: "search", "aria-label": "Filters", onsubmit: submit, "data-keep": `find-${query.name ?? ""}` },
    h("label", {}, h("span", {}, "Name"), h("input", { name: "name", value: query.name ?? "", autocomplete: "off", spellcheck: "false" })),
    h("div", { class: "buttons" }, h("button", { type: "submit" }, "Show"),
      query.name && h("a", { class: "button", href: link(page) }, "Clear")));
}

function rows(destinations, context) {
  const deliveries = (d, number, word) => h("a", { href: link("deliveries", null, { destination: d.name, state: word }) }, count(number));
  const columns = [
    { name: "Name", of: (d) => rowLink(link("destinations", d.name), data(d.name)) },
    { name: "State", of: (d) => state(d.standing) },
    { name: "Oldest due", of: (d) => [oldestDue(d) ?? NOTHING, trend(d.name) && h("span", { class: "under" }, trend(d.name))] },
    { name: "Waiting", class: "number", of: (d) => deliveries(d, d.pending, "pending") },
    { name: "In flight", class: "number", of: (d) => `${count(d.in_flight)} of ${count(d.in_flight_max)}` },
    { name: "Parked", class: "number", of: (d) => deliveries(d, d.parked, "parked") },
    { name: "Last success", of: (d) => relative(d.last_success_at) },
    { name: "Last error", of: lastError },
  ];
  if (context.operates) columns.push({ name: "Do", class: "do", of: (d) => pause(d, context) });
  return table("Destinations", columns, destinations, (d) => d.name, "roomy");
}

function lastError(destination) {
  if (!destination.last_error) return NOTHING;
  return [relative(destination.last_error_at), h("span", { class: "under" }, data(destination.last_error))];
}

/** Pauses it, or lets it go on. */
export function pause(destination, context) {
  if (!context.can("pause_destination")) return null;
  const [label, word, said] = destination.paused
    ? ["Resume", "resume", "gets deliveries again"]
    : ["Pause", "pause", "is paused; its deliveries wait"];
  const work = async () => {
    await post(["destinations", destination.name, word]);
    return `${destination.name} ${said}.`;
  };
  // It stays the same button when another one comes beside it: nobody must press that instead.
  return action(context, label, work, { "aria-label": `${label} ${destination.name}`, "data-key": "pause" });
}
