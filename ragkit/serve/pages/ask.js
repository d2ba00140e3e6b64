// Ask: a conversation. The last question with its answer word by word, beside it what was found; those before above.

import * as api from "./api.js";
import { Conversation } from "./conversation.js";
import { el, field, fill, say, trouble } from "./dom.js";
import { asFilters, filters } from "./filters.js";
import { passages } from "./sources.js";
import { turn } from "./turn.js";

export const KEPT = true;

const ENDED = "ended"; // why a question is given up with its conversation

export function make(context) {
  const talk = new Conversation(context.me);
  const question = el("textarea", { name: "question", rows: 2, required: true, maxlength: 20000 });
  const send = el("button", { type: "submit" }, "Ask");
  const stop = el("button", { type: "button", class: "plain", hidden: true, onclick: () => running?.abort() }, "Stop");
  const anew = el("button", { type: "button", class: "plain", hidden: true, onclick: restart }, "New conversation");
  const conditions = filters(talk.filters, (chosen) => talk.filter(chosen));
  const earlier = el("section", { id: "earlier", "aria-label": "Conversation so far", hidden: true });
  // Busy while words come in: then the answer is read out once, whole, and not word by word.
  const answer = el("div", { id: "answer", "aria-live": "polite", "aria-busy": "false" });
  const beside = el("div", { id: "sources" });
  let running = null;
  let last = null; // the turn whose answer is whole

  /** Make room for the next question. */
  function past() {
    if (!last) return;
    last.past();
    earlier.append(last.node);
    earlier.hidden = false;
    last = null;
  }

  function whole(one, data) {
    one.done(data);
    fill(beside, passages(data.question, data.passages, data.citations));
    last = one;
    anew.hidden = false;
  }

  async function ask(event) {
    event?.preventDefault();
    const asked = question.value.trim();
    if (!asked || running || !conditions.settle()) return;
    const own = (running = new AbortController());
    const chosen = conditions.chosen();
    const one = turn(context, asked, chosen);
    const words = el("p", { class: "answer streaming" });
    past();
    send.disabled = true;
    stop.hidden = false;
    question.value = "";
    answer.setAttribute("aria-busy", "true");
    fill(answer, one.node);
    one.say(el("p", { class: "quiet" }, "Searching …"), words);
    fill(beside);
    say("Searching.");
    if (!earlier.hidden) form.scrollIntoView({ block: "start" });
    try {
      const data = await answered({ question: asked, filters: asFilters(chosen), session_id: talk.id, stream: true }, own.signal, one, words);
      own.signal.throwIfAborted(); // a conversation that was ended gets no more turns
      talk.add({ asked, filters: chosen, data });
      whole(one, data);
      say(data.refused ? "Refused to answer." : "The answer is complete.");
    } catch (error) {
      failed(error, own, one, words, asked);
    } finally {
      running = null;
      send.disabled = false;
      stop.hidden = true;
      answer.setAttribute("aria-busy", "false");
    }
  }

  /** The whole answer; its words are shown as they come. */
  async function answered(request, signal, one, words) {
    let done = null;
    for await (const [name, data] of api.events("/v1/ask", request, signal)) {
      if (name === "token") {
        if (!words.textContent) one.say(words);
        words.append(data.text);
      } else if (name === "retrieved" || name === "reranked") {
        one.understood(data.question);
        fill(beside, passages(data.question, data.passages, []));
      } else if (name === "error") {
        throw new Error(data.error.message);
      } else if (name === "done") {
        done = data;
      }
    }
    if (!done) throw new Error("The answer broke off; ask again.");
    return done;
  }

  function failed(error, own, one, words, asked) {
    if (own.signal.reason === ENDED) return;
    if (!question.value) question.value = asked;
    const stopped = own.signal.aborted;
    one.say(words.textContent && words, stopped ? el("p", { class: "notice" }, "Stopped.") : trouble(error));
    if (stopped) say("Stopped.");
  }

  function restart() {
    running?.abort(ENDED);
    talk.restart();
    last = null;
    earlier.hidden = true;
    anew.hidden = true;
    fill(earlier);
    fill(answer);
    fill(beside);
    question.focus();
    say("A new conversation.");
  }

  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) ask(event);
  });
  const form = el("form", { class: "ask", onsubmit: ask },
    field("Question", question, "Enter asks, Shift+Enter begins a new line. A question may point back to those before."),
    el("div", { class: "row" }, send, stop, anew));
  for (const { asked, filters: chosen, data } of talk.turns) {
    past();
    const one = turn(context, asked, chosen);
    whole(one, data);
    fill(answer, one.node);
  }
  const node = el("div", { class: "beside" },
    el("section", { "aria-labelledby": "ask-title" }, el("h1", { id: "ask-title" }, "Ask"), earlier, form, conditions.node, answer),
    el("section", { class: "sources", "aria-label": "Sources" }, beside));
  /** After a reload the last question is looked at, as before it. */
  const settled = () => !earlier.hidden && form.scrollIntoView({ block: "start", behavior: "instant" });
  return { node, settled, close: () => running?.abort(ENDED) };
}
