// Runs that operators hold, and what can be done with one.
import { confirm } from "./dialog.js";
import { el, setText } from "./dom.js";
import { list, moment } from "./format.js";
import { keyed, Table } from "./keyed.js";

// What each act does, and what its reason is for.
const acts = {
  suspend: { text: "Shows it as suspended in every answer and stream, whatever the booking system says, until it is resumed.", note: "Reason, which travellers are told", needed: true },
  resume: { text: "Shows it as the booking system says again.", note: "Why, for the record" },
  pin: { text: "No answer with it is served without a look, whatever TTL the rules give, until it is unpinned.", note: "Why, for the record" },
  unpin: { text: "The rules' TTL holds for it again.", note: "Why, for the record" },
  purge: { text: "Each node reads it anew from the booking system. Until it has come, its answers say that it is behind.", note: "Why, for the record" },
};

export class Runs {
  #form;
  #table;
  #nodes = [];
  #holding = { version: 0, runs: [] };
  #closed;
  #done;

  constructor(form, host, { closed, done }) {
    this.#form = form;
    this.#closed = closed;
    this.#done = done;
    this.#table = new Table(host, [
      { name: "Run", class: "title", of: (r) => r.run },
      { name: "How", of: (r) => ({ text: list([r.suspended && "suspended", r.pinned && "pinned"].filter(Boolean)), level: r.suspended ? "warn" : null }) },
      { name: "Reason", wide: true, of: (r) => r.reason ?? "" },
      { name: "By", of: (r) => r.by },
      { name: "Since", of: (r) => moment(r.at) },
      { name: "In force on", of: () => this.#spread() },
      { name: "", class: "do", of: () => "", act: (cell, r) => this.#buttons(cell, r) },
    ], "No run is held: all are shown as the booking system says.");
    form.addEventListener("submit", (event) => this.#submit(event));
    form.elements.act.addEventListener("change", () => this.#explain());
    this.#explain();
  }

  show(holding) {
    this.#holding = holding;
    this.#table.show(holding.runs, (r) => r.run);
  }

  /** The nodes tell which holds are in force on them. */
  set nodes(nodes) {
    this.#nodes = nodes;
    this.#form.querySelector("button").disabled = Boolean(this.#closed());
    this.show(this.#holding);
  }

  #spread() {
    const late = this.#nodes.filter((n) => n.silent || (n.holds_version ?? 0) < this.#holding.version);
    const held = this.#nodes.length - late.length;
    return late.length === 0 ? { text: `all ${held} nodes` } : { text: `${held} of ${this.#nodes.length}, not ${list(late.map((n) => n.name))}`, level: "bad" };
  }

  #explain() {
    setText(this.#form.querySelector(".small"), acts[this.#form.elements.act.value].text);
  }

  async #submit(event) {
    event.preventDefault();
    const { act, run } = this.#form.elements;
    if (await this.#act(act.value, run.value.trim())) run.value = "";
  }

  #buttons(cell, r) {
    const make = (act) => el("button", { type: "button", text: act === "resume" ? "Resume" : "Unpin", "aria-label": `${act} ${r.run}`, on: { click: () => this.#act(act, r.run) } });
    keyed(cell, [r.suspended && "resume", r.pinned && "unpin"].filter(Boolean), (act) => act, make, (button) => (button.disabled = Boolean(this.#closed())));
  }

  async #act(act, run) {
    const verb = act[0].toUpperCase() + act.slice(1);
    const answer = await confirm({
      title: `${verb} ${run} on all nodes`, verb, note: acts[act].note, needed: acts[act].needed, path: "/fleet/runs", body: [el("p", { text: acts[act].text })],
      request: ({ by, note }) => ({ act, run, reason: note, by }),
    });
    this.#done();
    return answer;
  }
}
