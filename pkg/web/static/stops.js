// The panel under a train: why classes cannot be bought, and where it calls.
import { el } from "./dom.js";
import { run as fetchRun } from "./api.js";
import { clock, daysBetween } from "./format.js";
import { problemText } from "./message.js";

export class Stops {
  #run;
  #context;
  #reasons = el("ul", { class: "reasons" });
  #calls = el("ol", { class: "stops" });
  #loaded = false;

  /** context is {t, lang}. */
  constructor(id, run, context) {
    this.#run = run;
    this.#context = context;
    this.node = el("div", { class: "panel", id, hidden: true }, this.#reasons, this.#calls);
  }

  get open() {
    return !this.node.hidden;
  }

  toggle() {
    this.node.hidden = !this.node.hidden;
    if (this.open && !this.#loaded) this.#load();
  }

  /** Touch and keyboard never see a tooltip, so the reasons stand here, too. */
  explain(classes) {
    const told = classes.filter((c) => c.reason);
    this.#reasons.replaceChildren(...told.map((c) => el("li", {}, el("b", { text: c.name }), ` ${c.reason}`)));
  }

  async #load() {
    const { t, lang } = this.#context;
    this.#loaded = true;
    this.#calls.setAttribute("aria-busy", "true");
    try {
      const { stops } = await fetchRun(this.#run.run, lang);
      this.#calls.replaceChildren(...stops.map((stop) => this.#call(stop, stops[0])));
    } catch (problem) {
      this.#loaded = false; // opening it again asks again
      this.#calls.replaceChildren(el("li", { class: "failed", text: problemText(problem, t) }));
    }
    this.#calls.removeAttribute("aria-busy");
  }

  #call(stop, origin) {
    const { from, to } = this.#run;
    const place = stop.stop === from.stop || stop.stop === to.stop ? "end" : stop.stop > from.stop && stop.stop < to.stop ? "way" : "out";
    const days = daysBetween(origin.depart, stop.arrive ?? stop.depart);
    return el("li", { class: "stop", "data-place": place },
      el("span", { class: "stop-time", text: stop.arrive ? clock(stop.arrive) : "" }),
      el("span", { class: "stop-time", text: stop.depart ? clock(stop.depart) : "" }),
      el("span", { class: "stop-name", text: stop.name }),
      el("span", { class: "plus", text: days > 0 ? `+${days}` : "" }));
  }
}
