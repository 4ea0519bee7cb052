"use strict";
/* The chosen runs beside each other: what they wrote, and the settings in which they differ. */

const MOST_BESIDE = 12;

const Samples = {
  _turn: 0,

  /** Draw a column of texts for each chosen run, at the step that was chosen, or the newest before it. */
  async draw() {
    const runs = Table.chosenRuns().slice(0, MOST_BESIDE);
    const turn = ++this._turn;
    const source = at("source").value;
    const details = await Promise.all(runs.map((run) => Data.detail(run.key)));
    if (turn !== this._turn) return;
    const sections = details.map((detail) => detail.texts[source] ?? []);
    const steps = [...new Set(sections.flat().map((section) => section.step))].sort((a, b) => b - a);
    offer(at("sample-step"), [["", "the newest"], ...steps.map((step) => [String(step), Numbers.count(step)])]);
    const wanted = at("sample-step").value === "" ? Infinity : Number(at("sample-step").value);
    const chosen = sections.map((list) => this._at(list, wanted));
    const titles = [...new Set(chosen.flatMap((list) => list.map((section) => section.row)))];
    const head = el("tr", {}, el("th", {}, ""), ...runs.map((run, place) => el("th", { scope: "col" }, el("span", { class: "dot", colour: Curves.colour(run.key) }), run.name, el("div", { class: "quiet" }, chosen[place].length ? `step ${Numbers.count(chosen[place][0].step)}` : "none"))));
    const rows = titles.map((title) => el("tr", {}, el("th", { scope: "row" }, title.replace(/ #1$/, "")), ...chosen.map((list) => el("td", {}, el("pre", {}, list.find((section) => section.row === title)?.text ?? "")))));
    const empty = el("tr", {}, el("td", { class: "empty" }, runs.length ? "The chosen runs have written none." : "Choose runs in the table."));
    at("samples").replaceChildren(el("thead", {}, head), el("tbody", {}, ...(titles.length ? rows : [empty])));
  },

  /** The sections of the newest step up to `wanted`, equal titles numbered. */
  _at(sections, wanted) {
    const step = Math.max(...sections.map((section) => section.step).filter((found) => found <= wanted));
    const counts = new Map();
    return sections.filter((section) => section.step === step).map((section) => {
      counts.set(section.title, (counts.get(section.title) ?? 0) + 1);
      return { ...section, row: `${section.title} #${counts.get(section.title)}` };
    });
  },
};

const Settings = {
  /** Draw a row for each setting in which the chosen runs differ; what is not the first run's is marked. */
  draw() {
    const runs = Table.chosenRuns().slice(0, MOST_BESIDE);
    const names = [...new Set(runs.flatMap((run) => [...Object.keys(run.job), ...Data.settingNames(run)]))].sort();
    const value = (run, name) => (Object.hasOwn(run.job, name) ? run.job[name] : Data.setting(run, name));
    const text = (run, name) => (value(run, name) === undefined ? "–" : String(value(run, name)));
    const differ = (name) => new Set(runs.map((run) => text(run, name))).size > 1;
    const varied = new Set(Data.sweeps.filter((sweep) => sweep.jobs.some((job) => runs.some((run) => run.key === job.run))).flatMap((sweep) => sweep.varied));
    const rank = (name) => (varied.has(name) ? 0 : runs.every((run) => value(run, name) !== undefined) ? 1 : 2);
    const kept = (at("all-settings").checked ? names : names.filter(differ)).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
    const head = el("tr", {}, el("th", {}, "setting"), ...runs.map((run) => el("th", { scope: "col" }, el("span", { class: "dot", colour: Curves.colour(run.key) }), run.name)));
    const rows = kept.map((name) => el("tr", { "data-setting": name }, el("th", { scope: "row" }, name), ...runs.map((run) => {
      const words = text(run, name);
      return el("td", { class: words !== text(runs[0], name) ? "other" : "", title: words }, words);
    })));
    const why = !runs.length ? "Choose runs in the table." : runs.length < 2 ? "Choose two runs or more." : "They differ in nothing.";
    const empty = el("tr", {}, el("td", { class: "empty", colspan: runs.length + 1 }, why));
    at("differences").replaceChildren(el("thead", {}, head), el("tbody", {}, ...(rows.length ? rows : [empty])));
  },
};
