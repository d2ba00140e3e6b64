// A whole answer: its text with citations and marks, what is to be said of it, and the quotes that back it.

import { el } from "./dom.js";
import { duration, number, ordered, place, Text } from "./text.js";

const REASONS = {
  nothing_retrieved: "no passage was found",
  evidence_too_weak: "what was found does not seem to answer the question",
  model_refused: "the model found no answer in what was found",
};

/** The address of a place in a document. */
export function address(item) {
  const given = new URLSearchParams({ name: item.source_document, start: item.start, end: item.end });
  return `#/document?${given}`;
}

/** Citations with their numbers: the same place has the same number. */
export function numbered(citations) {
  const numbers = new Map();
  return citations.map((citation) => {
    const key = `${citation.source_document}\n${citation.start}\n${citation.end}`;
    if (!numbers.has(key)) numbers.set(key, numbers.size + 1);
    return { ...citation, number: numbers.get(key) };
  });
}

/** The answer itself, and what is to be said of it. */
export function said(data) {
  const citations = numbered(data.citations);
  return [
    data.refused && el("p", { class: "notice" }, el("strong", {}, "No answer: "), `${REASONS[data.reason] || data.reason}.`),
    data.degraded && el("p", { class: "notice warn" },
      el("strong", {}, "Stand-in: "), "no model could answer; these are sentences of the documents."),
    el("p", { class: "answer" }, marked(data, citations)),
    data.unsupported.length > 0 && el("p", { class: "notice warn" },
      el("strong", {}, "Not backed: "), "the underlined sentences are not backed by a passage that the answer cites."),
    data.removed_citations.length > 0 && el("p", { class: "quiet" },
      `${data.removed_citations.length} citation(s) of the model named no document that it was given, and were taken out.`),
    data.notes.map((note) => el("p", { class: "quiet" }, note)),
  ];
}

/** What backs it, and its figures. */
export function backing(data) {
  return [quotes(numbered(data.citations)), figures(data)];
}

/** The text in pieces: sentences that nothing backs are marked, and numbers stand behind what they back. */
function marked(data, citations) {
  const text = new Text(data.answer);
  const unsupported = ordered(data.unsupported, text.length);
  const cuts = new Set([0, text.length]);
  for (const span of unsupported) cuts.add(span.start).add(span.end);
  for (const citation of citations) cuts.add(Math.min(citation.answer_end, text.length));
  const points = [...cuts].sort((one, other) => one - other);
  const pieces = [];
  points.forEach((point, index) => {
    for (const citation of distinct(citations.filter((one) => Math.min(one.answer_end, text.length) === point))) pieces.push(link(citation));
    const next = points[index + 1];
    if (next === undefined) return;
    const piece = text.slice(point, next);
    const bare = unsupported.some((span) => span.start <= point && next <= span.end);
    pieces.push(bare ? el("span", { class: "unsupported" }, piece, el("span", { class: "hidden" }, " (not backed)")) : piece);
  });
  return pieces;
}

function distinct(citations) {
  return [...new Map(citations.map((one) => [one.number, one])).values()];
}

function link(citation) {
  return el("a", { class: "cite", href: address(citation), "aria-label": `Citation ${citation.number}: ${place(citation)}` }, String(citation.number));
}

function quotes(citations) {
  if (!citations.length) return null;
  const items = distinct(citations).map((one) =>
    el("li", { value: one.number },
      el("a", { href: address(one) }, place(one)),
      one.section_heading && el("span", { class: "quiet" }, ` ${one.section_heading}`),
      el("blockquote", {}, one.quote),
      el("p", { class: "quiet" }, `backs ${Math.round(one.support * 100)}% of its sentence${one.attached ? "; found by ragkit, not cited by the model" : ""}`)));
  return el("div", {}, el("h3", {}, "Citations"), el("ol", { class: "quotes" }, items));
}

function figures(data) {
  const usage = data.usage;
  const facts = [
    ["Model", data.model],
    ["Time", duration(data.timings_ms.total)],
    ["Cost", data.cost_usd === null ? "not known" : `$${number(data.cost_usd, 6)}`],
    ["Tokens", `${number(usage.input_tokens)} in, ${number(usage.output_tokens)} out`],
    ["Confidence", number(data.confidence)],
    ["Cache", data.cache],
    ["Trace", data.trace_id],
  ];
  return el("details", { class: "facts" }, el("summary", {}, "Figures of this answer"),
    el("dl", {}, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))));
}
