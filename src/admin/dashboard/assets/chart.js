// Charts of the last day: bars in SVG that the page draws itself. What a chart shows can be heard, too (its label), and read in a
// table. Time in which the relay did not run is marked: it is something else than nothing.

import { h, s } from "./dom.js";
import { clock, count } from "./format.js";

/** Bars of a chart: a quarter of an hour each in a day. */
const BARS = 96;
/** Of the drawing; the page stretches it. */
const HEIGHT = 40;
/** A bar that is not zero is seen. */
const HEIGHT_MIN = 1;

/** The steps of the API as the bars of all charts: `{ at, until, step | null, gap }`. Of what has no step nothing is known; it is a
 *  gap, in which the relay did not run, where something is known of the time before. */
export function bars({ since, until, step_ms: stepMs, items }) {
  const from = Date.parse(since);
  const end = Math.max(Date.parse(until), ...items.slice(-1).map((step) => Date.parse(step.at) + stepMs));
  const wide = Math.max(stepMs, (Math.ceil((end - from) / stepMs / BARS) || 1) * stepMs);
  const made = [];
  for (let at = from; at < end; at += wide) made.push({ at, until: at + wide, step: null, gap: false });
  for (const step of items) {
    const bar = made[Math.floor((Date.parse(step.at) - from) / wide)];
    if (!bar) continue;
    bar.step ??= {};
    for (const [name, value] of Object.entries(step)) if (name !== "at") bar.step[name] = (bar.step[name] ?? 0) + value;
  }
  const first = made.findIndex((bar) => bar.step);
  made.forEach((bar, at) => (bar.gap = first >= 0 && at > first && !bar.step));
  return made;
}

/** The sum of a count. */
export const sum = (made, name) => made.reduce((total, bar) => total + (bar.step?.[name] ?? 0), 0);

/** One chart: of the count `name`, under `title`. `look`: `good`, `bad`, ... */
export function chart(made, name, title, look) {
  const values = made.map((bar) => bar.step?.[name] ?? 0);
  const most = Math.max(...values);
  const all = sum(made, name);
  const peak = made[values.indexOf(most)];
  const minutes = Math.round((made[0].until - made[0].at) / 60_000);
  const said = most === 0 ? "none" : `at most ${count(most)} in ${minutes} min, at ${hour(peak.at)}`;
  const label = `${title} in the last 24 hours: ${count(all)}; ${said}.`;
  const bar = (value, at) => {
    const high = value && Math.max(HEIGHT_MIN, (value / most) * HEIGHT);
    return value ? `M${at} ${HEIGHT}v${-round(high)}h.8v${round(high)}z` : "";
  };
  const gap = (one, at) => (one.gap ? `M${at} 0h1v${HEIGHT}h-1z` : "");
  const picture = s("svg", { class: `chart ${look}`, viewBox: `0 0 ${made.length} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": label,
    onpointermove: (event) => tell(event, made, name), onpointerleave: (event) => (readout(event).textContent = said) },
  s("path", { class: "gap", d: made.map(gap).join("") }), s("path", { class: "bars", d: values.map(bar).join("") }));
  return h("figure", { class: "figure", "data-key": name },
    h("figcaption", {}, h("span", { class: "name" }, title), h("strong", {}, count(all)),
      h("p", { class: "under", "aria-hidden": "true" }, said)),
    picture,
    h("p", { class: "axis", "aria-hidden": "true" }, h("span", {}, hour(made[0].at)), h("span", {}, "now")));
}

/** The bars by hour, as a table for who cannot or will not look at pictures. `columns`: count and title each. */
export function numbers(made, columns) {
  const hours = new Map();
  for (const bar of made) {
    const key = new Date(bar.at).toISOString().slice(0, 13);
    const row = hours.get(key) ?? { at: bar.at, ran: false, counts: {} };
    row.ran ||= bar.step !== null;
    for (const [name] of columns) row.counts[name] = (row.counts[name] ?? 0) + (bar.step?.[name] ?? 0);
    hours.set(key, row);
  }
  const cells = (row) => columns.map(([name]) => h("td", { class: "number" }, row.ran ? count(row.counts[name]) : "–"));
  return h("details", { class: "numbers" }, h("summary", { class: "line" }, "The same as a table"),
    h("div", { class: "scrolls", tabindex: "0", role: "region", "aria-label": "Counts by hour" },
      h("table", { class: "plain" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Hour from"),
          columns.map(([, title]) => h("th", { scope: "col", class: "number" }, title)))),
        h("tbody", {}, [...hours.values()].reverse().map((row) =>
          h("tr", { "data-key": String(row.at) }, h("th", { scope: "row" }, clock(row.at)), cells(row)))))));
}

/** Where a chart says what is pointed at: the element on the page, which outlives what a refresh builds. */
const readout = (event) => event.currentTarget.closest("figure").querySelector(".under");

function tell(event, made, name) {
  const { left, width } = event.currentTarget.getBoundingClientRect();
  const bar = made[Math.min(made.length - 1, Math.max(0, Math.floor(((event.clientX - left) / width) * made.length)))];
  const what = bar.step ? count(bar.step[name] ?? 0) : bar.gap ? "the relay did not run" : "nothing is known";
  readout(event).textContent = `${hour(bar.at)} to ${hour(bar.until)}: ${what}`;
}

const hour = (ms) => new Date(ms).toISOString().slice(11, 16);
const round = (number) => Math.round(number * 100) / 100;
