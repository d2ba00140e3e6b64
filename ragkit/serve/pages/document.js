// A document: its parsed text with a range marked, its chunks beside it, and for a PDF the page as it looks.

import * as api from "./api.js";
import { el, fill, say, trouble, unique } from "./dom.js";
import { number, Text } from "./text.js";

export function make({ given }) {
  const name = given.get("name") || "";
  const going = new AbortController();
  const body = el("div", { "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading …"));
  const node = el("article", { "aria-label": name },
    el("p", {}, el("button", { type: "button", class: "plain", onclick: () => history.back() }, "Back")),
    el("h1", {}, name), body);
  const start = Number(given.get("start") || 0);
  const end = Number(given.get("end") || 0);
  load();
  return { node, leave: () => going.abort() };

  async function load() {
    try {
      const data = await api.get(api.named("/v1/documents/", name), going.signal);
      fill(body, content(data, going.signal, { start, end }));
      body.querySelector("#hit")?.scrollIntoView({ block: "center", behavior: "instant" });
      body.querySelector("#hit")?.focus({ preventScroll: true });
    } catch (error) {
      if (error.name !== "AbortError") fill(body, trouble(error));
    } finally {
      body.removeAttribute("aria-busy");
    }
  }
}

function content(data, signal, range) {
  const text = new Text(data.text);
  const view = el("div", { class: "document", tabindex: "0", role: "region", "aria-label": "Parsed text" });
  const page = data.media_type === "application/pdf" && data.pages.length ? sheet(data, signal) : null;

  const show = (chosen, focus) => {
    fill(view, marked(text, chosen));
    page?.show(chosen);
    if (!focus) return;
    view.querySelector("#hit")?.scrollIntoView({ block: "center" });
    say(`Characters ${chosen.start} to ${chosen.end} are marked.`);
  };
  const buttons = data.chunks.map((chunk, index) =>
    el("li", {}, el("button", { type: "button", class: "plain chunk", "aria-pressed": "false", onclick: (event) => {
      for (const other of buttons) other.firstChild.setAttribute("aria-pressed", "false");
      event.currentTarget.setAttribute("aria-pressed", "true");
      show(chunk, true);
    } },
      el("span", { class: "place" }, `Chunk ${index + 1}`),
      el("span", { class: "quiet" }, ` ${chunk.page_number ? `page ${chunk.page_number}, ` : ""}${number(chunk.token_count)} tokens`),
      el("span", { class: "preview block" }, text.slice(chunk.start, Math.min(chunk.end, chunk.start + 90))))));
  show(range, false);
  const title = data.title && data.title !== data.name ? `${data.title} · ` : "";
  const dated = data.date_created ? ` · ${data.date_created}` : "";
  return [
    el("p", { class: "quiet" }, `${title}${data.media_type}${dated} · ${number(text.length)} characters, ${data.chunks.length} chunks`),
    el("div", { class: page ? "three" : "beside" },
      page?.node,
      el("section", {}, el("h2", {}, "Parsed text"), view),
      el("section", {}, el("h2", {}, "Chunks"), el("ol", { class: "chunks", tabindex: "0", "aria-label": "Chunks" }, buttons))),
  ];
}

function marked(text, { start, end }) {
  if (!(start < end)) return [text.text];
  return [text.slice(0, start), el("mark", { id: "hit", tabindex: "-1" }, text.slice(start, end)), text.slice(end, text.length)];
}

/** The page of a PDF as a picture with the marked words; `show` turns to the page of a range. */
function sheet(data, signal) {
  const image = el("img", { alt: "" });
  const paper = el("div", { class: "paper" }, image);
  const label = el("h2", { id: unique("sheet") });
  const note = el("p", { class: "quiet" });
  const back = el("button", { type: "button", class: "plain", onclick: () => turn(shown - 1) }, "Previous page");
  const on = el("button", { type: "button", class: "plain", onclick: () => turn(shown + 1) }, "Next page");
  const last = data.pages.length;
  let shown = 0;
  let range = { start: 0, end: 0 };
  let source = "";
  signal.addEventListener("abort", () => source && URL.revokeObjectURL(source));

  async function turn(page) {
    shown = Math.min(Math.max(page, 1), last);
    const own = shown;
    label.textContent = `Page ${own} of ${last}`;
    back.disabled = own <= 1;
    on.disabled = own >= last;
    note.textContent = "Drawing …";
    paper.setAttribute("aria-busy", "true");
    try {
      const marks = range.start < range.end
        ? api.get(`${api.named(`/v1/marks/${own}/`, data.name)}?start=${range.start}&end=${range.end}`, signal)
        : Promise.resolve({ marks: [] });
      const [drawn, found] = await Promise.all([api.picture(`${api.named(`/v1/sheets/${own}/`, data.name)}?width=1400`, signal), marks]);
      if (own !== shown || signal.aborted) return URL.revokeObjectURL(drawn);
      if (source) URL.revokeObjectURL(source);
      source = drawn;
      image.src = drawn;
      image.alt = `Page ${own} of ${data.name}; its text stands in the parsed text`;
      fill(paper, image, found.marks.map(box));
      const here = pageOf(data.pages, range.start) === own && range.start < range.end;
      note.textContent = found.marks.length ? "" : here ? "The marked words were not found on the picture of this page; see the parsed text." : "";
    } catch (error) {
      if (error.name !== "AbortError") note.textContent = error.message;
    } finally {
      paper.removeAttribute("aria-busy");
    }
  }

  return {
    node: el("section", { class: "sheet", "aria-labelledby": label.id }, label, el("div", { class: "row" }, back, on), note, paper),
    show: (chosen) => {
      range = chosen;
      turn(chosen.start < chosen.end ? pageOf(data.pages, chosen.start) : shown || 1);
    },
  };
}

function pageOf(pages, offset) {
  return Math.max(1, pages.filter((begin) => begin <= offset).length);
}

function box(mark) {
  const made = el("span", { class: "box", "aria-hidden": "true" });
  for (const side of ["left", "top", "width", "height"]) made.style[side] = `${mark[side] * 100}%`;
  return made;
}
