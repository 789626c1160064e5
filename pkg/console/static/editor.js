// The rules of all nodes: read, tried, shared, brought back.

import { ask } from "./api.js";
import { el, setText } from "./dom.js";

const $ = (id) => document.getElementById(id);

export function editor({ act, by, say, moment, percent }) {
  let after = 0; // the version that is seen

  /** Takes what is in force into the editor, and lists the versions. */
  async function load() {
    let versions;
    try {
      versions = await ask("/fleet/settings?last=20");
    } catch (refusal) {
      setText($("rules-version"), refusal.message);
      return;
    }
    const last = versions[0];
    after = last?.version ?? 0;
    $("document").value = last?.document ?? "";
    setText($("rules-version"), last ? `Version ${last.version}, by ${last.by}, ${moment(last.at)}${last.note ? `: ${last.note}` : ""}` : "Nothing is shared: each node's own settings hold.");
    $("versions").replaceChildren(...versions.slice(1).map((v) => el("li", {},
      el("button", { type: "button", text: `Bring back ${v.version}`, on: { click: () => share(v.document, v.version) } }),
      ` by ${v.by}, ${moment(v.at)}${v.note ? `: ${v.note}` : ""}`)));
  }

  async function share(document, restores) {
    const who = by();
    if (!who) return;
    const proposal = { document, by: who, note: $("note").value.trim(), after };
    if (restores) proposal.restores = restores;
    const done = await act("/fleet/settings", proposal, restores ? `Version ${restores} again` : "Share the rules");
    if (done) {
      $("note").value = "";
      await load();
    }
  }

  /** Says what the document would do, from the live queries of the busiest node. */
  async function tryIt() {
    $("try").disabled = true;
    try {
      const { node, report } = await ask("/fleet/settings/try", { document: $("document").value });
      const line = (name, of) => el("tr", {}, el("th", { text: name }), ...[report.in_force, report.tried].map((r) => el("td", { text: of(r) })));
      $("what-if").replaceChildren(
        el("p", { class: "small", text: `From ${report.requests} searches on ${node.name}:` }),
        el("table", {}, el("thead", {}, el("tr", {}, el("th"), el("th", { text: "in force" }), el("th", { text: "tried" }))), el("tbody", {},
          line("hit ratio", (r) => percent(r.hit_ratio)), line("answers that are not true any more", (r) => `${(100 * r.wrong).toFixed(2)} %`),
          line("cores", (r) => r.cpu.toFixed(3)))));
      say("");
    } catch (refusal) {
      $("what-if").replaceChildren();
      point(refusal.message);
      say(`What if: ${refusal.message}`, "bad");
    } finally {
      $("try").disabled = false;
    }
  }

  /** Puts the cursor on the line that an error names. */
  function point(text) {
    const line = Number(/document:(\d+)/.exec(text)?.[1]);
    if (!line) return;
    const lines = $("document").value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    $("document").focus();
    $("document").setSelectionRange(start, start + (lines[line - 1] ?? "").length);
  }

  $("try").addEventListener("click", tryIt);
  $("share").addEventListener("click", () => share($("document").value));
  $("reload").addEventListener("click", load);
  return { load };
}
