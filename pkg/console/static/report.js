// The report of a what-if, as rows.
import { none, number, percent } from "./format.js";

const measures = [
  // better is the direction in which a change is good: -1 less, 1 more, 0 neither.
  { name: "Hit ratio", of: (r) => r.hit_ratio, tell: percent, better: 1 },
  { name: "Wrong answers", of: (r) => r.wrong, tell: share, better: -1 },
  { name: "wrong by, seats (mean)", of: (r) => r.off.mean, tell: number, better: -1 },
  { name: "wrong by, seats (99 of 100)", of: (r) => r.off.p99, tell: number, better: -1 },
  { name: "CPU, of one core", of: (r) => r.cpu, tell: percent, better: -1 },
  { name: "Rendered a second", of: (r) => r.renders, tell: number, better: -1 },
  { name: "Served without a look a second", of: (r) => r.ttl_hits, tell: number, better: 0 },
  { name: "Seen to be unchanged a second", of: (r) => r.stamp_hits, tell: number, better: 0 },
];

/** A share that may be very small and still matters: one wrong answer of a million is not none. */
export function share(v) {
  if (!Number.isFinite(v)) return none;
  return v > 0 && v < 0.0001 ? "< 0.01 %" : percent(v);
}

/** By how much a number would be another, as a share of what it is. */
export function change(from, to) {
  if (Math.abs(from - to) <= 1e-9 * Math.max(Math.abs(from), Math.abs(to))) return "=";
  if (from === 0) return "new";
  const part = (100 * (to - from)) / from;
  return `${part > 0 ? "+" : "−"}${Math.abs(part).toFixed(Math.abs(part) < 9.95 ? 1 : 0)} %`;
}

/** Both rule sets beside each other: [{name, before, after, change, level}], level is "good", "bad" or "" for neither. */
export function rows({ in_force: inForce, tried }) {
  return measures.map(({ name, of, tell, better }) => {
    const [before, after] = [of(inForce), of(tried)];
    const by = change(before, after);
    const level = by === "=" || better === 0 ? "" : (after > before) === better > 0 ? "good" : "bad";
    return { name, before: tell(before), after: tell(after), change: by, level };
  });
}

/** What the report rests on, in a sentence. */
export function basis(node, r) {
  return `Live searches of ${number(r.in_force.seconds)} s on ${node}: ${r.recorded.toLocaleString("en")} of ${r.requests.toLocaleString("en")} recorded.`;
}
