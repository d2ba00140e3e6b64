// A question as a case for evaluations: the answers that count as right, where they stand, or that nothing answers it.

import * as api from "./api.js";
import { numbered } from "./answer.js";
import { el, fill, say, trouble, unique } from "./dom.js";
import { place } from "./text.js";

const MOST = 20; // answers that the server takes

/** Open the dialog over `opener`; `saved` is told of the case that was made. */
export function caseDialog(opener, data, verdict, saved) {
  const answers = answerFields();
  const places = evidence(data, verdict, answers.take);
  const note = el("div");
  const none = el("input", { type: "checkbox", id: unique("none"), checked: data.refused && verdict !== "down", onchange: show });
  const known = el("div", {}, answers.node, places.node);
  const save = el("button", { type: "submit" }, "Save the case");
  const title = el("h2", { id: unique("case") }, "Save as evaluation case");

  function show() {
    known.hidden = none.checked;
  }

  async function send(event) {
    event.preventDefault();
    save.disabled = true;
    const body = none.checked
      ? { question: data.question, answerable: false }
      : { question: data.question, answers: answers.given(), evidence: places.chosen() };
    try {
      const made = await api.post("/v1/cases", body);
      dialog.close();
      saved(made);
      say("The case is saved.");
    } catch (error) {
      save.disabled = false;
      fill(note, trouble(error));
    }
  }

  const dialog = el("dialog", { class: "case", "aria-labelledby": title.id, onclose: () => dialog.remove() },
    el("form", { onsubmit: send }, title,
      el("p", { class: "asked" }, data.question),
      el("p", { class: "row" }, none, el("label", { for: none.id }, "The documents cannot answer it")),
      known, note,
      el("div", { class: "row" }, save, el("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel"))));
  show();
  opener.parentNode.append(dialog);
  dialog.showModal();
}

/** Inputs for the answers that are accepted; `take` puts a text into one that is empty. */
function answerFields() {
  const list = el("ol", { class: "answers" });
  const more = el("button", { type: "button", class: "plain small", onclick: () => add().focus() }, "Accept another answer");
  const inputs = () => [...list.querySelectorAll("input")];

  function add(text = "") {
    const input = el("input", { type: "text", autocomplete: "off", maxlength: 20000, value: text });
    const item = el("li", {}, input, el("button", { type: "button", class: "plain small", onclick: () => {
      if (list.children.length === 1) input.value = "";
      else item.remove();
      number();
      inputs().at(-1).focus();
    } }, "Remove"));
    list.append(item);
    number();
    return input;
  }

  function number() {
    [...list.children].forEach((item, index) => {
      item.firstChild.setAttribute("aria-label", `Answer ${index + 1}`);
      item.lastChild.setAttribute("aria-label", `Remove answer ${index + 1}`);
    });
    more.disabled = list.children.length >= MOST;
  }

  add();
  return {
    node: el("fieldset", {}, el("legend", {}, "Accepted answers"),
      el("p", { class: "hint" }, "Each is one way to write the right answer, the shorter the better. Without one only the place counts."),
      list, more),
    given: () => [...new Set(inputs().map((input) => input.value.trim()).filter(Boolean))],
    take(text) {
      const input = inputs().find((one) => !one.value.trim()) || (list.children.length < MOST ? add() : inputs().at(-1));
      input.value = text;
      input.focus();
      input.select();
      say("Taken as an answer.");
    },
  };
}

/** The places that may be the evidence: those that the answer cites are chosen, unless it was found bad. */
function evidence(data, verdict, take) {
  const cited = [...new Map(numbered(data.citations).map((one) => [one.number, one])).values()];
  const chunks = new Set(cited.map((one) => one.chunk_id));
  const others = data.passages.filter((one) => !chunks.has(one.chunk_id));
  const boxes = [];

  function line(one, text, checked) {
    const box = el("input", { type: "checkbox", id: unique("evidence"), checked });
    boxes.push({ box, place: { document: one.source_document, quote: text, page: one.page_number } });
    return el("li", {}, el("p", { class: "row" }, box, el("label", { for: box.id }, place(one)),
      el("button", { type: "button", class: "plain small", "aria-label": `Take as an answer: ${text.slice(0, 80)}`, onclick: () => take(text) }, "Take as an answer")),
      el("blockquote", {}, text));
  }

  const found = others.length > 0 && el("details", {}, el("summary", {}, `Other passages that were found (${others.length})`),
    el("ul", { class: "places" }, others.map((one) => line(one, one.text, false))));
  return {
    node: el("fieldset", {}, el("legend", {}, "Where the answer stands"),
      cited.length ? el("ul", { class: "places" }, cited.map((one) => line(one, one.quote, verdict !== "down"))) : el("p", { class: "quiet" }, "The answer cites nothing."),
      found),
    chosen: () => boxes.filter(({ box }) => box.checked).map((one) => one.place),
  };
}

/** What was saved, in words. */
export function told({ answerable, answers, evidence: places }) {
  if (!answerable) return "as a question that the documents do not answer";
  const many = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;
  if (!answers.length && !places.length) return "without an answer and without evidence";
  return `with ${many(answers.length, "accepted answer")} and ${many(places.length, "place")} as its evidence`;
}
