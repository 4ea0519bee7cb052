"use strict";
/* One run: how it stands, its pages and files, the end of its log, and, where that was asked for, a button to stop it. */

const Detail = {
  key: null,
  sure: false,
  _mark: "",

  /** Show a run. */
  async open(key) {
    [this.key, this.sure, this._mark] = [key, false, ""];
    const box = at("detail");
    if (!box.open) box.showModal();
    box.onclose = () => { this.key = null; };
    await this.draw();
  },

  /** Draw the run that is shown, if one is. */
  async draw() {
    const run = Data.runs.get(this.key);
    if (!run) {
      if (this.key !== null) at("detail").close();
      return;
    }
    const key = this.key;
    const detail = await Data.detail(key);
    if (key !== this.key) return;
    const facts = [
      ["state", [run.state, ...run.notes].join(", ")], ["ended by", run.ended_by], ["begun", Numbers.time(run.begun)], ["last number", Numbers.time(run.changed)],
      ["step", Numbers.count(run.step)], ["tokens", Numbers.count(run.tokens)], ["trained", Numbers.duration(run.seconds)],
      [run.objective, Numbers.short(run.values[run.objective])], ["FLOPs a token", Numbers.short(run.flops_per_token)],
    ];
    const mark = JSON.stringify([facts, detail.files, Data.token, this.sure]);
    if (mark !== this._mark) this._head(run, facts, detail.files); // else whoever reads or clicks there is left alone
    this._mark = mark;
    const log = at("detail").querySelector("pre");
    const text = detail.log.length ? detail.log.join("\n") : "There is no log.";
    if (log.textContent === text) return;
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    log.textContent = text;
    if (atEnd) log.scrollTop = log.scrollHeight;
  },

  _head(run, facts, files) {
    at("detail").replaceChildren(
      el("h2", { id: "detail-name" }, run.name),
      el("button", { class: "close", "aria-label": "Close", onclick: () => at("detail").close() }, "×"),
      el("dl", {}, ...facts.filter(([name, value]) => name && value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      this._stopButton(run) ?? "",
      ...this._files(run, files),
      el("h3", {}, "End of its log"),
      at("detail").querySelector("pre") ?? el("pre"),
    );
  },

  _files(run, files) {
    const titles = { run: "Pages and files", evaluation: "Evaluations", analysis: "Analyses", dynamics: "How it learned" };
    return Object.entries(titles).flatMap(([kind, title]) => {
      const own = files.filter((file) => file.kind === kind);
      if (!own.length) return [];
      const entries = own.map((file) => el("li", {}, el("a", { href: Data.fileAddress(run.key, file), target: "_blank", rel: "noopener noreferrer" }, file.name), el("span", { class: "quiet" }, ` ${Numbers.bytes(file.bytes)}`)));
      return [el("h3", {}, title), el("ul", {}, ...entries)];
    });
  },

  _stopButton(run) {
    if (!Data.token || run.state !== "running") return null;
    const asked = run.notes.includes("asked to stop");
    const said = el("span", { class: "quiet" }, asked ? " It has been asked to save and leave." : "");
    const button = el("button", { class: "stop", disabled: asked, onclick: async () => {
      if (!this.sure) {
        this.sure = true;
        button.textContent = "really stop it?";
        return;
      }
      button.disabled = true;
      said.textContent = ` ${(await Data.stop(run.key)) || "It has been asked to save and leave."}`;
    } }, this.sure && !asked ? "really stop it?" : "stop this run");
    return el("p", {}, button, said);
  },
};
