// Times, durations, sizes and counts for people.

import { h } from "./dom.js";

const NUMBER = new Intl.NumberFormat("en");
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Stands where nothing is known. */
export const NOTHING = "–";

/** A point in time: short, with the whole of it for who points at it. */
export function time(text) {
  if (!text) return NOTHING;
  return h("time", { datetime: text, title: text }, clock(text));
}

/** How long ago, or in how long. */
export function relative(text, now = Date.now()) {
  if (!text) return NOTHING;
  const away = Date.parse(text) - now;
  const words = Math.abs(away) < 1000 ? "now" : away < 0 ? `${age(-away)} ago` : `in ${duration(away)}`;
  return h("time", { datetime: text, title: text }, words);
}

/** In one unit, so that a list does not change all the time. */
function age(ms) {
  const [, size, unit] = AGES.find(([below]) => ms < below);
  return `${Math.floor(ms / size)} ${unit}`;
}

/** Below so many milliseconds, in units of so many. */
const AGES = [[60_000, 1000, "s"], [3_600_000, 60_000, "min"], [86_400_000, 3_600_000, "h"], [Infinity, 86_400_000, "d"]];

/** `11:18:56` today, `27 Nov 11:18` this year, `2025-11-27 11:18` before. */
export function clock(text) {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return text;
  const now = new Date();
  const [day, hours] = [at.toISOString().slice(0, 10), at.toISOString().slice(11, 19)];
  if (day === now.toISOString().slice(0, 10)) return hours;
  if (at.getUTCFullYear() === now.getUTCFullYear()) return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${hours.slice(0, 5)}`;
  return `${day} ${hours.slice(0, 5)}`;
}

/** Milliseconds, in one or two units. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${Math.floor(seconds * 10) / 10} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return hours ? `${days} d ${hours} h` : `${days} d`;
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  const rest = Math.floor(seconds) % 60;
  return rest && minutes < 10 ? `${minutes} min ${rest} s` : `${minutes} min`;
}

/** Bytes, in binary units. */
export function bytes(count) {
  let [value, unit] = [count, "B"];
  for (const larger of ["KiB", "MiB", "GiB", "TiB"]) {
    if (value < 1024) break;
    [value, unit] = [value / 1024, larger];
  }
  return `${unit === "B" || value >= 100 ? Math.round(value) : value.toFixed(1)} ${unit}`;
}

export function count(number) {
  return NUMBER.format(number);
}

/** `1 delivery`, `2 deliveries`. */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A time of a filter as the API takes it: as it is, or from `90s`, `15m`, `2h`, `3d` (so long ago). */
export function moment(text, now = Date.now()) {
  const age = /^(\d+(?:\.\d+)?)\s*([smhd])$/.exec((text ?? "").trim());
  if (!age) return text;
  const unit = { s: 1, m: 60, h: 3600, d: 86400 }[age[2]];
  return new Date(now - Number(age[1]) * unit * 1000).toISOString();
}
