// Playground: one question, or the saved cases, under several settings of retrieval side by side.

import * as api from "./api.js";
import { address } from "./answer.js";
import { choice, el, field, fill, say, trouble } from "./dom.js";
import { rerankers } from "./rerankers.js";
import { ranks } from "./sources.js";
import { number, place } from "./text.js";
import { transforms as questionChanges } from "./transforms.js";

export const KEPT = true;

const MOST = 4;
const CHOICES = {
  strategy: ["Strategy", [["dense", "by meaning"], ["sparse", "by words"], ["hybrid", "both (hybrid)"]]],
  fusion: ["Fusion", [["dbsf", "dbsf: normalised scores"], ["rrf", "rrf: ranks"], ["weighted", "weighted: alpha"]]],
  feedback: ["Second search", [["none", "none"], ["rm3", "words (RM3)"], ["rocchio", "meaning (Rocchio)"], ["both", "both"]]],
  neighbours: ["Neighbours", [["none", "none"], ["smooth", "smooth"]]],
  diversity: ["Diversity", [["none", "none"], ["mmr", "mmr"]]],
};
const NUMBERS = {
  top_k: ["Results", 1, 100, 1],
  candidates: ["Candidates of each retriever", 1, 1000, 1],
  alpha: ["Weight of meaning (weighted fusion)", 0, 1, 0.05],
  rrf_k: ["Rank constant (rrf)", 1, 1000, 1],
  rerank_candidates: ["Candidates of the reranker", 1, 100, 1],
  rerank_weight: ["Weight of the reranker", 0, 1, 0.05],
  diversity_weight: ["Weight of relevance (mmr)", 0, 1, 0.05],
};
const FIRST = ["strategy", "fusion", "alpha", "top_k"]; // the others are behind "More settings"

export function make() {
  const body = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading …"));
  const node = el("div", {}, el("h1", {}, "Playground"), body);
  const note = el("div");
  const question = el("input", { type: "text", maxlength: 20000, autocomplete: "off" });
  let columns = [];
  let state = null;
  let recall = null;
  let few = null;
  const counted = () => `Recall on ${state.cases} saved case${state.cases === 1 ? "" : "s"}`;

  async function load() {
    try {
      state = await api.get("/v1/playground");
      fill(body, content());
    } catch (error) {
      fill(body, trouble(error));
    } finally {
      body.removeAttribute("aria-busy");
    }
  }
  load();

  function content() {
    const row = el("div", { class: "columns" });
    const run = (work) => Promise.all(columns.map(work));
    const compare = async (event) => {
      event.preventDefault();
      const asked = question.value.trim();
      if (!asked) return question.focus();
      await run((column) => column.search(asked));
      marks();
      return say("The results are there.");
    };
    const marks = () => columns.slice(1).forEach((column) => column.compare(columns[0]));
    recall = el("button", { type: "button", class: "plain", disabled: state.cases === 0, onclick: async () => {
      await run((column) => column.recall());
      say("The recall of each column is there.");
    } }, counted());
    few = el("p", { class: "quiet", hidden: state.cases > 0 }, "Recall needs saved cases: on the page Ask, save an answered question as evaluation case.");
    const add = el("button", { type: "button", class: "plain", onclick: () => {
      const made = column(String.fromCharCode(65 + columns.length), state, note, load);
      columns.push(made);
      row.append(made.node);
      add.disabled = columns.length >= MOST;
      made.node.querySelector("select").focus();
    } }, "Add a column");
    columns = ["A", "B"].map((name) => column(name, state, note, load));
    fill(row, columns.map((one) => one.node));
    return [
      el("form", { onsubmit: compare }, field("Question", question),
        el("div", { class: "row" }, el("button", { type: "submit" }, "Search in every column"), recall, add)),
      few, saved(), note, row,
    ];
  }

  /** The saved cases, to look at and to take out again. */
  function saved() {
    const list = el("ul", { class: "uploads" });
    const line = (one) => el("li", { class: "card" }, el("span", {}, one.question),
      one.answers.length > 0 && el("span", {}, `→ ${one.answers.join(" / ")}`),
      el("span", { class: "quiet" }, one.answerable ? one.evidence.map((place) => place.document).join(", ") || "no evidence" : "no answer in the documents"),
      el("button", { type: "button", class: "danger small", "aria-label": `Delete the case: ${one.question}`, onclick: async (event) => {
        const item = event.currentTarget.closest("li");
        try {
          await api.remove(`/v1/cases/${one.id}`);
        } catch (error) {
          return item.append(trouble(error));
        }
        say("The case is deleted.");
        item.remove();
        return refreshed();
      } }, "Delete"));
    return el("details", { ontoggle: async (event) => {
      if (!event.currentTarget.open) return;
      try {
        fill(list, (await api.get("/v1/cases")).cases.reverse().map(line));
      } catch (error) {
        fill(list, trouble(error));
      }
    } }, el("summary", {}, "Saved cases"), list);
  }
  return { node, entered: () => state && refreshed() };

  /** Cases may have been saved in the meantime; the columns stay as they are. */
  async function refreshed() {
    const now = await api.get("/v1/playground").catch(() => null);
    if (!now || now.cases === state.cases) return;
    state = { ...state, cases: now.cases };
    recall.textContent = counted();
    recall.disabled = state.cases === 0;
    few.hidden = state.cases > 0;
  }
}

