// Calls of the server. The key lies in this tab's session storage and goes out in a header, never in an address.

const KEY = "ragkit.key";

export class ApiError extends Error {
  constructor(status, body) {
    super(body?.error?.message || `the server answered ${status}`);
    this.status = status;
    this.code = body?.error?.code || "";
  }
}

export const key = () => sessionStorage.getItem(KEY) || "";
/** Sign in. Nothing is left of who was signed in before. */
export function remember(text) {
  forget();
  sessionStorage.setItem(KEY, text);
}
/** Sign out: what this tab keeps goes with the key. */
export const forget = () => sessionStorage.clear();

let onRefused = () => {};

/** What is done when the key is none (any more). */
export function whenRefused(action) {
  onRefused = action;
}

function headers(more = {}) {
  return key() ? { Authorization: `Bearer ${key()}`, ...more } : more;
}

async function checked(response) {
  if (response.ok) return response;
  const error = new ApiError(response.status, await response.json().catch(() => null));
  if (response.status === 401) onRefused(error);
  throw error;
}

async function sent(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server cannot be reached.");
  }
  return checked(response);
}

export async function get(path, signal) {
  return (await sent(path, { headers: headers(), signal })).json();
}

export async function remove(path) {
  return (await sent(path, { method: "DELETE", headers: headers() })).json();
}

/** Delete something that nobody will ask for again; whether it was there does not matter. */
export function discard(path) {
  fetch(path, { method: "DELETE", headers: headers(), cache: "no-store", credentials: "omit", keepalive: true }).catch(() => {});
}

export async function post(path, body, signal) {
  const options = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body), signal };
  return (await sent(path, options)).json();
}

/** A picture as an address of this page; give it to `URL.revokeObjectURL` when it is not shown any more. */
export async function picture(path, signal) {
  return URL.createObjectURL(await (await sent(path, { headers: headers(), signal })).blob());
}

/** Server-sent events of a POST, each as [name, data]. */
export async function* events(path, body, signal) {
  const options = { method: "POST", headers: headers({ "Content-Type": "application/json" }), body: JSON.stringify(body), signal };
  const reader = (await sent(path, options)).body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
      if (name && data) yield [name, JSON.parse(data)];
    }
  }
}

/** Upload a file; `progress` is told the share (0 to 1) of its bytes that are sent. */
export function upload(file, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not tell how much of a body is sent
    const form = new FormData();
    form.append("file", file, file.name);
    request.open("POST", "/v1/documents");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => event.lengthComputable && progress(event.loaded / event.total));
    request.addEventListener("load", () => {
      if (request.status === 202) return resolve(request.response);
      const error = new ApiError(request.status, request.response);
      if (request.status === 401) onRefused(error);
      return reject(error);
    });
    request.addEventListener("error", () => reject(new Error("The server cannot be reached.")));
    request.addEventListener("abort", () => reject(new DOMException("stopped", "AbortError")));
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** The path of a document under a prefix; its name may hold slashes and anything else. */
export function named(prefix, name) {
  return prefix + name.split("/").map(encodeURIComponent).join("/");
}
