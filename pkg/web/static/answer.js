// The answer that the page holds: whole at first, then kept current by changes.

/** What names a run within an answer: a run may call at a station twice, so the stops belong to it. */
export const keyOf = (run) => `${run.run}/${run.from.stop}-${run.to.stop}`;

export class Answer {
  /** An answer as the API gives it. */
  constructor({ date, from, to, runs }) {
    Object.assign(this, { date, from, to });
    this.runs = new Map(runs.map((run) => [keyOf(run), run]));
  }

  /** Applies a change of the stream: new or changed runs, keys that are gone, and the order if it is another. */
  change({ runs = [], gone = [], order }) {
    for (const run of runs) this.runs.set(keyOf(run), run);
    for (const key of gone) this.runs.delete(key);
    if (order) this.runs = new Map(order.filter((key) => this.runs.has(key)).map((key) => [key, this.runs.get(key)]));
  }
}
