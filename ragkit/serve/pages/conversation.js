// The conversation of this visit: its name on the server, and in this tab what was asked and answered, for a reload.

import * as api from "./api.js";

const PLACE = "ragkit.conversation";
const MOST = 50; // turns that are kept for a reload

export class Conversation {
  /** That of the caller, if the tab has one; never that of another one. */
  constructor(me) {
    this.whose = JSON.stringify([me.key, me.tenant]); // as the server tells sessions apart
    const kept = read();
    const own = kept?.whose === this.whose ? kept : { id: name(), turns: [], filters: [] };
    this.id = own.id;
    this.turns = own.turns;
    this.filters = own.filters;
  }

  /** A question with its filters and the answer as the API gave it. */
  add(turn) {
    this.turns = [...this.turns, turn].slice(-MOST);
    this.save();
  }

  filter(conditions) {
    this.filters = conditions;
    this.save();
  }

  /** Begin anew; nobody can come back to the one before, so the server forgets it. */
  restart() {
    discard();
    this.id = name();
    this.turns = [];
    this.save();
  }

  save() {
    for (let turns = this.turns; ; turns = turns.slice(1)) {
      try {
        return sessionStorage.setItem(PLACE, JSON.stringify({ whose: this.whose, id: this.id, turns, filters: this.filters }));
      } catch (error) {
        if (!turns.length) return sessionStorage.removeItem(PLACE); // the tab has no room at all
      }
    }
  }
}

/** Let the server forget what this tab talked about. */
export function discard() {
  const kept = read();
  if (kept?.turns.length) api.discard(`/v1/sessions/${kept.id}`);
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(PLACE));
  } catch (error) {
    return null;
  }
}

/** A name that nobody guesses. (crypto.randomUUID is only there under TLS and on this machine.) */
function name() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
