// Whether what waits for a destination becomes less or more, as far as the page has seen: the API tells how much there is, not where
// it goes. A page that was just opened says nothing.

import { count, duration } from "./format.js";

/** How far back is looked, and how far apart two looks must be to say something. */
const KEPT_MS = 60_000;
const APART_MS = 3000;
/** Destinations that are remembered. */
const NAMES_MAX = 5000;

/** By name: `{ at, pending }` each. */
const seen = new Map();

/** Remembers how much waits now. */
export function note(destinations, now = Date.now()) {
  if (seen.size > NAMES_MAX) seen.clear();
  for (const { name, pending } of destinations) {
    const looks = (seen.get(name) ?? []).filter((look) => now - look.at < KEPT_MS);
    looks.push({ at: now, pending });
    seen.set(name, looks);
  }
}

/** In words; null where nothing can be said, or nothing changes. */
export function trend(name) {
  const looks = seen.get(name) ?? [];
  const [first, last] = [looks[0], looks[looks.length - 1]];
  if (!first || last.at - first.at < APART_MS || !last.pending) return null;
  const perSecond = ((last.pending - first.pending) / (last.at - first.at)) * 1000;
  if (Math.abs(perSecond) < 0.05) return null;
  const shown = Math.abs(perSecond) < 10 ? Math.round(Math.abs(perSecond) * 10) / 10 : Math.round(Math.abs(perSecond));
  if (perSecond > 0) return `grows by ${count(shown)} a second`;
  return `drains by ${count(shown)} a second: ${duration((last.pending / -perSecond) * 1000)} left`;
}
