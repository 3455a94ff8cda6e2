// Who changed what, newest first. It shows where the API keeps such a log.

import { get } from "../api.js";
import { NOTHING, relative, time } from "../format.js";
import { data, empty, heading, pager, shown, table } from "../parts.js";

export const title = () => "Audit";

export const load = async ({ query }, signal) => ({ list: await get(["audit"], query, signal), query });

export function view({ list, query }) {
  return [
    heading("Audit", shown(list, "change", "changes", query)),
    list.items.length ? rows(list.items) : empty("Nobody has changed anything yet."),
    pager("audit", query, list.next),
  ];
}

function rows(changes) {
  const text = (value) => (value === null || value === undefined || value === "" ? NOTHING : data(word(value)));
  return table("Changes", [
    { name: "At", of: (c) => time(c.at) },
    { name: "Age", class: "quiet", of: (c) => relative(c.at) },
    { name: "Who", of: (c) => text(c.who) },
    { name: "Action", of: (c) => text(c.action) },
    { name: "Target", of: (c) => text(c.target) },
    { name: "Result", of: (c) => text(c.result) },
    { name: "From", of: (c) => text(c.peer) },
  ], changes, (c) => c.id ?? `${c.at} ${c.action} ${word(c.target)}`);
}

const word = (value) => (typeof value === "string" ? value : JSON.stringify(value));
