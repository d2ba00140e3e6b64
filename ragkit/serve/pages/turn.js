// One question of a conversation: how it was read, its filters, and its answer with what backs it.

import { backing, said } from "./answer.js";
import { el, fill, unique } from "./dom.js";
import { feedback } from "./feedback.js";
import { inWords } from "./filters.js";
import { list } from "./sources.js";

export function turn(context, asked, filters) {
  const read = el("p", { class: "quiet", hidden: true });
  const body = el("div");
  const under = el("div");
  const title = el("h2", { class: "asked", id: unique("asked") }, asked);
  const node = el("article", { class: "turn", "aria-labelledby": title.id },
    title, read,
    filters.length > 0 && el("p", { class: "quiet" }, `Only where ${filters.map(inWords).join("; ")}.`),
    body, under);
  let whole = null;

  /** Say how the question was understood, if that is not how it was asked. */
  function understood(question) {
    read.hidden = question === asked;
    read.textContent = `Read as: ${question}`;
  }
  return {
    node,
    understood,
    say: (...children) => fill(body, ...children),
    done(data) {
      whole = data;
      understood(data.question);
      fill(body, said(data));
      fill(under, backing(data), feedback(context, data));
    },
    /** Fold away what backs it, with the sources, when another question is asked. */
    past() {
      const cited = new Set(whole.citations.map((one) => one.chunk_id)).size;
      const told = `Citations and sources (${whole.passages.length} found, ${cited} cited)`;
      const parts = [...under.childNodes];
      const sources = [el("h3", {}, "Sources"), list(whole.question, whole.passages, whole.citations)];
      fill(under, el("details", {}, el("summary", {}, told), parts.slice(0, -1), sources, parts.at(-1))); // last: what people say of it
    },
  };
}
