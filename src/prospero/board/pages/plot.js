"use strict";
/* One picture of curves in SVG: axes, lines, bands, a cursor that tells the values, a drag that looks closer. */

const MARKED = 40; // curves of so few points show them
const ROOM = 5; // pixels between the outermost values and the frame: a mark there is seen whole
const PLOT = { height: 280, left: 58, right: 12, top: 8, bottom: 26 };

class Plot {
  /** `place` is the element that it draws into; `options` are {name, unit, onzoom}. */
  constructor(place, options) {
    this.place = place;
    this.options = options;
    this.tip = el("div", { class: "tip", hidden: true });
    this.picture = svg("svg", { role: "img", height: PLOT.height, "data-metric": options.name });
    place.append(this.picture, this.tip);
    this.range = null;
    this.picture.addEventListener("pointermove", (event) => this._move(event));
    this.picture.addEventListener("pointerleave", () => this._leave());
    this.picture.addEventListener("pointerdown", (event) => this._press(event));
    this.picture.addEventListener("pointerup", (event) => this._release(event));
    this.picture.addEventListener("dblclick", () => this._look(null));
    new ResizeObserver(() => this._resize()).observe(place);
  }

  /** Draw `lines`: [{label, colour, x, y, raw?: {x, y}, low?, high?}], on axes {logX, logY, xLabel}. */
  draw(lines, axes) {
    this.lines = lines;
    this.axes = axes;
    this._redraw();
  }

  _resize() {
    const width = Math.round(this.place.clientWidth);
    if (this.lines && width !== this.width) this._redraw();
  }

  _redraw() {
    const { logX, logY } = this.axes;
    this.width = Math.max(260, Math.round(this.place.clientWidth - 26));
    const fits = (x, y) => Number.isFinite(x) && Number.isFinite(y) && !(logX && x <= 0) && !(logY && y <= 0) && (!this.range || (x >= this.range[0] && x <= this.range[1]));
    const [xs, ys] = [extent(), extent()];
    for (const line of this.lines) {
      for (const part of [line, line.raw ?? line]) {
        for (let place = 0; place < part.x.length; place++) {
          if (!fits(part.x[place], part.y[place])) continue;
          xs.add(part.x[place]);
          ys.add(part.y[place]);
        }
      }
      for (const edge of [line.low, line.high]) edge?.forEach((y, place) => fits(line.x[place], y) && ys.add(y));
    }
    this.picture.setAttribute("viewBox", `0 0 ${this.width} ${PLOT.height}`);
    this.picture.replaceChildren();
    if (xs.low > xs.high) {
      this.scale = null;
      this.picture.append(svg("text", { x: 20, y: 40 }, this.lines.length ? "no values that these axes can show" : "no values"));
      return;
    }
    this.scale = { x: scale(xs, logX, PLOT.left + ROOM, this.width - PLOT.right - ROOM), y: scale(ys, logY, PLOT.height - PLOT.bottom - ROOM, PLOT.top + ROOM) };
    this._drawAxes();
    const clip = `clip-${this.options.number}`;
    this.picture.append(svg("clipPath", { id: clip }, svg("rect", { x: PLOT.left, y: 0, width: this.width - PLOT.left - PLOT.right, height: PLOT.height - PLOT.bottom })));
    const inside = svg("g", { "clip-path": `url(#${clip})` });
    for (const line of this.lines) {
      if (line.low) inside.append(svg("path", { class: "band", d: this._band(line), colour: line.colour }));
      if (line.raw) inside.append(svg("path", { class: "curve raw", d: this._path(line.raw.x, line.raw.y), colour: line.colour }));
      if (line.x.length <= MARKED) inside.append(...this._marks(line));
      inside.append(svg("path", { class: "curve", d: this._path(line.x, line.y), colour: line.colour, "data-label": line.label, "data-points": line.x.length }));
    }
    this.cursor = svg("line", { class: "cursor", y1: PLOT.top, y2: PLOT.height - PLOT.bottom, visibility: "hidden" });
    this.brush = svg("rect", { class: "brush", y: PLOT.top, height: PLOT.height - PLOT.bottom - PLOT.top, visibility: "hidden" });
    this.picture.append(inside, this.cursor, this.brush);
    this.picture.setAttribute("aria-label", `${this.options.name} of ${this.lines.length} curves, ${Numbers.short(ys.low)} to ${Numbers.short(ys.high)}`);
  }

