// Speaks to the admin API of this node. The token is kept in this tab, and goes into a header alone (Q1).

const key = "yupiao-token";

/** The token of this tab; empty for none. */
export const token = () => sessionStorage.getItem(key) ?? "";

/** Keeps a token for this tab; empty forgets it. */
export const setToken = (text) => (text ? sessionStorage.setItem(key, text) : sessionStorage.removeItem(key));

/** What a request came to that was not answered with what was asked for; status is 0 if nothing came. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let ahead = 0; // of the node's clock before this one, in ms

/** The node's clock, to a second: a reader's own may be wrong, and would put the last hour in another place. */
export const nodeNow = () => Date.now() + ahead;

function learn(response) {
  const at = Date.parse(response.headers.get("Date"));
  const off = at + 500 - Date.now(); // the header is cut to whole seconds
  if (Number.isFinite(off)) ahead = Math.abs(off) < 2000 ? 0 : off;
}

/** Asks, and gives what the JSON of the answer says; throws a Refusal. With a body it is a POST. patience in ms. */
export async function ask(path, { body, patience = 5000 } = {}) {
  const request = { headers: { Accept: "application/json" }, signal: AbortSignal.timeout(patience), cache: "no-store" };
  if (token()) request.headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) {
    request.method = "POST";
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response, data;
  try {
    response = await fetch(path, request);
    learn(response);
    data = await response.json();
  } catch (error) {
    if (error.name === "TimeoutError") throw new Refusal(0, `no answer within ${patience / 1000} s`);
    if (!response) throw new Refusal(0, "no answer");
    data = null; // no JSON, or cut off
  }
  if (!response.ok) throw new Refusal(response.status, data?.detail ?? `${response.status} ${response.statusText}`);
  if (data === null) throw new Refusal(0, "the answer was cut off");
  return data;
}
