// The key of an order: it makes a second try the same order, so that a lost answer never books twice.

export class Attempt {
  #key = "";
  #order = "";

  /** The key to send an order with: that of the try before, if the order is the same and nobody knows what became of it. */
  key(order) {
    const text = JSON.stringify(order);
    if (!this.#key || text !== this.#order) this.#key = newKey();
    this.#order = text;
    return this.#key;
  }

  /** Ends a try by its problem, if there was one. A reservation or a refusal is final; after anything else the order may have been carried out. */
  end(problem) {
    if (!problem?.passing) this.#key = "";
  }
}

// Browsers keep randomUUID from pages that came over plain HTTP from another machine; random bytes they do not.
const newKey = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
