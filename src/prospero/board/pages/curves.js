"use strict";
/* The curves of the chosen runs: against steps, tokens, operations or seconds; smoothed; of groups as means with bands. */

const COLOURS = 12;
const MOST_LINES = 400;
const Curves = {
  metrics: null,
  axis: "step",
  smooth: 0,
  logX: false,
  logY: false,
  _plots: new Map(),
  _numbers: 0,
  _places: new Map(),
  _turn: 0,

  /** The colour of a run, the same as long as the page is open. */
  colour(key) {
    if (!this._places.has(key)) this._places.set(key, this._places.size);
    const place = this._places.get(key);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const hue = (place * 137.508 + 215) % 360;
    const round = Math.floor(place / COLOURS) % 3;
    return `hsl(${hue.toFixed(0)} ${[68, 45, 85][round]}% ${(dark ? [66, 74, 58] : [42, 34, 50])[round]}%)`;
  },

  /** The metrics that are drawn: those asked for, else training loss and what the runs are judged by. */
  drawnMetrics() {
    if (this.metrics) return this.metrics;
    const chosen = Table.chosenRuns();
    const runs = chosen.length ? chosen : [...Data.runs.values()];
    return [...new Set(["train/loss", ...objectives(runs)])].slice(0, 2);
  },

  /** Draw the charts of the chosen runs. */
  async draw() {
    const runs = Table.chosenRuns().slice(0, MOST_LINES);
    const names = this.drawnMetrics();
    const turn = ++this._turn;
    for (const [name, chart] of this._plots) if (!names.includes(name)) { chart.box.remove(); this._plots.delete(name); }
    for (const name of names) {
      if (!this._plots.has(name)) this._plots.set(name, this._chart(name));
      at("charts").append(...(at("charts").contains(this._plots.get(name).box) ? [] : [this._plots.get(name).box]));
    }
    const points = Data.live ? Math.max(120, Math.min(600, Math.round(40000 / Math.max(1, runs.length)))) : 0;
    await Promise.all(names.map(async (name) => {
      const draw = (found) => turn === this._turn && this._drawOne(name, runs, found);
      draw(await Data.curves(name, runs.map((run) => run.key), points, draw));
    }));
  },

  _chart(name) {
    const more = el("span", { class: "quiet" });
    const box = el("div", { class: "chart", "data-chart": name }, el("h3", {}, name, more, el("button", { "aria-label": `Leave out ${name}`, onclick: () => this._drop(name) }, "×")));
    const chart = { box, more, legend: el("div", { class: "legend" }) };
    chart.plot = new Plot(box, { name, number: ++this._numbers });
    box.append(chart.legend);
    return chart;
  },

  _drawOne(name, runs, found) {
    const chart = this._plots.get(name);
    if (!chart) return;
    const curvesOf = runs.map((run) => [run.key, run.name, this.colour(run.key), run.flops_per_token, found.get(run.key)?.tag, Table.group && groupName({ runs: [run] }, [])]);
    const mark = JSON.stringify([curvesOf, this.axis, this.smooth, this.logX, this.logY, Table.group]);
    if (chart.mark === mark) return;
    chart.mark = mark;
    const curves = runs.map((run) => ({ run, ...this._onAxis(run, found.get(run.key)) })).filter((curve) => curve.x.length);
    const without = runs.filter((run) => found.get(run.key)?.curve.x.length && !curves.some((curve) => curve.run === run)).length;
    const lines = Table.group ? this._means(curves) : curves.map((curve) => this._line(curve));
    chart.plot.draw(lines, { logX: this.logX, logY: this.logY, x: this.axis, label: at("axis").selectedOptions[0].textContent });
    const words = [];
    if (!runs.length) words.push("choose runs in the table");
    else if (!lines.length && !without) words.push("none of the chosen runs has it yet");
    if (without) words.push(`${without} without ${this.axis === "flops" ? "FLOPs" : this.axis}`);
    chart.more.textContent = words.join(", ");
    chart.legend.replaceChildren(...lines.slice(0, 24).map((line) => el("span", { title: line.label }, el("i", { class: "dot", colour: line.colour }), el("span", {}, line.label))), ...(lines.length > 24 ? [el("span", { class: "quiet" }, `and ${lines.length - 24} more`)] : []));
  },

  /** A run's curve with its places on the chosen axis: {x, y, mx, my}; empty where the run has no such axis. */
  _onAxis(run, found) {
    if (!found?.curve.x.length) return { x: [], y: [] };
    const { curve } = found;
    const to = this._steps(run, found.axes);
    if (!to) return { x: [], y: [] };
    const place = (steps) => (this.axis === "step" ? steps : steps.map(to));
    return { x: place(curve.x), y: curve.y, mx: place(curve.mx ?? curve.x), my: curve.my ?? curve.y, mn: curve.mn ?? curve.x.map(() => 1) };
  },

  /** A function from steps to the chosen axis; null where the run does not know it. */
  _steps(run, axes) {
    if (this.axis === "step") return (step) => step;
    const knots = this.axis === "seconds" ? axes.seconds : axes.tokens;
    const times = this.axis === "flops" ? run.flops_per_token : 1;
    if (!knots || !times) return null;
    const [steps, values] = knots;
    return (step) => interpolated([0, ...steps], [0, ...values], step) * times;
  },

  _line({ run, x, y, mx, my, mn }) {
    const line = { label: run.name, colour: this.colour(run.key), x, y };
    if (!this.smooth) return line;
    return { ...line, x: mx, y: smoothed(my, mn, this.smooth), raw: { x, y } };
  },

  /** Of each group the mean of its runs at 200 places that all of them have reached, and its 95 % interval. */
  _means(curves) {
    const names = differing(curves.map((curve) => curve.run));
    return groupsOf(curves.map((curve) => curve.run)).map((group) => {
      const own = curves.filter((curve) => group.runs.includes(curve.run)).map((curve) => ({ x: curve.mx, y: smoothed(curve.my, curve.mn, this.smooth) }));
      const from = Math.max(...own.map((curve) => curve.x[0]));
      const to = Math.min(...own.map((curve) => curve.x.at(-1)));
      const places = [...new Set(own.flatMap((curve) => curve.x))].filter((x) => x >= from && x <= to).sort((a, b) => a - b);
      const x = places.length > 200 ? Array.from({ length: 200 }, (_, at) => places[Math.round((at * (places.length - 1)) / 199)]) : places;
      const means = x.map((at) => Numbers.mean(own.map((curve) => interpolated(curve.x, curve.y, at))));
      const band = own.length > 1 ? { low: means.map(({ mean, half }) => mean - half), high: means.map(({ mean, half }) => mean + half) } : {};
      return { label: `${groupName(group, names)} (${own.length})`, colour: this.colour(`group ${group.key}`), x, y: means.map(({ mean }) => mean), ...band };
    });
  },

  _drop(name) {
    this.metrics = this.drawnMetrics().filter((other) => other !== name);
    Main.changed();
  },
};

/** The mean around each value, over up to a fifth of the points to each side at 100; it does not lag. Values stand for rows. */
function smoothed(values, rows, strength) {
  const reach = Math.round(((strength / 100) ** 2 * values.length) / 5);
  if (!reach) return values;
  const [sums, counts] = [[0], [0]];
  values.forEach((value, place) => {
    sums.push(sums.at(-1) + value * rows[place]);
    counts.push(counts.at(-1) + rows[place]);
  });
  return values.map((_, place) => {
    const side = Math.min(reach, place, values.length - 1 - place);
    return (sums[place + side + 1] - sums[place - side]) / (counts[place + side + 1] - counts[place - side]);
  });
}

/** Linear between the knots, and along the last two beyond them. */
function interpolated(xs, ys, x) {
  if (xs.length === 1) return ys[0];
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return xs[high] === xs[low] ? ys[high] : ys[low] + ((x - xs[low]) / (xs[high] - xs[low])) * (ys[high] - ys[low]);
}
