"use strict";
/* What the page knows of the runs: asked of the server again and again, or read once from files beside the page. */

const RUNS_AT_ONCE = 40;
const LONGEST_ADDRESS = 30000;

const Data = {
  live: document.documentElement.dataset.mode === "live",
  runs: new Map(),
  common: {},
  sweeps: [],
  notes: [],
  outputs: "",
  token: null,
  refreshSeconds: 2,
  version: "",
  _curves: new Map(),
  _waiting: new Map(),

  /** Ask what is new; return whether anything is. */
  async refresh() {
    const answer = this.live ? await this._ask(`api/runs?since=${encodeURIComponent(this.version)}`) : await this._file("runs", "runs");
    const changed = answer.whole || answer.runs.length > 0 || answer.gone.length > 0 || answer.sweeps !== undefined;
    if (answer.whole) {
      this.runs.clear();
      this._curves.clear();
      this.common = answer.common;
    }
    for (const found of answer.runs) {
      found.absent = new Set(found.without);
      found.job = this.runs.get(found.key)?.job ?? {};
      this.runs.set(found.key, found);
    }
    for (const key of answer.gone) this.runs.delete(key);
    if (answer.sweeps) {
      this.sweeps = answer.sweeps;
      for (const sweep of this.sweeps) for (const job of sweep.jobs) if (this.runs.has(job.run)) this.runs.get(job.run).job = job.settings;
    } else if (answer.runs.length) {
      for (const sweep of this.sweeps) for (const job of sweep.jobs) if (this.runs.has(job.run)) this.runs.get(job.run).job = job.settings;
    }
    this.notes = answer.notes;
    this.outputs = answer.outputs;
    this.token = answer.token ?? null;
    this.refreshSeconds = answer.refresh_seconds ?? 0;
    this.version = answer.version;
    return changed;
  },

  /** A run's setting by its dotted name; undefined where it has none. */
  setting(run, name) {
    if (Object.hasOwn(run.settings, name)) return run.settings[name];
    if (Object.hasOwn(this.common, name) && !run.absent.has(name)) return this.common[name];
    return undefined;
  },

  /** The names of all of a run's settings. */
  settingNames(run) {
    return [...new Set([...Object.keys(this.common).filter((name) => !run.absent.has(name)), ...Object.keys(run.settings)])];
  },

  /**
   * Return key -> {curve, axes} of a metric for some runs; those that have not changed are not asked for again.
   * `some` is called with what has come so far: of many long runs the first answers take seconds.
   */
  async curves(metric, keys, points, some) {
    const name = `${points} ${metric}`;
    if (!this._curves.has(name)) {
      if (this._curves.size > 40) this._curves.clear();
      this._curves.set(name, new Map());
    }
    const known = this._curves.get(name);
    if (this.live && keys.length) {
      const wanted = keys.map((key) => `&run=${encodeURIComponent(`${key}~${known.get(key)?.tag ?? ""}`)}`);
      for (const words of batches(wanted)) {
        const answer = await this._ask(`api/curves?metric=${encodeURIComponent(metric)}&points=${points}${words}`);
        for (const [key, found] of Object.entries(answer)) if (found.curve) known.set(key, found);
        some(known);
      }
    } else {
      for (const key of keys) {
        if (known.has(key) || !this.runs.has(key)) continue;
        const found = await this._runFile(key);
        known.set(key, { tag: "", curve: found.curves[metric] ?? { x: [], y: [] }, axes: found.axes });
      }
    }
    return known;
  },

  /** Return a run's texts, the end of its log, and its files. */
  async detail(key) {
    if (this.live) return this._ask(`api/detail?run=${encodeURIComponent(key)}`);
    return (await this._runFile(key)).detail;
  },

  /** Where a file of a run is opened. */
  fileAddress(key, file) {
    return this.live ? `api/file?run=${encodeURIComponent(key)}&path=${encodeURIComponent(file.path)}` : file.path;
  },

  /** Where a run's report is opened; "" where it has none. */
  reportAddress(run) {
    if (!run.report) return "";
    return this.live ? this.fileAddress(run.key, { path: "report.html" }) : run.report_at ?? "";
  },

  /** Ask a run to save and leave; return what went wrong, or "". */
  async stop(key) {
    const headers = { "Content-Type": "application/json", "X-Prospero-Token": this.token };
    const answer = await fetch("api/stop", { method: "POST", headers, body: JSON.stringify({ run: key }) });
    return answer.ok ? "" : (await answer.json()).error;
  },

  async _ask(address) {
    const answer = await fetch(address, { cache: "no-store" });
    if (!answer.ok) throw new Error((await answer.json()).error ?? answer.statusText);
    return answer.json();
  },

  _runFile(key) {
    return this._file(this.runs.get(key).file, `run/${key}`);
  },

  /** Load a file of data: a script, since a page from the disk may not fetch; it calls `arrived`. */
  _file(file, name) {
    if (!this._waiting.has(name)) {
      const promise = new Promise((resolve, reject) => {
        const script = el("script", { src: `data/${file}.js`, onerror: () => reject(new Error(`data/${file}.js is missing`)) });
        this._arrivals.set(name, resolve);
        document.head.append(script);
      });
      this._waiting.set(name, promise);
    }
    return this._waiting.get(name);
  },

  _arrivals: new Map(),

  /** Called by a file of data. */
  arrived(name, value) {
    this._arrivals.get(name)?.(value);
  },
};

/** Join words into texts, some runs in each: an address has a greatest length, and an answer is to come soon. */
function batches(words) {
  const found = [""];
  for (const [number, word] of words.entries()) {
    if (number % RUNS_AT_ONCE === 0 || found.at(-1).length + word.length > LONGEST_ADDRESS) found.push("");
    found.push(found.pop() + word);
  }
  return found.filter(Boolean);
}
