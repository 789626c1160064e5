// The nodes, a row each, and what can be done with one.
import { confirm } from "./dialog.js";
import { attribute, el, setText } from "./dom.js";
import { bytes, clock, count, none, number, percent, seconds, short } from "./format.js";
import { Table } from "./keyed.js";
import { groups } from "./verdict.js";

const speaks = (of) => (n) => (n.silent ? none : of(n));

const states = { live: "good", degraded: "bad", silent: "bad", draining: "warn", loading: "warn" };

function state(n) {
  if (n.gone) return { text: `gone since\n${clock(n.seen)}`, level: "bad" };
  if (n.silent) return { text: "does not answer", level: "bad", title: n.silent };
  return { text: n.state ?? (n.ready ? "ready" : "loading"), level: states[n.state] };
}

function runs(n) {
  const wrong = [n.runs_behind && `${count(n.runs_behind)} behind`, n.runs_quarantined && `${count(n.runs_quarantined)} hidden`].filter(Boolean);
  return { text: [count(n.runs), ...wrong].join("\n"), level: n.runs_quarantined ? "bad" : n.runs_behind ? "warn" : null };
}

export class Fleet {
  #table;
  #self = "";
  #last = 0;
  #twins = new Set();
  #open;
  #forget;

  /** closed() says why nothing can be changed here, empty if it can; forget(node) misses a node no longer; done is called after an act. */
  constructor(host, { closed, forget, done }) {
    this.#forget = forget;
    this.#open = async (n) => {
      await drain(n);
      done();
    };
    this.#table = new Table(host, [
      { name: "Node", class: "title", of: (n) => ({ text: this.#twins.has(n.name) ? `${n.name} (${n.id.slice(0, 6)})` : n.name, title: n.id, level: n.name === this.#self ? "self" : null }) },
      { name: "State", class: "state", of: state },
      { name: "Age", number: true, class: "age", of: speaks((n) => ({ text: n.age === undefined ? "unproved" : seconds(n.age), level: n.age === undefined || n.state === "degraded" ? "bad" : null })) },
      { name: "Lag", number: true, of: speaks((n) => count(n.lag_messages)) },
      { name: "Runs", number: true, of: speaks(runs) },
      { name: "Memory", number: true, of: speaks((n) => bytes(n.memory_bytes)) },
      { name: "Req/s", number: true, of: speaks((n) => number(n.requests)) },
      { name: "Hits", number: true, of: speaks((n) => (n.requests > 0 ? percent(n.hit_ratio) : none)) },
      { name: "p99", number: true, of: speaks((n) => (n.p99_seconds > 0 ? short(n.p99_seconds) : none)) },
      { name: "Streams", number: true, of: speaks((n) => count(n.streams)) },
      { name: "Settings", number: true, of: speaks((n) => this.#settings(n)) },
      { name: "Program", class: "program", of: (n) => n.program || none },
      { name: "", class: "do", of: () => "", act: (cell, n) => this.#button(cell, n, closed()) },
    ], "No node answers.");
  }

  /** self is the name of the node that serves the page, last the version of the shared settings that was stored last. */
  show(nodes, self, last) {
    this.#self = self;
    this.#last = last;
    this.#twins = new Set([...groups(nodes, (n) => n.name)].filter(([, those]) => those.length > 1).map(([name]) => name));
    this.#table.show(nodes, (n) => n.id);
  }

  #settings({ settings: { version, refused, refused_version: which } }) {
    const text = version ? `${version}` : "own";
    if (refused) return { text: `${text}\nrefuses ${which}`, level: "bad", title: refused };
    return version < this.#last ? { text: `${text}\nlate`, level: "warn" } : text;
  }

  // One button for the row's whole life, so that a press never falls between two.
  #button(cell, n, why) {
    const button = cell.firstElementChild ?? cell.appendChild(el("button", { type: "button", on: { click: () => (cell.node.gone ? this.#forget(cell.node) : this.#open(cell.node)) } }));
    cell.node = n;
    const verb = n.gone ? "Forget" : n.state === "draining" ? "Return" : "Drain";
    setText(button, verb);
    attribute(button, "aria-label", `${verb} ${n.name}`);
    attribute(button, "title", n.gone ? "It was taken away on purpose: do not miss it any more" : why);
    button.disabled = Boolean(n.silent && !n.gone) || (!n.gone && Boolean(why));
  }
}

function drain(n) {
  const draining = n.state !== "draining";
  const words = draining
    ? "It says that it is not ready, so that balancers send nobody new; its streams begin anew elsewhere within seconds. It goes on following the feed, and answers whoever comes."
    : "It says that it is ready again, and balancers send it travellers.";
  return confirm({
    title: `${draining ? "Drain" : "Return"} ${n.name}`, verb: draining ? "Drain" : "Return", note: "Why, for the record", path: "/fleet/drain",
    body: [el("p", { text: words }), el("p", { class: "small", text: `Now it answers ${number(n.requests)} searches a second and has ${count(n.streams)} streams open.` })],
    request: ({ by, note }) => ({ node: n.id, draining, by, note }),
  });
}
