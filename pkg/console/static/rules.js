// The shared settings: read, changed, tried, shared, brought back.
import { ask, Refusal } from "./api.js";
import { confirm } from "./dialog.js";
import { diff, hunks } from "./diff.js";
import { attribute, el, setText } from "./dom.js";
import { faults, lineRange } from "./faults.js";
import { moment, percent, short, goSeconds } from "./format.js";
import { Table } from "./keyed.js";
import { basis, rows, share } from "./report.js";

const trialPatience = 40_000; // a node takes up to 30 s

const byLine = (v) => `version ${v.version}, by ${v.by}, ${moment(v.at)}${v.note ? `: ${v.note}` : ""}`;

function diffOf(before, after) {
  const changed = hunks(diff(before, after));
  if (changed.every((l) => l === null)) return el("p", { class: "small", text: "Nothing in it changes." });
  const mark = { same: "  ", gone: "− ", new: "+ " };
  return el("pre", { class: "diff", tabindex: 0 }, ...changed.map((l) => (l === null ? el("span", { class: "cut", text: "⋯\n" }) : el("span", { class: l.kind, text: `${mark[l.kind]}${l.text}\n` }))));
}

export class Rules {
  #at;
  #base = null; // the version on which the draft is written; null for none yet
  #known = false; // whether anything was heard
  #last = null; // what was stored last
  #versions;
  #closed;
  #done;

  /** at are the elements: text, gutter, version, news, faults, try, share, reset, report, versions. */
  constructor(at, { closed, done }) {
    this.#at = at;
    this.#closed = closed;
    this.#done = done;
    this.#versions = new Table(at.versions, [
      { name: "Version", class: "key-number", of: (v) => `${v.version}` },
      { name: "When", of: (v) => moment(v.at) },
      { name: "By", of: (v) => v.by },
      { name: "Note", wide: true, of: (v) => [v.restores && `${v.restores} again`, v.document === "" && "nothing shared", v.note].filter(Boolean).join("; ") },
      { name: "", class: "do", of: () => "", act: (cell, v) => this.#backButton(cell, v) },
    ], "Nothing was ever shared.");
    at.text.addEventListener("input", () => this.#edited());
    at.text.addEventListener("scroll", () => (at.gutter.scrollTop = at.text.scrollTop));
    at.try.addEventListener("click", () => this.#try());
    at.share.addEventListener("click", () => this.#share());
    at.reset.addEventListener("click", () => this.#take(this.#last));
    this.#number([]);
  }

  /** The number of the version that was stored last; 0 for none. */
  get last() {
    return this.#last?.version ?? 0;
  }

  /** Takes the newest version, in a list; a draft is left alone. */
  async show([last = null]) {
    const fresh = !this.#known || last?.version !== this.#last?.version;
    const untouched = !this.#known || !this.#changed;
    this.#last = last;
    this.#known = true;
    if (untouched) this.#take(last);
    this.#tell();
    if (fresh) await this.#list();
  }

  async #list() {
    try {
      this.#versions.show(await ask("/fleet/settings?last=20"), (v) => v.version);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal; // the next version brings the list
    }
  }

  get #changed() {
    return this.#at.text.value !== (this.#base?.document ?? "");
  }

  // Puts a version in the editor and goes on from there.
  #take(version) {
    this.#base = version;
    this.#at.text.value = version?.document ?? "";
    this.#faults([]);
    this.#tell();
  }

