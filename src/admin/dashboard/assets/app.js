// The dashboard: which page is shown, to whom, and when it is shown anew. A page is a module in `pages/`:
//
//   title(data)            what the window is called
//   load(route, signal)    asks the API
//   view(data, context, route)   makes elements of what it answered; asks nothing
//   leave()                what ends when another page is shown, where there is something
//
// A page that an API of this version cannot fill is not shown (`needs`).

import { logout, session } from "./api.js";
import { switcher } from "./colours.js";
import { h, morph } from "./dom.js";
import { clock } from "./format.js";
import { help, listen } from "./keys.js";
import { failed } from "./parts.js";
import { Refresher } from "./refresh.js";
import { here, link } from "./route.js";
import * as alerts from "./pages/alerts.js";
import * as audit from "./pages/audit.js";
import * as configuration from "./pages/configuration.js";
import * as deliveries from "./pages/deliveries.js";
import * as destination from "./pages/destination.js";
import * as destinations from "./pages/destinations.js";
import * as event from "./pages/event.js";
import * as events from "./pages/events.js";
import * as live from "./pages/live.js";
import * as login from "./pages/login.js";
import * as overview from "./pages/overview.js";
import * as quarantine from "./pages/quarantine.js";
import * as refused from "./pages/refused.js";
import * as replays from "./pages/replays.js";
import * as sources from "./pages/sources.js";
import * as status from "./pages/status.js";

const PAGES = [
  { name: "overview", page: overview },
  { name: "events", page: events, one: event },
  { name: "deliveries", page: deliveries },
  { name: "destinations", page: destinations, one: destination },
  { name: "sources", page: sources },
  { name: "quarantine", page: quarantine, one: refused, needs: "quarantine" },
  { name: "replays", page: replays, needs: "replays" },
  { name: "live", page: live, needs: "live" },
  { name: "alerts", page: alerts, needs: "alerts" },
  { name: "configuration", page: configuration },
  { name: "audit", page: audit, needs: "audit" },
  { name: "status", page: status },
];

/** How long what was said stays; enough to read a sentence. */
const SAID_MS = 6000;

const part = (id) => document.getElementById(id);
const main = part("main");

/** Who looks. `null` until the relay told. */
let person = null;
/** When the page on show was last fresh; `null` where it is not there yet. */
let shown = null;
/** Ends the calls of a page that was left. */
let calls = new AbortController();

/** Whether the way to the other pages is open, where there is no room for it. */
let isOpen = false;

/** What pages may ask for, and do. */
const context = {
  /** Whether buttons that change something make sense. */
  get operates() {
    return person?.role === "operator";
  },
  can: (word) => person?.abilities.includes(word) ?? false,
  refresh: () => refresher.soon(),
  say,
};

const refresher = new Refresher(() => show(here(), false));

async function start() {
  window.addEventListener("hashchange", navigate);
  part("skip").onclick = (click) => {
    click.preventDefault();
    (main.querySelector("h1") ?? main).focus();
  };
  listen(() => refresher.now());
  await enter();
}

/** Learns who looks, and shows the page that the address bar names, or the login. */
async function enter() {
  try {
    person = await session();
  } catch (problem) {
    person = null;
    put([failed(problem)], "Hookhold");
    return setTimeout(enter, SAID_MS);
  }
  frame();
  await navigate();
}

/** Another page: from the top, with the title in focus, for who cannot see that it changed. */
async function navigate() {
  calls.abort();
  PAGES.forEach(({ page }) => page.leave?.());
  calls = new AbortController();
  [shown, isOpen] = [null, false];
  const first = main.querySelector("h1.waiting") !== null;
  frame();
  await show(here(), true).catch(() => {});
  const start = main.querySelector("input[type=password]") ?? (first ? null : main.querySelector("h1"));
  start?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
  refresher.start();
}

/** Loads a page's data and brings the page up to date. What is on show stays until there is something newer. */
async function show(route, isNew) {
  if (!person) return;
  if (person.needs_login) return put(login.view(enter), "Log in");
  const known = pageOf(route);
  if (!known) return put([failed({ status: 404, message: "There is no such page." })], "Not there");
  const { signal } = calls;
  try {
    const data = await known.load(route, signal);
    if (signal.aborted) return;
    put(known.view(data, context, route), known.title(data));
    shown = Date.now();
    freshness("");
  } catch (problem) {
    if (signal.aborted) return;
    if (problem.status === 401) return enter();
    if (isNew || shown === null) put([failed(problem)], "Hookhold");
    else freshness(`${problem.message} What is shown was so at ${clock(shown)}.`);
    throw problem;
  }
}

function pageOf({ page, id }) {
  const known = PAGES.find((one) => one.name === page && isThere(one));
  return id === null ? known?.page : known?.one;
}

const isThere = ({ needs }) => !needs || context.can(needs);

function put(content, title) {
  const had = main.contains(document.activeElement);
  morph(main, h("main", { id: "main", tabindex: "-1" }, content));
  // What was in focus is gone, such as the button of something that was done: who uses keys goes on from the title.
  if (had && document.activeElement === document.body) main.querySelector("h1")?.focus({ preventScroll: true });
  document.title = title === "Hookhold" ? title : `${title} · Hookhold`;
}

/** What stands around the page: the way to the others, and who is here. */
function frame() {
  const { page } = here();
  const closed = !person || person.needs_login;
  const links = closed ? [] : PAGES.filter(isThere);
  const entry = ({ name }) => {
    const current = name === page ? "page" : null;
    return h("li", {}, h("a", { href: link(name), "aria-current": current }, name[0].toUpperCase() + name.slice(1)));
  };
  const turn = () => {
    isOpen = !isOpen;
    frame();
  };
  const opens = { "aria-expanded": String(isOpen), "aria-controls": "pages" };
  const menu = h("button", { type: "button", class: "menu", onclick: turn, ...opens }, "Pages ", h("span", { class: "quiet" }, page));
  morph(part("nav"), h("nav", { id: "nav", class: isOpen ? "open" : null, "aria-label": "Pages" },
    links.length > 0 && [menu, h("ul", { id: "pages" }, links.map(entry))]));
  const leave = async () => {
    await logout().catch((problem) => say(problem.message, true));
    await enter();
  };
  const role = person?.who !== person?.role && h("span", { class: "quiet" }, ` ${person.role}`);
  morph(part("person"), h("div", { id: "person", class: "person" },
    person?.who && h("span", { class: "who" }, person.who, role),
    switcher(frame),
    h("button", { type: "button", class: "sign", onclick: help, "aria-label": "Keys", title: "Keys" }, "?"),
    !closed && person.has_login && h("button", { type: "button", onclick: leave }, "Log out")));
}

/** Why what is shown is not the newest. */
function freshness(text) {
  const element = part("freshness");
  if (element.textContent !== text) element.textContent = text;
}

let unsaid = 0;

/** Says something to who looks, and to who listens. */
function say(text, isBad = false) {
  const said = part("said");
  said.replaceChildren(h("p", { class: isBad ? "bad" : "" }, text));
  clearTimeout(unsaid);
  unsaid = setTimeout(() => said.replaceChildren(), isBad ? SAID_MS * 2 : SAID_MS);
}

await start();
