// One event: what came, what became of it, and what a person can do with it.

import { all as actions } from "../act.js";
import { get, namesOf, post } from "../api.js";
import { h } from "../dom.js";
import { counted, duration, relative, time } from "../format.js";
import { ask, asking, data, empty, facts, heading, section, state } from "../parts.js";
import { headerTable, reader } from "../reader.js";
import { link } from "../route.js";

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
      : empty("It was sent nowhere: no route took it. Replay it to a destination.")),
    section("Timeline", timeline(event)),
    section("Body", reader(["events", event.id, "body"], event.id, event.body_bytes, event.content_type)),
    section("Headers", headerTable(event.headers)),
  ];
}

/** Why a delivery is parked, for people. */
const REASONS = {
  expired: "it was tried for as long as it may", refused: "the application refused it for good", person: "a person put it aside",
};

function delivery(one, context, isMeant) {
  return h("article", { class: isMeant ? "card meant" : "card", "data-key": one.id, "aria-label": `Delivery to ${one.destination}` },
    h("div", { class: "heading" }, h("h3", {}, h("a", { href: link("destinations", one.destination) }, data(one.destination))),
      h("div", { class: "beside" }, state(one.state), actions(context, one))),
    facts([
      ["URL", one.url && data(one.url)],
      ["Parked because", one.reason && (REASONS[one.reason] ?? one.reason)],
      ["Next attempt", one.next_attempt_at && relative(one.next_attempt_at)],
      ["Settled", one.settled_at && time(one.settled_at)],
      ["Order key", one.order_key && data(one.order_key)],
      ["Replay", one.replay_id && h("a", { href: link("replays") }, data(one.replay_id))],
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
      one.response_headers.length > 0 && headerTable(one.response_headers, "Headers of the answer"),
      one.response_body
        ? h("pre", { tabindex: "0", "aria-label": "Body of the answer" }, one.response_body)
        : empty("The answer has no body."),
      one.response_truncated && empty("The rest of the answer was not kept.")));
}

/** All that happened, in the order of time. */
function timeline(event) {
  const received = { at: event.received_at, what: ["received from ", data(event.peer)] };
  const points = [received, ...event.deliveries.flatMap((d) => pointsOf(d, event))];
  points.sort((a, b) => Date.parse(a.at) - Date.parse(b.at));
  const offset = (at) => {
    const since = Date.parse(at) - Date.parse(event.received_at);
    return h("span", { class: "offset" }, since > 0 && `+${duration(since)}`);
  };
  return h("ol", { class: "timeline" }, points.map((p) => h("li", { class: p.look }, time(p.at), offset(p.at), h("span", {}, p.what))));
}

/** A delivery that was made so long after its event is a replay; others are made with it. */
const REPLAYED_AFTER_MS = 1000;

/** What happened to a delivery, and what will. */
function pointsOf(one, event) {
  const points = [];
  const to = () => data(one.destination);
  const isReplay = Date.parse(one.created_at) - Date.parse(event.received_at) > REPLAYED_AFTER_MS;
  if (isReplay) points.push({ at: one.created_at, what: ["replayed to ", to()] });
  for (const attempt of one.attempts ?? []) {
    const ended = new Date(Date.parse(attempt.started_at) + attempt.duration_ms).toISOString();
    const how = attempt.status === null ? ` did not answer: ${attempt.error}` : ` answered ${attempt.status}`;
    const look = attempt.status >= 200 && attempt.status < 300 ? "good" : "bad";
    points.push({ at: ended, what: [to(), how, ` after ${duration(attempt.duration_ms)}`], look });
  }
  if (one.settled_at && one.state !== "delivered") {
    points.push({ at: one.settled_at, what: [to(), `: ${one.state}`, one.reason && ` (${one.reason})`], look: "quiet" });
  }
  if (one.next_attempt_at) points.push({ at: one.next_attempt_at, what: ["next attempt at ", to()], look: "coming" });
  return points;
}

function replay(event, context) {
  const open = async () => {
    const names = await namesOf("destinations");
    const earlier = new Set(event.deliveries.map((d) => d.destination));
    const box = (name) => {
      const checked = earlier.has(name) || names.length === 1;
      return h("label", { class: "check" }, h("input", { type: "checkbox", name: "to", value: name, checked }), data(name));
    };
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
