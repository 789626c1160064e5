// Speaks to the admin API of this node. The token is kept in this tab, and goes into a header alone (Q1).

const key = "yupiao-token";

/** The token of this tab; empty for none. */
export const token = () => sessionStorage.getItem(key) ?? "";
export const setToken = (text) => sessionStorage.setItem(key, text);

/** What a request came to that was not answered with what was asked for; status is 0 if nothing came. */
export class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const patience = 15_000; // more than an act waits for its nodes

/** Asks, and gives what the JSON of the answer says; throws a Refusal. */
export async function ask(path, body) {
  const request = { headers: {}, signal: AbortSignal.timeout(patience), cache: "no-store" };
  if (token()) request.headers.Authorization = `Bearer ${token()}`;
  if (body !== undefined) {
    request.method = "POST";
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Refusal(0, "the node does not answer");
  }
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, data.detail ?? `${response.status} ${response.statusText}`);
  return data;
}
