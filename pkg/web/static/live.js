// Keeps a search current: asks once, since only a plain request explains what is wrong, then listens to the stream.
import { availability, streamURL } from "./api.js";

const silence = 15_000; // the stream speaks every second; after so long without a word it is dead, whatever the browser thinks
const firstWait = 1_000;
const longestWait = 15_000;

/** The wait before a try, in ms: doubled each time, and spread, so that a restarted node is not met by all its pages at once. */
export function backoff(tries, random = Math.random) {
  return Math.min(firstWait * 2 ** tries, longestWait) * (0.5 + random() / 2);
}

/**
 * Watches a query until the returned function is called. Calls on.answer(whole), on.runs(change), on.status({as_of, state}),
 * on.problem(problem), and on.link("connecting" | "live" | "lost"). While there is no stream, it asks again and again.
 */
export function watch(query, on) {
  const watcher = new Watcher(query, on);
  watcher.load();
  return () => watcher.stop();
}

class Watcher {
  #query;
  #on;
  #life = new AbortController();
  #source = null;
  #timer = 0; // of the next try, or of the silence; never both
  #tries = 0;

  constructor(query, on) {
    this.#query = query;
    this.#on = on;
    on.link("connecting");
  }

  stop() {
    this.#life.abort();
    this.#hangUp();
  }

  #hangUp() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  async load() {
    try {
      const { answer, asOf, state } = await availability(this.#query, this.#life.signal);
      if (this.#life.signal.aborted) return;
      this.#on.answer(answer);
      this.#on.status({ as_of: asOf, state });
      this.#listen();
    } catch (problem) {
      if (this.#life.signal.aborted) return;
      this.#on.problem(problem);
      if (problem.passing) this.#again(problem.retryAfter * 1000);
    }
  }

  #again(atLeast = 0) {
    this.#hangUp();
    this.#on.link("lost");
    this.#timer = setTimeout(() => this.load(), Math.max(backoff(this.#tries++), atLeast));
  }

  #listen() {
    const source = new EventSource(streamURL(this.#query));
    this.#source = source;
    this.#heard();
    source.onopen = () => this.#on.link("live");
    source.onerror = () => this.#failed(source);
    this.#hear("answer", this.#on.answer);
    this.#hear("runs", this.#on.runs);
    this.#hear("status", this.#on.status);
    this.#hear("restart", () => this.#again());
  }

  // A source that is not closed connects again by itself.
  #failed(source) {
    this.#on.link("lost");
    if (source.readyState === EventSource.CLOSED) this.#again();
  }

  #hear(event, handle) {
    this.#source.addEventListener(event, ({ data }) => {
      this.#heard();
      this.#tries = 0;
      handle(JSON.parse(data));
    });
  }

  #heard() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#again(), silence);
  }
}
