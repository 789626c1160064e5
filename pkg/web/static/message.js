// Words instead of trains: nothing asked yet, nothing found, or something wrong.
import { el } from "./dom.js";

/** A problem in a line, in the reader's language if the page knows its kind. */
export function problemText(problem, t) {
  return t(`problem_${problem.kind}`, { value: problem.value }) ?? (problem.title || problem.message);
}

/** What a problem says beyond that line, if the reader can read it: the APIs' details are in English. */
export function problemDetail(problem, { t, lang }) {
  const known = t(`problem_${problem.kind}`) !== undefined;
  return lang === "en" || !known ? problem.detail : "";
}

export class Message {
  #node;

  constructor(node) {
    this.#node = node;
  }

  hide() {
    this.#node.hidden = true;
  }

  /** A headline, a hint under it, and buttons: [{text, click}]. */
  show(headline, hint = "", buttons = []) {
    this.#node.replaceChildren(
      el("h2", { text: headline }),
      el("p", { text: hint, hidden: !hint }),
      el("div", { class: "buttons", hidden: buttons.length === 0 }, ...buttons.map(({ text, click }) => el("button", { type: "button", text, on: { click } }))));
    this.#node.hidden = false;
  }

  /** What went wrong. pick(candidate) is called when one of the places that may have been meant is chosen. */
  problem(problem, context, pick, retry) {
    const { t } = context;
    const detail = problemDetail(problem, context);
    const name = (place) => (place.city ? `${place.name} (${t("city")})` : place.name);
    const candidates = problem.candidates.map((place) => ({ text: name(place), click: () => pick(place) }));
    const hints = candidates.length ? [t("pick")] : [detail, problem.passing && t("retrying")];
    const buttons = candidates.length ? candidates : problem.passing ? [{ text: t("retry"), click: retry }] : [];
    this.show(problemText(problem, t), hints.filter(Boolean).join(" · "), buttons);
  }
}
