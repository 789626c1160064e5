// What all the numbers come to, in one line.

const seconds = (s) => `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;

/** The verdict on a fleet: a level (good, warn, bad) and a text. */
export function verdict(nodes) {
  const named = (list) => list.map((n) => n.name).join(", ");
  const all = (what) => nodes.filter(what);
  const silent = all((n) => n.silent);
  const speaking = all((n) => !n.silent);
  if (nodes.length === 0) return { level: "bad", text: "No node answers" };
  if (silent.length > 0) return { level: "bad", text: `${named(silent)} ${silent.length > 1 ? "do" : "does"} not answer` };
  const unproved = all((n) => n.ready && n.age === undefined);
  if (unproved.length > 0) return { level: "bad", text: `Nothing proves how old the numbers of ${named(unproved)} are` };
  const old = all((n) => n.state === "degraded");
  if (old.length > 0) return { level: "bad", text: old.map((n) => `${n.name} is ${seconds(n.age ?? 0)} old`).join(", ") };
  const hidden = all((n) => n.runs_quarantined > 0);
  if (hidden.length > 0) return { level: "bad", text: hidden.map((n) => `${n.name} hides ${n.runs_quarantined} runs`).join(", ") };
  const oldest = Math.max(...speaking.map((n) => n.age ?? 0));
  const behind = speaking.reduce((sum, n) => sum + n.runs_behind, 0);
  const away = all((n) => n.state === "draining" || n.state === "loading");
  if (behind > 0) return { level: "warn", text: `${behind} runs are behind; oldest number ${seconds(oldest)} old` };
  if (away.length > 0) return { level: "warn", text: `${away.map((n) => `${n.name} is ${n.state}`).join(", ")}; oldest number ${seconds(oldest)} old` };
  return { level: "good", text: `${nodes.length === 1 ? "The node is" : `All ${nodes.length} nodes are`} live, oldest number ${seconds(oldest)} old` };
}

/**
 * Remembers nodes, and gives those that are gone beside those that are there: a node that halts or loses the server cannot say so itself. One that has come back under its name is
 * no longer missed, and one that was missed for an hour is forgotten.
 */
export function rollCall() {
  const seen = new Map(); // by id: the node, and when it was there last
  return (nodes, now) => {
    for (const n of nodes) seen.set(n.id, { node: n, at: now });
    const back = new Set(nodes.map((n) => n.name));
    for (const [id, { node, at }] of seen) if (now - at > 3_600_000 || (at !== now && back.has(node.name))) seen.delete(id);
    const gone = [...seen.values()].filter(({ at }) => at !== now);
    return [...nodes, ...gone.map(({ node, at }) => ({ ...node, silent: `gone since ${new Date(at).toLocaleTimeString([], { hour12: false })}` }))];
  };
}

/** What an operator should know beside: lines. */
export function warnings(nodes) {
  const out = [];
  const count = (of) => nodes.reduce((map, n) => map.set(of(n), (map.get(of(n)) ?? 0) + 1), new Map());
  for (const [name, n] of count((n) => n.name)) if (n > 1) out.push(`${n} nodes are called ${name}: only their ids tell them apart`);
  if (count((n) => n.program).size > 1) out.push("Nodes of different programs");
  const speaking = nodes.filter((n) => !n.silent);
  if (new Set(speaking.map((n) => n.settings.version)).size > 1) out.push("Nodes have different versions of the shared settings");
  for (const n of speaking) for (const why of [n.settings.refused, n.settings.file_refused]) if (why) out.push(`${n.name}: ${why}`);
  for (const n of speaking) if (n.errors > 0) out.push(`${n.name}: ${n.errors.toFixed(1)} errors/s; its log tells`);
  return out;
}
