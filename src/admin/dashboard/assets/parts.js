// What several pages are made of: tables, filters, states, notices.

import { h } from "./dom.js";
import { NOTHING, counted, duration } from "./format.js";
import { go, link } from "./route.js";

/** The page's title, with what stands beside it. */
export function heading(text, ...beside) {
  return h("div", { class: "heading" }, h("h1", { tabindex: "-1" }, text), h("div", { class: "beside" }, beside));
}

/** What each state looks like; the word is always there, so colour tells nothing alone. */
const LOOKS = {
  delivered: "good", ok: "good", ready: "good", closed: "good", done: "good",
  pending: "busy", in_flight: "busy", retrying: "warn", running: "busy", behind: "warn", probing: "warn",
  parked: "bad", not_answering: "bad", "not ready": "bad", failing: "bad", "refuses many": "bad", firing: "bad", unreadable: "bad",
  expired: "bad", cancelled: "quiet", ended: "quiet", unrouted: "quiet", paused: "warn", resting: "warn", "ends soon": "warn",
};

/** A state's word. */
export function state(word) {
  return h("span", { class: `state ${LOOKS[word] ?? "quiet"}` }, word.replace("_", " "));
}

/** A table. A column is `{ name, of, class }`; `of` makes a cell's content. The first cell with a link is what the row is about.
 *  Roles are written out, since a narrow screen shows rows as blocks, and browsers then forget what they were. */
export function table(label, columns, rows, key, look = null) {
  const cell = (column, row) => {
    const value = h("span", { class: "value" }, column.of(row));
    const isNone = value.textContent === "" || value.textContent === NOTHING;
    return h("td", { role: "cell", class: isNone ? `${column.class ?? ""} none` : column.class, "data-label": column.name }, value);
  };
  return h("table", { role: "table", "aria-label": label, class: look },
    h("thead", { role: "rowgroup" },
      h("tr", { role: "row" }, columns.map((c) => h("th", { role: "columnheader", scope: "col", class: c.class }, c.name)))),
    h("tbody", { role: "rowgroup" },
      rows.map((row) => h("tr", { role: "row", "data-key": key(row), onclick: follow }, columns.map((c) => cell(c, row))))));
}

/** A click anywhere in a row follows its first link, unless it was meant for something else. */
function follow(event) {
  if (event.target.closest("a, button, input, summary") || String(getSelection())) return;
  event.currentTarget.querySelector("a.row")?.click();
}

/** The link that a row is about. */
export function rowLink(href, ...content) {
  return h("a", { href, class: "row" }, content);
}

/** Names and values. What has no value is left out. */
export function facts(pairs, look = "facts") {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: look }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** Text that came from outside, in a script of its own direction, and as wide as there is room. */
export function data(text) {
  return h("bdi", { class: "data" }, text);
}

export function section(title, ...content) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { "aria-labelledby": id, "data-key": id }, h("h2", { id }, title), content);
}

export function empty(...content) {
  return h("p", { class: "empty" }, content);
}

/** What went wrong, where the page would be. */
export function failed(problem) {
  const title = problem.status === 404 ? "Not there" : problem.status === 403 ? "Not allowed" : "Not now";
  return h("div", { class: "notice bad", role: "alert" }, h("h1", { tabindex: "-1" }, title), h("p", {}, problem.message),
    h("p", {}, h("a", { href: "#/" }, "To the overview")));
}

/** Why a list cannot show what was looked for; the filters stay, to be corrected. */
export function wrong(problem) {
  return h("div", { class: "notice bad", role: "alert" }, h("p", {}, problem.message));
}

/** What a filter by time takes. */
export const TIMES = "So long ago (90s, 15m, 2h, 3d), or a time with its offset (2026-11-25T10:00:00Z)";

/** Filters of a list, which are in the address bar. A field is `{ name, label, options | hint }`. `complete` adds to what was filled in
 *  what it needs beside. */
