// The keyboard: one key each, for who likes that. It can be switched off, since single keys disturb some ways to use a computer.

import { h } from "./dom.js";
import { go, link } from "./route.js";

const SWITCH = "hookhold-keys";
const PAGES = {
  o: "overview", e: "events", d: "deliveries", a: "destinations", s: "sources", q: "quarantine", p: "replays", c: "configuration",
  t: "status",
};

const HELP = [
  ["/", "filter"],
  ["j, k", "next row, row before"],
  ["Enter", "open the row"],
  ["r", "refresh"],
  ["?", "this help"],
  ["g o", "overview"],
  ["g e", "events"],
  ["g d", "deliveries"],
  ["g a", "destinations (applications)"],
  ["g s", "sources"],
  ["g q", "quarantine"],
  ["g p", "replays"],
  ["g c", "configuration"],
  ["g t", "status"],
];

/** Listens. `refresh` shows the page anew. */
export function listen(refresh) {
  let prefix = 0;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target) || document.querySelector("dialog[open]")) return;
    const page = Date.now() - prefix < 1000 && PAGES[event.key];
    prefix = 0;
    if (event.key === "?") return done(event, help);
    if (!areOn()) return;
    if (page) return done(event, () => go(link(page)));
    if (event.key === "g") prefix = Date.now();
    if (event.key === "/") return done(event, () => document.querySelector(".filters :is(input, select)")?.focus());
    if (event.key === "r") return done(event, refresh);
    if (event.key === "j" || event.key === "k") return done(event, () => step(event.key === "j" ? 1 : -1));
  });
}

/** Shows the keys. */
export function help() {
  const onOff = h("input", { type: "checkbox", checked: areOn(), onchange: (event) => turn(event.target.checked) });
  const dialog = h("dialog", { "aria-labelledby": "keys", onclose: () => dialog.remove() },
    h("form", { onsubmit: (event) => { event.preventDefault(); dialog.close(); } }, h("h2", { id: "keys" }, "Keys"),
      h("dl", { class: "keys" }, HELP.map(([key, what]) => h("div", {}, h("dt", {}, h("kbd", {}, key)), h("dd", {}, what)))),
      h("label", { class: "check" }, onOff, "Use single keys"),
      h("div", { class: "buttons" }, h("button", { type: "submit", class: "main" }, "Close"))));
  document.body.append(dialog);
  dialog.showModal();
}

function step(by) {
  const rows = [...document.querySelectorAll("main a.row")];
  const at = rows.indexOf(document.activeElement);
  rows[Math.min(Math.max(at + by, 0), rows.length - 1)]?.focus();
}

function isTyping(target) {
  return target.closest("input:not([type=checkbox]), select, textarea") !== null;
}

function done(event, work) {
  event.preventDefault();
  work();
}

// A browser may forbid storage: then the keys are on.
function areOn() {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true;
  }
}

function turn(on) {
  try {
    localStorage.setItem(SWITCH, on ? "on" : "off");
  } catch {
    // It holds until the page is closed, then.
  }
}
