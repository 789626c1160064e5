// The list of trains. A train keeps its element while it is in the answer, so that focus, an open panel and the scroll stay.
import { arrange } from "./dom.js";
import { keyOf } from "./answer.js";
import { Train } from "./train.js";

export class Results {
  #list;
  #trains = new Map(); // key -> Train
  #made = 0;

  constructor(list) {
    this.#list = list;
  }

  /** Forgets all trains, for another search or language. */
  clear() {
    this.#trains.clear();
    this.#list.replaceChildren();
  }

  /** Shows what sift returned, in its order. context is {t, lang}. */
  show(shown, context) {
    const nodes = shown.map(({ run, classes }) => {
      const train = this.#train(run, context);
      train.update(run, classes);
      return train.node;
    });
    arrange(this.#list, nodes);
  }

  /** Drops trains that have left the answer; those that a filter hides are kept as they are. */
  retain(runs) {
    for (const key of this.#trains.keys()) if (!runs.has(key)) this.#trains.delete(key);
  }

  #train(run, context) {
    const key = keyOf(run);
    if (!this.#trains.has(key)) this.#trains.set(key, new Train(`train-${++this.#made}`, run, context));
    return this.#trains.get(key);
  }
}
