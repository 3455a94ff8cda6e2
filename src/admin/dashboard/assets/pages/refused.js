// One request that is kept aside: what came, why it was refused, judging it again, and vouching for it.

import { get, post, remove } from "../api.js";
import { h } from "../dom.js";
import { relative, time } from "../format.js";
import { action, ask, asking, data, facts, heading, section } from "../parts.js";
import { headerTable, reader } from "../reader.js";
import { go, link } from "../route.js";
import { reason, released } from "./quarantine.js";

export const title = (request) => `Refused request for ${request.source}`;

export const load = ({ id }, signal) => get(["quarantine", id], {}, signal);

export function view(request, context) {
  const type = (request.headers ?? []).find(([name]) => name.toLowerCase() === "content-type")?.[1];
  return [
    heading("Refused request", judge(request, context), force(request, context), drop(request, context)),
    h("p", { class: "advice" }, request.detail ? `${request.detail}.` : reason(request.reason)),
    facts([
      ["Received", [time(request.received_at), " ", h("span", { class: "quiet" }, relative(request.received_at))]],
      ["Source", h("a", { href: link("quarantine", null, { source: request.source }) }, data(request.source))],
      ["Reason", h("a", { href: link("quarantine", null, { reason: request.reason }) }, reason(request.reason))],
      ["Id", data(request.id)],
      ["Request", request.target && data(`${request.method ?? ""} ${request.target}`)],
      ["From", data(request.peer)],
    ], "facts wide"),
    section("Body", reader(["quarantine", request.id, "body"], request.id, request.body_bytes, typeof type === "string" ? type : null)),
    section("Headers", headerTable(request.headers ?? [])),
  ];
}

function judge(request, context) {
  const work = async () => {
    const result = await post(["quarantine", "release"], { ids: [request.id] });
    if (result.released) go(link("quarantine", null, { source: request.source }));
    return released(result);
  };
  return action(context, "Judge again", work, { class: "main" });
}

/** Nobody proved it: a person says that it is what it claims to be. */
function force(request, context) {
  const open = () => ask(context, "Release without proof", "Release it",
    [h("p", {}, "Nothing proves that ", data(request.source), "'s provider sent this. It becomes an event and is delivered, ",
      "because you say that it is genuine."), h("p", {}, "Who did it is logged.")],
    async () => {
      const result = await post(["quarantine", "release"], { ids: [request.id], force: true });
      if (result.released) go(link("quarantine", null, { source: request.source }));
      return result.released ? "It is released without proof." : released(result);
    });
  return asking(context, "Release without proof", open);
}

function drop(request, context) {
  const open = () => ask(context, "Drop this request", "Drop", h("p", {}, "It is deleted for good."), async () => {
    await remove(["quarantine", request.id]);
    go(link("quarantine", null, { source: request.source }));
    return "The request is deleted.";
  });
  return asking(context, "Drop", open);
}
