// One train of the list.
import { arrange, attribute, el, setText } from "./dom.js";
import { clock, daysBetween, duration, money } from "./format.js";
import { Panel } from "./panel.js";
import { sellable } from "./sift.js";
import { Stops } from "./stops.js";

const flashFor = 1600; // ms, a little more than the animation

export class Train {
  #context;
  #classes = new Map(); // class code -> ClassCell
  #list = el("ul", { class: "classes" });
  #note = el("p", { class: "note" });
  #stops;
  #shown = []; // the classes that pass the filters
  #book = null; // the button that opens the panel; none where nothing can be booked
  #panel = null; // made when it is first opened: most never are

  /** id is unique on the page; context is {t, lang, bookings, party}. */
  constructor(id, run, context) {
    this.#context = context;
    this.run = run;
    this.#stops = new Stops(`${id}-stops`, run, context);
    if (context.bookings) this.#book = this.#opener(`${id}-book`, run);
    this.node = el("li", { class: "train", "data-train": run.train },
      this.#number(run), this.#times(run), this.#list, this.#book, this.#note, this.#stops.node);
  }

  /** Whether somebody books on it, so that it must stay in sight. */
  get held() {
    return Boolean(this.#panel?.open);
  }

  /** Ends what goes on in it, when it is forgotten. */
  close() {
    this.#panel?.close();
  }

  #opener(id, run) {
    const { t } = this.#context;
    const label = t("bookTrain", { train: run.train });
    const props = { type: "button", class: "book", "aria-expanded": "false", "aria-label": label, text: t("book"), on: { click: () => this.#toggle(id) } };
    return el("button", props);
  }

  #toggle(id) {
    if (this.held) return this.#panel.hide();
    if (!this.#panel) {
      this.#panel = new Panel(id, this.run, this.#context, this.#book);
      this.node.append(this.#panel.node);
    }
    this.#panel.update(this.run, this.#shown);
    this.#panel.show();
  }

  #number(run) {
    const click = ({ currentTarget }) => {
      this.#stops.toggle();
      currentTarget.setAttribute("aria-expanded", String(this.#stops.open));
    };
    const label = this.#context.t("showStops", { train: run.train });
    const props = { type: "button", "aria-expanded": "false", "aria-controls": this.#stops.node.id, title: label, text: run.train, on: { click } };
    return el("h2", { class: "number" }, el("button", props));
  }

  #times(run) {
    const { t } = this.#context;
    const days = daysBetween(run.depart, run.arrive);
    const later = days === 1 ? t("oneDayLater") : t("daysLater", { n: days });
    return el("div", { class: "times" },
      end("depart", run.from.name, el("time", { datetime: run.depart, text: clock(run.depart) })),
      el("p", { class: "duration", text: duration(run.minutes, t) }),
      end("arrive", run.to.name, el("time", { datetime: run.arrive, text: clock(run.arrive) }),
        days > 0 ? el("span", { class: "plus", title: later, "aria-label": later, role: "img", text: `+${days}` }) : null));
  }

  /** Shows the run as it is now. What has changed since it was last shown lights up for a moment. */
  update(run, classes) {
    this.run = run;
    this.#shown = classes;
    const cells = classes.map((c) => this.#cell(c));
    arrange(this.#list, cells.map(({ node }) => node));
    const note = noteOf(run, classes);
    setText(this.#note, note);
    this.#note.hidden = !note;
    attribute(this.node, "data-behind", Boolean(run.behind));
    attribute(this.node, "data-closed", !classes.some(sellable));
    this.#stops.explain(classes);
    if (this.held) this.#panel.update(run, classes);
    if (this.#book) this.#book.hidden = !classes.some(sellable) && !this.held;
  }

  #cell(c) {
    if (!this.#classes.has(c.class)) this.#classes.set(c.class, new ClassCell(this.#context));
    const cell = this.#classes.get(c.class);
    cell.update(c);
    return cell;
  }
}

function end(side, name, ...time) {
  return el("div", { class: side }, el("p", { class: "time" }, ...time), el("p", { class: "station", text: name }));
}

const gone = ["SOLD_OUT", "WAITLIST"]; // their word is their reason

/** What is said of the run as a whole: its own reason, or the one that all its classes share. */
function noteOf(run, classes) {
  if (run.reason) return run.reason;
  const [first, ...rest] = classes;
  const shared = first?.reason && !gone.includes(first.state) && rest.every(({ reason }) => reason === first.reason);
  return shared ? first.reason : "";
}

/** A class of a train: its name, how many places are left, and the fare. */
class ClassCell {
  #context;
  #name = el("span", { class: "class-name" });
  #count = el("span", { class: "count" });
  #word = el("span", { class: "word" });
  #fare = el("span", { class: "fare" });
  #before = "";
  #timer = 0;

  constructor(context) {
    this.#context = context;
    this.node = el("li", { class: "class" }, this.#name, el("span", { class: "left" }, this.#count, " ", this.#word), this.#fare);
  }

  update(c) {
    const { t, lang } = this.#context;
    const count = sellable(c) ? String(c.remaining) : "";
    setText(this.#name, c.name);
    setText(this.#count, count);
    setText(this.#word, t(c.state === "AVAILABLE" ? "left" : `state_${c.state}`) ?? t("state_UNKNOWN"));
    this.#word.classList.toggle("unseen", c.state === "AVAILABLE");
    setText(this.#fare, c.fare ? money(c.fare, lang) : "");
    this.node.dataset.class = c.class;
    this.node.dataset.state = c.state;
    attribute(this.node, "title", c.reason);
    this.#flash(`${c.state} ${count}`);
  }

  #flash(now) {
    const changed = this.#before && this.#before !== now;
    this.#before = now;
    if (!changed) return;
    clearTimeout(this.#timer);
    this.node.classList.remove("changed");
    void this.node.offsetWidth; // a reflow, so that a second change soon after lights up again
    this.node.classList.add("changed");
    this.#timer = setTimeout(() => this.node.classList.remove("changed"), flashFor);
  }
}
