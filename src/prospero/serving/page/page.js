// The page as a whole: which model, which way of writing, the key, and the keys of the keyboard.

import { closeChances, watchChances } from "./chances.js";
import { Chat } from "./chat.js";
import { Completion } from "./completion.js";
import { announce, byId, element, fit, notice } from "./elements.js";
import { models } from "./server.js";
import { openPanel, openSettings, showModel } from "./settings.js";
import { fresh, keepKey, key, remember, remembered } from "./store.js";
import { stop, writing } from "./writing.js";

const WIDE = window.matchMedia("(min-width: 900px)");
const KEY_SIGNS = /^[\x21-\x7e]+$/; // what a header can hold

const state = remembered();
let known = [];
let afterKey = null;
let later = 0;

const app = {
  state,
  model: () => known.find((entry) => entry.id === state.model) ?? null,
  save: () => {
    clearTimeout(later);
    if (!remember(state)) announce("This browser does not keep the conversation");
  },
  saveSoon: () => {
    clearTimeout(later);
    later = setTimeout(app.save, 400); // not at every key
  },
  needsKey: askForKey,
  meet,
};
const chat = new Chat(app);
const completion = new Completion(app);

/** Ask the server for its models, and go on as the tab was left. */
async function meet() {
  try {
    known = await models(key());
  } catch (failure) {
    notice(failure.message, ["Try again", meet]);
    if (failure.kind === "key") askForKey(meet);
    return;
  }
  notice(known.length ? "" : "The server has no model.");
  if (!app.model()) state.model = known[0]?.id ?? null;
  byId("model").replaceChildren(...known.map((entry) => element("option", { value: entry.id }, entry.id)));
  byId("model").disabled = !known.length;
  byId("model").value = state.model;
  byId("forget-key").hidden = key() === null;
  useModel();
  toTheBox();
}

function useModel() {
  const model = app.model();
  if (model) showModel(model.prospero);
  setMode(state.mode ?? (model?.prospero.kind === "completion" ? "completion" : "chat"));
}

function setMode(mode) {
  for (const radio of document.getElementsByName("mode")) radio.checked = radio.value === mode;
  byId("chat").hidden = byId("composer").hidden = mode !== "chat";
  byId("completion").hidden = mode !== "completion";
  if (!writing()) {
    chat.draw();
    completion.draw();
  }
  closeChances();
  fit(byId("message"));
  fit(byId("prompt"));
}

/** Let the reader write at once, where that opens no keyboard over half of the screen. */
function toTheBox() {
  if (WIDE.matches && !byId("ask-key").open) byId(byId("chat").hidden ? "prompt" : "message").focus();
}

/** Begin anew; what was there can be had back as long as nothing else is said. */
function clear() {
  stop();
  const { model, mode, settings, ...before } = state;
  const empty = !before.turns.length && !before.parts.length && !before.prompt && !before.draft;
  become({ ...fresh(), model, mode, settings });
  if (empty) return;
  notice("Cleared.", ["Undo", () => become({ ...state, ...before })], "calm");
}

function become(other) {
  Object.assign(state, other);
  byId("message").value = state.draft;
  byId("prompt").value = state.prompt;
  chat.editing = null;
  notice("");
  app.save();
  useModel();
  toTheBox();
}

/** Open the dialog for the key; `then` is done once there is one. */
function askForKey(then) {
  afterKey = then;
  byId("key-words").textContent = key() === null ? "Whoever runs it knows it." : "It did not accept the key it was given.";
  byId("key").value = "";
  if (!byId("ask-key").open) byId("ask-key").showModal();
}

function takeKey(event) {
  event.preventDefault();
  const value = byId("key").value.trim();
  if (!KEY_SIGNS.test(value)) {
    byId("key-words").textContent = "A key is made of plain letters, digits and signs, without blanks.";
    return;
  }
  keepKey(value);
  byId("forget-key").hidden = false;
  byId("ask-key").close();
  afterKey?.();
}

/** Escape: first what lies on top, then what is being written, then the panel over a narrow page. */
function escape(event) {
  if (event.key !== "Escape" || byId("ask-key").open || event.isComposing) return;
  if (writing()) stop();
  else if (!closeChances() && !chat.cancelEdit() && !WIDE.matches && !byId("settings").hidden) togglePanel(false);
}

function togglePanel(open) {
  openPanel(open);
  if (open && !WIDE.matches) byId("system").focus();
  if (!open) byId("panel").focus();
}

function listen() {
  document.addEventListener("keydown", escape);
  watchChances();
  window.addEventListener("pagehide", app.save);
  WIDE.addEventListener("change", () => openPanel(WIDE.matches));
  byId("panel").addEventListener("click", () => togglePanel(byId("settings").hidden));
  byId("close-panel").addEventListener("click", () => togglePanel(false));
  byId("clear").addEventListener("click", clear);
  byId("no-key").addEventListener("click", () => byId("ask-key").close());
  byId("ask-key").querySelector("form").addEventListener("submit", takeKey);
  byId("forget-key").addEventListener("click", () => {
    keepKey(null);
    meet();
  });
  byId("model").addEventListener("change", () => {
    state.model = byId("model").value;
    app.save();
    useModel();
  });
  for (const radio of document.getElementsByName("mode")) {
    radio.addEventListener("change", () => {
      state.mode = radio.value;
      app.save();
      setMode(radio.value);
    });
  }
  for (const halt of document.querySelectorAll(".stop")) halt.addEventListener("click", stop);
  const shade = () => (document.body.dataset.chances = byId("chances-kind").value);
  openSettings(state.settings, (settings) => {
    state.settings = settings;
    app.save();
    shade();
  });
  shade();
}

listen();
openPanel(WIDE.matches);
setMode(state.mode ?? "chat");
meet();
