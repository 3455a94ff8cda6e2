// Where webhooks enter: what came, what was refused, and letting one take the secret that its provider brings.

import { all, post } from "../api.js";
import { h } from "../dom.js";
import { clock, count, relative } from "../format.js";
import { action, asking, ask, data, empty, heading, rowLink, state, table } from "../parts.js";
import { link } from "../route.js";

/** What a person needs to make the webhook at the provider; the command line waits as long. */
const ARMED_MS = 10 * 60 * 1000;

export const title = () => "Sources";

export const load = (_, signal) => all(["sources"], signal);

export function view(sources, context) {
  return [
    heading("Sources", h("p", { class: "shown" }, "counts are since the start")),
    sources.length ? rows(sources, context) : empty("No source is configured."),
  ];
}

function rows(sources, context) {
  const columns = [
    { name: "Name", of: (s) => rowLink(link("events", null, { source: s.name }), data(s.name)) },
    { name: "Provider", of: (s) => data(s.provider) },
    { name: "Path", of: (s) => data(`${s.host ?? ""}${s.path}`) },
    { name: "Accepted", class: "number", of: (s) => count(s.accepted) },
    { name: "Rejected", class: "number", of: (s) => count(s.rejected) },
    { name: "Duplicates", class: "number", of: (s) => count(s.duplicates) },
    { name: "Last event", of: (s) => relative(s.last_event_at) },
  ];
  if (context.can("quarantine")) {
    const aside = (s) => h("a", { href: link("quarantine", null, { source: s.name }) }, count(s.quarantined));
    columns.push({ name: "Quarantined", class: "number", of: aside });
  }
  if (sources.some((s) => s.paused)) columns.push({ name: "State", of: (s) => state(s.paused ? "paused" : "ok") });
  if (context.operates) columns.push({ name: "Do", class: "do", of: (s) => [arm(s, context), pause(s, context)] });
  return table("Sources", columns, sources, (s) => s.name);
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
