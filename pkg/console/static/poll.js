// Asks again and again, more seldom while nothing comes, and not at all while nobody looks.
import { ask, Refusal } from "./api.js";

const longestWait = 15_000;

/** The wait before the next look, in ms: doubled with each failure, and spread, so that all pages do not come at once. */
export function wait(every, failures, random = Math.random) {
  return failures === 0 ? every : Math.min(every * 2 ** (failures - 1), longestWait) * (0.75 + random() / 2);
}

/** One thing that is asked for: take gets each answer, fail each Refusal. */
export class Poll {
  #path;
  #every;
  #take;
  #fail;
  #timer = 0;
  #busy = false;
  #more = false; // whether it was wanted again meanwhile
  #failures = 0;
  #good = NaN; // when the last answer came, as performance.now tells
  #since = null; // when it failed first after that

  /** The last Refusal; null if the last look was answered. */
  refusal = null;

  constructor(path, every, take, fail = () => {}) {
    this.#path = path;
    this.#every = every;
    this.#take = take;
    this.#fail = fail;
  }

  /** How old the last answer is, in ms; NaN for none. */
  age(now = performance.now()) {
    return now - this.#good;
  }

  /** Whether what is shown is not of now (Q2): the last look failed, or was long ago, as after a sleep. */
  get old() {
    return this.#since !== null || !(this.age() <= 2 * this.#every + 3000);
  }

  /** Asks now, whatever is due, unless nobody looks. What is wanted while an answer is on the way is asked for after it: that one may be of before. */
  async look() {
    this.#more = this.#busy;
    if (this.#busy || document.hidden) return;
    clearTimeout(this.#timer);
    this.#busy = true;
    try {
      const data = await ask(this.#path);
      this.refusal = null;
      this.#failures = 0;
      this.#since = null;
      this.#good = performance.now();
      this.#take(data);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.#failures++;
      this.#since ??= performance.now();
      this.refusal = refusal;
      this.#fail(refusal);
    } finally {
      this.#busy = false;
      this.#timer = setTimeout(() => this.look(), this.#more ? 0 : wait(this.#every, this.#failures));
    }
  }
}
