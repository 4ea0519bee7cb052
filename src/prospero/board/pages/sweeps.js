"use strict";
/* A sweep as parallel coordinates: an axis for each setting in which its jobs differ, a line for each job. */

const PARALLEL = { height: 340, top: 40, bottom: 24, side: 70, least: 130 };

const Sweeps = {
  /** Draw the chosen sweep. */
  draw() {
    const sweeps = Data.sweeps;
    offer(at("sweep"), sweeps.map((sweep) => [sweep.key, `${sweep.name} (${sweep.jobs.length} jobs, ${sweep.state})`]));
    const sweep = sweeps.find((one) => one.key === at("sweep").value);
    at("sweep-metric").disabled = !sweep;
    if (!sweep || !sweep.jobs.length) {
      at("parallel").replaceChildren(el("p", { class: "empty" }, sweep?.note ?? "No sweep yet. Make one: python train.py -m model=tiny,lstm_tiny seed=1,2,3"));
      at("jobs").replaceChildren();
      at("sweep-count").textContent = "";
      return;
    }
    const runs = sweep.jobs.map((job) => Data.runs.get(job.run)).filter(Boolean);
    const judged = objectives(runs);
    const metrics = [...new Set([...judged, ...runs.flatMap((run) => Object.keys(run.values)).filter((name) => /^(val|test)\//.test(name)), "train/loss"])];
    offer(at("sweep-metric"), metrics.map((name) => [name, name]));
    const metric = at("sweep-metric").value;
    const states = new Map();
    for (const job of sweep.jobs) states.set(this._state(job), (states.get(this._state(job)) ?? 0) + 1);
    at("sweep-count").textContent = [...states].map(([state, count]) => `${count} ${state}`).join(", ");
    this._parallel(sweep, metric);
    this._jobs(sweep, metric);
  },

  _state(job) {
    return Data.runs.get(job.run)?.state ?? job.status;
  },

  _value(job, metric) {
    return Data.runs.get(job.run)?.values[metric];
  },

  _parallel(sweep, metric) {
    const names = sweep.varied;
    const width = Math.max(at("parallel").clientWidth - 18, PARALLEL.side * 2 + PARALLEL.least * names.length);
    const axes = names.map((name) => coordinate(name, sweep.jobs.map((job) => job.settings[name])));
    axes.push(coordinate(metric, sweep.jobs.map((job) => this._value(job, metric)), true));
    const place = (number) => PARALLEL.side + (number * (width - 2 * PARALLEL.side)) / Math.max(1, axes.length - 1);
    const picture = svg("svg", { width, height: PARALLEL.height, viewBox: `0 0 ${width} ${PARALLEL.height}`, role: "img", "aria-label": `${sweep.jobs.length} jobs over ${names.join(", ")} and ${metric}` });
    const numbers = sweep.jobs.map((job) => this._value(job, metric)).filter(Number.isFinite);
    const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
    for (const job of sweep.jobs) {
      const value = this._value(job, metric);
      const points = axes.map((axis, number) => [place(number), axis.at(number < names.length ? job.settings[axis.name] : value)]).filter(([, y]) => y !== null);
      if (points.length < 2) continue;
      const share = Number.isFinite(value) && most > least ? (value - least) / (most - least) : null;
      const colour = share === null ? "hsl(0 0% 55%)" : `hsl(${Math.round(210 - 190 * share)} 75% 50%)`;
      const words = `${names.map((name) => `${name}=${job.settings[name] ?? ""}`).join(" ")}: ${metric} ${Numbers.short(value) || this._state(job)}`;
      picture.append(svg("path", { class: "job", "data-job": job.number, colour, d: `M${points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}`, onpointerenter: () => this._light(job.number), onpointerleave: () => this._light(null), onclick: () => Data.runs.has(job.run) && Detail.open(job.run) }, svg("title", {}, words)));
    }
    axes.forEach((axis, number) => {
      const x = place(number);
      picture.append(svg("line", { class: "axis", x1: x, x2: x, y1: PARALLEL.top, y2: PARALLEL.height - PARALLEL.bottom }), svg("text", { class: "name", x, y: 18, "text-anchor": "middle", "data-axis": axis.name }, short(axis.name, 28), svg("title", {}, axis.name)));
      for (const [text, y] of axis.ticks) picture.append(svg("text", { x: number === axes.length - 1 ? x + 6 : x - 6, y: y + 4, "text-anchor": number === axes.length - 1 ? "start" : "end" }, short(text, 16)));
    });
    at("parallel").replaceChildren(picture);
  },

  _light(number) {
    for (const path of at("parallel").querySelectorAll(".job")) {
      path.classList.toggle("dim", number !== null && path.dataset.job !== String(number));
      path.classList.toggle("lit", path.dataset.job === String(number));
    }
    for (const row of at("jobs").querySelectorAll("tr[data-job]")) row.classList.toggle("chosen", row.dataset.job === String(number));
  },

  _jobs(sweep, metric) {
    const higher = Data.runs.get(sweep.jobs.find((job) => Data.runs.has(job.run))?.run)?.higher && objectives([...Data.runs.values()]).includes(metric);
    const worth = (job) => this._value(job, metric) ?? (higher ? -Infinity : Infinity);
    const jobs = [...sweep.jobs].sort((a, b) => (higher ? worth(b) - worth(a) : worth(a) - worth(b)) || a.number - b.number);
    const head = el("tr", {}, ...["job", ...sweep.varied, metric, "state"].map((text) => el("th", {}, text)));
    const rows = jobs.map((job) => {
      const open = Data.runs.has(job.run) ? el("button", { onclick: () => Detail.open(job.run) }, job.number) : job.number;
      const state = this._state(job);
      return el("tr", { "data-job": job.number, onpointerenter: () => this._light(job.number), onpointerleave: () => this._light(null) }, el("td", { class: "name" }, open), ...sweep.varied.map((name) => el("td", { class: "setting" }, job.settings[name] ?? "")), el("td", { class: "number" }, Numbers.short(this._value(job, metric))), el("td", {}, el("span", { class: `state ${state}` }, state)));
    });
    at("jobs").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
  },
};

/** An axis: of numbers by their size (by their logarithm where they span much), of words in their order. */
function coordinate(name, values, continuous = false) {
  const [top, bottom] = [PARALLEL.top + 8, PARALLEL.height - PARALLEL.bottom - 8];
  const known = values.filter((value) => value !== undefined && value !== null && value !== "");
  const numbers = known.map(Number);
  const distinct = [...new Set(known.map(String))];
  const y = (share) => bottom - share * (bottom - top);
  if (known.length && numbers.every(Number.isFinite)) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    const log = !continuous && low > 0 && high / low > 20;
    const map = log ? Math.log : (value) => value;
    const share = (value) => (high === low ? 0.5 : (map(value) - map(low)) / (map(high) - map(low)));
    const marks = !continuous && distinct.length <= 8 ? [...new Set(numbers)] : high === low ? [low] : Numbers.ticks(low, high, 5, log);
    return { name, at: (value) => (value === undefined || value === null || value === "" || !Number.isFinite(Number(value)) ? null : y(share(Number(value)))), ticks: marks.map((mark) => [Numbers.short(mark), y(share(mark))]) };
  }
  distinct.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const share = (value) => (distinct.length === 1 ? 0.5 : distinct.indexOf(String(value)) / (distinct.length - 1));
  return { name, at: (value) => (value === undefined || value === null || value === "" ? null : y(share(value))), ticks: distinct.map((word) => [word, y(share(word))]) };
}
