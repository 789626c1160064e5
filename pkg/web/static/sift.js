// Filters and orders the runs of an answer. It knows no page, only data.

/** The ranges of the day that the filters offer: from the first minute to before the last. */
export const ranges = ["00:00-06:00", "06:00-12:00", "12:00-18:00", "18:00-24:00"];

/** The orders; the first is the default. */
export const sorts = ["departure", "arrival", "duration", "fare"];

/** Filters that let all pass. An empty set means: any. */
export function noFilters() {
  return { types: new Set(), classes: new Set(), depart: new Set(), arrive: new Set(), available: false, seats: 1, sort: sorts[0] };
}

/** The letters that a train's number begins with: "G" of "G1"; empty for a bare number. */
export const typeOf = (run) => run.train.match(/^\p{L}+/u)?.[0].toUpperCase() ?? "";

/** How a train's type stands in filters and the address: an empty text cannot. */
export const typeKey = (run) => typeOf(run) || "-";

/** Whether places of a class can be bought now. */
export const sellable = ({ state }) => state === "AVAILABLE" || state === "LOW";

/** Runs that pass the filters, in order, each with the classes to show: [{run, classes}]. */
export function sift(runs, filters) {
  const passed = [...runs].filter((run) => passes(run, filters)).map((run) => ({ run, classes: classesOf(run, filters) }));
  const shown = passed.filter(({ classes }) => hasSeats(classes, filters));
  const order = orders[filters.sort];
  return order ? shown.sort((a, b) => order(a) - order(b)) : shown;
}

function passes(run, filters) {
  const any = (set, value) => set.size === 0 || set.has(value);
  return any(filters.types, typeKey(run)) && within(run.depart, filters.depart) && within(run.arrive, filters.arrive) &&
    (filters.classes.size === 0 || classesOf(run, filters).length > 0);
}

function within(time, wanted) {
  const at = time.slice(11, 16);
  return wanted.size === 0 || [...wanted].some((range) => at >= range.slice(0, 5) && at < range.slice(6));
}

const classesOf = (run, { classes }) => run.classes.filter((c) => classes.size === 0 || classes.has(c.class));

function hasSeats(classes, { available, seats }) {
  return (!available && seats === 1) || classes.some((c) => sellable(c) && c.remaining >= seats);
}

// The default order has no entry: it is the answer's own. The sort is stable, so equal ones keep it.
const orders = {
  arrival: ({ run }) => Date.parse(run.arrive),
  duration: ({ run }) => run.minutes,
  fare: ({ classes }) => cheapest(classes),
};

const beyondFares = 2 ** 40; // above any fare, and doubled still exact

/** The lowest fare that can be bought; after those the lowest that cannot; after those runs without fares. */
function cheapest(classes) {
  const fares = classes.filter((c) => c.fare).map((c) => c.fare.amount + (sellable(c) ? 0 : beyondFares));
  return Math.min(2 * beyondFares, ...fares);
}
