// One event: what came, what became of it, and what a person can do with it.

import { address, all, bytes as bodyOf, get, post } from "../api.js";
import { readings } from "../body.js";
import { h, visible } from "../dom.js";
import { NOTHING, bytes, clock, counted, duration, relative, time } from "../format.js";
import { ask, asking, data, empty, facts, heading, section, state, table } from "../parts.js";
import { link } from "../route.js";
import { retry } from "./deliveries.js";

/** A body up to this size is shown without being asked for. */
const BODY_BYTES_AT_ONCE = 256 * 1024;

export const title = (event) => `${event?.type ?? "Event"} from ${event?.source ?? "…"}`;

export const load = ({ id }, signal) => get(["events", id], {}, signal);

export function view(event, context, { query }) {
  return [
    heading(event.type ?? "Event", state(event.state), replay(event, context)),
    facts([
      ["Received", [time(event.received_at), " ", h("span", { class: "quiet" }, relative(event.received_at))]],
      ["Source", h("a", { href: link("events", null, { source: event.source }) }, data(event.source))],
      ["Provider", data(event.provider)],
      ["Provider's id", event.provider_event_id && data(event.provider_event_id)],
      ["Id", data(event.id)],
      ["Request", data(`${event.method} ${event.target}`)],
      ["From", data(event.peer)],
      ["Repeats", event.duplicates ? counted(event.duplicates, "duplicate") : null],
    ], "facts wide"),
    section("Deliveries", event.deliveries.length
      ? event.deliveries.map((d) => delivery(d, context, query.delivery === d.id))
      : empty("It was sent nowhere: its source has no route. Replay it to a destination.")),
    section("Timeline", timeline(event)),
    section("Body", body(event)),
    section("Headers", headers(event.headers)),
  ];
}

function delivery(one, context, isMeant) {
  return h("article", { class: isMeant ? "card meant" : "card", "data-key": one.id, "aria-label": `Delivery to ${one.destination}` },
    h("div", { class: "heading" }, h("h3", {}, data(one.destination)),
      h("div", { class: "beside" }, state(one.state), retry(context, one), cancel(one, context))),
    facts([
      ["URL", one.url && data(one.url)],
      ["Parked because", one.reason],
      ["Next attempt", one.next_attempt_at && relative(one.next_attempt_at)],
      ["Settled", one.settled_at && time(one.settled_at)],
      ["Order key", one.order_key && data(one.order_key)],
      ["Replay", one.replay_id && data(one.replay_id)],
    ]),
    one.attempts?.length ? h("ol", { class: "attempts", "aria-label": "Attempts" }, one.attempts.map(attempt)) : empty("No attempt yet."));
}

function attempt(one) {
  const answered = one.status !== null;
  const good = answered && one.status >= 200 && one.status < 300;
  const has = one.response_body || one.response_headers.length > 0;
  const summary = [
    h("span", { class: "n" }, `${one.number}.`),
    h("span", { class: `state ${good ? "good" : "bad"}` }, answered ? String(one.status) : one.error),
    time(one.started_at), h("span", { class: "quiet" }, duration(one.duration_ms)), one.detail && data(one.detail),
  ];
  if (!has) return h("li", { "data-key": String(one.number) }, h("div", { class: "line" }, summary));
  return h("li", { "data-key": String(one.number) },
    h("details", {}, h("summary", { class: "line" }, summary),
      one.response_headers.length > 0 && headers(one.response_headers, "Headers of the answer"),
      one.response_body ? h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, one.response_body) : empty("The answer has no body."),
      one.response_truncated && empty("The rest of the answer was not kept.")));
}

function headers(list, label = "Headers") {
  const value = (v) => (typeof v === "string" ? data(v) : h("span", {}, h("span", { class: "quiet" }, "base64 "), data(v.base64)));
  return table(label, [
    { name: "Name", class: "name", of: ([name]) => data(name) },
    { name: "Value", of: ([, v]) => value(v) },
  ], list, () => null, "pairs");
}

