// A field that proposes places while a person types: the combobox pattern of ARIA, with the focus always in the field.
import { el } from "./dom.js";
import { stations } from "./api.js";

const typingPause = 80; // ms

/** How a place stands in a search: "city:BJP", or a station's code. */
export const placeRef = ({ code, city }) => (city ? `city:${code}` : code);

/** The place that a text names by itself: its name, pinyin or code, written whole. */
export function exact(places, text) {
  const plain = (s = "") => s.toLowerCase().replace(/[\s'’]/g, "");
  return places.find((p) => [p.name, p.pinyin, placeRef(p)].some((s) => plain(s) === plain(text)));
}

export class PlaceField {
  /** The chosen place as it is sent; empty if what stands in the field was not chosen. */
  ref = "";
  #input;
  #list;
  #pick;
  #places = [];
  #active = -1;
  #timer = 0;
  #asking = new AbortController();

  /** pick() is called when a person has chosen a place. */
  constructor(input, pick) {
    this.#input = input;
    this.#list = document.getElementById(input.getAttribute("aria-controls"));
    this.#pick = pick;
    input.addEventListener("input", () => this.#typed());
    input.addEventListener("keydown", (event) => this.#key(event));
    input.addEventListener("focus", () => input.select());
    input.addEventListener("blur", () => this.#close());
    this.#list.addEventListener("pointerdown", (event) => event.preventDefault()); // the field keeps the focus
    this.#list.addEventListener("click", ({ target }) => this.#choose([...this.#list.children].indexOf(target.closest("[role=option]"))));
  }

  speak(t, lang) {
    Object.assign(this, { t, lang });
    this.#close();
  }

  /** Shows a place without a person's doing. */
  set({ ref, name }) {
    this.ref = ref;
    this.#input.value = name;
    this.#close();
  }

  /** Names the place that was asked for, unless a person has begun to write another. */
  confirm(asked, place) {
    if ((this.ref || this.text) === asked) this.set({ ref: placeRef(place), name: place.name });
  }

  get text() {
    return this.#input.value.trim();
  }

  focus() {
    this.#input.focus();
  }

  /** The place as it is sent: the chosen one, else the one that the text names, else the text, which the API will explain. */
  async settle() {
    if (this.ref || !this.text) return this.ref;
    const found = exact(await stations(this.text, this.lang).catch(() => []), this.text);
    if (found) this.set({ ref: placeRef(found), name: found.name });
    return this.ref || this.text;
  }

  // Text is looked up while an input method composes, too: unfinished Hangul and pinyin are what people search by.
  #typed() {
    this.ref = "";
    clearTimeout(this.#timer);
    this.#asking.abort();
    if (!this.text) return this.#close();
    this.#timer = setTimeout(() => this.#ask(), typingPause);
  }

  async #ask() {
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const places = await stations(this.text, this.lang, signal).catch(() => []);
    if (!signal.aborted && document.activeElement === this.#input) this.#open(places);
  }

  #open(places) {
    this.#places = places;
    const options = places.map((place, i) => this.#option(place, i));
    const none = el("li", { class: "none", role: "presentation", text: this.t("noSuggestion") });
    this.#list.replaceChildren(...(options.length ? options : [none]));
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    this.#mark(options.length ? 0 : -1);
  }

  #option(place, i) {
    return el("li", { role: "option", id: `${this.#list.id}-${i}`, class: place.city ? "place city" : "place" },
      el("span", { class: "place-name", text: place.name }),
      el("span", { class: "place-detail", text: this.#detail(place) }));
  }

  #detail(place) {
    if (!place.city) return [place.city_name, place.code].filter(Boolean).join(" · ");
    if (place.stations > 1) return this.t("allStations", { n: place.stations });
    return place.detail ?? this.t("city");
  }

  #mark(i) {
    this.#active = i;
    for (const [n, option] of [...this.#list.children].entries()) option.setAttribute("aria-selected", String(n === i));
    const option = this.#list.children[i];
    this.#input.setAttribute("aria-activedescendant", i < 0 ? "" : option.id);
    option?.scrollIntoView({ block: "nearest" });
  }

  #close() {
    clearTimeout(this.#timer);
    this.#asking.abort();
    this.#places = [];
    this.#active = -1;
    this.#list.hidden = true;
    this.#list.replaceChildren();
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }

  #choose(i) {
    const place = this.#places[i];
    if (!place) return;
    this.set({ ref: placeRef(place), name: place.name });
    this.#pick();
  }

  #key(event) {
    const count = this.#places.length;
    if (event.isComposing || !count) return; // Enter and the arrows then belong to the input method, or to the form
    const keys = {
      ArrowDown: () => this.#mark((this.#active + 1) % count),
      ArrowUp: () => this.#mark((this.#active - 1 + count) % count),
      Enter: () => this.#choose(this.#active),
      Escape: () => this.#close(),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  }
}
