// Lines over time, or steps over days, as SVG.

import { el } from "./dom.js";

const box = { width: 380, height: 150, left: 44, right: 8, top: 8, bottom: 20 };

function shape(tag, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A round number at or above a value: 1, 2 or 5 times a power of ten. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 5, 10]) if (step * power >= value * (1 - 1e-9)) return step * power;
  return 10 * power;
}

/**
 * Draws series over x. Points are {x, values}, by x, one value for each series, null for none; where two points are
 * more than `gap` apart the line breaks. `tellX` and `tell` write x and a value; xs are the ticks.
 */
export function chart({ title, names, points, xs, from, to, gap = Infinity, steps = false, tellX, tell }) {
  const { width, height, left, right, top, bottom } = box;
  const most = roundUp(Math.max(0, ...points.flatMap((p) => p.values.filter((v) => v !== null))));
  const atX = (x) => left + ((x - from) / (to - from || 1)) * (width - left - right);
  const atY = (v) => top + (1 - v / most) * (height - top - bottom);
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title });
  svg.append(shape("desc", {}, describe(names, points, tell)));
  for (const part of [0, 0.5, 1]) {
    const y = atY(part * most);
    svg.append(shape("line", { x1: left, x2: width - right, y1: y, y2: y, class: "grid" }), shape("text", { x: left - 6, y: y + 4, "text-anchor": "end" }, tell(part * most)));
  }
  for (const x of xs) svg.append(shape("text", { x: atX(x), y: height - 4, "text-anchor": "middle" }, tellX(x)));
  names.forEach((_, i) => svg.append(shape("path", { class: i === 0 ? "one" : "two", d: line(points, i, atX, atY, gap, steps) })));
  const value = el("span", { class: "value", text: last(names, points, tell) });
  hover(svg, points, { names, atX, tellX, tell, value });
  const keys = names.length > 1 ? names.map((name, i) => el("span", { class: i === 0 ? "key" : "key two", text: name })) : [];
  return el("figure", {}, el("figcaption", {}, el("b", { text: title }), ...keys, value), svg);
}

function line(points, i, atX, atY, gap, steps) {
  let path = "";
  let before = null;
  for (const p of points) {
    const v = p.values[i];
    if (v === null) {
      before = null;
      continue;
    }
    const [x, y] = [atX(p.x).toFixed(1), atY(v).toFixed(1)];
    if (before === null || p.x - before > gap) path += `M${x} ${y}`;
    else path += steps ? `H${x}V${y}` : `L${x} ${y}`;
    before = p.x;
  }
  return path;
}

function last(names, points, tell) {
  const p = points.at(-1);
  return p ? p.values.map((v) => (v === null ? "–" : tell(v))).join(" / ") : "no data yet";
}

function describe(names, points, tell) {
  if (points.length === 0) return "No data yet.";
  return names.map((name, i) => {
    const all = points.map((p) => p.values[i]).filter((v) => v !== null);
    return all.length ? `${name}: now ${tell(all.at(-1))}, at most ${tell(Math.max(...all))}.` : `${name}: no data.`;
  }).join(" ");
}

/** Shows the values of the point under the pointer. */
function hover(svg, points, { names, atX, tellX, tell, value }) {
  const mark = shape("line", { y1: box.top, y2: box.height - box.bottom, class: "at", visibility: "hidden" });
  svg.append(mark);
  const now = value.textContent;
  svg.addEventListener("pointermove", (event) => {
    const place = svg.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * box.width;
    const p = points.reduce((best, q) => (best === null || Math.abs(atX(q.x) - x) < Math.abs(atX(best.x) - x) ? q : best), null);
    if (p === null) return;
    for (const end of ["x1", "x2"]) mark.setAttribute(end, atX(p.x));
    mark.setAttribute("visibility", "visible");
    value.textContent = `${tellX(p.x)}: ${p.values.map((v, i) => `${names.length > 1 ? `${names[i]} ` : ""}${v === null ? "–" : tell(v)}`).join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    mark.setAttribute("visibility", "hidden");
    value.textContent = now;
  });
}
