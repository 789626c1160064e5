// The reservations that were made on this page: kept by their ids until the tab is closed, listed, and asked for again after a reload.
import { run as fetchRun } from "./api.js";
import { attribute, el, setText } from "./dom.js";
import { clock, dayWords } from "./format.js";
import { problemText } from "./message.js";
import { Reservation } from "./reservation.js";
import { Ticket } from "./ticket.js";

const memory = "yupiao.bookings";
const most = 20; // that are kept, the newest

export class Bookings {
  #section;
  #list;
  #tools; // {booking, clock}
  #entries = []; // the newest first
  #context = null;

  constructor(section, tools) {
    this.#section = section;
    this.#list = section.querySelector("ul");
    this.#tools = tools;
    for (const id of remembered()) this.#add(new Reservation(id, tools)).reservation.look();
  }

  /** Speaks another language from now on. */
  speak(t, lang) {
    this.#context = { t, lang };
    for (const entry of this.#entries) entry.speak(this.#context);
  }

  /** Makes a reservation; see Booking. */
  async reserve(order, key) {
    const data = await this.#tools.booking.reserve(order, key);
    const known = this.#entries.find(({ reservation }) => reservation.id === data.id);
    if (known) return known.reservation;
    const entry = this.#add(new Reservation(data.id, this.#tools, data));
    entry.speak(this.#context);
    for (const old of this.#entries.slice(most)) this.#drop(old);
    this.#save();
    return entry.reservation;
  }

  #add(reservation) {
    const entry = new Entry(reservation);
    reservation.addEventListener("change", () => reservation.problem?.kind === "unknown-reservation" && this.#drop(entry));
    this.#entries.unshift(entry);
    this.#list.prepend(entry.node);
    this.#section.hidden = false;
    return entry;
  }

  // The backend does not know it: it began anew, as a demo does.
  #drop(entry) {
    entry.close();
    this.#entries = this.#entries.filter((other) => other !== entry);
    this.#section.hidden = this.#entries.length === 0;
    this.#save();
  }

  #save() {
    try {
      sessionStorage.setItem(memory, JSON.stringify(this.#entries.map(({ reservation }) => reservation.id).reverse()));
    } catch {
      // storage may be forbidden; then the list lasts until a reload
    }
  }
}

/** The ids that were kept, the oldest first. */
function remembered() {
  try {
    const ids = JSON.parse(sessionStorage.getItem(memory) ?? "[]");
    return Array.isArray(ids) ? ids.filter((id) => typeof id === "string").slice(-most) : [];
  } catch {
    return [];
  }
}

/** A line of the list, which opens to the whole reservation. */
class Entry {
  #what = el("span", { class: "booking-what" });
  #state = el("span", { class: "order-state" });
  #head = el("button", { type: "button", class: "booking-head", "aria-expanded": "false", on: { click: () => this.#toggle() } },
    this.#what, " ", this.#state);
  #body = el("div", { class: "panel", hidden: true });
  #context = null;
  #ticket = null;
  #names = {};
  #named = "";

  constructor(reservation) {
    this.reservation = reservation;
    this.node = el("li", { class: "booking", "data-id": reservation.id }, this.#head, this.#body);
    reservation.addEventListener("change", () => this.#update());
  }

  speak(context) {
    this.#context = context;
    this.#names = {};
    this.#draw();
    this.#update();
  }

  close() {
    this.#ticket?.stop();
    this.reservation.close();
    this.node.remove();
  }

  #toggle() {
    this.#body.hidden = !this.#body.hidden;
    this.#head.setAttribute("aria-expanded", String(!this.#body.hidden));
    this.#draw();
  }

  /** The ticket is there only while it is in sight. */
  #draw() {
    this.#ticket?.stop();
    this.#ticket = this.#body.hidden ? null : new Ticket(this.reservation, this.#context, this.#names);
    this.#body.replaceChildren(...(this.#ticket ? [this.#ticket.node] : []));
    this.#ticket?.start();
  }

  #update() {
    if (!this.#context) return;
    const { data, problem, id } = this.reservation;
    const { t, lang } = this.#context;
    if (!data) return setText(this.#what, problem ? `${id} · ${problemText(problem, t)}` : id);
    const { from = data.from.name, to = data.to.name } = this.#names;
    setText(this.#what, `${data.train} · ${from} → ${to} · ${dayWords(data.depart.slice(0, 10), lang)} ${clock(data.depart)}`);
    setText(this.#state, t(`order_${data.state}`) ?? data.state);
    attribute(this.#state, "data-state", data.state);
    this.#name(data, lang);
  }

  /** Asks the node for the names in the reader's language, once; without an answer those of the reservation stand. */
  async #name(data, lang) {
    if (this.#named === lang) return;
    this.#named = lang;
    const run = await fetchRun(data.run, lang).catch(() => null);
    if (!run || lang !== this.#context.lang) return;
    const name = ({ stop }) => run.stops.find((s) => s.stop === stop)?.name;
    this.#names = { from: name(data.from), to: name(data.to), class: run.classes.find((c) => c.class === data.class)?.name };
    this.#update();
    if (this.#ticket && !this.#body.contains(document.activeElement)) this.#draw();
  }
}
