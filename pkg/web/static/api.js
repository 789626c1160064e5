// Speaks to the node that served the page.

/** An answer that is none. `kind` is the last part of its type ("unknown-place"), or "offline" if nothing came back. */
export class Problem extends Error {
  constructor({ type = "", title = "", detail = "", status = 0, value = "", parameter = "", candidates = [], retryAfter = 0 }) {
    super(detail || title);
    Object.assign(this, { kind: type.split("/").pop(), title, detail, status, value, parameter, candidates, retryAfter });
  }

  /** Whether asking again can help: the request was not at fault. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Sends a request; init is fetch's. That nothing came back is a problem, too. */
export async function send(url, init) {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ type: "offline" });
  }
}

function get(path, params, signal) {
  return send(params ? `${path}?${new URLSearchParams(params)}` : path, { signal, headers: { Accept: "application/json" } });
}

/** What an answer holds; an answer that is none is thrown as a problem. */
export async function body(response) {
  const data = await response.json().catch(() => null);
  if (response.ok && data) return data;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  throw new Problem({ title: response.statusText, ...data, status: response.ok ? 502 : response.status, retryAfter });
}

/** Places whose names begin like q, best first. */
export async function stations(q, lang, signal) {
  return (await body(await get("/v1/stations", { q, limit: 8, lang }, signal))).stations ?? [];
}

// A place is sent as "city:BJP" or as a station's code; the scope keeps a station from being widened to its city.
const searchParams = ({ from, to, date, lang }) => ({ from, to, date, lang, scope: "station" });

/** The whole answer to a search, and how fresh it is: {answer, asOf, state}. */
export async function availability(query, signal) {
  const response = await get("/v1/availability", searchParams(query), signal);
  const answer = await body(response);
  return { answer, asOf: response.headers.get("Yupiao-As-Of"), state: response.headers.get("Yupiao-State") };
}

/** Where the same answer is streamed. */
export const streamURL = (query) => `/v1/stream?${new URLSearchParams(searchParams(query))}`;

/** One run with all its stops. */
export async function run(id, lang, signal) {
  return body(await get(`/v1/runs/${encodeURIComponent(id)}`, { lang }, signal));
}

/** What the node says of itself: sale_dates, as_of, age_seconds. A node that is still loading is a problem. */
export async function readiness() {
  const response = await get("/readyz");
  const state = await response.json().catch(() => null);
  if (response.ok && state?.sale_dates?.length) return state;
  throw new Problem({ type: "not-ready", status: response.status });
}
