// What happens, as it happens. The relay sends it; where it cannot, the newest events are asked for. It ends when nobody looks.

import { address, all, get } from "../api.js";
import { h } from "../dom.js";
import { NOTHING, bytes, clock, counted, duration } from "../format.js";
import { data, filters, heading, state } from "../parts.js";
import { link } from "../route.js";

/** Lines that are kept. More would only make the browser slow: the lists have all. */
const LINES_MAX = 200;

/** Facts that wait while the page is paused, and lines that are made at a time: the newest are worth it. */
const WAITING_MAX = LINES_MAX;

/** Facts are shown so often: more often no person sees. */
const SHOW_MS = 150;

/** Without a stream the list is asked so often, and the stream is tried again. */
const ASK_MS = 4000;

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
  const parts = {
    standing: h("p", { class: "shown" }, "Connecting …"),
    missed: h("p", { class: "shown" }),
    log: h("ol", { class: "attempts" }),
    pause: h("button", { type: "button", "aria-pressed": "false" }, "Pause"),
  };
  // Where the page has this panel already, this one is not needed, and nothing is opened.
  setTimeout(() => parts.log.isConnected && listen(query, parts));
  return h("div", { "data-keep": `live-${JSON.stringify(query)}` },
    h("div", { class: "line" }, parts.standing, parts.missed, parts.pause),
    h("div", { role: "log", "aria-live": "off", "aria-label": "What happens" }, parts.log));
}

function listen(query, parts) {
  end();
  const wanted = { source: query.source ?? "", destination: query.destination ?? "" };
  const shows = new Shows(parts);
  const source = new Source(wanted, parts.standing, shows);
  const look = () => (document.hidden ? source.close() : source.open());
  document.addEventListener("visibilitychange", look);
  end = () => {
    document.removeEventListener("visibilitychange", look);
    source.close();
    shows.close();
    end = () => {};
  };
  look();
}

/** Where facts come from: the stream, or the list of events where there is no stream. */
class Source {
  #wanted;
  #standing;
  #shows;
  #stream = null;
  #timer = 0;
  /** Events that the list told already; null where it was not asked. */
  #known = null;

  constructor(wanted, standing, shows) {
    this.#wanted = wanted;
    this.#standing = standing;
    this.#shows = shows;
  }

  open() {
    this.close();
    const parameters = new URLSearchParams(Object.entries(this.#wanted).filter(([, value]) => value));
    const stream = new EventSource(`${address(["live"])}${parameters.size ? `?${parameters}` : ""}`);
    this.#stream = stream;
    stream.onopen = () => {
      this.#known = null;
      this.#say("Connected. What happens from now on shows here.");
    };
    stream.onerror = () => {
      // It comes back by itself where it was open; a refusal is the end of it.
      if (stream.readyState !== EventSource.CLOSED) return this.#say("Not connected; trying again …");
      this.#timer = setTimeout(() => this.#ask(), 0);
    };
    for (const kind of ["event", "attempt", "state", "missed"]) {
      stream.addEventListener(kind, (sent) => this.#shows.take(kind, parsed(sent.data)));
    }
  }

  close() {
    clearTimeout(this.#timer);
    this.#stream?.close();
    this.#stream = null;
  }

  /** The newest events in place of a stream, and then the stream again. */
  async #ask() {
    this.#say("There is no stream; new events are looked for every few seconds.");
    const stream = this.#stream;
    const list = await get(["events"], this.#wanted).catch(() => null);
    if (stream !== this.#stream) return;
    const events = list?.items ?? [];
    for (const event of [...events].reverse()) {
      if (this.#known && !this.#known.has(event.id)) this.#shows.take("event", event);
    }
    if (list) this.#known = new Set(events.map((event) => event.id));
    this.#timer = setTimeout(() => this.open(), ASK_MS);
  }

  #say(text) {
    if (this.#standing.textContent !== text) this.#standing.textContent = text;
  }
}

/** What is shown: the newest lines, some at a time, and nothing new while it is paused. */
class Shows {
  #parts;
  #waiting = [];
  #timer = 0;
  #missed = 0;
  #isPaused = false;

  constructor(parts) {
    this.#parts = parts;
    parts.pause.onclick = () => this.#toggle();
  }

  take(kind, told) {
    // What is no JSON is from a proxy, and nothing happened.
    if (!told) return;
    if (kind === "missed") return this.#miss(told.count);
    this.#waiting.push([kind, told]);
    if (this.#waiting.length > WAITING_MAX) {
      this.#waiting.shift();
      if (this.#isPaused) this.#miss(1);
    }
    if (this.#isPaused) return this.#label();
    this.#timer ||= setTimeout(() => this.#show(), SHOW_MS);
  }

  close() {
    clearTimeout(this.#timer);
  }

  #toggle() {
    this.#isPaused = !this.#isPaused;
    this.#parts.pause.setAttribute("aria-pressed", String(this.#isPaused));
    this.#label();
    if (!this.#isPaused) this.#show();
  }

  #label() {
    const waiting = this.#waiting.length ? ` (${this.#waiting.length} wait)` : "";
    this.#parts.pause.textContent = this.#isPaused ? `Go on${waiting}` : "Pause";
  }

  /** `count` is null where the relay does not know it. */
  #miss(count) {
    this.#missed += count ?? 0;
    const known = this.#missed ? counted(this.#missed, "fact") : "Some facts";
    this.#parts.missed.textContent = `${known} went by unseen; the lists have all.`;
  }

  #show() {
    this.#timer = 0;
    const lines = this.#waiting.splice(0).map(([kind, told]) => line(kind, told));
    const { log } = this.#parts;
    log.prepend(...lines.reverse());
    while (log.children.length > LINES_MAX) log.lastChild.remove();
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function line(kind, told) {
  const attempt = told.attempts?.[0] ?? {};
  const at = { event: told.received_at, attempt: attempt.started_at }[kind] ?? told.settled_at ?? told.next_attempt_at;
  const event = kind === "event" ? told.id : told.event_id;
  return h("li", {}, h("div", { class: "line" },
    at && h("time", { datetime: at, title: at, class: "quiet" }, clock(at)), h("span", {}, kind), words(kind, told, attempt),
    event && h("a", { href: link("events", event) }, "event")));
}

function words(kind, told, attempt) {
  if (kind === "event") {
    const to = told.deliveries?.length ? `to ${counted(told.deliveries.length, "destination")}` : "to no destination";
    const type = told.type === null ? NOTHING : data(told.type);
    return [data(told.source), type, h("span", { class: "quiet" }, `${bytes(told.body_bytes)}, ${to}`)];
  }
  const where = [told.source && data(told.source), told.destination && data(told.destination)];
  if (kind === "state") return [where, state(told.state ?? ""), told.reason && h("span", { class: "quiet" }, told.reason)];
  const good = attempt.status >= 200 && attempt.status < 300;
  return [where, h("span", { class: `state ${good ? "good" : "bad"}` }, String(attempt.status ?? attempt.error)),
    attempt.duration_ms !== undefined && h("span", { class: "quiet" }, duration(attempt.duration_ms))];
}
