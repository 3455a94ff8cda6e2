// Where webhooks enter: what came, what was refused, pausing one, and letting one take the secret that its provider brings.

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { clock, count, relative } from "../format.js";
import { action, ask, asking, data, empty, heading, rowLink, state, table } from "../parts.js";
import { link } from "../route.js";
import { FEW, finder } from "./destinations.js";

/** What a person needs to make the webhook at the provider; the command line waits as long. */
const ARMED_MS = 10 * 60 * 1000;
/** Rows at once; a filter by name finds the rest. */
const ROWS_MAX = 200;
/** A share of refused requests that needs a look, where there are enough to tell. */
const SHARE_BAD = 0.05;
const ENOUGH = 20;

const ACKS = { stored: "when stored", upstream: "as the application", "upstream-else-stored": "as the application, if in time" };

export const title = () => "Sources";

export async function load({ query }, signal) {
  return { list: await get(["sources"], { limit: ROWS_MAX, name: query.name }, signal), query };
}

export function view({ list: { items, total }, query }, context) {
  return [
    heading("Sources", h("p", { class: "shown" }, "counts are since the start")),
    (query.name || total > FEW) && finder("sources", query),
    total ? rows(items, context) : empty(query.name ? "No source has such a name." : "No source is configured."),
    total > items.length && empty(`The first ${count(items.length)} of ${count(total)}: find others by name.`),
  ];
}

/** How a source stands, in a word. */
function standing(source) {
  if (source.paused) return "paused";
  if (share(source) > SHARE_BAD && total(source) >= ENOUGH) return "refuses many";
  return source.last_event_at ? "ok" : "quiet";
}

const total = (s) => s.accepted + s.duplicates + s.rejected;
const share = (s) => (total(s) ? s.rejected / total(s) : 0);

function refused(source) {
  if (!source.rejected) return "0";
  const percent = share(source) * 100;
  return [count(source.rejected), h("span", { class: "quiet" }, ` ${percent < 1 ? "<1" : Math.round(percent)} %`)];
}

function rows(sources, context) {
  const columns = [
    { name: "Name", of: (s) => [rowLink(link("events", null, { source: s.name }), data(s.name)),
      h("span", { class: "under" }, data(`${s.host ?? ""}${s.path}`))] },
    { name: "State", of: (s) => state(standing(s)) },
    { name: "Provider", of: (s) => data(s.provider) },
    { name: "Answers", of: (s) => ACKS[s.ack] ?? s.ack },
    { name: "Accepted", class: "number", of: (s) => count(s.accepted) },
    { name: "Duplicates", class: "number", of: (s) => count(s.duplicates) },
    { name: "Refused", class: "number", of: refused },
  ];
  if (context.can("quarantine")) {
    const aside = (s) => h("a", { href: link("quarantine", null, { source: s.name }) }, count(s.quarantined));
    columns.push({ name: "Kept aside", class: "number", of: aside });
  }
  columns.push({ name: "Last event", of: (s) => relative(s.last_event_at) });
  if (context.operates) columns.push({ name: "Do", class: "do", of: (s) => [pause(s, context), arm(s, context)] });
  return table("Sources", columns, sources, (s) => s.name, "roomy");
}

/** Only for a source whose provider brings its secret. */
function arm(source, context) {
  if (!source.takes_secret || !context.can("arm_source")) return null;
  const open = () => ask(context, `Arm ${source.name}`, "Arm",
    h("p", {}, "For ten minutes it takes the first secret that comes. Make the webhook at its provider then: ",
      "whoever sends a secret first owns the source."),
    async () => {
      const { armed_until } = await post(["sources", source.name, "arm"], { for_ms: ARMED_MS });
      return `${source.name} takes a secret until ${clock(armed_until)}.`;
    });
  return asking(context, "Arm", open, { "aria-label": `Arm ${source.name}` });
}

function pause(source, context) {
  if (!context.can("pause_source")) return null;
  const [label, word, said] = source.paused
    ? ["Resume", "resume", "accepts again"]
    : ["Pause", "pause", "is paused: providers get 503 and come again"];
  const work = async () => {
    await post(["sources", source.name, word]);
    return `${source.name} ${said}.`;
  };
  return action(context, label, work, { "aria-label": `${label} ${source.name}` });
}
