// The panel of settings: what is filled in goes along with a question, what is empty is the model's own.

import { byId, notice } from "./elements.js";

const WHOLE = ["max_tokens", "top_k", "seed"];
const NUMBERS = ["temperature", "top_p", "min_p", "repetition_penalty", ...WHOLE];
const MOST_SEEDS = 2 ** 31;
const TOP = 5; // other tokens that are asked for beside each

const form = () => byId("sampling");

/** Fill the panel with what is remembered, and call `changed` with all values when one of them changes. */
export function openSettings(values, changed) {
  for (const [name, value] of Object.entries(values)) {
    if (form().elements[name]) form().elements[name].value = value;
  }
  form().addEventListener("submit", (event) => event.preventDefault());
  form().addEventListener("input", (event) => {
    mark(event.target);
    changed(Object.fromEntries(new FormData(form())));
  });
  byId("defaults").addEventListener("click", () => {
    for (const name of [...NUMBERS, "stop"]) {
      form().elements[name].value = "";
      mark(form().elements[name]);
    }
    changed(Object.fromEntries(new FormData(form())));
  });
}

/** Show what a model is, and its own settings in the empty fields. */
export function showModel({ kind, context, parameters, precision, default_sampling: own }) {
  const reads = context === null ? "reads on without end" : `reads ${context.toLocaleString("en")} tokens at once`;
  const size = parameters === null ? "" : `${short(parameters)} parameters, `;
  byId("facts").textContent = `${size}${precision}, ${reads}; for ${kind}.`;
  for (const name of NUMBERS) {
    const empty = { seed: "new", top_k: "all" }[name] ?? "";
    form().elements[name].placeholder = own[name] ?? empty;
  }
}

/** The fields of a request, or null after a word about one that is wrong. */
export function sampling() {
  const wrong = [...form().elements].find((field) => !field.checkValidity());
  if (wrong) {
    const label = wrong.labels[0].firstChild.data.trim();
    notice(`${label}: ${wrong.validationMessage}`, ["Show", () => show(wrong)]);
    return null;
  }
  const fields = { seed: Math.floor(Math.random() * MOST_SEEDS) };
  for (const name of NUMBERS) {
    const text = form().elements[name].value;
    if (text !== "") fields[name] = Number(text);
  }
  const stop = form().elements.stop.value.split("\n").filter((line) => line !== "");
  if (stop.length) fields.stop = stop.map((line) => line.replaceAll("\\n", "\n").replaceAll("\\t", "\t"));
  return fields;
}

/** The fields that ask for probabilities; each road of OpenAI's has its own. */
export function chances(chat) {
  if (byId("chances-kind").value === "off") return {};
  return chat ? { logprobs: true, top_logprobs: TOP } : { logprobs: TOP };
}

/** The system prompt, or null. */
export const system = () => form().elements.system.value.trim() || null;

/** Open or close the panel. */
export function openPanel(open) {
  byId("settings").hidden = !open;
  byId("panel").setAttribute("aria-expanded", String(open));
}

function show(field) {
  openPanel(true);
  field.focus();
}

function mark(field) {
  if (!field.name) return;
  field.setAttribute("aria-invalid", String(!field.checkValidity()));
  field.title = field.validationMessage;
}

/** 1234567 as 1.2 M. */
function short(number) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(number);
}
