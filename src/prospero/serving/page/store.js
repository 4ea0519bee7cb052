// What the page remembers, for as long as its tab is open (sessionStorage). The key is kept apart from the texts.
//
// A turn is {role: "user", text} or {role: "assistant", versions: [answer], at}: what the model wrote to the same
// question, and which of it is shown. An answer is {text, tokens, model, seed, finish, usage, seconds, leftOut}.
// A token is [text, log-probability, [[text, log-probability], ...], hint?], see tokens.js for the hint.

const PLACE = "prospero.page";
const KEY = "prospero.key";

/** A page on which nobody has written yet. */
export function fresh() {
  return { mode: null, model: null, settings: {}, turns: [], draft: "", prompt: "", parts: [] };
}

/** What the tab remembers, else a fresh page. */
export function remembered() {
  try {
    const kept = { ...fresh(), ...JSON.parse(sessionStorage.getItem(PLACE) ?? "null") };
    for (const name of ["turns", "parts"]) kept[name] = kept[name].map(whole).filter((turn) => turn !== null);
    return kept;
  } catch {
    return fresh();
  }
}

/** A turn without answers that were still to come when the page was left; null where nothing is left of it. */
function whole(turn) {
  if (turn.role === "user") return turn;
  for (const answer of turn.versions) answer.finish ??= answer.text ? "cut" : "none";
  const versions = turn.versions.filter((answer) => answer.finish !== "none");
  return versions.length ? { ...turn, versions, at: Math.min(turn.at, versions.length - 1) } : null;
}

/** Remember; where there is no room, without probabilities. Whether the texts are kept. */
export function remember(state) {
  for (const room of [(name, value) => value, (name, value) => (name === "tokens" ? [] : value)]) {
    try {
      sessionStorage.setItem(PLACE, JSON.stringify(state, room));
      return true;
    } catch {
      // full, or not allowed
    }
  }
  return false;
}

let unkept = null; // the key, in a browser that keeps nothing

/** The server's key, or null. */
export function key() {
  try {
    return sessionStorage.getItem(KEY) ?? unkept;
  } catch {
    return unkept;
  }
}

/** Keep the server's key; null forgets it. */
export function keepKey(value) {
  unkept = value;
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // it lasts until the page is left
  }
}

/** The answer of a turn that is shown. */
export const shown = (turn) => turn.versions[turn.at];

/** What a turn says. */
export const said = (turn) => (turn.role === "user" ? turn.text : shown(turn).text);
