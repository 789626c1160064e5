// The filters: check boxes and selects over what the answer holds. What they mean is in sift.js.
import { el, setText } from "./dom.js";
import { noFilters, ranges, sorts, typeKey } from "./sift.js";

const party = [1, 2, 3, 4, 5, 6, 7, 8, 9];

export class Filters {
  value = noFilters();
  #form;
  #changed;
  #facets = ""; // what the chips were made of
  #open = false; // whether the chips are in sight

  /** changed() is called when a person has changed the value. */
  constructor(form, changed) {
    this.#form = form;
    this.#changed = changed;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", () => this.#read());
  }

  set(value) {
    this.value = value;
    this.#facets = "";
  }

  clear() {
    this.set({ ...noFilters(), sort: this.value.sort });
    this.#changed();
  }

  /** How many filters are set. */
  get count() {
    const { types, classes, depart, arrive, available, seats } = this.value;
    return [types.size, classes.size, depart.size, arrive.size, available, seats > 1].filter(Boolean).length;
  }

  /** Offers what the runs hold. The form is made anew only if that is something else, so that focus stays. */
  show(runs, t) {
    const found = this.#found(runs, t);
    const facets = JSON.stringify([Object.values(found).map((options) => options.toSorted()), t("filters")]);
    if (facets !== this.#facets) this.#build(found, t);
    this.#facets = facets;
    const count = this.#form.querySelector(".filter-count");
    setText(count, this.count ? String(this.count) : "");
    this.#form.querySelector(".clear").hidden = this.count === 0;
  }

  // What is chosen is offered even when this answer lacks it: otherwise nobody could take it back.
  #found(runs, t) {
    const types = new Map([...this.value.types].map((type) => [type, type]));
    const classes = new Map([...this.value.classes].map((code) => [code, code]));
    for (const run of runs) {
      types.set(typeKey(run), typeKey(run));
      for (const c of run.classes) classes.set(c.class, c.name);
    }
    if (types.has("-")) types.set("-", t("otherType"));
    const times = ranges.map((range) => [range, range.replaceAll(":00", "").replace("-", "–")]);
    return { types: [...types].sort(), classes: [...classes], depart: times, arrive: times };
  }

  #build(found, t) {
    const groups = Object.entries(found).filter(([, options]) => options.length > 0);
    const more = el("div", { class: "groups", id: "groups", hidden: !this.#open }, ...groups.map(([name, options]) => this.#group(name, options, t)));
    this.#form.replaceChildren(this.#opener(more, t), el("div", { class: "quick" }, ...this.#quick(t)), more);
  }

  #opener(more, t) {
    const click = ({ currentTarget }) => {
      this.#open = more.hidden;
      more.hidden = !this.#open;
      currentTarget.setAttribute("aria-expanded", String(this.#open));
    };
    const props = { type: "button", class: "more", "aria-expanded": String(this.#open), "aria-controls": more.id, on: { click } };
    return el("button", props, el("span", { text: t("filters") }), el("span", { class: "filter-count" }));
  }

  #quick(t) {
    const { available, seats, sort } = this.value;
    return [
      el("button", { type: "button", class: "clear link", text: t("clearFilters"), hidden: true, on: { click: () => this.clear() } }),
      chip("available", "true", t("available"), available),
      select("seats", t("seats"), party.map((n) => [String(n), String(n)]), String(seats)),
      select("sort", t("sort"), sorts.map((name) => [name, t(`sort_${name}`)]), sort),
    ];
  }

  #group(name, options, t) {
    const chips = options.map(([value, text]) => chip(name, value, text, this.value[name].has(value)));
    return el("fieldset", { class: "group" }, el("legend", { text: t(name) }), el("div", { class: "chips" }, ...chips));
  }

  #read() {
    const data = new FormData(this.#form);
    const set = (name) => new Set(data.getAll(name));
    this.value = {
      types: set("types"), classes: set("classes"), depart: set("depart"), arrive: set("arrive"),
      available: data.has("available"), seats: Number(data.get("seats")), sort: data.get("sort"),
    };
    this.#changed();
  }
}

function chip(name, value, text, checked) {
  const input = el("input", { type: "checkbox", name, value, class: "unseen" });
  input.checked = checked;
  return el("label", { class: "chip" }, input, el("span", { text }));
}

function select(name, label, options, chosen) {
  const node = el("select", { name }, ...options.map(([value, text]) => el("option", { value, text })));
  node.value = chosen;
  return el("label", { class: "choice" }, el("span", { text: label }), node);
}
