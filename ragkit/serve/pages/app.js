// The shell: who is signed in, which page is shown, where the focus goes.

import { ApiError, forget, get, key, remember, whenRefused } from "./api.js";
import { el, field, fill, say, trouble } from "./dom.js";
import * as ask from "./ask.js";
import { discard } from "./conversation.js";
import * as dashboard from "./dashboard.js";
import * as document_ from "./document.js";
import * as library from "./library.js";
import * as playground from "./playground.js";

const ROLES = ["read", "write", "admin"];
const PAGES = {
  ask: { title: "Ask", role: "read", page: ask },
  library: { title: "Library", role: "read", page: library },
  playground: { title: "Playground", role: "write", page: playground },
  dashboard: { title: "Dashboard", role: "admin", page: dashboard },
  document: { title: "Document", role: "read", page: document_, hidden: true },
};

const main = document.getElementById("main");
const shown = new Map(); // what a page has made, so that an answer is still there when one comes back
const heights = new Map(); // how far down each of them was left
let here = "";
let me = null;
let leave = () => {};

/** The page behind the #, and what it is given: #/document?name=a.md&start=3 */
function address() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { name: PAGES[path] ? path : "ask", given: new URLSearchParams(query) };
}

function may(role) {
  return ROLES.indexOf(me.role) >= ROLES.indexOf(role);
}

function show() {
  if (!me || location.hash === "#main") return;
  const { name, given } = address();
  const { title, role, page } = PAGES[name];
  heights.set(here, window.scrollY);
  here = name;
  leave();
  leave = () => {};
  document.title = `${title} – ragkit`;
  for (const link of document.querySelectorAll("#links a")) {
    if (link.dataset.page === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const kept = page.KEPT ? shown.get(name) : null;
  const made = may(role) ? kept || page.make({ me, may, given }) : null;
  if (!made) {
    fill(main, el("h1", {}, title), el("p", { class: "notice" }, `This page needs a key of role ${role}.`));
  } else {
    if (page.KEPT) shown.set(name, made);
    leave = made.leave || leave;
    fill(main, made.node);
    made.entered?.(given);
  }
  window.scrollTo({ top: (page.KEPT && heights.get(name)) || 0, behavior: "instant" });
  if (!kept) made?.settled?.();
  const heading = main.querySelector("h1");
  if (heading && started) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  started = true;
}
let started = false; // the first page leaves the focus where the browser has it

function navigation() {
  const open = Object.entries(PAGES).filter(([, { hidden, role }]) => !hidden && may(role));
  fill(document.getElementById("links"), open.map(([name, { title }]) => el("li", {}, el("a", { href: `#/${name}`, "data-page": name }, title))));
  document.getElementById("nav").hidden = false;
  document.getElementById("sign-out").hidden = !key();
  const tenant = me.tenant ? ` of ${me.tenant}` : "";
  document.getElementById("who").textContent = me.key ? `${me.key}${tenant}, ${me.role}` : "no key needed here";
}

function signIn(message) {
  leave();
  me = null;
  for (const made of shown.values()) made.close?.();
  shown.clear();
  heights.clear();
  document.title = "Sign in – ragkit";
  document.getElementById("nav").hidden = true;
  document.getElementById("sign-out").hidden = true;
  document.getElementById("who").textContent = "";
  const typed = el("input", { type: "password", name: "key", autocomplete: "off", spellcheck: "false", required: true });
  const form = el("form", { class: "card narrow", onsubmit: (event) => {
    event.preventDefault();
    remember(typed.value.trim());
    start();
  } },
    el("h1", {}, "Sign in"),
    message && el("p", { class: "notice bad", role: "alert" }, message),
    field("API key", typed, "Kept in this tab until it is closed or you sign out."),
    el("button", { type: "submit" }, "Sign in"));
  fill(main, form);
  typed.focus();
}

async function start() {
  try {
    me = await get("/v1/me");
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) fill(main, el("h1", {}, "ragkit"), trouble(error));
    return;
  }
  navigation();
  show();
  say("Signed in.");
}

whenRefused((error) => {
  const had = key();
  forget();
  signIn(had ? "This key is not valid (any more)." : error.code === "no_key" ? error.message : "");
});
document.getElementById("sign-out").addEventListener("click", () => {
  discard();
  forget();
  signIn("");
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the # says which page is shown
  main.focus();
});
history.scrollRestoration = "manual"; // `show` does it, when the page stands
addEventListener("hashchange", show);
start();
