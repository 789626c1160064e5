// What a text changes in another, line by line.

const mostCells = 4_000_000; // of the table of common lines: two documents of 2,000 different lines

const lines = (text) => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

/** The lines of both texts in order: [{kind: "same" | "gone" | "new", text}]. */
export function diff(before, after) {
  const [a, b] = [lines(before), lines(after)];
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (all) => all.map((text) => ({ kind: "same", text }));
  const middle = between(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [...same(a.slice(0, head)), ...middle, ...same(a.slice(a.length - tail))];
}

// The longest common subsequence; where that is too dear, everything is gone and new.
function between(a, b) {
  const gone = (text) => ({ kind: "gone", text });
  const fresh = (text) => ({ kind: "new", text });
  if (a.length * b.length > mostCells) return [...a.map(gone), ...b.map(fresh)];
  const width = b.length + 1;
  const common = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let k = b.length - 1; k >= 0; k--) {
      common[i * width + k] = a[i] === b[k] ? common[(i + 1) * width + k + 1] + 1 : Math.max(common[(i + 1) * width + k], common[i * width + k + 1]);
    }
  }
  const out = [];
  let [i, k] = [0, 0];
  while (i < a.length || k < b.length) {
    if (i < a.length && k < b.length && a[i] === b[k]) {
      out.push({ kind: "same", text: a[i++] });
      k++;
    } else if (k === b.length || (i < a.length && common[(i + 1) * width + k] >= common[i * width + k + 1])) out.push(gone(a[i++]));
    else out.push(fresh(b[k++]));
  }
  return out;
}

/** The changed lines with a few around them; null stands for lines that are left out. */
export function hunks(all, around = 2) {
  const near = all.map((_, i) => all.slice(Math.max(0, i - around), i + around + 1).some((l) => l.kind !== "same"));
  const out = [];
  all.forEach((line, i) => {
    if (near[i]) out.push(line);
    else if (out.at(-1) !== null) out.push(null);
  });
  return out;
}