/** All that happened, in the order of time. */
function timeline(event) {
  const points = [{ at: event.received_at, what: ["received from ", data(event.peer)], look: "" }];
  for (const d of event.deliveries) {
    const to = () => data(d.destination);
    if (d.created_at !== event.received_at && Date.parse(d.created_at) - Date.parse(event.received_at) > 1000) {
      points.push({ at: d.created_at, what: ["replayed to ", to()], look: "" });
    }
    for (const a of d.attempts ?? []) {
      const good = a.status >= 200 && a.status < 300;
      const ended = new Date(Date.parse(a.started_at) + a.duration_ms).toISOString();
      points.push({ at: ended, what: [to(), a.status === null ? ` did not answer: ${a.error}` : ` answered ${a.status}`, ` after ${duration(a.duration_ms)}`], look: good ? "good" : "bad" });
    }
    if (d.settled_at && d.state !== "delivered") points.push({ at: d.settled_at, what: [to(), `: ${d.state}`, d.reason && ` (${d.reason})`], look: "quiet" });
    if (d.next_attempt_at) points.push({ at: d.next_attempt_at, what: ["next attempt at ", to()], look: "coming" });
  }
  points.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const since = (at) => Date.parse(at) - Date.parse(event.received_at);
  return h("ol", { class: "timeline" }, points.map((p) =>
    h("li", { class: p.look }, time(p.at), h("span", { class: "offset" }, since(p.at) > 0 ? `+${duration(since(p.at))}` : ""), h("span", {}, p.what))));
}

/** The body's panel. It is made once, and fills itself: a refresh leaves it alone. */
function body(event) {
  const shows = h("div", {});
  const fetched = async () => {
    shows.replaceChildren(empty("Loading …"));
    try {
      fill(shows, readings(await bodyOf(event.id), event.content_type));
    } catch (problem) {
      shows.replaceChildren(empty(problem.message));
    }
  };
  if (event.body_bytes === 0) shows.append(empty("The body is empty."));
  else if (event.body_bytes <= BODY_BYTES_AT_ONCE) requestIdleCallback(() => shows.isConnected && fetched(), { timeout: 100 });
  else shows.append(h("button", { type: "button", onclick: fetched }, `Show ${bytes(event.body_bytes)}`));
  return h("div", { "data-keep": `body-${event.id}` },
    h("p", { class: "line" }, data(event.content_type ?? "no content type"), h("span", { class: "quiet" }, bytes(event.body_bytes)),
      h("a", { href: address(["events", event.id, "body"]), download: `${event.id}.bin` }, "Download")),
    shows);
}

function fill(shows, ways) {
  const pre = h("pre", { tabindex: "0", "aria-label": "Content of the body" });
  const cut = h("p", { class: "empty" });
  const choose = (way, pressed) => {
    pre.textContent = visible(way.text);
    cut.textContent = way.cut ? `${counted(way.cut, way.name === "Hex" ? "more byte" : "more character")}: download the file.` : "";
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === pressed));
  };
  const buttons = ways.map((way) => h("button", { type: "button", "aria-pressed": "false", onclick: (e) => choose(way, e.currentTarget) }, way.name));
  const copy = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard.writeText(pre.textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  } }, "Copy");
  // Only pages over TLS, or on this machine, may use the clipboard.
  const copies = Boolean(navigator.clipboard);
  shows.replaceChildren(h("div", { class: "ways" }, h("div", { role: "group", "aria-label": "Show the body as" }, buttons), copies && copy), pre, cut);
  choose(ways[0], buttons[0]);
}

function replay(event, context) {
  const open = async () => {
    const names = (await all(["destinations"])).map((d) => d.name);
    const earlier = new Set(event.deliveries.map((d) => d.destination));
    const box = (name) => h("label", { class: "check" }, h("input", { type: "checkbox", name: "to", value: name, checked: earlier.has(name) || names.length === 1 }), data(name));
    ask(context, "Replay this event", "Replay",
      h("fieldset", {}, h("legend", {}, "Deliver it again to"), names.map(box)),
      async (given) => {
        const destinations = given.getAll("to");
        if (!destinations.length) return "Nothing was chosen.";
        const { deliveries } = await post(["events", event.id, "replay"], { destinations });
        return `${counted(deliveries.length, "delivery is", "deliveries are")} due now.`;
      });
  };
  return asking(context, "Replay", open, { class: "main", "data-do": "replay" });
}

function cancel(one, context) {
  if (!["pending", "parked"].includes(one.state)) return null;
  const open = () => ask(context, "Cancel this delivery", "Cancel the delivery",
    h("p", {}, "It will not be tried again. The event stays, and can be replayed."),
    async () => {
      await post(["deliveries", one.id, "cancel"]);
      return `The delivery to ${one.destination} is cancelled.`;
    });
  return asking(context, "Cancel", open, { "aria-label": `Cancel the delivery to ${one.destination}`, "data-do": "cancel" });
}
