// Why this chunk: its rank at every stage, the words that it shares with the question, and what would bring it in.

import * as api from "./api.js";
import { el, fill, table, trouble, unique } from "./dom.js";
import { number } from "./text.js";
import { stageName } from "./stages.js";

const WORDS = { matched: "in the chunk", missing: "not in the chunk", ignored: "ignored" };

/** A button that opens the explanation, and the place for it. */
export function whyButton(question, passage) {
  const panel = el("div", { id: unique("why"), class: "why", hidden: true });
  const button = el("button", { type: "button", class: "plain small", "aria-expanded": "false", "aria-controls": panel.id, onclick: toggle }, "Why this chunk?");
  let asked = false;

  async function toggle() {
    const open = panel.hidden;
    panel.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open || asked) return;
    asked = true;
    fill(panel, el("p", { class: "quiet" }, "Searching deeper …"));
    try {
      fill(panel, explained(await api.post("/v1/why", { question, chunk_id: passage.chunk_id })));
    } catch (error) {
      asked = false;
      fill(panel, trouble(error));
    }
  }
  return [button, panel];
}

function explained(why) {
  const rows = why.stages.map((one) => [
    stageName(one.stage),
    one.used ? (one.rank === null ? "not found" : String(one.rank)) : "not used",
    one.score === null ? "–" : number(one.score, 4),
    String(one.kept),
    one.passed ? "yes" : "no",
  ]);
  return [
    el("p", {}, why.rank === null
      ? `Not among the first ${why.top_k}.`
      : `Rank ${why.rank} of the first ${why.top_k}.`),
    why.dropped_by.length > 0 && el("p", {}, `Dropped by the filters ${why.dropped_by.join(", ")}; the ranks are those without them.`),
    table("Rank at every stage", ["Stage", "Rank", "Score", "Kept", "Goes on"], rows, [1, 2, 3]),
    el("p", { class: "quiet" }, "Words of the question:"),
    el("ul", { class: "words" }, why.words.map((word) => el("li", { class: word.state }, word.text, el("span", { class: "quiet" }, ` ${WORDS[word.state] || word.state}`)))),
    why.changes.length > 0 && [el("p", { class: "quiet" }, "What would bring it in:"), el("ul", {}, why.changes.map(change))],
  ].flat();
}

function change(one) {
  const keys = Object.entries(one.settings).map(([name, value]) => `${name}: ${value}`);
  if (!one.reranker) keys.push("no reranker");
  return el("li", {}, `${keys.join(", ")} (rank ${one.rank})`);
}
