// Speaks to the booking backend, which is another server than the one of the page.
import { body, send } from "./api.js";

export class Booking {
  #base;

  /** base is the address of its API, without a slash at the end. */
  constructor(base) {
    this.#base = base;
  }

  /** Reserves places: order is {run, class, from, to, passengers, wish}. The same key and order again give the same reservation. */
  reserve(order, key) {
    return this.#ask("POST", "", order, { "Idempotency-Key": key });
  }

  reservation(id) {
    return this.#ask("GET", `/${encodeURIComponent(id)}`);
  }

  /** Gives places back; if they were paid, money too. */
  cancel(id) {
    return this.#ask("DELETE", `/${encodeURIComponent(id)}`);
  }

  /** Starts a payment at the sandbox, and says how it shall go. Its result is in the reservation a little later. */
  pay(id, behaviour) {
    return this.#ask("POST", `/${encodeURIComponent(id)}/payment`, { behaviour });
  }

  async #ask(method, path, data, headers = {}) {
    const content = data && { "Content-Type": "application/json" };
    const init = { method, body: data && JSON.stringify(data), headers: { Accept: "application/json", ...content, ...headers } };
    return body(await send(`${this.#base}/v1/reservations${path}`, init));
  }
}
