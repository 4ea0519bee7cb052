// The conversation: turns one below the other, the last of them being written.

import { announce, byId, button, copyButton, element, fit, follow, notice } from "./elements.js";
import { closeChances, tokenPlace } from "./chances.js";
import { chances, sampling, system } from "./settings.js";
import { said, shown } from "./store.js";
import { TokenText } from "./tokens.js";
import { begin, facts, forget, versions, write, writing } from "./writing.js";

const PATH = "v1/chat/completions";

export class Chat {
  /** `app`: {state, model(), save(), saveSoon(), needsKey(then), meet()}. */
  constructor(app) {
    this.app = app;
    this.editing = null; // the number of the turn that is being changed
    this.texts = new WeakMap(); // answer -> its TokenText
    const box = byId("message");
    box.value = app.state.draft;
    box.addEventListener("input", () => {
      app.state.draft = box.value;
      app.saveSoon();
      fit(box);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.send();
    });
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.view = follow(byId("scroll"), byId("turns"));
  }

  get turns() {
    return this.app.state.turns;
  }

  /** Send what stands in the box. A question without an answer gives way to the next. */
  send() {
    const box = byId("message");
    if (writing() || !box.value.trim() || !sampling()) return;
    if (!this.app.model()) {
      this.app.meet(); // the server had not answered; it may by now
      return;
    }
    if (this.turns.at(-1)?.role === "user") this.turns.pop();
    this.turns.push({ role: "user", text: box.value });
    box.value = this.app.state.draft = "";
    fit(box);
    this.ask();
  }

  /** Let the model answer the last question, or answer it once more. */
  async ask() {
    const fields = sampling();
    if (writing() || !fields || !this.turns.length) return;
    notice("");
    this.editing = null;
    if (this.turns.at(-1).role === "user") this.turns.push({ role: "assistant", versions: [], at: -1 });
    const { turns } = this; // what is cleared meanwhile is no longer this.turns
    const turn = turns.at(-1);
    const model = this.app.model().id;
    const messages = this.turns.slice(0, -1).map((one) => ({ role: one.role, content: said(one) }));
    if (system()) messages.unshift({ role: "system", content: system() });
    const answer = begin(turn, model, fields.seed);
    const view = this.draw();
    this.app.save();
    this.view.toEnd();
    announce("Writing");
    const failure = await write(answer, PATH, { model, messages, ...fields, ...chances(true) }, view);
    const nothing = answer.text === "" && answer.finish !== "stop" && answer.finish !== "length";
    if (nothing) forget(turn);
    if (!turn.versions.length) turns.pop();
    this.draw();
    this.view.keepUp();
    this.app.save();
    announce(failure ? "" : `Answer: ${answer.text}`);
    if (failure) this.failed(failure);
  }

  failed(failure) {
    const again = () => this.ask();
    notice(failure.message, ["Try again", again]);
    if (failure.kind === "key") this.app.needsKey(again);
  }

  /** Draw all turns; returns the TokenText of the last. */
  draw() {
    const place = byId("turns");
    closeChances();
    place.replaceChildren();
    let view = null;
    this.turns.forEach((turn, number) => {
      const [article, text] = this.article(turn, number);
      place.append(article);
      view = text;
    });
    if (!this.turns.length) place.append(this.welcome());
    const last = this.turns.at(-1);
    if (last?.role === "user" && !writing() && this.editing === null) {
      place.append(element("div", { class: "acts" }, button("Answer", () => this.ask(), { "data-act": "answer" })));
    }
    return view;
  }

  welcome() {
    const model = this.app.model();
    const note = model?.prospero.kind === "completion"
      ? "It has not learnt dialogues: it goes on with your text more often than it answers. Completion suits it better."
      : "It has learnt dialogues; its answers are its own, right or wrong.";
    const title = model ? `Say something to ${model.id}` : "No model yet";
    return element("div", { class: "welcome" }, element("h2", {}, title), element("p", {}, model ? note : ""));
  }

