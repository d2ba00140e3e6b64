// Elements made of plain data. Text only ever becomes text: there is no way here to make HTML from it.

/** An element: `props` are attributes (`on*` functions listeners, `class`, `hidden`), children elements or texts. */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Put children in the place of those that are there. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return parent;
}

let counted = 0;

/** An id that no other element has. */
export function unique(name) {
  counted += 1;
  return `${name}-${counted}`;
}

/** A labelled control: the label, the control, and a hint below it. */
export function field(label, control, hint = "") {
  if (!control.id) control.id = unique("field");
  const note = hint ? el("p", { class: "hint", id: unique("hint") }, hint) : null;
  if (note) control.setAttribute("aria-describedby", note.id);
  return el("div", { class: "field" }, el("label", { for: control.id }, label), control, note);
}

/** A select of [value, text] pairs. */
export function choice(options, value, props = {}) {
  const made = el("select", props, options.map(([name, text]) => el("option", { value: name }, text)));
  made.value = value;
  return made;
}

/** A table with a caption; cells are texts or elements, columns in `numbers` are set to the right. */
export function table(caption, heads, rows, numbers = []) {
  const side = (index) => (numbers.includes(index) ? "number" : undefined);
  const line = (row) =>
    el("tr", {}, row.map((cell, index) => (index ? el("td", { class: side(index) }, cell) : el("th", { scope: "row" }, cell))));
  return el("div", { class: "wide", role: "region", "aria-label": caption, tabindex: "0" },
    el("table", {},
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, heads.map((head, index) => el("th", { scope: "col", class: side(index) }, head)))),
      el("tbody", {}, rows.map(line))));
}

/** Tell what happened to those who do not see it. */
export function say(text) {
  document.getElementById("status").textContent = text;
}

/** A box that says what went wrong. */
export function trouble(error) {
  return el("p", { class: "notice bad", role: "alert" }, error.message || String(error));
}
