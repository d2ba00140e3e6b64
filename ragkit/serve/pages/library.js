// Library: what is indexed, uploads on their way with progress, cancelling and failures, deletion with its receipt.

import * as api from "./api.js";
import { el, field, fill, say, table, trouble } from "./dom.js";
import { number } from "./text.js";

const EVERY_MS = 1000;
const STATES = { queued: "waiting", indexing: "being indexed", done: "indexed", failed: "failed", cancelled: "cancelled" };

export function make(context) {
  const writes = context.may("write");
  const going = new AbortController();
  const sending = el("ul", { class: "uploads" });
  const listed = el("ul", { class: "uploads", "aria-label": "Last uploads" });
  const receipt = el("div");
  const documents = el("div");
  let timer = 0;
  let unfinished = 0;

  async function uploads() {
    clearTimeout(timer);
    try {
      const all = (await api.get("/v1/uploads?limit=20", going.signal)).uploads;
      const open = all.filter((one) => one.state === "queued" || one.state === "indexing").length;
      // Only what changed is made anew, so that the focus stays on a button.
      fillList(listed, all);
      if (open < unfinished) {
        load();
        say(`${unfinished - open} upload(s) done; see the last uploads.`);
      }
      unfinished = open;
      if (open) timer = setTimeout(uploads, EVERY_MS);
    } catch (error) {
      if (error.name !== "AbortError") fill(listed, el("li", {}, trouble(error)));
    }
  }

  const lines = new Map();
  function fillList(list, all) {
    const items = all.map((one) => {
      const known = lines.get(one.id);
      if (known && known.state === one.state) {
        const bar = known.item.querySelector("progress");
        if (bar) bar.value = one.progress;
        return known.item;
      }
      const focused = known?.item.contains(document.activeElement);
      const item = line(one);
      lines.set(one.id, { item, state: one.state });
      if (focused) setTimeout(() => item.querySelector("button")?.focus());
      return item;
    });
    if (items.length !== list.children.length || items.some((item, index) => list.children[index] !== item)) fill(list, items);
  }

  function line(one) {
    const open = one.state === "queued" || one.state === "indexing";
    return el("li", { class: "card" },
      el("span", { class: "place" }, one.name), el("span", { class: `state ${one.state}` }, STATES[one.state]),
      open && el("progress", { value: one.progress, max: 1, "aria-label": `${one.name}: share that is indexed` }),
      one.reason && el("span", { class: "quiet" }, one.reason),
      one.documents.map((name) => el("a", { href: `#/document?${new URLSearchParams({ name })}` }, name)),
      open && writes && el("button", { type: "button", class: "plain small", "aria-label": `Cancel ${one.name}`, onclick: async () => {
        await api.remove(`/v1/uploads/${one.id}`).catch((error) => fill(receipt, trouble(error)));
        uploads();
      } }, "Cancel"));
  }

  async function send(files) {
    for (const file of files) {
      const stop = new AbortController();
      const bar = el("progress", { value: 0, max: 1, "aria-label": `${file.name}: share that is sent` });
      const item = el("li", { class: "card" }, el("span", { class: "place" }, file.name), el("span", { class: "state" }, "being sent"), bar,
        el("button", { type: "button", class: "plain small", "aria-label": `Cancel ${file.name}`, onclick: () => stop.abort() }, "Cancel"));
      sending.append(item);
      try {
        await api.upload(file, (share) => { bar.value = share; }, stop.signal);
        item.remove();
        unfinished += 1;
        uploads();
      } catch (error) {
        if (error.name === "AbortError") item.remove();
        else fill(item, el("span", { class: "place" }, file.name), trouble(error));
      }
    }
  }

  async function load(after = "", before = []) {
    try {
      const data = await api.get(`/v1/documents?limit=100&after=${encodeURIComponent(after)}`, going.signal);
      const all = [...before, ...data.documents];
      const heads = ["Name", "Title", "Pages", "Chunks", "Tokens", ...(writes ? ["Delete"] : [])];
      const rows = all.map((one) => [
        el("a", { href: `#/document?${new URLSearchParams({ name: one.name })}` }, one.name), one.title, one.pages ? String(one.pages) : "–",
        number(one.chunks), number(one.tokens),
        ...(writes ? [el("button", { type: "button", class: "danger small", "aria-label": `Delete ${one.name}`, onclick: () => confirmed(one) }, "Delete")] : []),
      ]);
      fill(documents,
        all.length ? table("Documents", heads, rows, [2, 3, 4]) : el("p", { class: "quiet" }, "Nothing is indexed yet."),
        data.next && el("button", { type: "button", class: "plain", onclick: () => load(data.next, all) }, "Show more"));
    } catch (error) {
      if (error.name !== "AbortError") fill(documents, trouble(error));
    }
  }

  function confirmed(one) {
    const dialog = el("dialog", { "aria-label": `Delete ${one.name}?`, onclose: () => dialog.remove() },
      el("p", {}, "Delete ", el("strong", {}, one.name), " from the index?"),
      el("div", { class: "row" },
        el("button", { type: "button", class: "danger", onclick: () => { dialog.close(); remove(one); } }, "Delete"),
        el("button", { type: "button", class: "plain", autofocus: true, onclick: () => dialog.close() }, "Keep")));
    node.append(dialog);
    dialog.showModal();
  }

  async function remove(one) {
    fill(receipt, el("p", { class: "notice" }, `Deleting ${one.name} …`));
    try {
      const proof = await api.remove(api.named("/v1/documents/", one.name));
      const left = Object.entries(proof.left).map(([where, count]) => el("li", {}, `${where}: ${count}`));
      const shown = el("section", { class: "card", "aria-label": "Receipt", tabindex: "-1" },
        el("h2", {}, `Deleted: ${proof.deleted}`),
        el("p", {}, "What is left of it, counted by reading the index back:"), el("ul", { class: "row" }, left),
        proof.returns && el("p", { class: "notice warn" }, "Its source is a file of the operator's; the next run of ragkit index brings it back."));
      fill(receipt, shown);
      shown.focus();
      load();
    } catch (error) {
      fill(receipt, trouble(error));
    }
  }

  const file = el("input", { type: "file", multiple: true, accept: context.me.upload_types.join(","), onchange: () => {
    const files = [...file.files];
    file.value = "";
    send(files);
  } });
  const drop = el("div", { class: "card drop",
    ondragover: (event) => { event.preventDefault(); drop.classList.add("over"); },
    ondragleave: () => drop.classList.remove("over"),
    ondrop: (event) => { event.preventDefault(); drop.classList.remove("over"); send([...event.dataTransfer.files]); },
  }, field("Upload documents", file, `${context.me.upload_types.join(" ")}, up to ${number(context.me.max_upload_mb)} MB each; choose files or drop them here.`));
  const node = el("div", {}, el("h1", {}, "Library"), writes && drop, sending, receipt,
    el("section", { "aria-label": "Documents of the index" }, documents),
    el("section", {}, el("h2", {}, "Last uploads"), listed));
  load();
  uploads();
  return { node, leave: () => { going.abort(); clearTimeout(timer); } };
}
