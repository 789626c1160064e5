// A reservation as it is shown: what it is, what is still to be done, and what became of it.
import { el, setText } from "./dom.js";
import { clock, dayWords, money } from "./format.js";
import { problemDetail, problemText } from "./message.js";
import { behaviours, cancellable, countdown, payable } from "./reservation.js";

const facts = ["when", "class", "passengers", "places", "wish", "fare", "payment", "refund"];

export class Ticket {
  #reservation;
  #context;
  #names; // in the reader's language, where the page has them
  #title = el("h3", { class: "ticket-title", tabindex: "-1" });
  #state = el("span", { class: "order-state", role: "status" });
  #countdown = el("span", { class: "countdown", role: "timer" });
  #values = new Map(facts.map((name) => [name, el("dd", { class: `fact-${name}` })]));
  #problem = el("p", { class: "failed", role: "alert" });
  #behaviour;
  #pay;
  #cancel;
  #stop = null; // while it is in sight

  /** context is {t, lang}, names are {from, to, class}; others are further buttons. */
  constructor(reservation, context, names = {}, ...others) {
    this.#reservation = reservation;
    this.#context = context;
    this.#names = names;
    this.#controls();
    this.node = el("div", { class: "ticket" }, this.#title,
      el("p", { class: "ticket-state" }, this.#state, " ", this.#countdown), this.#facts(), this.#problem,
      el("div", { class: "acts" }, this.#behaviour, this.#pay, this.#cancel, ...others));
    this.#update();
  }

  /** Shows it from now on as it changes, until stop. */
  start() {
    if (this.#stop) return;
    const life = new AbortController();
    this.#reservation.addEventListener("change", () => this.#update(), { signal: life.signal });
    const unwatch = this.#reservation.watch();
    const timer = setInterval(() => this.#tick(), 1000);
    this.#stop = () => {
      life.abort();
      unwatch();
      clearInterval(timer);
    };
    this.#update();
  }

  stop() {
    this.#stop?.();
    this.#stop = null;
  }

  focus() {
    this.#title.focus();
  }

  #controls() {
    const { t } = this.#context;
    const options = behaviours.map((name) => el("option", { value: name, text: t(`behaviour_${name}`) }));
    this.#behaviour = el("label", { class: "choice" }, el("span", { text: t("behaviour") }), el("select", { class: "behaviour" }, ...options));
    const pay = () => this.#reservation.pay(this.#behaviour.querySelector("select").value);
    this.#pay = el("button", { type: "button", class: "pay main", on: { click: pay } });
    this.#cancel = el("button", { type: "button", class: "cancel", on: { click: () => this.#reservation.cancel() } });
  }

  #facts() {
    const { t } = this.#context;
    return el("dl", { class: "facts" }, ...facts.map((name) => el("div", {}, el("dt", { text: t(`fact_${name}`) }), this.#values.get(name))));
  }

  #update() {
    const { data, problem, busy } = this.#reservation;
    const inside = this.node.contains(document.activeElement);
    this.#explain(problem);
    this.node.setAttribute("aria-busy", String(busy));
    for (const control of [this.#pay, this.#cancel]) control.setAttribute("aria-disabled", String(busy)); // not disabled: it would lose the focus
    if (data) this.#show(data);
    this.#tick();
    if (inside && (!this.node.contains(document.activeElement) || document.activeElement.closest("[hidden]"))) this.focus();
  }

  #explain(problem) {
    const text = problem ? [problemText(problem, this.#context.t), problemDetail(problem, this.#context)].filter(Boolean).join(" · ") : "";
    setText(this.#problem, text);
    this.#problem.hidden = !text;
  }

  #show(data) {
    const { t } = this.#context;
    const { from = data.from.name, to = data.to.name } = this.#names;
    setText(this.#title, `${data.train} · ${from} → ${to}`);
    setText(this.#state, t(`order_${data.state}`) ?? data.state);
    this.#state.dataset.state = data.state;
    for (const [name, text] of Object.entries(this.#texts(data))) this.#fact(name, text);
    this.#behaviour.hidden = this.#pay.hidden = !payable(data);
    this.#cancel.hidden = !cancellable(data);
    setText(this.#pay, data.payment?.state === "FAILED" ? t("payAgain") : t("pay"));
    setText(this.#cancel, data.state === "PAID" ? t("giveBack") : t("cancel"));
  }

  #texts(data) {
    const { t, lang } = this.#context;
    const { payment, refund } = data;
    return {
      when: `${dayWords(data.depart.slice(0, 10), lang)} · ${clock(data.depart)} – ${clock(data.arrive)}`,
      class: this.#names.class ?? data.class,
      passengers: String(data.passengers),
      places: placeWords(data.seats, t),
      wish: data.wish ? `${t(`wish_${data.wish}`) ?? data.wish}: ${data.wish_met ? t("wishMet") : t("wishMissed")}` : "",
      fare: money(data.fare, lang),
      payment: payment ? [t(`payment_${payment.state}`) ?? payment.state, lang === "en" && payment.note].filter(Boolean).join(" · ") : "",
      refund: refund ? t("refunded", { amount: money(refund.amount, lang), fee: money(refund.fee, lang) }) : "",
    };
  }

  #fact(name, text) {
    const value = this.#values.get(name);
    setText(value, text);
    value.parentElement.hidden = !text;
  }

  // Apart from the state, which is announced: nobody wants to hear the seconds.
  #tick() {
    const { data, now } = this.#reservation;
    setText(this.#countdown, data?.state === "RESERVED" ? this.#context.t("payWithin", { time: countdown(data.deadline, now) }) : "");
  }
}

/** The places of a reservation in words, coach by coach: "Coach 5: 12A (window), 12B (middle)". */
export function placeWords(seats, t) {
  if (seats.length === 0) return t("noPlaces");
  const coaches = new Map();
  for (const { coach, seat, kind } of seats) {
    coaches.set(coach, [...(coaches.get(coach) ?? []), t("seat", { seat, kind: t(`kind_${kind}`) ?? kind })]);
  }
  return [...coaches].map(([coach, taken]) => t("coach", { coach, seats: taken.join(", ") })).join(" · ");
}
