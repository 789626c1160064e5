// The console: asks again and again, shows what came and how old it is, and does what an operator wants.

import { ask, Refusal, setToken, token } from "./api.js";
import { chart } from "./chart.js";
import { el, setText } from "./dom.js";
import { editor } from "./editor.js";
import { rollCall, verdict, warnings } from "./verdict.js";

const $ = (id) => document.getElementById(id);
const rows = (section, list) => document.querySelector(`#${section} tbody`).replaceChildren(...list);
const row = (...cells) => el("tr", {}, ...cells.map((cell) => (cell instanceof Node ? el("td", {}, cell) : el("td", { text: cell ?? "" }))));
const clock = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
const moment = (at) => new Date(at).toLocaleString([], { dateStyle: "short", timeStyle: "medium", hour12: false });
const number = (v) => (v >= 100 ? Math.round(v).toString() : v >= 10 ? v.toFixed(1) : v.toFixed(v >= 1 || v === 0 ? 1 : 2));
const percent = (v) => `${Math.round(100 * v)} %`;
const milliseconds = (s) => `${number(1000 * s)} ms`;
const memory = (bytes) => `${Math.round(bytes / 2 ** 20)} MiB`;

/** Who acts; asks for it where it is missing. */
function by() {
  const name = $("by").value.trim();
  if (!name) {
    $("by").focus();
    say("Say who you are first, at the top right: it is put on record.", "bad");
  }
  return name;
}

function say(text, level = "good") {
  setText($("message"), text);
  $("message").dataset.level = level;
  $("message").hidden = !text;
}

/** Does something and says what came of it. */
async function act(path, body, done) {
  try {
    const answer = await ask(path, body);
    const refused = (answer.nodes ?? []).filter((n) => n.refused);
    const lines = refused.map((n) => `${n.name}: ${n.refused}`);
    if (answer.unrecorded) lines.push(answer.unrecorded);
    say([`${done}: done on ${(answer.nodes ?? []).length - refused.length} of ${(answer.nodes ?? []).length} nodes.`, ...lines].join("\n"), lines.length ? "bad" : "good");
    return answer;
  } catch (refusal) {
    say(`${done}: ${refusal.message}`, "bad");
    if (refusal.status === 401) wantToken();
    return null;
  } finally {
    look();
  }
}

function wantToken() {
  $("ask-token").hidden = false;
  $("token-refused").hidden = !token();
}

// The fleet.
const roll = rollCall();

function showNodes(answering) {
  const nodes = roll(answering, Date.now());
  rows("fleet", nodes.map((n) => {
    const state = el("span", { class: "state", "data-state": n.silent ? "silent" : n.state, text: n.silent ?? n.state ?? "–" });
    const name = el("span", { text: n.name, title: n.id });
    if (n.silent) return row(name, state, ...Array(9).fill("–"), n.program, "");
    const runs = n.runs + (n.runs_behind + n.runs_quarantined > 0 ? ` (${n.runs_behind} behind, ${n.runs_quarantined} hidden)` : "");
    return row(name, state, n.age === undefined ? "–" : `${n.age.toFixed(1)} s`, n.lag_messages ?? "–", runs, n.memory_bytes ? memory(n.memory_bytes) : "–", number(n.requests),
      n.requests > 0 ? percent(n.hit_ratio) : "–", milliseconds(n.p99_seconds ?? 0), n.streams ?? "–", n.settings.version || "own", n.program, drainButton(n));
  }));
  $("warnings").replaceChildren(...warnings(nodes).map((text) => el("li", { text })));
  const { level, text } = verdict(nodes);
  setText($("verdict"), text);
  $("verdict").dataset.level = level;
}

// A node's button is pressed twice: what it does is no small thing, and it lies close to others.
const sure = { node: "", until: 0 };

function drainButton(n) {
  const draining = n.state !== "draining";
  const what = draining ? "Drain" : "Return";
  const armed = sure.node === n.id && Date.now() < sure.until;
  const button = el("button", { type: "button", class: armed ? "act" : null, text: armed ? `Really ${what.toLowerCase()}?` : what, on: { click: () => {
    const who = by();
    if (!who) return;
    if (sure.node !== n.id || Date.now() >= sure.until) {
      Object.assign(sure, { node: n.id, until: Date.now() + 6000 });
      button.className = "act";
      return setText(button, `Really ${what.toLowerCase()}?`);
    }
    sure.node = "";
    act("/fleet/drain", { node: n.id, draining, by: who }, `${what} ${n.name}`);
  } } });
  return button;
}

