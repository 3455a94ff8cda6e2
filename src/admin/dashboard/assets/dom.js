// Builds elements, and brings what is on the page up to date with what was built anew.
//
// The only way in which anything becomes part of the page. Text stays text: nothing here (and the page's policy forbids it
// elsewhere) reads text as elements. A link can lead to a page of the dashboard or to a file of this relay, to nothing else.

/** Properties that are functions. They move with `morph`, which listeners that were added could not. */
const HANDLERS = [
  "onclick", "onsubmit", "onchange", "oninput", "onkeydown", "onclose", "ontoggle", "onpointermove", "onpointerleave",
];

/** What a drawing of the page's own is made of: nothing that leads elsewhere, loads or runs. */
const DRAWN = ["svg", "g", "path", "title"];
const SVG = "http://www.w3.org/2000/svg";

/** Where a link may lead: a page of the dashboard, or a path of this relay that is written in its source. */
const OWN_LINK = /^(#\/|api\/v1\/|metrics$|healthz$|readyz$)/;

/** What does not show, or changes how its neighbours show: an attacker's way to make one text look like another. */
const UNSEEN = new RegExp(
  [
    "\\r(?!\\n)",
    "[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f]",
    "[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]",
  ].join("|"),
  "gu",
);

/** The text with what does not show made visible. */
export function visible(text) {
  return String(text).replace(UNSEEN, (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
}

/** An element. `props`: attributes, and handlers by their names (`onclick`). Children: elements, texts, or lists of them; what is
 *  null or false is left out. */
export function h(tag, props, ...children) {
  return made(document.createElement(tag), props, children);
}

/** The same for a drawing. */
export function s(tag, props, ...children) {
  if (!DRAWN.includes(tag)) throw new TypeError(`${tag} is never drawn`);
  return made(document.createElementNS(SVG, tag), props, children);
}

function made(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") {
      if (!HANDLERS.includes(name)) throw new TypeError(`${name} is no handler`);
      element[name] = value;
    } else if (name.startsWith("on") || name === "style" || name === "src" || name === "srcdoc") {
      throw new TypeError(`${name} is never set`);
    } else if (name === "href") {
      if (!OWN_LINK.test(value)) throw new TypeError("a link leads elsewhere");
      element.setAttribute(name, value);
    } else {
      const isShown = name === "title" || name === "aria-label" || name === "placeholder" || name === "data-label";
      element.setAttribute(name, value === true ? "" : isShown ? visible(value) : value);
    }
  }
  add(element, children);
  return element;
}

function add(element, children) {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    if (Array.isArray(child)) add(element, child);
    else element.append(child instanceof Node ? child : document.createTextNode(visible(child)));
  }
}

/** Makes `from`, which is on the page, equal to `to`. What is equal stays: focus, selection, what is open, what is being typed.
 *  `data-key` names an element among its siblings. An element with `data-keep` is left as it is while that value is the same. */
export function morph(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.dataset.keep && from.dataset.keep === to.dataset.keep) return;
  attributes(from, to);
  for (const name of HANDLERS) if (from[name] !== to[name]) from[name] = to[name];
  children(from, to);
}

function attributes(from, to) {
  // A person opens and closes a `details`.
  const free = (name) => from.localName === "details" && name === "open";
  for (const { name } of [...from.attributes]) if (!to.hasAttribute(name) && !free(name)) from.removeAttribute(name);
  for (const { name, value } of to.attributes) {
    if (!free(name) && from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
}

function children(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (child.dataset.key) keyed.set(child.dataset.key, child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = wanted.dataset?.key;
    const found = key ? keyed.get(key) : at;
    if (!found || !alike(found, wanted)) {
      from.insertBefore(wanted, at);
      continue;
    }
    if (found === at) at = at.nextSibling;
    else from.insertBefore(found, at);
    morph(found, wanted);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key && a.dataset?.keep === b.dataset?.keep;
}
