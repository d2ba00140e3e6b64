// Ask: a question, its answer word by word with numbered citations, and beside it what was found.

import * as api from "./api.js";
import { answer as answered } from "./answer.js";
import { el, field, fill, say, trouble } from "./dom.js";
import { feedback } from "./feedback.js";
import { passages } from "./sources.js";

export const KEPT = true;

export function make(context) {
  const question = el("textarea", { name: "question", rows: 2, required: true, maxlength: 20000 });
  const send = el("button", { type: "submit" }, "Ask");
  const stop = el("button", { type: "button", class: "plain", hidden: true, onclick: () => running?.abort() }, "Stop");
  // Busy while words come in: then the answer is read out once, whole, and not word by word.
  const answer = el("div", { id: "answer", "aria-live": "polite", "aria-busy": "false" });
  const beside = el("div", { id: "sources" });
  let running = null;

  async function ask(event) {
    event?.preventDefault();
    const asked = question.value.trim();
    if (!asked || running) return;
    const own = (running = new AbortController());
    send.disabled = true;
    stop.hidden = false;
    answer.setAttribute("aria-busy", "true");
    const words = el("p", { class: "answer streaming" });
    fill(answer, el("p", { class: "quiet" }, "Searching …"), words);
    fill(beside);
    say("Searching.");
    let done = null;
    try {
      for await (const [name, data] of api.events("/v1/ask", { question: asked, stream: true }, own.signal)) {
        if (name === "token") {
          if (!words.textContent) answer.firstChild.remove();
          words.append(data.text);
        } else if (name === "retrieved" || name === "reranked") {
          fill(beside, passages(asked, data.passages, []));
        } else if (name === "error") {
          throw new Error(data.error.message);
        } else if (name === "done") {
          done = data;
        }
      }
      if (!done) throw new Error("The answer broke off; ask again.");
      fill(answer, answered(done), feedback(context, done));
      fill(beside, passages(done.question, done.passages, done.citations));
      say(done.refused ? "Refused to answer." : "The answer is complete.");
    } catch (error) {
      if (error.name === "AbortError") {
        answer.append(el("p", { class: "notice" }, "Stopped."));
        if (!words.textContent) answer.firstChild.remove();
        say("Stopped.");
      } else {
        fill(answer, words.textContent && words, trouble(error));
      }
    } finally {
      running = null;
      send.disabled = false;
      stop.hidden = true;
      answer.setAttribute("aria-busy", "false");
    }
  }

  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
  });
  const form = el("form", { class: "ask", onsubmit: ask },
    field("Question", question, "Enter asks, Shift+Enter begins a new line."),
    el("div", { class: "row" }, send, stop));
  const node = el("div", { class: "beside" },
    el("section", { "aria-labelledby": "ask-title" }, el("h1", { id: "ask-title" }, "Ask"), form, answer),
    el("section", { class: "sources", "aria-label": "Sources" }, beside));
  return { node };
}
