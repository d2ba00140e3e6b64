// What is done to the question before the search, as boxes in a column of the playground.

import { el, unique } from "./dom.js";

const NAMES = {
  spelling: "Correct the spelling",
  acronyms: "Write out acronyms",
  multi_query: "Search other wordings too",
  decompose: "Search each part of it too",
  hyde: "Search an imagined answer (HyDE)",
};

/** What is done to the question before the search: those that need no language model can be tried. */
export function transforms(all) {
  const boxes = all.map((one) => {
    const box = el("input", { type: "checkbox", id: unique("transform"), checked: one.in_force, disabled: !one.tried });
    return { ...one, box, node: el("p", { class: "row" }, box, el("label", { for: box.id }, NAMES[one.name] || one.name)) };
  });
  const asks = boxes.some((one) => !one.tried);
  const chosen = () => boxes.filter((one) => one.box.checked).map((one) => one.name);
  const changed = () => boxes.some((one) => one.box.checked !== one.in_force);
  return {
    node: el("fieldset", { class: "question" }, el("legend", {}, "Changes of the question"), boxes.map((one) => one.node),
      asks && el("p", { class: "hint" }, "What asks the language model is not tried here, also where it is in force.")),
    chosen,
    changed,
    /** What a request to write settings has for them. */
    given: () => (changed() ? { transforms: chosen() } : {}),
    inWords: () => chosen().join(", "),
  };
}
