// How old the numbers on the page are. Age grows by itself: silence is not freshness.
import { setText } from "./dom.js";

const agingAfter = 2; // seconds
const staleAfter = 10;

/** The level of trust: "fresh", "aging" or "stale", and the key of its word. age in seconds; NaN if nothing proves one. */
export function judge({ age, state, link }) {
  if (link === "lost") return { level: "stale", word: "lost" };
  if (state === "degraded") return { level: "stale", word: "degraded" };
  if (link === "connecting" && Number.isNaN(age)) return { level: "aging", word: "connecting" };
  if (!(age <= staleAfter)) return { level: "stale", word: "aging" };
  return age > agingAfter ? { level: "aging", word: "aging" } : { level: "fresh", word: "live" };
}

/** An age in words: "0.3 s old". */
export function ageWords(age, t) {
  if (age >= 120) return t("ageMinutes", { n: Math.floor(age / 60) });
  return t("ageSeconds", { n: age < staleAfter ? age.toFixed(1) : Math.floor(age) });
}

/** The node's clock. A reader's own may be wrong, and would make old numbers look new. */
export class ServerClock {
  #ahead = 0; // ms

  /** Learns from an answer that told its data's time and age, asked and received at local times in ms. */
  learn({ as_of: asOf, age_seconds: age }, asked, received) {
    if (asOf && Number.isFinite(age)) this.#ahead = Date.parse(asOf) + age * 1000 - (asked + received) / 2;
  }

  now() {
    return Date.now() + this.#ahead;
  }
}

/** The line that says it, ticking each second. */
export class Freshness {
  #node;
  #alarm;
  #clock;
  #facts = { asOf: NaN, state: "live", link: "connecting" };
  #level = "fresh";

  constructor(node, alarm, clock) {
    this.#node = node;
    this.#alarm = alarm;
    this.#clock = clock;
    setInterval(() => this.show(), 1000);
  }

  /** Speaks another language from now on. */
  speak(t) {
    this.t = t;
    this.show();
  }

  status({ as_of: asOf, state }) {
    this.#facts.asOf = asOf ? Date.parse(asOf) : NaN;
    this.#facts.state = state ?? "degraded";
    this.show();
  }

  link(link) {
    this.#facts.link = link;
    this.show();
  }

  /** Forgets everything, for another search. */
  reset() {
    this.#facts = { asOf: NaN, state: "live", link: "connecting" };
    this.show();
  }

  show() {
    const age = Math.max(0, this.#clock.now() - this.#facts.asOf) / 1000;
    const { level, word } = judge({ ...this.#facts, age });
    this.#node.dataset.level = level;
    setText(this.#node.querySelector(".word"), this.t(word));
    setText(this.#node.querySelector(".age"), Number.isNaN(age) ? "" : this.#ageLine(age));
    this.#announce(level, word);
  }

  #ageLine(age) {
    const time = new Date(this.#facts.asOf).toLocaleTimeString("en-GB"); // 24 hours in every language
    return `${this.t("asOf", { time })} · ${ageWords(age, this.t)}`;
  }

  // Only a change of level is spoken: a line that changes each second would never let a reader finish.
  #announce(level, word) {
    if (level === this.#level) return;
    this.#level = level;
    setText(this.#alarm, this.t(word));
  }
}
