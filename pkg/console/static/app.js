// The console: asks again and again, shows what came and how old it is, and does what an operator wants.
import { nodeNow, setToken, token } from "./api.js";
import { Curve } from "./curve.js";
import { attribute, el, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { clock, goSeconds, moment, number, seconds, short } from "./format.js";
import { Table } from "./keyed.js";
import { Pictures } from "./pictures.js";
import { Poll } from "./poll.js";
import { Rules } from "./rules.js";
import { Runs } from "./runs.js";
import { Roll, Since, verdict, warnings } from "./verdict.js";

const byId = (id) => document.getElementById(id);
const rollKey = "yupiao-roll";

class Console {
  #roll = new Roll(JSON.parse(sessionStorage.getItem(rollKey) ?? "[]"));
  #since = new Since();
  #answering = []; // nodes, as the fleet told last
  #nodes = []; // those and the missed ones
  #settings = new Map(); // of this node, by key
  #down = null; // since when the fleet cannot be asked, and why: {at, text}
  #closed = () => (this.#settings.get("admin.token") === "" ? "This node has no admin.token, so nothing can be changed here" : "");
  #again = () => this.#lookAll();
  #fleet = new Fleet(byId("nodes"), { closed: this.#closed, done: this.#again, forget: (n) => this.#forget(n) });
  #pictures = new Pictures(byId("pictures"), byId("points"));
  #curve = new Curve(byId("curve-picture"), byId("curve-table"));
  #runs = new Runs(byId("run-act"), byId("holds"), { closed: this.#closed, done: this.#again });
  #rules = new Rules({
    text: byId("document"), gutter: byId("gutter"), version: byId("version"), news: byId("news"), faults: byId("faults"), try: byId("try"), share: byId("share"),
    reset: byId("reset"), report: byId("report"), versions: byId("versions"),
  }, { closed: this.#closed, done: this.#again });
  #hot = new Table(byId("hot-table"), [
    { name: "From", of: (h) => h.from },
    { name: "To", of: (h) => h.to },
    { name: "Boarding", of: (h) => h.date ?? (h.days === 0 ? "today" : h.days === 1 ? "tomorrow" : `in ${h.days} days`) },
    { name: "Searches/s", number: true, of: (h) => number(h.requests) },
    { name: "TTL", number: true, of: (h) => (h.ttl_seconds === undefined ? "" : short(h.ttl_seconds)) },
    { name: "Rule", of: (h) => h.rule ?? "" },
  ], "Nobody asks this node for seats.");
  #acts = new Table(byId("acts-table"), [
    { name: "When", class: "title", of: (a) => ({ text: moment(a.at), title: a.at }) },
    { name: "By", of: (a) => a.by },
    { name: "What", of: (a) => `${a.what}${a.target ? ` ${a.target}` : ""}` },
    { name: "Before → after", of: (a) => (a.before || a.after ? `${a.before || "–"} → ${a.after || "–"}` : "") },
    { name: "Done on", of: doneOn },
    { name: "Note", wide: true, of: (a) => a.note ?? "" },
  ], "Nobody has done anything yet.");
  #config = new Table(byId("config-table"), [
    { name: "Setting", class: "title", of: (s) => s.key },
    { name: "Value", wide: true, of: (s) => s.value },
    { name: "From", of: (s) => ({ text: s.from, level: s.from === "default" ? null : "own" }) },
  ], "This node tells of no settings.");

  // What is asked for how often, and the parts of the page that are as old as its answer. Settings come first: they say who this node is.
  #polls = [
    { of: new Poll("/node/config", 60_000, (all) => this.#tookConfig(all)), parts: ["config"] },
    { of: new Poll("/fleet/nodes", 2000, (nodes) => this.#tookNodes(nodes), (refusal) => this.#lostFleet(refusal)), parts: ["fleet"] },
    { of: new Poll("/node/history", 5000, (points) => this.#pictures.show(points, nodeNow())), parts: ["history"] },
    { of: new Poll("/fleet/settings?last=1", 5000, (versions) => this.#rules.show(versions)), parts: ["rules"] },
    { of: new Poll("/fleet/runs", 5000, (holding) => this.#runs.show(holding)), parts: ["runs"] },
    { of: new Poll("/fleet/acts?last=50", 5000, (acts) => this.#acts.show(acts, (a) => `${a.at} ${a.by} ${a.what} ${a.target}`)), parts: ["acts"] },
    { of: new Poll("/node/hot?last=20", 10_000, (all) => this.#tookHot(all)), parts: ["hot"] },
    { of: new Poll("/node/ttl", 10_000, (days) => this.#curve.show(days)), parts: ["curve"] },
  ];

  start() {
    byId("ask-token").addEventListener("submit", (event) => this.#tookToken(event));
    byId("forget-token").addEventListener("click", () => {
      setToken("");
      location.reload();
    });
    document.addEventListener("visibilitychange", () => this.#lookAll());
    addEventListener("online", () => this.#lookAll());
    setInterval(() => this.#tick(), 1000);
    this.#lookAll();
  }

  #lookAll() {
    for (const poll of this.#polls) poll.of.look();
    this.#tick();
  }

  get #self() {
    return this.#settings.get("feed.name") ?? "";
  }

  #tookConfig(all) {
    this.#settings = new Map(all.map((s) => [s.key, s.value]));
    this.#config.show(all, (s) => s.key);
    for (const node of document.querySelectorAll(".self-name")) setText(node, this.#self || "this node");
    byId("read-only").hidden = !this.#closed();
    byId("forget-token").hidden = !token();
    this.#showNodes();
  }

  #tookNodes(nodes) {
    this.#answering = nodes;
    this.#down = null;
    this.#nodes = this.#roll.call(nodes, Date.now());
    sessionStorage.setItem(rollKey, JSON.stringify(this.#roll.kept));
    const own = nodes.find((n) => n.name === this.#self);
    this.#pictures.limit = goSeconds(own?.settings.values?.find((v) => v.key === "freshness.degraded_after")?.value);
    this.#showNodes();
  }

  #showNodes() {
    this.#fleet.show(this.#nodes, this.#self, this.#rules.last);
    this.#runs.nodes = this.#nodes;
    byId("warnings").replaceChildren(...warnings(this.#nodes, this.#rules.last).map((text) => el("li", { text })));
    this.#tick();
  }

  #tookHot(all) {
    byId("hot-table").classList.toggle("ruled", all.some((h) => h.ttl_seconds !== undefined));
    this.#hot.show(all, (h) => `${h.from} ${h.to} ${h.days ?? h.date}`);
  }

  #forget(node) {
    this.#roll.forget(node.id);
    this.#tookNodes(this.#answering);
  }

  // The fleet cannot be asked: by this page, or by this node (502).
  #lostFleet(refusal) {
    const text = refusal.status === 0 ? `${this.#self || "This node"} does not answer this page (${refusal.message})`
      : refusal.status === 401 ? "This node wants its token"
        : `${this.#self || "This node"} cannot ask the fleet: ${refusal.message}`;
    const last = Date.now() - this.#polls[1].of.age();
    this.#down = { at: this.#down?.at ?? (Number.isNaN(last) ? Date.now() : last), text };
    this.#tick();
  }

  #tookToken(event) {
    event.preventDefault();
    setToken(byId("token").value.trim());
    byId("token").value = "";
    this.#lookAll();
  }

  // Each second: how old is what is shown, and what does it come to?
  #tick() {
    const away = this.#polls.some(({ of }) => of.refusal?.status === 0); // all answers come from the same node
    for (const { of, parts } of this.#polls) {
      for (const id of parts) {
        byId(id).classList.toggle("old", away || of.old);
        setText(byId(id).querySelector(".as-of"), away || of.old ? asOf(of) : "");
      }
    }
    this.#askToken();
    const fleet = this.#polls[1].of;
    const old = Number.isNaN(fleet.age()) ? "" : `; what stands below is ${seconds(fleet.age() / 1000)} old`;
    if (this.#down) this.#say({ level: "bad", text: `${this.#down.text}${old}`, at: this.#down.at, more: [] });
    else if (Number.isNaN(fleet.age())) this.#say({ level: "none", text: "Asking the fleet …", at: NaN, more: [] });
    else if (fleet.old) this.#say({ level: "bad", text: `Asking again${old}`, at: NaN, more: [] });
    else this.#say(verdict(this.#nodes, Date.now() - fleet.age(), this.#since));
  }

  #say({ level, text, at, atLeast, more }) {
    const when = (t) => (Number.isFinite(t.at) ? `since ${moment(t.at)}${t.atLeast ? " or before" : ""} (${seconds(Math.max(0, Date.now() - t.at) / 1000)})` : "");
    byId("verdict").dataset.level = level;
    setText(byId("verdict-text"), text);
    setText(byId("verdict-since"), when({ at, atLeast }));
    byId("troubles").replaceChildren(...more.map((t) => el("li", { "data-level": t.level }, t.text, el("span", { text: ` ${when(t)}` }))));
    document.title = `${{ good: "✓", warn: "▲", bad: "✖" }[level] ?? "…"} ${text} · Yupiao`;
    if (byId("alarm").dataset.level !== level) { // only a change of level is spoken
      byId("alarm").dataset.level = level;
      setText(byId("alarm"), text);
    }
  }

  #askToken() {
    const wanted = this.#polls.some(({ of }) => of.refusal?.status === 401);
    const form = byId("ask-token");
    if (form.hidden && wanted) requestAnimationFrame(() => byId("token").focus());
    form.hidden = !wanted;
    byId("token-refused").hidden = !token();
    attribute(byId("token"), "aria-invalid", Boolean(token()) && "true");
  }
}

/** Of when an old part of the page is, and why no newer answer came. */
function asOf(poll) {
  const why = poll.refusal && poll.refusal.status !== 0 && poll.refusal.status !== 401 ? `: ${poll.refusal.message}` : "";
  return Number.isNaN(poll.age()) ? `nothing came yet${why}` : `as of ${clock(Date.now() - poll.age())}, ${seconds(poll.age() / 1000)} old${why}`;
}

function doneOn(a) {
  if (!a.nodes) return "";
  const refused = a.nodes.filter((n) => n.refused);
  return {
    text: refused.length ? `${a.nodes.length - refused.length} of ${a.nodes.length} nodes` : a.nodes.map((n) => n.name).join(", "),
    level: refused.length ? "bad" : null, title: refused.map((n) => `${n.name}: ${n.refused}`).join("\n") || null,
  };
}

new Console().start();
