// Dashboard: how questions ended and how fast, what they cost, by key, tenant and model.

import * as api from "./api.js";
import { choice, el, field, fill, say, table, trouble } from "./dom.js";
import { duration, number } from "./text.js";

const SPANS = [["1", "Today"], ["7", "7 days"], ["30", "30 days"], ["366", "One year"]];
const SVG = "http://www.w3.org/2000/svg";

export function make() {
  const going = new AbortController();
  const body = el("div");
  const span = choice(SPANS, "30", { onchange: load });
  async function load() {
    body.setAttribute("aria-busy", "true");
    try {
      fill(body, figures(await api.get(`/v1/dashboard?days=${span.value}`, going.signal)));
      say("The figures are loaded.");
    } catch (error) {
      if (error.name !== "AbortError") fill(body, trouble(error));
    } finally {
      body.removeAttribute("aria-busy");
    }
  }
  load();
  const node = el("div", {}, el("h1", {}, "Dashboard"),
    el("div", { class: "row end" }, el("div", { class: "short" }, field("Period", span)), el("button", { type: "button", class: "plain", onclick: load }, "Refresh")), body);
  return { node, leave: () => going.abort() };
}

function share(part, whole) {
  return whole ? `${part} (${number((100 * part) / whole, 1)}%)` : "0";
}

function figures(data) {
  const all = data.all;
  const cached = (data.cache.exact || 0) + (data.cache.semantic || 0);
  const spent = data.spent?.tenant.reduce((sum, line) => sum + line.nano_usd, 0);
  const unpriced = data.spent?.tenant.reduce((sum, line) => sum + line.unpriced, 0);
  const tiles = [
    ["Questions", number(all.questions)],
    ["Median time", duration(all.median_ms)],
    ["95% within", duration(all.p95_ms)],
    ["Refused", share(all.refused, all.questions)],
    ["Failed", share(all.failed, all.questions)],
    ["Stand-ins", share(all.degraded, all.questions)],
    ["From the cache", share(cached, all.questions)],
    ["Cost", data.spent ? `$${number(spent / 1e9, 4)}${unpriced ? " and more" : ""}` : "no ledger"],
  ];
  const line = (one) => [number(one.questions), number(one.refused), number(one.failed), duration(one.median_ms), duration(one.p95_ms)];
  const heads = ["Questions", "Refused", "Failed", "Median", "95% within"];
  return [
    el("dl", { class: "tiles" }, tiles.map(([name, value]) => el("div", { class: "card" }, el("dt", {}, name), el("dd", {}, value)))),
    data.days.length > 0 && table("By day (UTC)", ["Day", ...heads, "Share"],
      data.days.map((one) => [one.day, ...line(one), bar(one.questions, Math.max(...data.days.map((day) => day.questions)))]), [1, 2, 3, 4, 5]),
    data.keys.length > 0 && table("By key", ["Key", "Tenant", ...heads], data.keys.map((one) => [one.key || "none", one.tenant || "–", ...line(one)]), [2, 3, 4, 5, 6]),
    data.spent ? ["key", "tenant", "model"].map((by) => money(by, data.spent[by])) : el("p", { class: "notice" }, "Tokens and cost need costs.ledger in the config."),
    counts("Refusals by reason", "Reason", data.refusals),
    counts("Errors by kind", "Kind", data.failures),
    counts("Answers by cache", "Cache", data.cache),
    data.statuses && counts("HTTP requests since the server started", "Status", data.statuses),
  ].flat();
}

function money(by, lines) {
  if (!lines.length) return null;
  const name = (group) => group || (by === "model" ? "this machine" : "none");
  return table(`Cost by ${by}`, [by[0].toUpperCase() + by.slice(1), "Answers", "Tokens in", "Tokens out", "Cost", "Without price"],
    lines.map((one) => [name(one.group), number(one.calls), number(one.input_tokens), number(one.output_tokens), `$${number(one.nano_usd / 1e9, 6)}`, number(one.unpriced)]), [1, 2, 3, 4, 5]);
}

function counts(caption, head, values) {
  const rows = Object.entries(values);
  return rows.length ? table(caption, [head, "Count"], rows.map(([name, count]) => [name.replaceAll("_", " "), number(count)]), [1]) : null;
}

/** A bar for the eye; the number stands beside it. */
function bar(value, most) {
  const made = document.createElementNS(SVG, "svg");
  const rect = document.createElementNS(SVG, "rect");
  for (const [name, text] of [["viewBox", "0 0 100 10"], ["class", "chart"], ["aria-hidden", "true"], ["preserveAspectRatio", "none"]]) made.setAttribute(name, text);
  for (const [name, text] of [["width", String(most ? (100 * value) / most : 0)], ["height", "10"]]) rect.setAttribute(name, text);
  made.append(rect);
  return made;
}
