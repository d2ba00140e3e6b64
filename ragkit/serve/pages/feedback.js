// What people say of an answer: a thumb at once, a reason if they like, and the question as a case for evaluations.

import * as api from "./api.js";
import { caseDialog, told } from "./case.js";
import { el, field, fill, say, trouble } from "./dom.js";

const LONGEST = 20000; // what the server keeps of an answer

export function feedback(context, data) {
  const note = el("p", { class: "quiet", tabindex: "-1" });
  const after = el("div");
  const good = el("button", { type: "button", class: "plain", "aria-pressed": "false", onclick: () => judge("up") }, el("span", { "aria-hidden": "true" }, "👍 "), "Good answer");
  const bad = el("button", { type: "button", class: "plain", "aria-pressed": "false", onclick: () => judge("down") }, el("span", { "aria-hidden": "true" }, "👎 "), "Bad answer");
  let verdict = "";

  async function judge(chosen, reason = "") {
    try {
      await api.post("/v1/feedback", { trace_id: data.trace_id, verdict: chosen, reason, question: data.question, answer: data.answer.slice(0, LONGEST) });
    } catch (error) {
      return fill(after, trouble(error));
    }
    verdict = chosen;
    good.setAttribute("aria-pressed", String(chosen === "up"));
    bad.setAttribute("aria-pressed", String(chosen === "down"));
    note.textContent = reason ? "Thank you; the reason is noted." : "Noted.";
    say(note.textContent);
    if (reason) return fill(after);
    const why = el("input", { type: "text", maxlength: 2000, autocomplete: "off" });
    return fill(after, el("form", { class: "reason", onsubmit: (event) => {
      event.preventDefault();
      if (why.value.trim()) judge(chosen, why.value.trim());
    } }, field("Why? (may be left out)", why), el("button", { type: "submit", class: "plain" }, "Send the reason")));
  }

  const save = context.may("write") && el("button", { type: "button", class: "plain", onclick: () => caseDialog(save, data, verdict, (saved) => {
    save.disabled = true;
    note.textContent = `Saved as an evaluation case, ${told(saved)}.`;
    note.focus();
  }) }, "Save as evaluation case");

  return el("div", { role: "group", "aria-label": "Feedback", class: "feedback" }, el("div", { class: "row" }, good, bad, save), note, after);
}
