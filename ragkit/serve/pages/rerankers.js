// The rerankers that a column of the playground can be searched with.

import { choice, el, field, fill } from "./dom.js";

/** The reranker: the configured one, none, or one of the catalogue, which may have to be fetched first. */
export function rerankers(state) {
  const own = state.reranker_name || "a service";
  const others = state.rerankers.filter((one) => one.name !== state.reranker_name);
  const lacks = { here: "", missing: " (not on this machine)", too_large: " (too large to try)" };
  const chosen = choice([
    ...(state.reranker ? [["", `as configured: ${own}`]] : []), ["none", "none"],
    ...others.map((one) => [one.name, `${one.name}, ${one.size}${lacks[one.state]}`]),
  ], state.reranker ? "" : "none", { onchange: () => fill(note, lacking()) });
  const note = el("div", { role: "status" });

  /** What to do before the chosen one can be tried; null if nothing is. */
  function lacking() {
    const one = others.find(({ name }) => name === chosen.value);
    if (!one || one.state === "here") return null;
    if (one.state === "too_large") {
      return el("p", { class: "notice warn" }, `${one.name} (${one.size}) is too large to be loaded for a trial; set retrieval.reranking in the config.`);
    }
    return el("p", { class: "notice warn" }, `${one.name} is not on the machine of the server. Fetch it there: `, el("code", {}, one.fetch));
  }
  return {
    node: el("div", {}, field("Reranker", chosen), note),
    lacking,
    given: () => ({ rerank: chosen.value !== "none", reranker: ["", "none"].includes(chosen.value) ? null : chosen.value }),
    /** What changes in the config; "" if nothing does. */
    inWords: () => (chosen.value === "none" ? (state.reranker ? "none" : "") : chosen.value),
  };
}
