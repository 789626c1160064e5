// The panel under a train where it is booked: first the order, then the reservation that came of it.
import { run as fetchRun } from "./api.js";
import { Attempt } from "./attempt.js";
import { arrange, attribute, el, setText } from "./dom.js";
import { money } from "./format.js";
import { problemDetail, problemText } from "./message.js";
import { sellable } from "./sift.js";
import { Ticket } from "./ticket.js";
import { fitting } from "./wishes.js";

const party = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const offered = ({ state }) => state !== "NOT_OFFERED";

export class Panel {
  #id;
  #run;
  #context;
  #opener;
  #attempt = new Attempt();
  #accommodations = new Map(); // class code -> kind of its places, once the node has told
  #asked = false;
  #chips = new Map(); // class code -> chip
  #busy = false;
  #form;
  #preferred = []; // the classes that pass the filters
  #classes = el("div", { class: "chips" });
  #passengers = el("select", { class: "passengers" }, ...party.map((n) => el("option", { value: n, text: n })));
  #wish = el("select", { class: "wish" });
  #total = el("output", { class: "total-fare" });
  #problem = el("p", { class: "failed", role: "alert", hidden: true });
  #ticket = null;

  /** context is {t, lang, bookings, party}; opener is the button that shows the panel, where focus goes back to. */
  constructor(id, run, context, opener) {
    this.#id = id;
    this.#run = run;
    this.#context = context;
    this.#opener = opener;
    opener.setAttribute("aria-controls", id);
    this.#form = this.#order();
    this.#passengers.value = String(context.party);
    const label = context.t("bookTrain", { train: run.train });
    this.node = el("section", { class: "panel booking-panel", id, "aria-label": label, hidden: true, on: { keydown: (event) => this.#key(event) } }, this.#form);
  }

  get open() {
    return !this.node.hidden;
  }

  show() {
    this.#toggle(true);
    if (this.#ticket) this.#ticket.start();
    else this.#begin();
    this.#focus();
  }

  hide() {
    const inside = this.node.contains(document.activeElement);
    this.#toggle(false);
    this.close();
    if (inside) this.#opener.focus();
  }

  /** Ends what goes on out of sight. */
  close() {
    this.#ticket?.stop();
  }

  /** Shows the run's classes as they are now. What is chosen stays chosen, whatever becomes of it. */
  update(run, preferred) {
    this.#run = run;
    this.#preferred = preferred;
    const classes = run.classes.filter(offered);
    for (const c of classes) this.#chip(c);
    arrange(this.#classes, classes.map((c) => this.#chips.get(c.class).node));
    this.#recount();
  }

  #toggle(open) {
    this.node.hidden = !open;
    this.#opener.setAttribute("aria-expanded", String(open));
  }

  #key(event) {
    if (event.key !== "Escape" || event.defaultPrevented) return;
    event.preventDefault();
    this.hide();
  }

  #focus() {
    if (this.#ticket) this.#ticket.focus();
    else (this.#classes.querySelector("input:checked") ?? this.#classes.querySelector("input"))?.focus();
    this.node.scrollIntoView({ block: "nearest" });
  }

  // What was chosen before stays chosen.
  #begin() {
    const code = this.#chosen ? "" : this.#preferred.find(sellable)?.class;
    if (code) this.#chips.get(code).input.checked = true;
    this.#recount();
    this.#learn();
  }

  #order() {
    const { t } = this.#context;
    const choice = (label, control) => el("label", { class: "choice" }, el("span", { text: label }), control);
    const submit = (event) => {
      event.preventDefault();
      this.#reserve();
    };
    return el("form", { class: "order", on: { submit, change: () => this.#recount() } },
      el("fieldset", { class: "group" }, el("legend", { text: t("fact_class") }), this.#classes),
      el("div", { class: "acts" }, choice(t("fact_passengers"), this.#passengers), choice(t("fact_wish"), this.#wish),
        el("p", { class: "total-line" }, el("span", { text: t("fact_fare") }), " ", this.#total)),
      this.#problem,
      el("div", { class: "acts" }, el("button", { type: "submit", class: "reserve main", text: t("reserve") }), this.#closer()));
  }

  #closer() {
    return el("button", { type: "button", class: "close", text: this.#context.t("close"), on: { click: () => this.hide() } });
  }

  #chip(c) {
    if (!this.#chips.has(c.class)) this.#chips.set(c.class, makeChip(`${this.#id}-class`, c));
    const chip = this.#chips.get(c.class);
    setText(chip.fare, c.fare ? money(c.fare, this.#context.lang) : "");
    attribute(chip.node, "data-closed", !sellable(c));
  }

  get #chosen() {
    const code = this.#classes.querySelector("input:checked")?.value;
    return this.#run.classes.find((c) => c.class === code);
  }

  /** Makes the wishes and the fare fit what is chosen. */
  #recount() {
    const { t, lang } = this.#context;
    const chosen = this.#chosen;
    const passengers = Number(this.#passengers.value);
    const wishes = fitting(this.#accommodations.get(chosen?.class), passengers);
    const before = this.#wish.value;
    if (wishes.join() !== [...this.#wish.options].map(({ value }) => value).join()) {
      this.#wish.replaceChildren(...wishes.map((wish) => el("option", { value: wish, text: t(`wish_${wish || "none"}`) })));
      this.#wish.value = wishes.includes(before) ? before : "";
    }
    setText(this.#total, chosen?.fare ? money({ ...chosen.fare, amount: chosen.fare.amount * passengers }, lang) : "–");
  }

  /** Asks once what kinds of places the classes have; without an answer all wishes are offered. */
  async #learn() {
    if (this.#asked) return;
    this.#asked = true;
    try {
      const { classes } = await fetchRun(this.#run.run, this.#context.lang);
      for (const { class: code, accommodation } of classes) this.#accommodations.set(code, accommodation);
      this.#recount();
    } catch {
      this.#asked = false;
    }
  }

  async #reserve() {
    const chosen = this.#chosen;
    if (this.#busy || !chosen) return;
    const { run, from, to } = this.#run;
    const order = { run, class: chosen.class, from: from.stop, to: to.stop, passengers: Number(this.#passengers.value), wish: this.#wish.value || undefined };
    this.#wait(true);
    try {
      const reservation = await this.#context.bookings.reserve(order, this.#attempt.key(order));
      this.#attempt.end();
      this.#present(reservation, { from: from.name, to: to.name, class: chosen.name });
    } catch (problem) {
      this.#attempt.end(problem);
      this.#explain(problem);
    }
    this.#wait(false);
  }

  #wait(busy) {
    const { t } = this.#context;
    this.#busy = busy;
    if (busy) this.#explain(null);
    this.#form.setAttribute("aria-busy", String(busy));
    const button = this.#form.querySelector(".reserve");
    button.setAttribute("aria-disabled", String(busy));
    setText(button, busy ? t("reserving") : t("reserve"));
  }

  #explain(problem) {
    const { t } = this.#context;
    const words = problem ? [problemText(problem, t), problemDetail(problem, this.#context), problem.passing && t("sameOrder")] : [];
    setText(this.#problem, words.filter(Boolean).join(" · "));
    this.#problem.hidden = !problem;
  }

  #present(reservation, names) {
    const another = el("button", { type: "button", class: "another", text: this.#context.t("bookAnother"), on: { click: () => this.#again() } });
    this.#ticket = new Ticket(reservation, this.#context, names, another, this.#closer());
    this.node.replaceChildren(this.#ticket.node);
    if (!this.open) return; // closed while the order was on its way
    this.#ticket.start();
    this.#focus();
  }

  #again() {
    this.#ticket.stop();
    this.#ticket = null;
    this.node.replaceChildren(this.#form);
    this.#begin();
    this.#focus();
  }
}

function makeChip(name, c) {
  const input = el("input", { type: "radio", name, value: c.class, class: "unseen", required: true });
  const fare = el("span", { class: "fare" });
  return { input, fare, node: el("label", { class: "chip" }, input, el("span", { text: c.name }), fare) };
}