  article(turn, number) {
    const user = turn.role === "user";
    const who = user ? "You" : shown(turn).model;
    const facing = { class: `turn ${turn.role}`, "aria-label": `${who}, turn ${number + 1}` };
    const article = element("article", facing, element("h2", { class: "who" }, who));
    if (this.editing === number) {
      article.append(this.editor(turn, number));
      return [article, null];
    }
    if (user) {
      article.append(element("div", { class: "text" }, turn.text), this.acts(turn, number));
      return [article, null];
    }
    const answer = shown(turn);
    const view = this.textOf(answer);
    article.append(view.place);
    if (answer.finish !== null) {
      view.place.classList.toggle("empty", answer.text === "");
      article.append(facts(answer), this.acts(turn, number));
    }
    return [article, view];
  }

  /** The text of an answer, made once: there may be thousands of tokens. */
  textOf(answer) {
    if (!this.texts.has(answer)) {
      const view = new TokenText(tokenPlace(`Text of ${answer.model}`));
      view.add(answer.text, answer.tokens);
      if (answer.finish !== null) view.end();
      this.texts.set(answer, view);
    }
    return this.texts.get(answer);
  }

  acts(turn, number) {
    const acts = element("div", { class: "acts" }, copyButton(() => said(turn)));
    acts.append(button("Edit", () => this.edit(number), { "data-act": "edit" }));
    if (turn.role === "assistant" && number === this.turns.length - 1) {
      acts.append(button("Regenerate", () => this.regenerate(), { "data-act": "regenerate" }));
      acts.append(...versions(turn, (at, label) => this.showVersion(turn, at, label)));
    }
    return acts;
  }

  regenerate() {
    byId("message").focus();
    this.ask();
  }

  showVersion(turn, at, label) {
    if (writing()) return;
    turn.at = at;
    this.draw();
    this.app.save();
    const buttons = [...byId("turns").lastChild.querySelectorAll("[data-act]")];
    const same = buttons.find((one) => one.dataset.act === label);
    (same.disabled ? buttons.find((one) => one.dataset.act.endsWith("version") && !one.disabled) : same).focus();
    announce(`Version ${at + 1}: ${shown(turn).text}`);
  }

  edit(number) {
    if (writing()) return;
    this.editing = number;
    this.draw();
    const box = byId("turns").querySelector("textarea");
    fit(box);
    box.focus();
  }

  /** Leave a turn as it was; whether one was being changed. */
  cancelEdit() {
    const number = this.editing;
    if (number === null) return false;
    this.editing = null;
    this.draw();
    byId("turns").children[number].querySelector("[data-act=edit]").focus();
    return true;
  }

  editor(turn, number) {
    const user = turn.role === "user";
    const id = `edit-${number}`;
    const box = element("textarea", { id, rows: "2", input: () => fit(box) });
    box.value = said(turn);
    const save = () => this.changed(turn, number, box.value);
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      save();
    });
    const what = user ? "Change your message; what follows it is written anew" : "Change what the model said";
    return element(
      "div", { class: "editor" }, element("label", { for: id, class: "hint" }, what), box,
      element("div", { class: "acts" }, button(user ? "Send" : "Save", save, { class: "go" }),
        button("Cancel", () => this.cancelEdit())),
    );
  }

  /** Take a changed turn: a question is asked anew and what followed it is gone, an answer is replaced. */
  changed(turn, number, text) {
    if (!text.trim() || (turn.role === "user" && !sampling())) return;
    this.editing = null;
    byId("message").focus();
    if (turn.role === "user") {
      this.turns.splice(number, this.turns.length, { role: "user", text });
      this.ask();
      return;
    }
    const answer = shown(turn);
    this.texts.delete(answer);
    Object.assign(answer, { text, tokens: [], finish: "edited", usage: null });
    this.draw();
    this.app.save();
  }
}