  #edited() {
    this.#faults([]);
    this.#tell();
  }

  #tell() {
    const why = this.#closed();
    setText(this.#at.version, this.#base ? `Written on ${byLine(this.#base)}` : "Nothing is shared: each node's own settings hold.");
    const overtaken = this.last !== (this.#base?.version ?? 0);
    this.#at.news.hidden = !overtaken;
    if (overtaken) setText(this.#at.news.querySelector("p"), this.#last ? `Meanwhile somebody shared ${byLine(this.#last)}.` : "Meanwhile the shared settings were lost.");
    this.#at.share.disabled = Boolean(why) || !this.#known || !this.#changed;
    this.#at.try.disabled = Boolean(why) || !this.#known;
    this.#at.reset.disabled = !this.#changed;
    for (const button of [this.#at.share, this.#at.try]) attribute(button, "title", why || null);
  }

  // Numbers the lines, and marks those with faults.
  #number(wrong) {
    const lines = this.#at.text.value.split("\n").length;
    this.#at.gutter.replaceChildren(...Array.from({ length: lines }, (_, i) => el("span", { text: `${i + 1}\n`, class: wrong.includes(i + 1) && "wrong" })));
    this.#at.gutter.scrollTop = this.#at.text.scrollTop;
  }

  #faults(all) {
    this.#number(all.map((f) => f.line));
    this.#at.faults.replaceChildren(...all.map((f) => el("li", {}, f.line > 0 && f.line <= this.#at.text.value.split("\n").length
      ? el("button", { type: "button", class: "link", text: `line ${f.line}`, on: { click: () => this.#goTo(f.line) } }) : null, ` ${f.text}`)));
    attribute(this.#at.text, "aria-invalid", all.length > 0 && "true");
  }

  #goTo(line) {
    const [start, end] = lineRange(this.#at.text.value, line);
    this.#at.text.focus();
    this.#at.text.setSelectionRange(start, end);
    this.#at.text.scrollTop = (line - 3) * parseFloat(getComputedStyle(this.#at.text).lineHeight);
  }

  // What was refused stands at the lines that it names.
  #refused(refusal) {
    this.#faults(faults(refusal.message));
    const first = faults(refusal.message)[0];
    if (first.line > 0) this.#goTo(first.line);
  }

  async #try() {
    this.#faults([]);
    this.#at.try.disabled = true;
    this.#at.report.replaceChildren(el("p", { class: "small", text: "A node plays its last two minutes under these rules …" }));
    try {
      const { node, report } = await ask("/fleet/settings/try", { body: { document: this.#at.text.value }, patience: trialPatience });
      this.#report(node, report);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      this.#at.report.replaceChildren();
      this.#refused(refusal);
    } finally {
      this.#tell();
    }
  }

  #report(node, report) {
    const cell = (tag, text, level) => el(tag, { text, "data-level": level || null });
    const table = (heads, lines) => el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col", text: h })))), el("tbody", {}, ...lines));
    const line = (r) => el("tr", {}, el("th", { scope: "row", text: r.name }), cell("td", r.before), cell("td", r.after), cell("td", r.change, r.level));
    const rule = (r) => el("tr", {}, el("th", { scope: "row", text: r.rule }), cell("td", percent(r.share)), cell("td", percent(r.hit_ratio)), cell("td", share(r.wrong)));
    const constant = (p) => el("tr", {}, el("th", { scope: "row", text: short(goSeconds(p.ttl)) }), cell("td", percent(p.hit_ratio)), cell("td", share(p.wrong)), cell("td", percent(p.cpu)));
    this.#at.report.replaceChildren(...[
      el("h3", { text: "What if" }), el("p", { class: "small", text: basis(node.name, report) }),
      table(["", "in force", "tried", "change"], rows(report).map(line)),
      report.unseen > 0 ? el("p", { class: "small", text: `${report.unseen} changes came too fast to be looked at in time: fewer may be wrong than it seems.` }) : null,
      report.tried.by_rule?.length ? el("details", {}, el("summary", { text: "By rule, as tried" }), table(["rule", "of all", "hits", "wrong"], report.tried.by_rule.map(rule))) : null,
      report.curve?.length ? el("details", {}, el("summary", { text: "One TTL for all" }), table(["TTL", "hits", "wrong", "CPU"], report.curve.map(constant))) : null,
    ].filter(Boolean));
  }

  async #share() {
    const document = this.#at.text.value;
    const body = [el("p", { text: document.trim() === "" ? "Nothing is shared any more: each node's own settings hold." : "It lies over each node's own settings. A node that refuses it is reason enough not to store it." })];
    const answer = await this.#store("Share these settings with all nodes", "Share", document, body);
    if (answer) this.#take({ version: answer.version, document, by: answer.by, note: answer.note, at: Date.now() });
    this.#done();
  }

  async #back(version) {
    const answer = await this.#store(`Bring back version ${version.version}`, "Roll back", version.document, [el("p", { text: `It is shared again as a new version: ${byLine(version)}` })], version.version);
    if (answer) this.#take({ version: answer.version, document: version.document, by: answer.by, note: answer.note, at: Date.now() });
    this.#done();
  }

  // Stores a document on top of the version that its author has seen. What came in between is told, and shown beside.
  async #store(title, verb, document, body, restores) {
    const base = restores ? this.#last : this.#base;
    let who = {};
    const answer = await confirm({
      title, verb, note: "Why, for the record", path: "/fleet/settings", body: [...body, diffOf(this.#last?.document ?? "", document)],
      request: ({ by, note }) => {
        who = { by, note };
        return { document, by, note, after: base?.version ?? 0, ...(restores && { restores }) };
      },
      failed: (refusal) => {
        if (refusal.status === 409) this.#conflict();
        else if (refusal.status === 422 && !restores && faults(refusal.message)[0].line > 0) this.#refused(refusal);
        else return false;
        return true;
      },
    });
    return answer && { ...answer, ...who };
  }

  async #conflict() {
    try {
      const [last = null] = await ask("/fleet/settings?last=1");
      await this.show([last]);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal; // the next poll brings it
    }
    if (this.#at.news.hidden) return;
    const [theirs, mine, base] = [this.#last, this.#at.text.value, this.#base?.document ?? ""];
    this.#at.news.querySelector("div").replaceChildren(
      el("p", { text: "Yours was not stored. What they changed:" }), diffOf(base, theirs?.document ?? ""),
      el("div", { class: "buttons" },
        el("button", { type: "button", class: "theirs", text: "Take theirs, drop mine", on: { click: () => this.#settle(theirs, theirs?.document ?? "") } }),
        el("button", { type: "button", class: "mine", text: "Keep mine, on top of theirs", on: { click: () => this.#settle(theirs, mine) } })));
    this.#at.news.scrollIntoView({ block: "nearest" });
  }

  #settle(base, text) {
    this.#base = base;
    this.#at.text.value = text;
    this.#at.news.querySelector("div").replaceChildren();
    this.#edited();
  }

  #backButton(cell, version) {
    const button = cell.firstElementChild ?? cell.appendChild(el("button", { type: "button", text: "Roll back", "aria-label": `Roll back to version ${version.version}`, on: { click: () => this.#back(version) } }));
    button.hidden = version.version === this.last;
    button.disabled = Boolean(this.#closed());
  }
}
