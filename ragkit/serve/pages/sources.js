// What was found for a question, best first, with the rank that each stage gave it.

import { address } from "./answer.js";
import { el } from "./dom.js";
import { stageName } from "./stages.js";
import { number, place } from "./text.js";
import { whyButton } from "./why.js";

/** The passages as a list; those that the answer cites are marked. */
export function passages(question, found, citations) {
  return [el("h2", {}, "Sources"), list(question, found, citations)];
}

/** The same without a heading. */
export function list(question, found, citations) {
  const cited = new Set(citations.map((one) => one.chunk_id));
  if (!found.length) return el("p", { class: "quiet" }, "Nothing was found.");
  return el("ol", { class: "passages" }, found.map((one) => passage(question, one, cited.has(one.chunk_id))));
}

function passage(question, one, cited) {
  return el("li", { class: cited ? "card cited" : "card" },
    el("p", { class: "place" }, el("a", { href: address(one) }, place(one)), cited && el("span", { class: "tag" }, "cited")),
    one.section_heading && el("p", { class: "quiet" }, one.section_heading),
    el("details", {}, el("summary", {}, el("span", { class: "preview" }, one.text.slice(0, 160))), el("p", { class: "text" }, one.text)),
    el("p", { class: "ranks" }, ranks(one.stages)),
    whyButton(question, one));
}

/** The rank at each stage in words. */
export function ranks(stages) {
  return Object.entries(stages).map(([stage, { rank, score }]) => el("span", { title: `score ${number(score, 4)}` }, `${stageName(stage)} ${rank}`));
}
