// The page: what a person asks, where it stands in the address, and what shows it.
import { Answer } from "./answer.js";
import { read, write } from "./address.js";
import { readiness } from "./api.js";
import { Booking } from "./booking.js";
import { Bookings } from "./bookings.js";
import { DateStrip } from "./dates.js";
import { setText } from "./dom.js";
import { Filters } from "./filters.js";
import { dayWords } from "./format.js";
import { Freshness, ServerClock } from "./freshness.js";
import { preferred, remember, tags, translate, translator } from "./i18n.js";
import { watch } from "./live.js";
import { Message, problemText } from "./message.js";
import { Results } from "./results.js";
import { sift } from "./sift.js";
import { PlaceField, placeRef } from "./suggest.js";

const byId = (id) => document.getElementById(id);
const bookingAt = document.documentElement.dataset.booking; // written there by the server, if there is a backend to book at
const readyEvery = 2_000; // ms between looks at a node that is still loading

class Page {
  #from = new PlaceField(byId("from"), () => this.#picked());
  #to = new PlaceField(byId("to"), () => this.#picked());
  #dates = new DateStrip(byId("dates"), (date) => this.#chooseDate(date));
  #filters = new Filters(byId("filters"), () => this.#filtered());
  #results = new Results(byId("trains"));
  #message = new Message(byId("message"));
  #clock = new ServerClock();
  bookings = bookingAt ? new Bookings(byId("bookings"), { booking: new Booking(bookingAt), clock: this.#clock }) : null;
  #freshness = new Freshness(byId("freshness"), byId("alarm"), this.#clock);
  #saleDates = [];
  #date = "";
  #answer = null;
  #asked = null; // the query that is watched
  #stop = () => {};

  /** How many people travel, as far as the filters tell. */
  get party() {
    return this.#filters.value.seats;
  }

  start() {
    byId("search").addEventListener("submit", (event) => this.#submit(event));
    byId("swap").addEventListener("click", () => this.#swap());
    byId("languages").addEventListener("click", ({ target }) => target.value && this.#switch(target.value));
    addEventListener("popstate", () => this.#open());
    addEventListener("online", () => this.#watch());
    addEventListener("offline", () => this.#freshness.link("lost"));
    // A hidden page needs no stream, and a browser has only six connections for all its tabs on one HTTP/1.1 server.
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#stop() : this.#watch()));
    this.#open();
    this.#ready();
  }

  /** Shows what the address asks for. */
  #open() {
    const { from, to, date, lang, filters } = read(location.search);
    this.#speak(preferred(lang));
    this.#from.set({ ref: refOf(from), name: nameOf(from) });
    this.#to.set({ ref: refOf(to), name: nameOf(to) });
    this.#filters.set(filters);
    this.#date = date || this.#saleDates[0] || "";
    this.#dates.choose(this.#date);
    this.#search("replace");
  }

  /** Learns the days on sale, from a node that may still be loading. */
  async #ready() {
    const asked = Date.now();
    try {
      const state = await readiness();
      this.#clock.learn(state, asked, Date.now());
      this.#saleDates = state.sale_dates;
    } catch (problem) {
      if (!this.#asked) this.#message.show(problemText(problem, this.t), this.t("retrying"));
      return setTimeout(() => this.#ready(), readyEvery);
    }
    this.#date ||= this.#saleDates[0];
    this.#dates.show(this.#saleDates, this.#date, this.lang);
    if (!this.#asked) this.#search("replace");
  }

  #speak(lang) {
    if (lang === this.lang) return;
    const t = translator(lang);
    Object.assign(this, { t, lang });
    document.documentElement.lang = tags[lang];
    document.title = t("title");
    translate(document, t);
    for (const button of byId("languages").children) button.setAttribute("aria-pressed", String(button.value === lang));
    for (const field of [this.#from, this.#to]) field.speak(t, lang);
    this.#freshness.speak(t);
    this.#dates.show(this.#saleDates, this.#date, lang);
    this.#results.clear();
    this.bookings?.speak(t, lang);
  }

  #switch(lang) {
    remember(lang);
    this.#speak(lang);
    this.#search("replace");
  }

  #submit(event) {
    event.preventDefault();
    const empty = [this.#from, this.#to].find((field) => !field.text);
    if (empty) empty.focus();
    else this.#search("push");
  }

  #picked() {
    if (!this.#to.text) this.#to.focus();
    else if (!this.#from.text) this.#from.focus();
    else this.#search("push");
  }

  #chooseDate(date) {
    this.#date = date;
    this.#search("push");
  }

  #swap() {
    const [from, to] = [this.#from, this.#to].map(({ ref, text }) => ({ ref, name: text }));
    this.#from.set(to);
    this.#to.set(from);
    this.#search("push");
  }

  #filtered() {
    this.#write("replace", this.#query());
    this.#show();
  }

  #query() {
    return { from: this.#from.ref || this.#from.text, to: this.#to.ref || this.#to.text, date: this.#date, lang: this.lang };
  }

  /** Searches for what stands in the form; mode is "push" for a step in the history, "replace" for none. */
  async #search(mode) {
    await Promise.all([this.#from.settle(), this.#to.settle()]);
    const query = this.#query();
    if (!query.from || !query.to) return this.#welcome();
    if (!query.date) return this.#message.show(this.t("loading")); // the days on sale are not known yet
    this.#write(mode, query);
    this.#ask(query);
  }

  #write(mode, query) {
    const address = write({ ...query, filters: this.#filters.value });
    if (address !== location.search) history[`${mode}State`](null, "", address);
  }

  #welcome() {
    this.#stop();
    this.#asked = this.#answer = null;
    this.#results.clear();
    byId("found").hidden = true;
    this.#message.show(this.t("welcome"), this.t("welcomeHint"));
  }

  #ask(query) {
    const { from, to, date } = this.#asked ?? {};
    if (from !== query.from || to !== query.to || date !== query.date) this.#forget();
    this.#asked = query;
    this.#watch();
  }

  #forget() {
    this.#answer = null;
    this.#results.clear();
    this.#freshness.reset();
    byId("found").hidden = true;
    this.#message.show(this.t("loading"));
  }

  #watch() {
    this.#stop();
    if (!this.#asked) return;
    this.#stop = watch(this.#asked, {
      answer: (whole) => this.#whole(whole),
      runs: (change) => this.#changed(change),
      status: (status) => this.#freshness.status(status),
      link: (link) => this.#freshness.link(link),
      problem: (problem) => this.#problem(problem),
    });
  }

  #whole(data) {
    this.#answer = new Answer(data);
    const { from, to, date } = this.#answer;
    this.#from.confirm(this.#asked.from, from);
    this.#to.confirm(this.#asked.to, to);
    setText(byId("route"), `${from.name} → ${to.name}`);
    document.title = `${from.name} → ${to.name} · ${dayWords(date, this.lang)} · 余票 Yupiao`;
    this.#show();
  }

  #changed(change) {
    this.#answer?.change(change);
    this.#show();
  }

  #show() {
    if (!this.#answer) return;
    const runs = [...this.#answer.runs.values()];
    const shown = sift(runs, this.#filters.value);
    byId("found").hidden = false;
    byId("filters").hidden = runs.length === 0;
    this.#filters.show(runs, this.t);
    this.#results.show(shown, this.#answer.runs, this);
    setText(byId("total"), `${dayWords(this.#answer.date, this.lang)} · ${this.#total(shown.length, runs.length)}`);
    this.#explain(shown.length, runs.length);
  }

  #total(n, all) {
    if (n !== all) return this.t("trainsOf", { n, all });
    return n === 1 ? this.t("oneTrain") : this.t("trains", { n });
  }

  /** Says why the list is empty, if it is. */
  #explain(n, all) {
    const { from, to, date } = this.#answer;
    if (n > 0) return this.#message.hide();
    if (all > 0) return this.#message.show(this.t("noneLeft"), this.t("noneLeftHint", { all }), [{ text: this.t("clearFilters"), click: () => this.#filters.clear() }]);
    this.#message.show(this.t("noTrains"), this.t("noTrainsHint", { from: from.name, to: to.name, date: dayWords(date, this.lang) }));
  }

  /** A problem that will pass leaves the trains in sight: the line above them says how old they are. */
  #problem(problem) {
    if (problem.passing && this.#answer) return;
    this.#answer = null;
    this.#results.clear();
    byId("found").hidden = true;
    this.#message.problem(problem, this, (place) => this.#pick(problem.parameter, place), () => this.#watch());
  }

  #pick(parameter, place) {
    const field = parameter === "to" ? this.#to : this.#from;
    field.set({ ref: placeRef(place), name: place.name });
    this.#search("push");
  }
}

// What stands in an address is a code, or else text that a person wrote, which is looked up as if it were typed.
const refOf = (text) => (/^(city:.*|[A-Z0-9_-]+)$/.test(text) ? text : "");
const nameOf = (text) => text.replace(/^city:/, "");

new Page().start();
