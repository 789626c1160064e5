// Asks before something is done (Q4), does it, and says on which nodes it is done (Q3).
import { ask, Refusal } from "./api.js";
import { attribute, el } from "./dom.js";
import { list } from "./format.js";

const nameKey = "yupiao-by";
const patience = 20_000; // more than any act waits for its nodes

/** What became of an act on each node, as elements. */
export function verdictLines(nodes) {
  return el("ul", { class: "verdicts" }, ...nodes.map((n) => el("li", { "data-level": n.refused ? "bad" : "good" },
    el("b", { text: n.name }), ` ${n.refused ? n.refused : "done"}`)));
}

/** A sentence about it. */
export function summary(nodes) {
  const refused = nodes.filter((n) => n.refused);
  if (nodes.length === 0) return "Done; no node is there to take it.";
  return refused.length === 0 ? `Done on ${nodes.length === 1 ? nodes[0].name : `all ${nodes.length} nodes`}.` : `Done on ${nodes.length - refused.length} of ${nodes.length} nodes; not on ${list(refused.map((n) => n.name))}.`;
}

/**
 * Opens a dialog about an act. title says what will be done; body are elements that say more; note names the field for the reason, needed says that it must be
 * given; verb is on the button. path and request({by, note}) are what is sent. failed(refusal) may return true: it has told of it, and the dialog closes.
 * The promise gives the answer, or null if nothing was done.
 */
export function confirm({ title, body = [], note, needed = false, verb, path, request, failed = () => false }) {
  return new Promise((resolve) => new Dialog({ title, body, note, needed, verb, path, request, failed, resolve }).open());
}

class Dialog {
  #o;
  #answer = null;
  #node;
  #by;
  #note;
  #go;
  #close;
  #result = el("div", { class: "result", role: "status" });

  constructor(o) {
    this.#o = o;
    this.#by = el("input", { name: "by", required: true, maxlength: 64, autocomplete: "name", value: localStorage.getItem(nameKey) ?? "" });
    this.#note = o.note && el("input", { name: "note", required: o.needed, maxlength: 200, autocomplete: "off" });
    this.#go = el("button", { class: "main go", text: o.verb });
    this.#close = el("button", { type: "button", class: "close", text: "Cancel", on: { click: () => this.#node.close() } });
    const form = el("form", { method: "dialog", on: { submit: (event) => this.#submit(event) } },
      el("h2", { text: o.title }), ...o.body,
      el("div", { class: "fields" }, el("label", { text: "Who are you" }, this.#by), this.#note && el("label", { text: o.note }, this.#note)),
      this.#result, el("div", { class: "buttons" }, this.#close, this.#go));
    this.#node = el("dialog", { "aria-label": o.title, on: { close: () => this.#closed() } }, form);
  }

  open() {
    document.body.append(this.#node);
    this.#node.showModal();
    if (this.#by.value) (this.#note ?? this.#go).focus();
    else this.#by.focus();
  }

  #closed() {
    this.#node.remove();
    this.#o.resolve(this.#answer);
  }

  async #submit(event) {
    event.preventDefault();
    const by = this.#by.value.trim();
    if (!by) return this.#by.focus();
    localStorage.setItem(nameKey, by);
    this.#busy(true);
    this.#say("", "Waiting for the nodes …");
    try {
      this.#answer = await ask(this.#o.path, { body: this.#o.request({ by, note: this.#note?.value.trim() ?? "" }), patience });
      this.#done(this.#answer.nodes ?? [], this.#answer.unrecorded);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.#busy(false);
      if (this.#o.failed(refusal)) return this.#node.close();
      this.#say("bad", refusal.status === 0 ? `${refusal.message}: it may be done or not. What was done, below, will tell.` : refusal.message);
    }
  }

  // What is done and not on record is done; nobody will read of it below.
  #done(nodes, unrecorded) {
    const more = unrecorded ? [el("p", { text: unrecorded })] : [];
    this.#say(unrecorded || nodes.some((n) => n.refused) ? "bad" : "good", summary(nodes), verdictLines(nodes), ...more);
    this.#go.remove();
    this.#close.textContent = "Close";
    this.#close.disabled = false;
    this.#close.focus();
  }

  #busy(yes) {
    for (const node of [this.#go, this.#close, this.#by, this.#note]) if (node) node.disabled = yes;
    attribute(this.#node, "aria-busy", yes && "true");
  }

  #say(level, text, ...more) {
    this.#result.dataset.level = level;
    this.#result.replaceChildren(el("p", { text }), ...more);
  }
}
