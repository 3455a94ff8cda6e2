// Whether all is well, and if not, where to look.

import { get, unready } from "../api.js";
import { note } from "../backlog.js";
import { bars, chart, numbers, sum } from "../chart.js";
import { h } from "../dom.js";
import { NOTHING, bytes, count, counted, relative } from "../format.js";
import { data, empty, heading, oldestDue, rowLink, section, state, table } from "../parts.js";
import { link } from "../route.js";

/** Rows of each table: those that need a look come first, and the pages of their own have all. */
const ROWS_MAX = 12;

/** Standings of which somebody wants to know why. */
const FAILING = ["failing", "not_answering", "probing"];

/** What the charts show: the count, its title, and its colour. */
const CHARTS = [
  ["accepted", "Accepted", "calm"], ["delivered", "Delivered", "good"], ["failed_attempts", "Failed attempts", "bad"],
  ["refused", "Refused", "warn"],
];

export const title = () => "Overview";

export async function load(_, signal) {
  const [status, history, destinations, sources, alarms] = await Promise.all([
    get(["status"], {}, signal), get(["history"], {}, signal),
    get(["destinations"], { order: "trouble", limit: ROWS_MAX }, signal), get(["sources"], { order: "latest", limit: ROWS_MAX }, signal),
    get(["alerts"], { state: "firing" }, signal),
  ]);
  note(destinations.items);
  return { status, history, destinations, sources, alarms: alarms.items, reason: status.ready ? null : await unready(signal) };
}

export function view({ status, history, destinations, sources, alarms, reason }) {
  const failing = FAILING.reduce((all, word) => all + (destinations.standing[word] ?? 0), 0);
  const { pending, in_flight: inFlight, parked, quarantined } = status.counts;
  const day = bars(history);
  return [
    heading("Overview", state(status.ready ? "ready" : "not ready")),
    reason && h("div", { class: "notice bad", role: "alert" }, h("p", {}, "The relay does not accept webhooks: ", data(reason))),
    alarms.map((a) => h("div", { class: "notice bad", "data-key": `alarm-${a.id}` },
      h("p", {}, h("a", { href: link("alerts") }, a.summary), ": ", data(a.detail)))),
    h("ul", { class: "figures", "aria-label": "Figures" },
      figure("accepted", sum(day, "accepted"), "in 24 hours", link("events")),
      figure("delivered", sum(day, "delivered"), "in 24 hours", link("deliveries", null, { state: "delivered" })),
      figure("waiting", pending + inFlight, `${count(inFlight)} in flight`, link("deliveries", null, { state: "pending" })),
      figure("failing", failing, failing === 1 ? "destination" : "destinations", link("destinations"), failing > 0),
      figure("parked", parked, parked ? "retry or cancel them" : "nothing gave up", link("deliveries", null, { state: "parked" }),
        parked > 0),
      figure("kept aside", quarantined, quarantined ? "in quarantine" : "none in quarantine", link("quarantine"))),
    section("Last 24 hours",
      h("div", { class: "charts" }, CHARTS.map(([name, text, look]) => chart(day, name, text, look))),
      day.some((bar) => bar.gap) && h("p", { class: "hint more" }, "Where it is grey, the relay did not run."),
      numbers(day, CHARTS)),
    section("Destinations", destinations.total ? toTable(destinations) : empty("No destination is configured.")),
    section("Sources", sources.total ? fromTable(sources) : empty("No source is configured.")),
    status.store.events === 0 && empty("No event is stored yet. ", h("code", {}, "hookhold send demo"), " sends a sample."),
    h("p", { class: "hint more line" }, `${counted(status.store.events, "event")} stored in ${bytes(status.store.bytes)}.`,
      h("a", { href: link("status") }, "More about the relay")),
  ];
}

function figure(name, number, under, href, alarms = false) {
  return h("li", { class: alarms ? "alarms" : null },
    h("a", { href }, h("span", { class: "name" }, name), h("strong", {}, count(number)), h("span", { class: "under" }, under)));
}

function toTable(destinations) {
  const rows = table("Destinations", [
    { name: "Name", of: (d) => rowLink(link("destinations", d.name), data(d.name)) },
    { name: "State", of: (d) => [state(d.standing), FAILING.includes(d.standing) && why(d)] },
    { name: "Oldest due", of: (d) => oldestDue(d) ?? NOTHING },
    { name: "Waiting", class: "number", of: (d) => count(d.pending) },
    { name: "In flight", class: "number", of: (d) => count(d.in_flight) },
    { name: "Parked", class: "number", of: (d) => count(d.parked) },
    { name: "Last success", of: (d) => relative(d.last_success_at) },
  ], destinations.items, (d) => d.name);
  return [rows, rest(destinations, "destinations")];
}

/** What went wrong last, so that nobody has to look for it. */
const why = (destination) => destination.last_error && h("span", { class: "under" }, data(destination.last_error));

function fromTable(sources) {
  const rows = table("Sources", [
    { name: "Name", of: (s) => rowLink(link("events", null, { source: s.name }), data(s.name)) },
    { name: "Provider", of: (s) => data(s.provider) },
    { name: "Accepted", class: "number", of: (s) => count(s.accepted) },
    { name: "Duplicates", class: "number", of: (s) => count(s.duplicates) },
    { name: "Refused", class: "number", of: (s) => count(s.rejected) },
    { name: "Last event", of: (s) => relative(s.last_event_at) },
  ], sources.items, (s) => s.name);
  return [rows, rest(sources, "sources")];
}

function rest({ items, total }, page) {
  const more = total - items.length;
  return more > 0 && h("p", { class: "more" }, h("a", { href: link(page) }, `${count(more)} more ${page}`));
}
