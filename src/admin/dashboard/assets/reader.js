// Shows what a request or an answer was made of: its headers, and its body in the ways in which it can be read.

import { address, bytes as bytesAt } from "./api.js";
import { readings } from "./body.js";
import { h, visible } from "./dom.js";
import { bytes, counted } from "./format.js";
import { data, empty, table } from "./parts.js";

/** A body up to this size is shown without being asked for. */
const BYTES_AT_ONCE = 256 * 1024;

/** Names and values in their order; a value that is no text is `{ base64 }`. */
export function headerTable(list, label = "Headers") {
  const value = (v) => (typeof v === "string" ? data(v) : h("span", {}, h("span", { class: "quiet" }, "base64 "), data(v.base64)));
  return table(label, [
    { name: "Name", class: "name", of: ([name]) => data(name) },
    { name: "Value", of: ([, v]) => value(v) },
  ], list, () => null, "pairs");
}

/** The body at `path`, of the event (or what else it is) with this id. The panel is made once, and fills itself: a refresh leaves
 *  it alone. */
export function reader(path, id, size, contentType) {
  const shows = h("div", {});
  const show = async () => {
    shows.replaceChildren(empty("Loading …"));
    try {
      fill(shows, readings(await bytesAt(path), contentType));
    } catch (problem) {
      shows.replaceChildren(empty(problem.message));
    }
  };
  if (size === 0) shows.append(empty("The body is empty."));
  else if (size > BYTES_AT_ONCE) shows.append(h("button", { type: "button", onclick: show }, `Show ${bytes(size)}`));
  // A panel that was made for a refresh, and is not needed, does not load anything.
  else setTimeout(() => shows.isConnected && show());
  return h("div", { "data-keep": `body-${id}` },
    h("p", { class: "line" }, data(contentType ?? "no content type"), h("span", { class: "quiet" }, bytes(size)),
      h("a", { href: address(path), download: `${id}.bin` }, "Download")),
    shows);
}

function fill(shows, ways) {
  const pre = h("pre", { tabindex: "0", "aria-label": "Content of the body" });
  const cut = h("p", { class: "empty" });
  const choose = (way, pressed) => {
    pre.textContent = visible(way.text);
    cut.textContent = way.cut ? `${counted(way.cut, way.name === "Hex" ? "more byte" : "more character")}: download the file.` : "";
    for (const one of buttons) one.setAttribute("aria-pressed", String(one === pressed));
  };
  const button = (way) =>
    h("button", { type: "button", "aria-pressed": "false", onclick: (event) => choose(way, event.currentTarget) }, way.name);
  const buttons = ways.map(button);
  const copy = h("button", { type: "button", onclick: async () => {
    await navigator.clipboard.writeText(pre.textContent);
    copy.textContent = "Copied";
    setTimeout(() => (copy.textContent = "Copy"), 2000);
  } }, "Copy");
  // Only pages over TLS, or on this machine, may use the clipboard.
  const copies = Boolean(navigator.clipboard);
  const group = h("div", { role: "group", "aria-label": "Show the body as" }, buttons);
  shows.replaceChildren(h("div", { class: "ways" }, group, copies && copy), pre, cut);
  choose(ways[0], buttons[0]);
}
