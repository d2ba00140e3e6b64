// Conditions on the fields of the index: chosen one by one, shown as chips, and given to the API as filters.

import * as api from "./api.js";
import { choice, el, field, fill, say, trouble, unique } from "./dom.js";

const MOST = 20;
const SAME = [["is", "is"], ["not", "is not"]];
const MORE = [["gte", "at least"], ["lte", "at most"], ["gt", "above"], ["lt", "below"]];
const DATES = [["gte", "from"], ["lte", "until"], ["gt", "after"], ["lt", "before"]];
const OPERATORS = { text: SAME, truth: SAME, number: [...SAME, ...MORE], date: [...SAME, ...DATES], any: [...SAME, ...MORE] };
const DATE = /^\d{4}-\d{2}-\d{2}$/;

/** A condition {field, kind, operator, value} for people. */
export function inWords(one) {
  return `${one.field} ${new Map(OPERATORS[one.kind]).get(one.operator)} ${one.value}`;
}

/** Conditions as the API takes them: all must hold, but of several values that one field may have, one is enough. */
export function asFilters(conditions) {
  const wanted = new Map();
  const others = [];
  for (const { field: name, kind, operator, value } of conditions) {
    const values = readings(kind, value);
    if (operator === "is") wanted.set(name, [...(wanted.get(name) || []), ...values]);
    else if (operator === "not") others.push({ not: { field: name, any: values } });
    else others.push({ field: name, [operator]: values.find((one) => typeof one === "number") ?? value });
  }
  return [...[...wanted].map(([name, any]) => ({ field: name, any })), ...others];
}

/** What a value that was typed can mean: where the kind of a field is not known, text and number. */
function readings(kind, value) {
  if (kind === "number") return [Number(value)];
  if (kind === "truth") return [value === "true"];
  if (kind !== "any") return [value];
  if (value === "true" || value === "false") return [value, value === "true"];
  return isNumber(value) ? [value, Number(value)] : [value];
}

function isNumber(value) {
  return value !== "" && Number.isFinite(Number(value));
}

/** What is wrong with a condition; "" if nothing is. */
function wrong({ kind, operator, value }) {
  if (!value) return kind === "date" ? "Give a whole date." : "Give a value.";
  if (kind === "number" && !isNumber(value)) return `“${value}” is no number.`;
  const ranged = operator !== "is" && operator !== "not";
  if (kind === "any" && ranged && !isNumber(value) && !DATE.test(value)) return `“${value}” is neither a number nor a date such as 2026-01-31.`;
  return "";
}

/** Chips of the conditions, and what adds others; `changed` is told of all of them. */
export function filters(chosen, changed) {
  let conditions = [...chosen];
  const chips = el("ul", { class: "row chips", "aria-label": "Filters in force" });
  const body = el("div");
  const summary = el("summary", {}, "Filters");
  let form = null;
  const panel = el("details", { class: "filters", ontoggle: () => panel.open && !body.firstChild && load() }, summary, body);

  async function load() {
    fill(body, el("p", { class: "quiet" }, "Loading the fields …"));
    try {
      const { fields } = await api.get("/v1/fields");
      form = adding(fields, add);
      fill(body, form.node);
      if (panel.contains(document.activeElement)) body.querySelector("select").focus();
    } catch (error) {
      fill(body, trouble(error));
      panel.addEventListener("toggle", () => fill(body), { once: true }); // another try when it is opened again
    }
  }

  function add(one) {
    if (conditions.some((other) => inWords(other) === inWords(one))) return "This filter is in force already.";
    if (conditions.length >= MOST) return `There are ${MOST} filters already.`;
    set([...conditions, one]);
    say(`Filter added: ${inWords(one)}.`);
    return "";
  }

  function remove(index) {
    say(`Filter removed: ${inWords(conditions[index])}.`);
    set(conditions.filter((_, at) => at !== index));
    (chips.children[Math.min(index, conditions.length - 1)]?.querySelector("button") || summary).focus();
  }

  function set(next) {
    conditions = next;
    show();
    changed(conditions);
  }

  function show() {
    chips.hidden = !conditions.length;
    fill(chips, conditions.map((one, index) => el("li", {}, inWords(one),
      el("button", { type: "button", class: "chip", "aria-label": `Remove the filter: ${inWords(one)}`, onclick: () => remove(index) }, "×"))));
  }
  show();
  return {
    node: el("div", {}, chips, panel),
    chosen: () => conditions,
    /** Take on what is typed and not added yet; false, with the focus there, if something is wrong with it. */
    settle: () => !form || form.settle(),
  };
}

/** A form for one condition; `add` says what is wrong with it, or "". */
function adding(fields, add) {
  const error = el("p", { class: "wrong", id: unique("wrong"), role: "alert" });
  const operator = el("div", { class: "part" });
  const value = el("div", { class: "part" });
  const suggested = el("datalist", { id: unique("values") });
  const name = choice(fields.map((one) => [one.name, one.name]), fields[0].name, { onchange: show });
  let how = null;
  let what = null;

  function show() {
    const one = fields.find((other) => other.name === name.value);
    how = choice(OPERATORS[one.kind], "is", { onchange: clear });
    what = input(one.kind, suggested.id);
    what.setAttribute("aria-describedby", error.id);
    what.addEventListener("input", clear);
    fill(suggested, one.values.map((text) => el("option", { value: text })));
    fill(operator, field("Condition", how));
    fill(value, field("Value", what), suggested);
    clear();
  }

  function clear() {
    error.textContent = "";
    what.removeAttribute("aria-invalid");
  }

  /** Whether the condition could be added; what is wrong is said at its value. */
  function put() {
    const { kind } = fields.find((one) => one.name === name.value);
    const problem = check({ field: name.value, kind, operator: how.value, value: what.value.trim() });
    error.textContent = problem;
    if (problem) what.setAttribute("aria-invalid", "true");
    else if (what.tagName === "INPUT") what.value = "";
    if (problem) what.focus();
    return !problem;
  }
  const check = (condition) => wrong(condition) || add(condition);

  show();
  const node = el("form", { class: "adding", novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    if (put()) what.focus();
  } },
    el("div", { class: "part" }, field("Field", name)), operator, value,
    el("button", { type: "submit", class: "plain" }, "Add the filter"), error,
    el("p", { class: "hint" }, "All filters must hold; of several values that one field is to have, one is enough."));
  return { node, settle: () => what.tagName !== "INPUT" || !what.value.trim() || put() };
}

function input(kind, suggestions) {
  if (kind === "truth") return choice([["true", "true"], ["false", "false"]], "true");
  if (kind === "date") return el("input", { type: "date" });
  const decimal = kind === "number" ? "decimal" : undefined;
  return el("input", { type: "text", autocomplete: "off", spellcheck: "false", inputmode: decimal, list: suggestions, maxlength: 500 });
}
