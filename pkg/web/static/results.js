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
    for (const train of this.#trains.values()) train.close();
    this.#trains.clear();
    this.#list.replaceChildren();
  }

  /**
   * Shows what sift returned, in its order; runs are all of the answer, by key. context is {t, lang, bookings, party}. Trains that have left the
   * answer are dropped, and those that a filter hides are kept as they are; but one that somebody books on stays in sight and current.
   */
  show(shown, runs, context) {
    const nodes = shown.map(({ run, classes }) => {
      const train = this.#train(run, context);
      train.update(run, classes);
      return train.node;
    });
    const order = [...this.#list.children];
    for (const [key, train] of this.#trains) if (!runs.has(key) && !train.held) this.#trains.delete(key);
    for (const [key, train] of this.#held(nodes, order)) {
      const run = runs.get(key);
      train.update(run ?? train.run, run?.classes ?? []);
      nodes.splice(order.indexOf(train.node), 0, train.node);
    }
    this.#arrange(nodes);
  }

  /** The trains that somebody books on and that the nodes lack, from above. */
  #held(nodes, order) {
    const held = [...this.#trains].filter(([, train]) => train.held && !nodes.includes(train.node));
    return held.sort(([, a], [, b]) => order.indexOf(a.node) - order.indexOf(b.node));
  }

  // A node that moves loses the focus that is in it.
  #arrange(nodes) {
    const focused = document.activeElement;
    arrange(this.#list, nodes);
    if (focused !== document.activeElement && this.#list.contains(focused)) focused.focus({ preventScroll: true });
  }

  #train(run, context) {
    const key = keyOf(run);
    if (!this.#trains.has(key)) this.#trains.set(key, new Train(`train-${++this.#made}`, run, context));
    return this.#trains.get(key);
  }
}
