// Plain completion: a text, and how the model goes on with it, piece after piece.

import { announce, byId, button, copyButton, element, fit, follow, notice } from "./elements.js";
import { closeChances, tokenPlace } from "./chances.js";
import { chances, sampling } from "./settings.js";
import { shown } from "./store.js";
import { TokenText } from "./tokens.js";
import { begin, facts, forget, versions, write, writing } from "./writing.js";

const PATH = "v1/completions";

export class Completion {
  /** `app`: {state, model(), save(), saveSoon(), needsKey(then), meet()}. */
  constructor(app) {
    this.app = app;
    const box = byId("prompt");
    box.value = app.state.prompt;
    box.addEventListener("input", () => {
      app.state.prompt = box.value;
      app.saveSoon();
      fit(box);
    });
    box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.complete();
    });
    byId("begin").addEventListener("submit", (event) => {
      event.preventDefault();
      this.complete();
    });
    this.view = follow(byId("paper"), byId("begin"));
  }

  get parts() {
    return this.app.state.parts;
  }

  /** The prompt and all that has been written after it. */
  whole(parts = this.parts) {
    return this.app.state.prompt + parts.map((part) => shown(part).text).join("");
  }

  /** Begin anew after the prompt. */
  complete() {
    if (writing() || !sampling()) return;
    if (!this.app.model()) {
      this.app.meet(); // the server had not answered; it may by now
      return;
    }
    this.parts.length = 0;
    this.goOn();
  }

  /** Write on after all that is there. */
  goOn() {
    if (writing() || !sampling()) return;
    this.parts.push({ role: "assistant", versions: [], at: -1 });
    this.ask();
  }

  /** Write the last part, or write it once more. */
  async ask() {
    const fields = sampling();
    if (writing() || !fields || !this.parts.length) return;
    notice("");
    const { parts } = this; // what is cleared meanwhile is no longer this.parts
    const part = parts.at(-1);
    const model = this.app.model().id;
    const prompt = this.whole(this.parts.slice(0, -1));
    const answer = begin(part, model, fields.seed);
    const view = this.draw();
    this.app.save();
    this.view.toEnd();
    announce("Writing");
    const failure = await write(answer, PATH, { model, prompt, ...fields, ...chances(false) }, view);
    const nothing = answer.text === "" && answer.finish !== "stop" && answer.finish !== "length";
    if (nothing) forget(part);
    if (!part.versions.length) parts.pop();
    this.draw();
    this.view.keepUp();
    this.app.save();
    announce(failure ? "" : `Written: ${answer.text}`);
    if (failure) this.failed(failure);
  }

  failed(failure) {
    const again = () => (this.parts.length ? this.ask() : this.complete());
    notice(failure.message, ["Try again", again]);
    if (failure.kind === "key") this.app.needsKey(again);
  }

  /** Draw all parts; returns the TokenText of the last. */
  draw() {
    const place = byId("written");
    closeChances();
    place.replaceChildren();
    if (!this.parts.length) return null;
    const text = tokenPlace("What the model wrote");
    place.append(text);
    let view = null;
    for (const part of this.parts) {
      const inside = element("span", { class: "part" });
      text.append(inside);
      view = new TokenText(inside);
      view.add(shown(part).text, shown(part).tokens);
      if (shown(part).finish !== null) view.end();
    }
    const last = this.parts.at(-1);
    if (shown(last).finish !== null) {
      text.classList.toggle("empty", this.parts.every((part) => shown(part).text === ""));
      place.append(facts(shown(last)), this.acts(last));
    }
    return view;
  }

  acts(last) {
    return element(
      "div", { class: "acts" },
      button("Continue", () => this.goOn(), { "data-act": "continue" }),
      button("Regenerate", () => this.ask(), { "data-act": "regenerate" }),
      button("Take as prompt", () => this.take(), { "data-act": "take" }),
      copyButton(() => this.whole()),
      ...versions(last, (at, label) => this.showVersion(last, at, label)),
    );
  }

  showVersion(part, at, label) {
    if (writing()) return;
    part.at = at;
    this.draw();
    this.app.save();
    const buttons = [...byId("written").querySelectorAll("[data-act]")];
    const same = buttons.find((one) => one.dataset.act === label);
    (same.disabled ? buttons.find((one) => one.dataset.act.endsWith("version") && !one.disabled) : same).focus();
    announce(`Version ${at + 1}: ${shown(part).text}`);
  }

  /** Move what was written into the prompt, where it can be changed. */
  take() {
    if (writing()) return;
    const box = byId("prompt");
    box.value = this.app.state.prompt = this.whole();
    this.parts.length = 0;
    this.draw();
    this.app.save();
    fit(box);
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  }
}
