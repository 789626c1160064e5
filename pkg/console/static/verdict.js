// What all the numbers come to: one line, and what else is wrong.
import { list, seconds } from "./format.js";

/** Items by what they have in common, in the order of their first. */
export function groups(items, of) {
  const all = new Map();
  for (const item of items) all.set(of(item), [...(all.get(of(item)) ?? []), item]);
  return all;
}

const names = (nodes) => list(nodes.map((n) => n.name));
const plural = (n, one, many) => (n === 1 ? one : many);

// What can be wrong with a node, the worst first. began tells when it did, where the node's own words do.
const kinds = [
  { kind: "silent", level: "bad", of: (n) => n.silent, say: (all) => `${names(all)} ${plural(all.length, "does", "do")} not answer`, began: (n) => n.seen },
  { kind: "unproved", level: "bad", of: (n) => n.ready && n.age === undefined, say: (all) => `Nothing proves how old the numbers of ${names(all)} are` },
  {
    kind: "old", level: "bad", of: (n) => n.state === "degraded" && n.age !== undefined, began: (n, now) => now - 1000 * n.age,
    say: (all) => all.map((n) => `${n.name} is ${seconds(n.age)} old`).join(", "),
  },
  {
    kind: "hidden", level: "bad", of: (n) => n.runs_quarantined > 0,
    say: (all) => all.map((n) => `${n.name} hides ${n.runs_quarantined} ${plural(n.runs_quarantined, "run", "runs")} whose counts cannot be right`).join(", "),
  },
  { kind: "loading", level: "warn", of: (n) => n.state === "loading", say: (all) => `${names(all)} ${plural(all.length, "is", "are")} loading and ${plural(all.length, "answers", "answer")} nobody yet` },
  {
    kind: "behind", level: "warn", of: (n) => n.runs_behind > 0,
    say: (all) => all.map((n) => `${n.name} is behind with ${n.runs_behind} ${plural(n.runs_behind, "run", "runs")}`).join(", "),
  },
  { kind: "errors", level: "warn", of: (n) => n.errors >= 0.05, say: (all) => all.map((n) => `${n.name} fails ${n.errors.toFixed(1)} requests a second; its log tells why`).join(", ") },
  { kind: "draining", level: "warn", of: (n) => n.state === "draining", say: (all) => `${names(all)} ${plural(all.length, "is", "are")} drained` },
];

/** Remembers when each thing began to be wrong. What was so at the first look may have begun before. */
export class Since {
  #began = new Map();
  #first = NaN;

  /** Takes the keys of all that is wrong now; what is missing is over. */
  mark(keys, now) {
    if (Number.isNaN(this.#first)) this.#first = now;
    const wrong = new Set(keys);
    for (const key of this.#began.keys()) if (!wrong.has(key)) this.#began.delete(key);
    for (const key of wrong) if (!this.#began.has(key)) this.#began.set(key, now);
  }

  /** When the first of these began, and whether it may have begun before. */
  of(keys) {
    const at = Math.min(...keys.map((key) => this.#began.get(key) ?? Infinity));
    return { at, atLeast: at === this.#first };
  }
}

/** All that is wrong with the nodes, the worst first: [{level, text, at, atLeast}]. */
export function troubles(nodes, now, since) {
  const found = kinds.map((k) => ({ ...k, nodes: nodes.filter((n) => k.of(n) && !(n.silent && k.kind !== "silent")) })).filter((k) => k.nodes.length);
  const keys = (k) => k.nodes.map((n) => `${k.kind} ${n.id}`);
  since.mark(found.flatMap(keys), now);
  return found.map((k) => {
    const told = k.nodes.map((n) => k.began?.(n, now)).filter(Number.isFinite);
    const when = told.length === k.nodes.length ? { at: Math.min(...told), atLeast: false } : since.of(keys(k));
    return { level: k.level, text: k.say(k.nodes), ...when };
  });
}

/** The verdict on a fleet: {level: good, warn or bad, text, at, atLeast, more: further troubles}. */
export function verdict(nodes, now, since) {
  const all = troubles(nodes, now, since);
  if (nodes.length === 0) return { level: "bad", text: "No node answers", at: NaN, atLeast: false, more: [] };
  const speaking = nodes.filter((n) => !n.silent);
  const oldest = Math.max(...speaking.map((n) => n.age ?? 0));
  if (all.length > 0) {
    const [first, ...more] = all;
    return { ...first, text: first.level === "warn" ? `${first.text}; oldest number ${seconds(oldest)} old` : first.text, more };
  }
  return { level: "good", text: `${nodes.length === 1 ? "The only node is" : `All ${nodes.length} nodes`} live, oldest number ${seconds(oldest)} old`, at: NaN, atLeast: false, more: [] };
}

const forgottenAfter = 3_600_000;

/**
 * Remembers nodes, and gives those that are gone beside those that are there: a node that halts or loses the server cannot say so itself. One that has
 * come back under its name is no longer missed, and one that was missed for an hour is forgotten.
 */
export class Roll {
  #seen; // by id: the node, and when it was there last

  constructor(kept = []) {
    this.#seen = new Map(kept.map((k) => [k.node.id, k]));
  }

  call(nodes, now) {
    for (const node of nodes) this.#seen.set(node.id, { node, at: node.silent ? (this.#seen.get(node.id)?.at ?? now) : now });
    const there = new Set(nodes.map((n) => n.id));
    const back = new Set(nodes.map((n) => n.name));
    for (const [id, { node, at }] of this.#seen) if (!there.has(id) && (now - at > forgottenAfter || back.has(node.name))) this.#seen.delete(id);
    const gone = [...this.#seen.values()].filter(({ node }) => !there.has(node.id));
    return [
      ...nodes.map((n) => (n.silent ? { ...n, seen: this.#seen.get(n.id).at } : n)),
      ...gone.map(({ node, at }) => ({ ...node, silent: "gone", gone: true, seen: at })),
    ].sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }) || (a.id < b.id ? -1 : 1));
  }

  /** Misses a node no longer: it was taken away on purpose. */
  forget(id) {
    this.#seen.delete(id);
  }

  /** What a page that is loaded again should know. */
  get kept() {
    return [...this.#seen.values()].map(({ node: { id, name, program, settings }, at }) => ({ node: { id, name, program, settings: { version: settings?.version } }, at }));
  }
}

/** What an operator should know beside: lines. last is the number of the shared settings that were stored last; 0 for none. */
export function warnings(nodes, last = 0) {
  const out = [];
  const speaking = nodes.filter((n) => !n.silent);
  for (const [name, those] of groups(nodes.filter((n) => !n.gone), (n) => n.name)) {
    if (those.length > 1) out.push(`${those.length} nodes are called ${name}: only their ids tell them apart (${list(those.map((n) => n.id))})`);
  }
  const programs = [...groups(speaking, (n) => n.program)].sort((a, b) => b[1].length - a[1].length);
  for (const [program, those] of programs.slice(1)) out.push(`${names(those)} ${plural(those.length, "runs", "run")} another program, ${program}; the others ${programs[0][0]}`);
  const newest = Math.max(last, ...speaking.map((n) => n.settings.version));
  for (const n of speaking) {
    const { version, refused, refused_version: which, file_refused: file } = n.settings;
    if (refused) out.push(`${n.name} refuses the shared settings, version ${which}: ${refused}`);
    else if (version < newest) out.push(`${n.name} has version ${version || "none"} of the shared settings; ${newest} was stored last`);
    if (file) out.push(`${n.name} refuses its own file: ${file}`);
  }
  return out;
}
