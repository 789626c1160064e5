// The strip of days on sale: radio buttons, so that the arrow keys work by themselves.
import { el } from "./dom.js";
import { dayParts } from "./format.js";

export class DateStrip {
  #strip;

  constructor(fieldset, pick) {
    this.#strip = fieldset.querySelector(".strip");
    fieldset.addEventListener("change", ({ target }) => pick(target.value));
  }

  /** Shows the days on sale ("2026-12-01") with one chosen. */
  show(dates, chosen, lang) {
    this.#strip.replaceChildren(...dates.map((date, i) => day(date, i === 0, date === chosen, lang)));
    this.#reveal();
  }

  choose(date) {
    for (const input of this.#strip.querySelectorAll("input")) input.checked = input.value === date;
    this.#reveal();
  }

  // Scrolls the strip alone; scrollIntoView could move the page.
  #reveal() {
    const label = this.#strip.querySelector("input:checked")?.parentElement;
    if (label) this.#strip.scrollLeft = label.offsetLeft - (this.#strip.clientWidth - label.offsetWidth) / 2;
  }
}

function day(date, first, checked, lang) {
  const { weekday, day, month, words, weekend } = dayParts(date, lang);
  const input = el("input", { type: "radio", name: "date", value: date, "aria-label": words, class: "unseen" });
  input.checked = checked;
  return el("label", { class: weekend ? "day weekend" : "day", title: words }, input,
    el("span", { class: "weekday", text: weekday }),
    el("span", { class: "number", text: day }),
    el("span", { class: "month", text: first || day === "1" ? month : "" }));
}