export function filters(page, fields, query, complete = (given) => given) {
  const control = (field) => {
    const value = query[field.name] ?? "";
    if (!field.options) {
      const { name, hint, title } = field;
      return h("input", { name, value, placeholder: hint, title, autocomplete: "off", spellcheck: "false" });
    }
    const options = value && !field.options.includes(value) ? [value, ...field.options] : field.options;
    const option = (one) => h("option", { value: one, selected: one === value }, one.replace("_", " ") || "any");
    return h("select", { name: field.name, onchange: (event) => event.target.form.requestSubmit() }, ["", ...options].map(option));
  };
  const active = fields.some((field) => query[field.name]);
  const submit = (event) => {
    event.preventDefault();
    go(link(page, null, complete(Object.fromEntries(new FormData(event.target)))));
  };
  // While somebody types, the page is refreshed around the form. It is another one when what it shows, or can offer, is.
  const keep = JSON.stringify([page, fields.map((field) => [query[field.name], field.options])]);
  return h("form", { class: "filters", role: "search", "aria-label": "Filters", onsubmit: submit, "data-keep": keep },
    fields.map((field) => h("label", {}, h("span", {}, field.label), control(field))),
    h("div", { class: "buttons" }, h("button", { type: "submit" }, "Show"),
      active && h("a", { class: "button", href: link(page) }, "Clear")));
}

/** The way to the other pages of a list. */
export function pager(page, query, next) {
  const first = query.cursor && h("a", { class: "button", href: link(page, null, { ...query, cursor: "" }) }, "Newest");
  const older = next && h("a", { class: "button", rel: "next", href: link(page, null, { ...query, cursor: next }) }, "Older");
  return (first || older) && h("nav", { class: "pager", "aria-label": "Pages of the list" }, first, older);
}

/** A button that asks the API for a change, says what came of it, and shows the page anew. It cannot be pressed twice. */
export function action(context, label, work, props = {}) {
  const onclick = async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      context.say(await work());
    } catch (problem) {
      context.say(problem.message, true);
    } finally {
      button.disabled = false;
      context.refresh();
    }
  };
  return context.operates && h("button", { type: "button", ...props, onclick }, label);
}

/** Asks before something is done. `fill` makes the content; `work` gets the form's data and gives what to say. */
export function ask(context, title, confirm, content, work) {
  const close = () => dialog.close();
  const submit = async (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    close();
    try {
      context.say(await work(given));
    } catch (problem) {
      context.say(problem.message, true);
    }
    context.refresh();
  };
  const dialog = h("dialog", { "aria-labelledby": "asked", onclose: () => dialog.remove() },
    h("form", { onsubmit: submit }, h("h2", { id: "asked" }, title), content,
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, confirm),
        h("button", { type: "button", onclick: close }, "Back"))));
  document.body.append(dialog);
  dialog.showModal();
}

/** A button that asks first. */
export function asking(context, label, open, props = {}) {
  return context.operates && h("button", { type: "button", ...props, onclick: open }, label);
}

/** What a destination's standing means, and what a person may do; null where there is nothing to say. */
export function advice(destination) {
  const parked = destination.parked ? " What is parked waits for you: retry it when the application is mended." : "";
  switch (destination.standing) {
    case "paused": return "Nothing is sent to it until somebody resumes it. What is for it waits, and is kept.";
    case "not_answering":
      return `No answer came ten times in a row, so it is only probed now and then. It goes on by itself when it answers.${parked}`;
    case "probing": return "It is being tried with one delivery. It goes on by itself when it answers.";
    case "failing": return `Its last attempt failed. What can be tried again is tried again by itself.${parked}`;
    case "resting": return "It asked to be left alone for a while (Retry-After), and is.";
    case "behind": return "More is due than it takes. It catches up by itself if less comes than it takes.";
    default: return destination.parked ? parked.trim() : null;
  }
}

/** How long the longest due delivery has been due. */
export function oldestDue(destination, now = Date.now()) {
  if (!destination.oldest_due_at || !destination.pending) return null;
  const late = now - Date.parse(destination.oldest_due_at);
  return late < 1000 ? (late < -1000 ? `next in ${duration(-late)}` : "now") : `due for ${duration(late)}`;
}

/** What a list shows, for the line above it. */
export function shown(list, one, many, query) {
  const more = list.next || query.cursor;
  const items = counted(list.items.length, one, many);
  return h("p", { class: "shown" }, more ? `${items} on this page` : items);
}
