// Rows that keep their place: what is there is changed, and only what is new is made (Q5).
import { arrange, attribute, el, setText } from "./dom.js";
import { none } from "./format.js";

const rowsOf = new WeakMap(); // by parent: rows by key

/** Makes the parent's children be those of the items, in order: one made by make(item) for each new key, each brought up to date by update(row, item). */
export function keyed(parent, items, keyOf, make, update) {
  const before = rowsOf.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const key = keyOf(item);
    const row = before.get(key) ?? make(item);
    update(row, item);
    after.set(key, row);
  }
  rowsOf.set(parent, after);
  arrange(parent, [...after.values()]);
}

/**
 * A table of texts. Columns are {name, of, wide, number}: of(item) gives a text or {text, level, title}. On a phone each row is a card, so each cell knows its
 * column's name. The empty text stands where there are no items.
 */
export class Table {
  #columns;
  #empty;
  #body = el("tbody", { role: "rowgroup" });

  constructor(host, columns, empty) {
    this.#columns = columns;
    this.#empty = el("p", { class: "empty", text: empty, hidden: true });
    const head = columns.map((c) => el("th", { scope: "col", role: "columnheader", class: c.number && "number", text: c.name }));
    // Cards are no tables to a browser, so that the roles have to be said.
    host.append(el("table", { role: "table", class: "cards" }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head)), this.#body), this.#empty);
  }

  show(items, keyOf) {
    keyed(this.#body, items, keyOf, () => this.#make(), (row, item) => this.#update(row, item));
    this.#empty.hidden = items.length > 0;
    this.#body.parentElement.hidden = items.length === 0;
  }

  #make() {
    return el("tr", { role: "row" }, ...this.#columns.map((c) => el("td", { role: "cell", "data-name": c.name, class: [c.number && "number", c.wide && "wide", c.class].filter(Boolean).join(" ") || null })));
  }

  #update(row, item) {
    this.#columns.forEach((c, i) => {
      const cell = row.cells[i];
      const content = c.of(item);
      if (c.act) return c.act(cell, item);
      const { text, level, title } = typeof content === "object" && content !== null ? content : { text: content };
      setText(cell, text ?? "");
      attribute(cell, "data-level", level);
      attribute(cell, "title", title);
      attribute(cell, "data-empty", !text || text === none);
    });
  }
}