  _drawAxes() {
    const { x, y } = this.scale;
    const [right, bottom] = [this.width - PLOT.right, PLOT.height - PLOT.bottom];
    for (const tick of Numbers.ticks(y.low, y.high, 5, y.log)) {
      this.picture.append(svg("line", { class: "grid", x1: PLOT.left, x2: right, y1: y(tick), y2: y(tick) }), svg("text", { x: PLOT.left - 6, y: y(tick) + 4, "text-anchor": "end" }, Numbers.short(tick)));
    }
    for (const tick of Numbers.ticks(x.low, x.high, Math.max(3, Math.floor(this.width / 110)), x.log)) {
      const text = this.axes.x === "seconds" ? Numbers.duration(tick) : Numbers.short(tick);
      this.picture.append(svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: PLOT.top, y2: bottom }), svg("text", { x: x(tick), y: bottom + 15, "text-anchor": x(tick) > right - 16 ? "end" : "middle" }, text));
    }
    this.picture.append(svg("line", { class: "frame", x1: PLOT.left, x2: right, y1: bottom, y2: bottom }));
  }

  _path(xs, ys) {
    const { x, y } = this.scale;
    const found = [];
    let pen = "M";
    for (let place = 0; place < xs.length; place++) {
      const [h, v] = [x(xs[place]), y(ys[place])];
      if (!Number.isFinite(h) || !Number.isFinite(v)) pen = "M";
      else {
        found.push(`${pen}${h.toFixed(1)} ${v.toFixed(1)}`);
        pen = "L";
      }
    }
    return found.join("");
  }

  _marks(line) {
    const places = line.x.map((value, at) => [this.scale.x(value), this.scale.y(line.y[at])]).filter((place) => place.every(Number.isFinite));
    return places.map(([cx, cy]) => svg("circle", { class: "mark", cx: cx.toFixed(1), cy: cy.toFixed(1), r: line.x.length === 1 ? 3.5 : 2.2, colour: line.colour }));
  }

  _band(line) {
    const { x, y } = this.scale;
    const point = (edge) => (at) => `${x(line.x[at]).toFixed(1)} ${y(edge[at]).toFixed(1)}`;
    const fine = line.x.map((_, at) => at).filter((at) => [x(line.x[at]), y(line.low[at]), y(line.high[at])].every(Number.isFinite));
    return fine.length ? `M${fine.map(point(line.high)).join("L")}L${fine.reverse().map(point(line.low)).join("L")}Z` : "";
  }

  _at(event) {
    return ((event.clientX - this.picture.getBoundingClientRect().left) * this.width) / this.picture.getBoundingClientRect().width;
  }

  _move(event) {
    if (!this.scale) return;
    const place = Math.min(Math.max(this._at(event), PLOT.left), this.width - PLOT.right);
    if (this.pressed !== undefined) {
      const [from, to] = [Math.min(place, this.pressed), Math.max(place, this.pressed)];
      for (const [name, value] of [["x", from], ["width", to - from], ["visibility", "visible"]]) this.brush.setAttribute(name, value);
    }
    const value = this.scale.x.inverse(place);
    const near = this.lines.map((line) => [line, nearestPlace(line.x, value)]).filter(([line, at]) => at >= 0 && Number.isFinite(line.y[at]));
    if (!near.length) return;
    const rows = near.sort(([a, i], [b, j]) => b.y[j] - a.y[i]).slice(0, 14);
    const text = this.axes.x === "seconds" ? Numbers.duration(value) : Numbers.short(value);
    this.tip.replaceChildren(el("div", { class: "quiet" }, `${this.axes.label} ${text}`), ...rows.map(([line, at]) => {
      const half = line.high ? ` ± ${Numbers.short(line.high[at] - line.y[at])}` : "";
      return el("div", {}, el("span", { class: "dot", colour: line.colour }), el("span", { class: "what" }, line.label), el("b", {}, Numbers.short(line.y[at]) + half));
    }));
    if (near.length > rows.length) this.tip.append(el("div", { class: "quiet" }, `and ${near.length - rows.length} more`));
    this.tip.hidden = false;
    const left = (place / this.width) * this.picture.getBoundingClientRect().width;
    this.tip.style.top = "44px";
    this.tip.style.left = left > this.place.clientWidth / 2 ? "auto" : `${left + 26}px`;
    this.tip.style.right = left > this.place.clientWidth / 2 ? `${this.place.clientWidth - left + 2}px` : "auto";
    for (const name of ["x1", "x2"]) this.cursor.setAttribute(name, place);
    this.cursor.setAttribute("visibility", "visible");
  }

  _leave() {
    this.tip.hidden = true;
    this.pressed = undefined;
    for (const mark of [this.cursor, this.brush]) mark?.setAttribute("visibility", "hidden");
  }

  _press(event) {
    if (this.scale && event.button === 0 && event.pointerType === "mouse") this.pressed = Math.min(Math.max(this._at(event), PLOT.left), this.width - PLOT.right);
  }

  _release(event) {
    const [from, to] = [this.pressed, Math.min(Math.max(this._at(event), PLOT.left), this.width - PLOT.right)];
    this.pressed = undefined;
    if (from === undefined || Math.abs(to - from) < 6) return;
    this._look([this.scale.x.inverse(Math.min(from, to)), this.scale.x.inverse(Math.max(from, to))]);
  }

  _look(range) {
    this.range = range;
    this._leave();
    this._redraw();
    this.options.onzoom?.(range);
  }
}

function extent() {
  return { low: Infinity, high: -Infinity, add(value) { if (value < this.low) this.low = value; if (value > this.high) this.high = value; } };
}

/** Return a function from values to places, with `inverse`, `low`, `high`, `log`. */
function scale(range, log, from, to) {
  let { low, high } = range;
  if (low === high) [low, high] = log ? [low / 1.5, high * 1.5] : [low - (Math.abs(low) || 1) * 0.05, high + (Math.abs(high) || 1) * 0.05];
  const [a, b] = log ? [Math.log10(low), Math.log10(high)] : [low, high];
  const place = (value) => from + (((log ? Math.log10(value) : value) - a) / (b - a)) * (to - from);
  const inverse = (at) => { const value = a + ((at - from) / (to - from)) * (b - a); return log ? 10 ** value : value; };
  return Object.assign(place, { inverse, low, high, log });
}

/** Where in rising numbers the nearest to a value stands; -1 where there are none. */
function nearestPlace(xs, value) {
  let [low, high] = [0, xs.length - 1];
  if (high < 0) return -1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < value) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - value) <= Math.abs(xs[high] - value) ? low : high;
}
