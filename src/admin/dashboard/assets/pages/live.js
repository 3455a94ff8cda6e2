// What happens, as it happens. The relay sends it; nothing is asked again. It ends when nobody looks.

import { address, all } from "../api.js";
import { h } from "../dom.js";
import { clock, duration } from "../format.js";
import { data, filters, heading, state } from "../parts.js";
import { link } from "../route.js";

/** Lines that are kept. More would only make the browser slow: the lists have all. */
const LINES_MAX = 200;

/** Ends the stream of the page on show. */
let end = () => {};

export const title = () => "Live";

export async function load({ query }, signal) {
  const [sources, destinations] = await Promise.all([all(["sources"], signal), all(["destinations"], signal)]);
  return { query, sources: sources.map((s) => s.name), destinations: destinations.map((d) => d.name) };
}

export function view({ query, sources, destinations }) {
  const fields = [
    { name: "source", label: "Source", options: sources },
    { name: "destination", label: "Destination", options: destinations },
  ];
  return [heading("Live"), filters("live", fields, query), panel(query)];
}

export function leave() {
  end();
}

/** Made once: it fills itself, and a refresh leaves it alone. */
function panel(query) {
  const standing = h("p", { class: "shown" }, "Connecting …");
  const log = h("ol", { class: "attempts" });
  // Where the page has this panel already, this one is not needed, and nothing is opened.
  setTimeout(() => log.isConnected && listen(query, standing, log));
  return h("div", { "data-keep": `live-${JSON.stringify(query)}` }, standing,
    h("div", { role: "log", "aria-live": "off", "aria-label": "What happens" }, log));
}

function listen(query, standing, log) {
  end();
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
  let stream = null;
  const open = () => {
    stream = new EventSource(`${address(["live"])}${parameters.size ? `?${parameters}` : ""}`);
    stream.onopen = () => (standing.textContent = "Connected. What happens from now on shows here.");
    stream.onerror = () => (standing.textContent = "Not connected; trying again …");
    for (const kind of ["event", "attempt", "state"]) stream.addEventListener(kind, (sent) => show(log, kind, sent.data));
  };
  const look = () => {
    stream?.close();
    if (!document.hidden) open();
  };
  document.addEventListener("visibilitychange", look);
  end = () => {
    document.removeEventListener("visibilitychange", look);
    stream?.close();
    end = () => {};
  };
  look();
}

function show(log, kind, text) {
  let told;
  try {
    told = JSON.parse(text);
  } catch {
    // What is no JSON is from a proxy, and nothing happened.
    return;
  }
  const event = told.event_id ?? (kind === "event" ? told.id : null);
  const at = told.received_at ?? told.started_at ?? new Date().toISOString();
  log.prepend(h("li", {}, h("div", { class: "line" },
    h("time", { datetime: at, class: "quiet" }, clock(at)), h("span", {}, kind), words(kind, told),
    event && h("a", { href: link("events", event) }, "event"))));
  while (log.children.length > LINES_MAX) log.lastChild.remove();
}

function words(kind, told) {
  const where = [told.source, told.destination].filter(Boolean).map((name) => data(name));
  if (kind === "event") return [where, data(told.type ?? "")];
  if (kind === "state") return [where, state(told.state ?? "")];
  const good = told.status >= 200 && told.status < 300;
  return [where, h("span", { class: `state ${good ? "good" : "bad"}` }, String(told.status ?? told.error)),
    told.duration_ms !== undefined && h("span", { class: "quiet" }, duration(told.duration_ms))];
}
