// The last hour of the node that serves the page.
import { bands, linear, stretch, timeTicks } from "./axis.js";
import { Chart, Cursor } from "./chart.js";
import { el } from "./dom.js";
import { bytes, clock, compact, count, minute, moment, number, percent, seconds, short } from "./format.js";
import { keyed } from "./keyed.js";

const gap = 15_000; // ms: a point comes every 5 s
const value = (v) => (Number.isFinite(v) ? v : null);
const busy = (p, v) => (p.requests > 0 ? value(v) : null); // of no request nothing is known

// What is drawn: the top row says whether the numbers are true, then the traffic, then the machine.
const kinds = [
  { title: "Age of the numbers", tell: seconds, least: 1, limited: true, series: [{ name: "age", kind: "area", of: (p) => value(p.age) }] },
  { title: "Messages waiting", tell: count, least: 10, series: [{ name: "waiting", kind: "area", of: (p) => value(p.lag_messages) }] },
  { title: "Runs behind or hidden", tell: count, least: 10, series: [{ name: "runs", kind: "area", of: (p) => value(p.runs_behind) }] },
  { title: "Changes a second", tell: number, least: 1, series: [{ name: "changes", kind: "line", of: (p) => value(p.changes) }] },
  {
    title: "Searches a second", tell: number, least: 1, stacked: true,
    series: [{ name: "rendered", kind: "strong", of: (p) => value(p.requests * (1 - p.hit_ratio)) }, { name: "hits", kind: "soft", of: (p) => value(p.requests * p.hit_ratio) }],
  },
  { title: "Hit ratio", tell: percent, share: true, series: [{ name: "hit ratio", kind: "line", of: (p) => busy(p, p.hit_ratio) }] },
  { title: "Time to answer, p99", tell: short, least: 0.001, series: [{ name: "p99", kind: "line", of: (p) => busy(p, p.p99_seconds) }] },
  { title: "Errors a second", tell: number, least: 1, series: [{ name: "errors", kind: "area", of: (p) => value(p.errors) }] },
  { title: "Cores used", tell: number, least: 1, series: [{ name: "cores", kind: "line", of: (p) => value(p.cpu) }] },
  { title: "Memory", tell: bytes, memory: true, series: [{ name: "memory", kind: "line", of: (p) => value(p.memory_bytes || NaN) }] },
  { title: "Streams open", tell: count, least: 10, series: [{ name: "streams", kind: "line", of: (p) => value(p.streams) }] },
];

export class Pictures {
  #cursor = new Cursor();
  #charts;
  #table;
  #points = [];
  #limit = NaN;

  constructor(host, table) {
    this.#charts = kinds.map((k) => ({
      kind: k, chart: new Chart(host, { ...k, tellAxis: k.tell === count || k.tell === number ? compact : k.tell, tellX: minute, tellMoment: clock, note: (p) => (p.state === "live" ? "" : p.state) }, this.#cursor),
    }));
    this.#table = table;
    table.append(el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, el("th", { text: "time" }), ...kinds.map((k) => el("th", { text: k.title })))), el("tbody"))));
    table.addEventListener("toggle", () => this.#tabulate());
  }

  /** From when on the node marks its answers as degraded, in seconds. */
  set limit(limit) {
    this.#limit = limit;
  }

  show(history, now) {
    this.#points = history.map((p) => ({ ...p, x: Date.parse(p.at) }));
    const { from, to } = stretch(this.#points[0]?.x ?? NaN, now);
    const points = this.#points.filter((p) => p.x >= from);
    const frame = { points, from, to, gap, ticks: timeTicks(from, to, 4), bands: bands(points, (p) => (p.state === "live" ? null : p.state), gap) };
    for (const { kind, chart } of this.#charts) chart.draw({ ...frame, scale: this.#scale(kind, points), limit: kind.limited ? this.#limit : NaN });
    this.#tabulate();
  }

  #scale(kind, points) {
    if (kind.share) return { top: 1, ticks: [0, 0.5, 1], part: (v) => v };
    const sum = (p) => kind.series.reduce((all, s) => (kind.stacked ? all + (s.of(p) ?? 0) : Math.max(all, s.of(p) ?? 0)), 0);
    const most = points.reduce((all, p) => Math.max(all, sum(p)), 0);
    if (!kind.memory) return linear(most, kind.least);
    const top = 2 ** Math.ceil(Math.log2(Math.max(most, 2 ** 26))); // whole powers of two, as memory comes
    return { top, ticks: [0, top / 2, top], part: (v) => v / top };
  }

  // The same in a table, a row a minute: for those who see no pictures.
  #tabulate() {
    if (!this.#table.open) return;
    const at = (p) => p && Math.floor(p.x / 60_000);
    const minutes = this.#points.filter((p, i, all) => at(p) !== at(all[i + 1])).reverse(); // the last of each
    keyed(this.#table.querySelector("tbody"), minutes, (p) => p.x, (p) => el("tr", {}, el("td", { text: moment(p.x) }), ...kinds.map((k) => el("td", {
      text: k.series.map((s) => (s.of(p) === null ? "–" : k.tell(s.of(p)))).join(" / "),
    }))), () => {});
  }
}
