// Calls to the relay's API. Errors are problem documents (RFC 9457), and become a `Problem`.

import { moment } from "./format.js";

/** Longer than any answer takes that is still worth waiting for. */
const CALL_TIME_MS = 20_000;

/** Why a call was not done. `status` is 0 where no answer came. */
class Problem extends Error {
  constructor(status, detail, document = {}) {
    super(detail);
    this.status = status;
    this.field = document.field ?? null;
    this.problems = document.problems ?? [];
  }
}

/** The JSON at `path` (a list of segments), with these parameters; what is empty is left out. */
export async function get(path, parameters = {}, signal = undefined) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value));
  const answer = await call("GET", address(path) + (query.size ? `?${query}` : ""), undefined, signal);
  return answer.json();
}

/** Asks for a change, and gives what the API answers. */
export async function post(path, body = {}) {
  const answer = await call("POST", address(path), body);
  return answer.json();
}

/** Takes something away for good. */
export async function remove(path) {
  await call("DELETE", address(path));
}

/** The raw bytes at `path`: a body. */
export async function bytes(path, signal) {
  const answer = await call("GET", address(path), undefined, signal);
  return new Uint8Array(await answer.arrayBuffer());
}

/** A page of a list with these filters; times may be `2h` and the like. What cannot, or may not, be looked for is told in `problem`, so
 *  that the filters stay on the page for who wants to correct them. */
export async function listed(path, query, signal) {
  const times = { since: moment(query.since), until: moment(query.until) };
  try {
    return { ...(await get(path, { ...query, ...times }, signal)), problem: null };
  } catch (problem) {
    if (problem.status !== 400 && problem.status !== 403) throw problem;
    return { items: [], next: null, problem };
  }
}

/** Names are asked for so often: they change with the configuration only, and lists are refreshed every few seconds. */
const NAMES_MS = 30_000;
const names = new Map();

/** The names of all `sources` or `destinations`, for who chooses one. */
export async function namesOf(what, signal) {
  const known = names.get(what);
  if (known && Date.now() - known.at < NAMES_MS) return known.names;
  const found = (await all([what], signal)).map((one) => one.name);
  names.set(what, { at: Date.now(), names: found });
  return found;
}

/** All items of a list that is small: sources, destinations. */
export async function all(path, signal) {
  const items = [];
  // A list that is not at its end after these is not shown whole; nobody has so many.
  for (let page = 0, cursor = null; page < 10; page += 1) {
    const list = await get(path, { limit: 500, cursor }, signal);
    items.push(...list.items);
    cursor = list.next;
    if (!cursor) break;
  }
  return items;
}

/** Who looks, and what the API can do. */
export async function session() {
  return (await call("GET", "session")).json();
}

export async function login(token) {
  await call("POST", "login", { token });
}

export async function logout() {
  await call("POST", "logout", {});
}

/** Why the relay cannot accept, or null where it can. */
export async function unready(signal) {
  const answer = await fetch("readyz", { signal, cache: "no-store" });
  return answer.ok ? null : (await answer.text()).trim();
}

/** The address of a resource, for a link or a stream. */
export function address(path) {
  return ["api/v1", ...path.map(encodeURIComponent)].join("/");
}

async function call(method, url, body, signal) {
  const time = AbortSignal.timeout(CALL_TIME_MS);
  const options = { method, signal: signal ? AbortSignal.any([signal, time]) : time, credentials: "same-origin" };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "content-type": "application/json" } });
  let answer;
  try {
    answer = await fetch(url, options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, time.aborted ? "The relay did not answer in time." : "The relay cannot be reached.");
  }
  if (!answer.ok) throw await problem(answer);
  return answer;
}

async function problem(answer) {
  let document = {};
  try {
    document = await answer.json();
  } catch {
    // A proxy in between may answer with something else: the status has to do.
  }
  return new Problem(answer.status, document.detail || `The relay answered ${answer.status}.`, document);
}
