// One answer of a model: asked for, shown as it comes, stopped, and said how it ended.

import { byId, element } from "./elements.js";
import { Failure, pieces } from "./server.js";
import { key } from "./store.js";
import { chatTokens, textTokens } from "./tokens.js";

let running = null;

/** Whether an answer is being written. */
export const writing = () => running !== null;

/** End the answer that is being written; what is there stays. */
export const stop = () => running?.abort();

/** A version of a turn that has still to be written; it becomes the one that is shown. */
export function begin(turn, model, seed) {
  const answer = { text: "", tokens: [], model, seed, finish: null, usage: null, seconds: 0, leftOut: 0 };
  turn.at = turn.versions.push(answer) - 1;
  return answer;
}

/** Take a version of which nothing was written off its turn. */
export function forget(turn) {
  turn.versions.splice(turn.at, 1);
  turn.at = turn.versions.length - 1;
}

/** Let the server write `answer` into the TokenText `view`; returns the Failure, or null. */
export async function write(answer, path, body, view) {
  running = new AbortController();
  busy(true);
  const begun = performance.now();
  const tokensOf = path.includes("chat") ? chatTokens : textTokens;
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  try {
    for await (const piece of pieces(path, asked, key(), running.signal)) {
      if (piece.usage) answer.usage = piece.usage;
      if (piece.prospero?.left_out) answer.leftOut = piece.prospero.left_out;
      for (const choice of piece.choices) {
        const text = choice.delta?.content ?? choice.text ?? "";
        const tokens = tokensOf(choice);
        answer.text += text;
        answer.tokens.push(...tokens);
        answer.finish = choice.finish_reason ?? answer.finish;
        view.add(text, tokens);
      }
    }
    return null;
  } catch (error) {
    if (error.name === "AbortError") {
      answer.finish = "stopped";
      return null;
    }
    if (!(error instanceof Failure)) throw error; // a fault of this page
    answer.finish = "cut";
    return error;
  } finally {
    view.end();
    answer.seconds = (performance.now() - begun) / 1000;
    running = null;
    busy(false);
  }
}

/** Put Stop in the place of what begins an answer, and back; the focus stays in that place. */
function busy(on) {
  document.body.classList.toggle("writing", on);
  byId("turns").setAttribute("aria-busy", String(on));
  for (const form of [byId("composer"), byId("begin")]) {
    const [go, halt] = [form.querySelector(".go"), form.querySelector(".stop")];
    const had = document.activeElement === go || document.activeElement === halt;
    go.hidden = on;
    halt.hidden = !on;
    if (had) (on ? halt : go).focus();
  }
}

const ENDS = {
  stop: "ended by itself",
  length: "as long as it may be",
  stopped: "stopped by you",
  cut: "incomplete",
};

const count = (number, name) => `${number} ${name}${number === 1 ? "" : "s"}`;

/** What is known of an answer, in a line. */
export function facts(answer) {
  const tokens = answer.usage?.completion_tokens ?? answer.tokens.length;
  const words = [answer.model];
  if (answer.finish === "edited") words.push("changed by you");
  else {
    if (tokens) words.push(count(tokens, "token"), `${(tokens / Math.max(answer.seconds, 0.001)).toFixed(0)} a second`);
    words.push(ENDS[answer.finish] ?? answer.finish, `seed ${answer.seed}`);
  }
  if (answer.leftOut) words.push(`the first ${count(answer.leftOut, "message")} no longer fit and were not read`);
  return element("p", { class: "hint facts" }, words.join(" · "));
}

/** Buttons to go through the versions of a turn; nothing where there is one. */
export function versions(turn, show) {
  if (turn.versions.length < 2) return [];
  const go = (step, sign, label) =>
    element("button", {
      type: "button", "aria-label": label, title: label, "data-act": label,
      disabled: turn.at + step < 0 || turn.at + step >= turn.versions.length,
      click: () => show(turn.at + step, label),
    }, sign);
  return [
    go(-1, "‹", "Earlier version"),
    element("span", { class: "hint" }, `${turn.at + 1} of ${turn.versions.length}`),
    go(1, "›", "Later version"),
  ];
}
