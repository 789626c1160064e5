// How long answers are kept, by days to departure.
import { decades } from "./axis.js";
import { Chart, Cursor } from "./chart.js";
import { short } from "./format.js";
import { Table } from "./keyed.js";

const words = (r) => `${short(r.ttl_seconds)}${r.auto ? " now, found by itself" : ""}${r.rule ? `, by ${r.rule}` : ""}`;
const dayWords = (from, to) => (from === to ? (from === 0 ? "today" : `${from}`) : `${from} to ${to}`);

/** Days with the same rules together: [{from, to, quiet, busy}]. */
export function ranges(days) {
  const out = [];
  for (const d of days) {
    const last = out.at(-1);
    const same = last && ["quiet", "busy"].every((k) => words(last[k]) === words(d[k]));
    if (same) last.to = d.days;
    else out.push({ from: d.days, to: d.days, quiet: d.quiet, busy: d.busy });
  }
  return out;
}

export class Curve {
  #chart;
  #table;

  constructor(host, table) {
    this.#chart = new Chart(host, {
      title: "TTL", steps: true, tell: short, tellX: (d) => `${d}`, tellMoment: (d) => (Math.round(d) === 0 ? "today" : `${Math.round(d)} days ahead`),
      series: [{ name: "busy", kind: "dash", of: (d) => d.busy.ttl_seconds }, { name: "quiet", kind: "line", of: (d) => d.quiet.ttl_seconds }],
    }, new Cursor());
    this.#table = new Table(table, [
      { name: "Days ahead", of: (r) => dayWords(r.from, r.to) },
      { name: "Quiet search", of: (r) => words(r.quiet) },
      { name: "Busy search", of: (r) => words(r.busy) },
    ], "This node tells of no rules.");
  }

  show(days) {
    const points = days.map((d) => ({ ...d, x: d.days }));
    const scale = decades(days.flatMap((d) => [d.quiet.ttl_seconds, d.busy.ttl_seconds]));
    this.#chart.draw({ points, from: 0, to: Math.max(1, points.at(-1)?.x ?? 1), gap: Infinity, scale, ticks: points.map((p) => p.x).filter((x) => x % 2 === 0) });
    this.#table.show(ranges(days), (r) => r.from);
  }
}