// The last hour.
function showHistory(points) {
  const to = Date.now();
  const from = Math.min(to - 5 * 60_000, points.length ? Date.parse(points[0].at) : to);
  const minutes = (to - from) / 60_000;
  const step = [1, 2, 5, 10, 15].find((s) => minutes / s <= 6) ?? 20;
  const xs = [];
  for (let x = Math.ceil(from / (step * 60_000)) * step * 60_000; x < to; x += step * 60_000) xs.push(x);
  const draw = (title, names, tell, ...of) => chart({
    title, names, tell, xs, from, to, gap: 15_000, tellX: clock,
    points: points.map((p) => ({ x: Date.parse(p.at), values: of.map((f) => f(p) ?? null) })),
  });
  document.querySelector("#history .pictures").replaceChildren(
    draw("Age of the numbers", ["age"], (v) => `${number(v)} s`, (p) => p.age),
    draw("Searches a second", ["searches", "errors"], number, (p) => p.requests, (p) => p.errors),
    draw("Hit ratio", ["hits"], percent, (p) => (p.requests > 0 ? p.hit_ratio : null)),
    draw("Time to answer, 99 of 100", ["p99"], milliseconds, (p) => p.p99_seconds),
    draw("Changes a second, and messages waiting", ["changes", "waiting"], number, (p) => p.changes, (p) => p.lag_messages),
    draw("Cores, and streams / 1000", ["cores", "streams"], number, (p) => p.cpu, (p) => p.streams / 1000),
  );
}

function showCurve(days) {
  const ttl = (v) => (v === 0 ? "0" : v < 1 ? `${Math.round(1000 * v)} ms` : `${number(v)} s`);
  document.querySelector("#curve .pictures").replaceChildren(chart({
    title: "TTL", names: ["asked once", "asked and changed without end"], tell: ttl, steps: true, tellX: (d) => `${d}`, xs: days.map((d) => d.days).filter((d) => d % 2 === 0),
    from: 0, to: Math.max(1, days.length - 1), points: days.map((d) => ({ x: d.days, values: [d.quiet.ttl_seconds, d.busy.ttl_seconds] })),
  }));
}

const showHot = (all) => rows("hot", all.length ? all.map((h) => row(h.from, h.to, h.days === 0 ? "today" : `in ${h.days} days`, number(h.requests))) : [row("nobody asks", "", "", "")]);

const showHolds = (held) => rows("runs", held.runs.length
  ? held.runs.map((r) => row(r.run, [r.suspended && "suspended", r.pinned && "pinned"].filter(Boolean).join(", "), r.reason, r.by, moment(r.at)))
  : [row("none", "", "", "", "")]);

const showActs = (acts) => rows("acts", acts.map((a) => {
  const done = a.nodes ? `${a.nodes.filter((n) => !n.refused).length} of ${a.nodes.length}` : "";
  return row(moment(a.at), a.by, a.what, a.target, a.before, a.after, done, a.note);
}));

const showConfig = (all) => rows("config", all.map((s) => row(s.key, s.value, s.from)));

// What is asked for how often, and what becomes of it.
const looks = [
  { path: "/fleet/nodes", every: 2000, show: showNodes, greys: ["fleet"] },
  { path: "/node/history", every: 5000, show: showHistory, greys: ["history"] },
  { path: "/node/hot?last=10", every: 10_000, show: showHot, greys: ["hot"] },
  { path: "/node/ttl", every: 10_000, show: showCurve, greys: ["curve"] },
  { path: "/fleet/runs", every: 5000, show: showHolds, greys: ["runs"] },
  { path: "/fleet/acts?last=20", every: 5000, show: showActs, greys: ["acts"] },
  { path: "/node/config", every: 60_000, show: showConfig, greys: ["config"] },
].map((l) => ({ ...l, due: 0, since: null, failures: 0 }));

let busy = false;

/** Asks for what is due, or for everything. */
async function look(all = true) {
  if (all) for (const l of looks) l.due = 0;
  if (busy || document.hidden) return;
  busy = true;
  await Promise.all(looks.filter((l) => l.due <= Date.now()).map(one));
  busy = false;
}

async function one(l) {
  try {
    l.show(await ask(l.path));
    Object.assign(l, { since: null, failures: 0 });
    $("ask-token").hidden = true;
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    l.since ??= Date.now();
    l.failures++;
    if (refusal.status === 401) wantToken();
    if (l.path === "/fleet/nodes") {
      setText($("verdict"), refusal.status === 401 ? "This node wants its token" : `${refusal.message}: what is below is old, since ${new Date(l.since).toLocaleTimeString()}`);
      $("verdict").dataset.level = "bad";
    }
  }
  for (const id of l.greys) $(id).classList.toggle("old", l.since !== null); // Q2
  l.due = Date.now() + l.every * Math.min(2 ** l.failures, 8);
}

$("ask-token").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken($("token").value.trim());
  $("token").value = "";
  $("ask-token").hidden = true;
  look();
  rules.load();
});
$("by").value = localStorage.getItem("yupiao-by") ?? "";
$("by").addEventListener("change", () => localStorage.setItem("yupiao-by", $("by").value.trim()));
$("run-act").addEventListener("submit", (event) => {
  event.preventDefault();
  const who = by();
  if (who) act("/fleet/runs", { act: $("act").value, run: $("run").value.trim(), reason: $("reason").value.trim(), by: who }, `${$("act").value} ${$("run").value}`);
});
const rules = editor({ act, by, say, moment, percent });
rules.load();
document.addEventListener("visibilitychange", () => look());
setInterval(() => look(false), 500);
look();
