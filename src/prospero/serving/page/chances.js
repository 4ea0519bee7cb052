// The card of a token: how probable it was, and what else the model might have written.
//
// The mouse shows it over a token, a tap keeps it, and whoever uses the keyboard walks over the tokens of a text that
// has the focus: arrows, Home, End; Escape puts the card away.

import { announce, byId, element } from "./elements.js";

let lit = null;

/** A place for a text whose tokens show their cards; it can have the focus. */
export function tokenPlace(label) {
  const facts = { class: "text", tabindex: "0", role: "group", "aria-label": label, "aria-describedby": "chances-keys" };
  const place = element("div", facts);
  const point = (event) => event.target.classList.contains("token") && open(event.target);
  place.addEventListener("pointerover", point);
  place.addEventListener("click", point);
  place.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && closeChances());
  place.addEventListener("keydown", (event) => walk(event, place));
  place.addEventListener("blur", closeChances);
  return place;
}

/** Let a tap elsewhere put the card away, and the card stay at its token while the text moves. */
export function watchChances() {
  document.addEventListener("pointerdown", (event) => event.target.classList?.contains("token") || closeChances());
  document.addEventListener("scroll", () => lit && put(byId("chances"), lit), true);
}

/** Put the card away; whether there was one. */
export function closeChances() {
  const was = lit !== null;
  lit?.classList.remove("lit");
  lit = null;
  byId("chances").hidden = true;
  return was;
}

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function walk(event, place) {
  const step = STEPS[event.key];
  const tokens = [...place.querySelectorAll(".token")];
  if (step === undefined || event.target !== place || !tokens.length || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  const at = tokens.indexOf(lit) < 0 ? (step > 0 ? -1 : tokens.length) : tokens.indexOf(lit);
  const next = tokens[Math.max(0, Math.min(tokens.length - 1, at + step))];
  open(next);
  next.scrollIntoView({ block: "nearest" });
  announce(next.tokens.flatMap((token) => [token, ...token[2].filter(([text]) => text !== token[0])]).map(words).join("; "));
}

const words = ([text, logP]) => `${visible(text)} ${percent(logP)}`;

function open(token) {
  if (token === lit) return;
  closeChances();
  lit = token;
  token.classList.add("lit");
  const card = byId("chances");
  card.replaceChildren(...token.tokens.slice(0, 6).flatMap(rows));
  card.hidden = false;
  put(card, token);
}

/** Below the token, or above where there is no room; never beyond the window. */
function put(card, token) {
  const at = token.getClientRects()[0] ?? token.getBoundingClientRect();
  const edge = 8;
  const left = Math.min(at.left, document.documentElement.clientWidth - card.offsetWidth - edge);
  const below = at.bottom + 6;
  const fits = below + card.offsetHeight + edge <= document.documentElement.clientHeight;
  card.style.left = `${Math.max(edge, left)}px`;
  card.style.top = `${fits ? below : Math.max(edge, at.top - 6 - card.offsetHeight)}px`;
}

function rows([text, logP, others]) {
  const listed = others.map(([other, p]) => row(other, p, other === text));
  if (!others.some(([other]) => other === text)) listed.push(row(text, logP, true));
  return listed;
}

function row(text, logP, chosen) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", Math.exp(logP));
  const facts = { class: chosen ? "chance chosen" : "chance" };
  return element("div", facts, element("code", {}, visible(text)), bar, element("span", {}, percent(logP)));
}

/** A token with its blanks as signs. */
export function visible(text) {
  return text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";
}

/** A probability in percent, to two digits or to its first. */
export function percent(logP) {
  const share = 100 * Math.exp(logP);
  if (share >= 9.95) return `${share.toFixed(0)} %`;
  if (share >= 0.1) return `${share.toFixed(1)} %`;
  return share < 0.001 ? "< 0.001 %" : `${share.toPrecision(1)} %`;
}