function column(name, state, note, reload) {
  const inputs = {};
  for (const [key, [, options]] of Object.entries(CHOICES)) inputs[key] = choice(options, state.settings[key]);
  for (const [key, [, min, max, step]] of Object.entries(NUMBERS)) {
    inputs[key] = el("input", { type: "number", min, max, step, value: state.settings[key] });
  }
  const reranker = rerankers(state);
  const transforms = questionChanges(state.transforms);
  const filters = el("textarea", { rows: 1, spellcheck: "false" });
  const shown = el("div", { "aria-live": "off" });
  const cases = el("div");
  let found = [];

  const labelled = (key) => field((CHOICES[key] || NUMBERS[key])[0], inputs[key]);
  /** What differs from what is in force; an empty number is what is in force. */
  const settings = () => Object.fromEntries(Object.entries(inputs)
    .map(([key, input]) => [key, key in CHOICES ? input.value : input.value === "" ? state.settings[key] : Number(input.value)])
    .filter(([key, value]) => value !== state.settings[key]));
  const tried = () => ({
    settings: settings(), ...reranker.given(), transforms: transforms.chosen(),
    filters: filters.value.split("\n").map((line) => line.trim()).filter(Boolean),
  });

  const write = state.may_write && el("button", { type: "button", class: "plain small", onclick: () => confirmed() }, "Write into the config");
  function confirmed() {
    const changes = Object.entries(settings()).map(([key, value]) => `${key}: ${state.settings[key]} → ${value}`);
    if (reranker.inWords()) changes.push(`reranker: ${reranker.inWords()}`);
    if (transforms.changed()) changes.push(`changes of the question: ${transforms.inWords() || "none"}`);
    if (reranker.lacking()) return fill(note, reranker.lacking());
    if (!changes.length) return fill(note, el("p", { class: "notice", role: "status" }, `Column ${name} is what is in force already.`));
    const dialog = el("dialog", { "aria-label": "Write into the config?", onclose: () => dialog.remove() },
      el("p", {}, "Write these settings into the config? They are in force for everybody at once."),
      el("ul", {}, changes.map((text) => el("li", {}, text))),
      filters.value.trim() && el("p", { class: "quiet" }, "The filters are not written."),
      el("div", { class: "row" },
        el("button", { type: "button", onclick: () => { dialog.close(); written(); } }, "Write"),
        el("button", { type: "button", class: "plain", autofocus: true, onclick: () => dialog.close() }, "Leave it")));
    node.append(dialog);
    return dialog.showModal();
  }
  async function written() {
    fill(note, el("p", { class: "notice", role: "status" }, "Writing …"));
    try {
      const done = await api.post("/v1/playground/config", { settings: settings(), ...reranker.given(), ...transforms.given() });
      const words = Object.entries(done.written).map(([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.join(", ")}]` : value}`).join(", ");
      await reload();
      fill(note, el("p", { class: done.in_force ? "notice" : "notice warn", role: "status" },
        done.in_force ? `Written and in force: ${words}.` : `Written, but not in force (${words}): the server was started with other values, or could not load them; its log says why.`));
    } catch (error) {
      fill(note, trouble(error));
    }
  }

  async function search(question) {
    if (reranker.lacking()) {
      found = [];
      return fill(shown, reranker.lacking());
    }
    fill(shown, el("p", { class: "quiet" }, "Searching …"));
    try {
      const data = await api.post("/v1/playground/search", { question, ...tried() });
      found = data.passages;
      const ms = Object.values(data.timings_ms).reduce((sum, value) => sum + value, 0);
      fill(shown, el("p", { class: "quiet" }, `${found.length} passages, ${number(ms, 0)} ms`),
        el("ol", { class: "passages" }, found.map((one, index) => el("li", { class: "card", "data-chunk": one.chunk_id },
          el("p", { class: "place" }, `${index + 1}. `, el("a", { href: address(one) }, place(one))),
          el("p", { class: "preview" }, one.text.slice(0, 140)),
          el("p", { class: "ranks" }, ranks(one.stages))))));
    } catch (error) {
      found = [];
      fill(shown, trouble(error));
    }
  }

  /** Say of each passage where the first column has it. */
  function compare(first) {
    for (const item of shown.querySelectorAll("[data-chunk]")) {
      const rank = first.chunks().indexOf(item.dataset.chunk) + 1;
      item.querySelector(".place").append(el("span", { class: "tag" }, rank ? `A: ${rank}` : "not in A"));
    }
  }

  async function recall() {
    if (reranker.lacking()) return fill(cases, reranker.lacking());
    fill(cases, el("p", { class: "quiet" }, "Asking the cases …"));
    try {
      const data = await api.post("/v1/playground/recall", tried());
      const hits = data.cases.filter((one) => one.rank !== null).length;
      fill(cases,
        el("p", { class: "recall" }, data.recall === null ? "no case" : `Recall in the first ${data.top_k}: ${number(100 * data.recall, 1)}% (${hits} of ${data.asked})`),
        data.asked < data.of && el("p", { class: "quiet" }, `${data.of - data.asked} cases were not asked for want of time or room.`),
        el("details", {}, el("summary", {}, "Each case"), el("ul", {}, data.cases.map((one) => el("li", {}, `${one.question} `, el("strong", {}, one.rank ? `rank ${one.rank}` : "not found"))))));
    } catch (error) {
      fill(cases, trouble(error));
    }
  }

  const more = [...Object.keys(CHOICES), ...Object.keys(NUMBERS)]
    .filter((key) => !FIRST.includes(key));
  const node = el("section", { class: "card", "aria-label": `Column ${name}` }, el("h2", {}, `Column ${name}`),
    FIRST.map(labelled),
    reranker.node,
    el("details", {}, el("summary", {}, "More settings"), transforms.node, more.map(labelled), field("Filters", filters, "One on a line, such as page_number>=3")),
    el("div", { class: "row" }, write), cases, shown);
  return { node, search, recall, compare, chunks: () => found.map((one) => one.chunk_id) };
}
