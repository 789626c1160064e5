// A reservation that was made on this page, as the backend last told it. Those who show it hear its event "change".
import { backoff } from "./live.js";

/** How a sandbox payment may go; the first is the default. */
export const behaviours = ["succeed", "fail", "late", "twice", "never"];

const fast = 300; // ms between looks at money that has just begun to move
const fastFor = 10_000;
const slow = 2_000;
const longest = 2 ** 31 - 1; // what a timer takes

/** Whether a payment or the way back of its money is still on its way. */
export const moving = ({ payment }) => payment?.state === "PENDING" || payment?.state === "REFUND_DUE";

/** Whether a payment can be started. */
export const payable = ({ state, payment }) => state === "RESERVED" && payment?.state !== "PENDING";

/** Whether places can be given back. */
export const cancellable = ({ state }) => state === "RESERVED" || state === "PAID";

/** The time until a deadline, "9:41", and "0:00" after it. */
export function countdown(deadline, now) {
  const seconds = Math.max(0, Math.floor((Date.parse(deadline) - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/**
 * How long to wait before the next look, in ms; null if none is needed. A reservation changes by itself when a payment ends and when its
 * deadline passes. since is when something was last done; what nobody watches is looked at for its deadline alone.
 */
export function nextLook(data, { now, since, watched }) {
  if (watched && moving(data)) return now - since < fastFor ? fast : slow;
  if (data.state !== "RESERVED") return null;
  return Math.min(Math.max(Date.parse(data.deadline) - now, slow), longest);
}

export class Reservation extends EventTarget {
  data = null; // until the backend has told it
  problem = null; // of the last act
  busy = false; // while an act is on its way
  #booking;
  #clock;
  #timer = 0;
  #turn = 0; // of the acts and looks: what an older one brings is out of date
  #since = -Infinity; // when something was last done here
  #failed = 0; // looks in a row
  #watchers = 0;

  /** clock tells the servers' time; data is what reserving gave, null for one that is only known by its id. */
  constructor(id, { booking, clock }, data = null) {
    super();
    this.id = id;
    this.#booking = booking;
    this.#clock = clock;
    if (data) this.#learn(data);
  }

  /** The servers' time. */
  get now() {
    return this.#clock.now();
  }

  /** Keeps a payment in sight until the returned function is called. */
  watch() {
    this.#watchers++;
    if (this.data) this.#plan();
    return () => { this.#watchers--; };
  }

  /** Looks again. A look that fails is repeated; only that there is no such reservation is final. */
  async look() {
    const turn = ++this.#turn;
    try {
      const data = await this.#booking.reservation(this.id);
      if (turn === this.#turn) this.#learn(data);
    } catch (problem) {
      if (turn === this.#turn) this.#missed(problem);
    }
  }

  pay(behaviour) {
    return this.#act(() => this.#booking.pay(this.id, behaviour));
  }

  cancel() {
    return this.#act(() => this.#booking.cancel(this.id));
  }

  /** Forgets the timer, for good. */
  close() {
    this.#turn++;
    clearTimeout(this.#timer);
  }

  async #act(ask) {
    if (this.busy) return;
    const turn = ++this.#turn;
    clearTimeout(this.#timer);
    this.#since = this.now;
    Object.assign(this, { busy: true, problem: null });
    this.#tell();
    let data, problem;
    try {
      data = await ask();
    } catch (error) {
      problem = error;
    }
    if (turn !== this.#turn) return;
    Object.assign(this, { busy: false, problem: problem ?? null });
    if (data) return this.#learn(data);
    this.#tell();
    await this.look(); // it may have been carried out all the same, or something else was
  }

  #learn(data) {
    if (!this.data) this.problem = null; // it was why there were no data; that of an act stays in sight
    this.data = data;
    this.#failed = 0;
    this.#tell();
    this.#plan();
  }

  #missed(problem) {
    if (!problem.passing || !this.data) this.problem = problem;
    this.#tell();
    if (problem.passing) this.#wait(backoff(this.#failed++));
  }

  #plan() {
    if (this.busy) return; // a look would make what the act brings out of date
    const wait = nextLook(this.data, { now: this.now, since: this.#since, watched: this.#watchers > 0 });
    if (wait === null) clearTimeout(this.#timer);
    else this.#wait(wait);
  }

  #wait(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.look(), ms);
  }

  #tell() {
    this.dispatchEvent(new Event("change"));
  }
}
