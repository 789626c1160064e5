// Numbers and times as an operator reads them: few digits, always a unit, 24 hours.

/** Stands where there is no number. */
export const none = "–";

const digits = (v) => (v >= 100 ? Math.round(v).toLocaleString("en") : v >= 10 ? v.toFixed(1) : v.toFixed(v === 0 || v >= 0.995 ? 1 : 2)).replace(/\.0+$/, "");

/** A number with a meaning of its own, such as a rate. */
export const number = (v) => (Number.isFinite(v) ? digits(v) : none);

/** A number at an axis, where there is little room: "100k". */
export function compact(v) {
  if (v < 10_000) return number(v);
  return v < 1e6 ? `${number(v / 1e3)}k` : `${number(v / 1e6)}M`;
}

/** Whole things. */
export const count = (v) => (Number.isFinite(v) ? Math.round(v).toLocaleString("en") : none);

/** A share: 0.987 as "98.7 %". It is 100 % only if nothing is left. */
export function percent(v) {
  if (!Number.isFinite(v)) return none;
  const text = (100 * v).toFixed(v > 0 && v < 0.1 ? 2 : 1);
  return `${(v < 1 && text === "100.0" ? "99.9" : text).replace(/\.0+$/, "")} %`;
}

/** How old something is or how long it lasts, from seconds: "0.3 s", "14 s", "3 min", "2 h 5 min". */
export function seconds(s) {
  if (!Number.isFinite(s)) return none;
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 119.5) return `${Math.round(s)} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return `${minutes} min`;
  return minutes % 60 && minutes < 24 * 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${Math.floor(minutes / 60)} h`;
}

/** A short time, from seconds: "0", "85 µs", "1.2 ms", "2 s". */
export function short(s) {
  if (!Number.isFinite(s)) return none;
  if (s === 0) return "0";
  if (s < 0.0009995) return `${number(s * 1e6)} µs`;
  if (s < 0.9995) return `${number(s * 1e3)} ms`;
  return s < 60 ? `${number(s)} s` : seconds(s);
}

/** Bytes as "512 MiB". */
export function bytes(v) {
  if (!(v > 0)) return none;
  const power = Math.min(Math.floor(Math.log2(v) / 10), 4);
  return `${number(v / 2 ** (10 * power))} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
}

const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = new Intl.DateTimeFormat("en-CA"); // 2026-12-01

/** "11:02:03", in the reader's zone. */
export const clock = (at) => clockFormat.format(at);

/** "11:02". */
export const minute = (at) => clock(at).slice(0, 5);

/** A moment of the past: the clock alone if it was today. */
export function moment(at, now = Date.now()) {
  const time = typeof at === "number" ? at : Date.parse(at);
  if (Number.isNaN(time)) return none;
  return dayFormat.format(time) === dayFormat.format(now) ? clock(time) : `${dayFormat.format(time)} ${clock(time)}`;
}

/** A duration as Go writes it, in seconds: "1m30s" is 90; NaN if it is none. */
export function goSeconds(text) {
  const units = { h: 3600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, us: 1e-6, ns: 1e-9 };
  if (!/^(\d+(\.\d+)?(h|ms|m|s|µs|us|ns))+$/.test(text ?? "")) return NaN;
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|µs|us|ns)/g)) sum += Number(n) * units[unit];
  return sum;
}

/** Names as a list in words. */
export const list = (names) => (names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
