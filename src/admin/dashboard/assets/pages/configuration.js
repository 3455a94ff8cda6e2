// What the running relay was told, without secrets; its certificates; and reading relay.toml again.

import { get, post } from "../api.js";
import { h } from "../dom.js";
import { counted, duration, relative, time } from "../format.js";
import { ask, asking, data, empty, facts, heading, section, state, table } from "../parts.js";

/** Characters that are shown; a larger file has `hookhold config`. */
const TEXT_MAX = 512 * 1024;
/** Nobody wants to learn of a certificate's end on its last day. */
const SOON_MS = 21 * 86_400_000;
/** Longer than this is for ever. */
const LONG_MS = 10 * 365 * 86_400_000;

export const title = () => "Configuration";

export const load = (_, signal) => get(["config"], {}, signal);

export function view(config, context) {
  return [
    heading("Configuration", reload(context)),
    facts([
      ["File", data(config.file)],
      ["In force since", [time(config.loaded_at), " ", h("span", { class: "quiet" }, relative(config.loaded_at))]],
      ["Warnings", config.warnings.length ? String(config.warnings.length) : "none"],
    ]),
    last(config.last_reload),
    config.warnings.length > 0 && section("Warnings", lines(config.warnings)),
    section("Certificates", config.certificates.length ? certificates(config.certificates) : empty("No certificate is shown.")),
    section("relay.toml", h("p", { class: "hint" }, "What can be a secret is ***. Comments are left out."), text(config.text)),
  ];
}

/** What came of the last reload, where there was one. */
function last(reload) {
  if (!reload) return null;
  const when = [time(reload.at), " ", h("span", { class: "quiet" }, relative(reload.at))];
  if (!reload.done) {
    return h("div", { class: "notice bad", role: "alert" },
      h("p", {}, "The file was read again at ", when, ", and cannot be used. What was in force before stays in force."),
      lines(reload.problems));
  }
  return section("Last reload", h("p", {}, when, reload.changed.length ? null : ": nothing was different."),
    reload.changed.length > 0 && lines(reload.changed));
}

const lines = (list) => h("ul", { class: "lines" }, list.map((line) => h("li", {}, data(line))));

function certificates(list, now = Date.now()) {
  const left = (c) => {
    if (!c.not_after) return state("unreadable");
    const ms = Date.parse(c.not_after) - now;
    if (ms <= 0) return state("expired");
    if (ms < SOON_MS) return [state("ends soon"), h("span", { class: "under" }, `in ${duration(ms)}`)];
    return ms > LONG_MS ? "in more than ten years" : `in ${Math.floor(ms / 86_400_000)} d`;
  };
  return table("Certificates", [
    { name: "Names", of: (c) => (c.names.length ? h("span", { class: "names" }, c.names.map((name) => data(name))) : "none") },
    { name: "Ends", of: left },
    { name: "Until", of: (c) => time(c.not_after) },
    { name: "File", of: (c) => data(c.file) },
  ], list, (c) => c.file, "roomy");
}

function text(all) {
  if (!all) return empty("It cannot be shown.");
  const shown = all.slice(0, TEXT_MAX);
  return [
    h("pre", { tabindex: "0", "aria-label": "Text of the configuration", class: "whole", "data-keep": `text-${hash(all)}` }, shown),
    all.length > TEXT_MAX && empty("It is longer than a page should be: ", h("code", {}, "hookhold config"), " shows all."),
  ];
}

/** Tells texts apart, so that one that is the same is left as it is. */
const hash = (text) => [...text].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) | 0, text.length);

function reload(context) {
  const open = () => ask(context, "Read relay.toml again", "Reload",
    h("p", {}, "The new configuration is applied whole, or not at all. Queues and connections go on."),
    async () => {
      // What is wrong with the new one is on the page then, for longer than something is said.
      const { changed } = await post(["reload"]);
      return changed.length ? `${counted(changed.length, "change")}: ${changed.join(", ")}` : "Nothing is different.";
    });
  return asking(context, "Reload", open, { class: "main" });
}
