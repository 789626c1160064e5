// Where the marks of an axis lie.

/** A round number at or above a value: 1, 2 or 5 times a power of ten; 1 for nothing. */
export function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 5]) if (step * power >= value * (1 - 1e-9)) return step * power;
  return 10 * power;
}

const spans = [10, 20, 30, 60]; // minutes

/** What a picture of the last hour shows: the hour, or its end if the node has not been there for longer. first is the oldest point's time, NaN for none. */
export function stretch(first, now) {
  const minutes = Number.isNaN(first) ? 0 : (now - first) / 60_000;
  return { from: now - 60_000 * (spans.find((s) => s >= minutes) ?? spans.at(-1)), to: now };
}

/** Times with round minutes between two times in ms, at most so many. Steps divide 15 minutes or are whole hours, so they are round in every zone. */
export function timeTicks(from, to, most) {
  const step = 60_000 * ([1, 5, 15, 30, 60].find((minutes) => (to - from) / (60_000 * minutes) <= most) ?? 60);
  const ticks = [];
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) ticks.push(at);
  return ticks;
}

/** A scale from nothing to a round number above the most: {top, ticks, part}, where part tells how high a value lies, 0 to 1. */
export function linear(most, atLeast = 0) {
  const top = roundUp(Math.max(most, atLeast));
  return { top, ticks: [0, top / 2, top], part: (v) => Math.min(Math.max(v / top, 0), 1) };
}

/** A scale for values that differ by powers of ten and may be 0: the 0 has a place of its own below the smallest power. */
export function decades(values) {
  const above = values.filter((v) => v > 0);
  const low = above.length ? Math.floor(Math.log10(Math.min(...above)) + 1e-9) : 0;
  const high = Math.max(above.length ? Math.ceil(Math.log10(Math.max(...above)) - 1e-9) : 0, low + 1);
  const steps = high - low + 1;
  const ticks = [0];
  for (let power = low; power <= high; power++) ticks.push(10 ** power);
  return { top: 10 ** high, ticks, part: (v) => (v > 0 ? Math.min(Math.max((Math.log10(v) - low + 1) / steps, 0), 1) : 0) };
}

/** The point nearest to x among points sorted by x, if one is within reach; else null. */
export function nearest(points, x, reach) {
  let [low, high] = [0, points.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points[middle].x < x) low = middle + 1;
    else high = middle;
  }
  const candidates = [points[low - 1], points[low]].filter(Boolean);
  const best = candidates.sort((a, b) => Math.abs(a.x - x) - Math.abs(b.x - x))[0];
  return best && Math.abs(best.x - x) <= reach ? best : null;
}

/** Stretches in which a property of the points has one value, null left out: [{from, to, value}]. Points further apart than gap do not hang together. */
export function bands(points, of, gap) {
  const all = [];
  let open = null;
  for (const p of points) {
    const value = of(p);
    if (open && open.value === value && p.x - open.to <= gap) open.to = p.x;
    else if (value !== null) all.push((open = { from: p.x, to: p.x, value }));
    else open = null;
  }
  return all;
}
