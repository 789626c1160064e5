// Lines over time, or steps over days, as SVG. A picture is drawn at the size at which it stands, so that its text is as large as all other text.
import { nearest } from "./axis.js";
import { el, setText } from "./dom.js";
import { none } from "./format.js";

const margin = { left: 48, right: 18, top: 8, bottom: 20 };
const height = 128;
let made = 0; // charts, for ids

function shape(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Where the reader looks, shared by all pictures of one time, so that one moment can be read in all of them. */
export class Cursor extends EventTarget {
  x = null;

  move(x) {
    if (x === this.x) return;
    this.x = x;
    this.dispatchEvent(new Event("move"));
  }
}

/**
 * A picture. Series are {name, of, kind}: of(point) gives a value or null; kind is "line", "dash", "area" or "steps" and so on in the style sheet. stacked:
 * the series lie on each other. tell writes a value, tellAxis one at the axis if it is another, tellX an x and tellMoment the one under the cursor; note(point) may add a word to what the cursor reads.
 */
export class Chart {
  #o;
  #cursor;
  #svg;
  #value = el("span", { class: "value" });
  #keys; // of several series, each with its value
  #desc = shape("desc", { id: `chart-desc-${made}` });
  #mark = shape("g", { class: "mark", visibility: "hidden" });
  #plot = null; // what was drawn last: {points, from, to, scale, ticks, bands, limit}
  #width = 0;

  constructor(host, o, cursor) {
    this.#o = o;
    this.#cursor = cursor;
    const title = shape("title", { id: `chart-title-${made}` }, o.title);
    this.#svg = shape("svg", { role: "img", tabindex: 0, "aria-labelledby": title.id, "aria-describedby": this.#desc.id });
    made++;
    this.#svg.append(title, this.#desc);
    this.#keys = o.series.length > 1 ? o.series.map((s) => el("span", { class: `key ${s.kind}`, text: s.name })) : [];
    host.append(el("figure", {}, el("figcaption", {}, el("b", { text: o.title }), this.#value), this.#keys.length > 0 ? el("p", { class: "keys" }, ...this.#keys) : null, this.#svg));
    new ResizeObserver(() => this.#resized()).observe(this.#svg);
    this.#listen();
    cursor.addEventListener("move", () => this.#read());
  }

  /** Draws points, {x, ...} by x, between from and to. scale is one of axis.js; ticks are x; gap is how far apart two points still hang together. */
  draw(plot) {
    this.#plot = plot;
    this.#paint();
  }

  #resized() {
    if (this.#svg.clientWidth !== this.#width) this.#paint();
  }

  #x(x) {
    const { from, to } = this.#plot;
    return margin.left + ((x - from) / (to - from || 1)) * (this.#width - margin.left - margin.right);
  }

  #y(v) {
    return margin.top + (1 - this.#plot.scale.part(v)) * (height - margin.top - margin.bottom);
  }

  #paint() {
    this.#width = this.#svg.clientWidth;
    if (!this.#plot || this.#width === 0) return; // not in sight
    const { scale, ticks, bands = [], limit } = this.#plot;
    const [left, right, foot] = [margin.left, this.#width - margin.right, height - margin.bottom];
    const parts = bands.map((b) => shape("rect", { class: "band", "data-value": b.value, x: this.#x(b.from), width: Math.max(2, this.#x(b.to) - this.#x(b.from)), y: margin.top, height: foot - margin.top }));
    for (const v of scale.ticks) {
      parts.push(shape("line", { class: "grid", x1: left, x2: right, y1: this.#y(v), y2: this.#y(v) }));
      parts.push(shape("text", { x: left - 6, y: this.#y(v) + 4, "text-anchor": "end" }, v === 0 ? "0" : (this.#o.tellAxis ?? this.#o.tell)(v)));
    }
    for (const x of ticks) {
      parts.push(shape("line", { class: "tick", x1: this.#x(x), x2: this.#x(x), y1: foot, y2: foot + 4 }));
      parts.push(shape("text", { x: this.#x(x), y: height - 3, "text-anchor": "middle" }, this.#o.tellX(x)));
    }
    if (limit && limit <= scale.top) parts.push(shape("line", { class: "limit", x1: left, x2: right, y1: this.#y(limit), y2: this.#y(limit) }));
    this.#o.series.forEach((s, i) => parts.push(...this.#lines(s, i)));
    this.#svg.replaceChildren(this.#svg.querySelector("title"), this.#desc, ...parts, this.#mark);
    setText(this.#desc, this.#describe());
    this.#read();
  }

  // Stacked series lie on those before them.
  #at(p, i) {
    const of = this.#o.series.map((s) => s.of(p));
    if (!this.#o.stacked || of[i] === null) return of[i];
    return of.slice(0, i + 1).reduce((sum, v) => sum + v, 0);
  }

  #lines(s, i) {
    let [path, area, open] = ["", "", null];
    const close = () => open && (area += `L${open.x} ${open.foot}Z`);
    for (const p of this.#plot.points) {
      const v = this.#at(p, i);
      if (v === null) {
        close();
        open = null;
        continue;
      }
      const [x, y] = [this.#x(p.x).toFixed(1), this.#y(v).toFixed(1)];
      const step = open && p.x - open.at <= this.#plot.gap ? (this.#o.steps ? `H${x}V${y}` : `L${x} ${y}`) : null;
      if (!step) close();
      path += step ?? `M${x} ${y}h.01`; // a lone point is seen, too
      const foot = this.#y(0).toFixed(1);
      area += step ?? `M${x} ${foot}L${x} ${y}`;
      open = { at: p.x, x, foot };
    }
    close();
    const filled = s.kind === "area" || this.#o.stacked;
    return [filled && shape("path", { class: `fill ${s.kind}`, d: area }), shape("path", { class: s.kind, d: path })].filter(Boolean);
  }

  #describe() {
    return this.#o.series.map((s) => {
      const all = this.#plot.points.map(s.of).filter((v) => v !== null);
      return all.length ? `${s.name}: ${this.#o.tell(all.at(-1))} at the end, between ${this.#o.tell(Math.min(...all))} and ${this.#o.tell(Math.max(...all))}.` : `${s.name}: no data.`;
    }).join(" ");
  }

  // The one value, or the sum of those that lie on each other; what else there is stands at the keys.
  #word(p) {
    if (this.#o.series.length > 1 && !this.#o.stacked) return "";
    const v = this.#at(p, this.#o.series.length - 1);
    return v === null ? none : this.#o.tell(v);
  }

  // Shows the values under the cursor, or the last.
  #read() {
    if (!this.#plot) return;
    const { points, gap, from, to } = this.#plot;
    const x = this.#cursor.x;
    const there = x !== null && x >= from && x <= to;
    const p = there ? nearest(points, x, Math.max(gap, (to - from) / 100)) : (points.at(-1) ?? null);
    this.#mark.setAttribute("visibility", there ? "visible" : "hidden");
    if (there) this.#point(p, p?.x ?? x);
    const words = [there && this.#o.tellMoment(p?.x ?? x), p ? this.#word(p) : "no data", there && p && this.#o.note?.(p)];
    setText(this.#value, words.filter(Boolean).join(" · "));
    this.#value.classList.toggle("read", there);
    this.#keys.forEach((key, i) => {
      const v = p ? this.#o.series[i].of(p) : null;
      setText(key, `${this.#o.series[i].name} ${v === null ? none : this.#o.tell(v)}`);
    });
  }

  #point(p, x) {
    const [top, foot] = [margin.top, height - margin.bottom];
    const dots = p ? this.#o.series.map((_, i) => this.#at(p, i)).filter((v) => v !== null) : [];
    this.#mark.replaceChildren(shape("line", { x1: this.#x(x), x2: this.#x(x), y1: top, y2: foot }), ...dots.map((v) => shape("circle", { cx: this.#x(x), cy: this.#y(v), r: 3.5 })));
  }

  #listen() {
    const at = (event) => {
      const place = this.#svg.getBoundingClientRect();
      const { from, to } = this.#plot;
      const part = (event.clientX - place.left - margin.left) / (place.width - margin.left - margin.right);
      this.#cursor.move(from + Math.min(Math.max(part, 0), 1) * (to - from));
    };
    for (const kind of ["pointermove", "pointerdown"]) this.#svg.addEventListener(kind, (event) => this.#plot && at(event));
    // A finger that is lifted leaves its value in sight; a mouse that goes away does not.
    this.#svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.#cursor.move(null));
    this.#svg.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const points = this.#plot?.points ?? [];
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12 };
    if (event.key === "Escape") return this.#cursor.move(null);
    if (!(event.key in steps) || points.length === 0) return;
    event.preventDefault();
    const here = this.#cursor.x === null ? points.length : points.indexOf(nearest(points, this.#cursor.x, Infinity));
    this.#cursor.move(points[Math.min(Math.max(here + steps[event.key], 0), points.length - 1)].x);
  }
}
