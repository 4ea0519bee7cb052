"use strict";
/* The page: its views, what its address remembers, and the clock that asks what is new. */

const VIEWS = ["runs", "samples", "settings", "sweeps"];
const FIRST_CHOSEN = 6;

const Main = {
  view: "runs",
  choseThemselves: false,
  busy: false,

  async start() {
    this._readAddress();
    this._listen();
    this.show(this.view);
    await this.tick();
  },

  /** Ask what is new, draw it, and come again. */
  async tick() {
    try {
      if (!document.hidden || !Data.version) {
        const changed = await Data.refresh();
        this._say(false);
        if (changed) await this.draw();
        else if (Data.live) await Detail.draw(); // its log may have grown
      }
    } catch (error) {
      console.error(error);
      this._say(true, error);
    }
    if (Data.live) setTimeout(() => this.tick(), Math.max(0.2, Data.refreshSeconds) * 1000);
  },

  _say(lost, error) {
    at("live").classList.toggle("lost", lost);
    if (lost) at("live").textContent = Data.live ? `not reached: ${error.message}` : error.message;
    else at("live").textContent = Data.live ? `live, ${new Date().toLocaleTimeString()}` : `as of ${Numbers.time(Math.max(0, ...[...Data.runs.values()].map((run) => Math.max(run.begun ?? 0, run.changed ?? 0))))}`;
  },

  /** Draw everything that is seen. */
  async draw() {
    at("outputs").textContent = Data.outputs;
    at("notes").hidden = !Data.notes.length;
    at("notes").replaceChildren(...Data.notes.map((note) => el("div", {}, note)));
    if (!this.choseThemselves) this._chooseFirst();
    this._offerNames();
    Table.draw();
    if (this.view === "runs") await Curves.draw();
    if (this.view === "samples") await Samples.draw();
    if (this.view === "settings") Settings.draw();
    if (this.view === "sweeps") Sweeps.draw();
    await Detail.draw();
    document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
  },

  /** Something was chosen on the page. */
  changed() {
    this._writeAddress();
    this.draw().catch((error) => this._say(true, error));
  },

  /** What is drawn before anybody has chosen: the runs that run, then the newest with numbers. */
  _chooseFirst() {
    const runs = [...Data.runs.values()].filter((run) => run.step !== null);
    runs.sort((a, b) => (b.state === "running") - (a.state === "running") || (b.begun ?? 0) - (a.begun ?? 0));
    Table.chosen = new Set(runs.slice(0, FIRST_CHOSEN).map((run) => run.key));
  },

  _offerNames() {
    const runs = [...Data.runs.values()];
    const names = [...knownNames(runs)].filter((name) => name !== "name" && name !== "state").sort();
    const metrics = [...new Set(runs.flatMap((run) => run.columns))].filter((name) => name !== "tokens").sort();
    for (const [id, list] of [["names", names], ["metrics", metrics]]) {
      const mark = list.join("\n");
      if (at(id).dataset.offered === mark) continue;
      at(id).replaceChildren(...list.map((name) => el("option", { value: name })));
      at(id).dataset.offered = mark;
    }
  },

  /** Go to a view. */
  show(view) {
    this.view = view;
    for (const name of VIEWS) {
      at(`view-${name}`).hidden = name !== view;
      at(`tab-${name}`).setAttribute("aria-selected", String(name === view));
      at(`tab-${name}`).tabIndex = name === view ? 0 : -1;
    }
  },

  _listen() {
    for (const name of VIEWS) at(`tab-${name}`).addEventListener("click", () => { this.show(name); this.changed(); });
    document.querySelector("nav").addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = VIEWS[(VIEWS.indexOf(this.view) + step + VIEWS.length) % VIEWS.length];
      this.show(next);
      at(`tab-${next}`).focus();
      this.changed();
    });
    const on = (id, event, what) => at(id).addEventListener(event, () => { what(at(id)); this.changed(); });
    on("filter", "input", (input) => { Table.filter = input.value; });
    on("group", "change", (input) => { Table.group = input.checked; });
    on("axis", "change", (select) => { Curves.axis = select.value; });
    on("smooth", "input", (input) => { Curves.smooth = Number(input.value); });
    on("log-x", "change", (input) => { Curves.logX = input.checked; });
    on("log-y", "change", (input) => { Curves.logY = input.checked; });
    on("reset-columns", "click", () => { Table.columns = null; });
    on("choose-none", "click", () => { Table.chosen.clear(); this.choseThemselves = true; });
    on("choose-shown", "click", () => { Table.chosen = new Set(Table.shown.map((run) => run.key)); this.choseThemselves = true; });
    for (const id of ["source", "sample-step", "sweep", "sweep-metric", "all-settings"]) on(id, "change", () => {});
    this._adds("column", () => knownNames([...Data.runs.values()]), (name) => {
      const runs = Table.shown.length ? Table.shown : [...Data.runs.values()];
      Table.columns = [...new Set([...columnsOf(runs, Table.columns).map((column) => column.name), name])];
    });
    this._adds("metric", () => new Set([...Data.runs.values()].flatMap((run) => run.columns)), (name) => {
      Curves.metrics = [...new Set([...Curves.drawnMetrics(), name])];
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.changed());
    window.addEventListener("resize", () => this.view === "sweeps" && Sweeps.draw());
  },

  /** A field of a name and a button that adds it; a name that no run has is refused by the field. */
  _adds(id, names, add) {
    const input = at(id);
    const go = () => {
      const name = input.value.trim();
      const known = names();
      input.setCustomValidity(name && !known.has(name) ? `No run has '${name}'${nearest(name, known)}` : "");
      if (!name || !input.reportValidity()) return;
      input.value = "";
      add(name);
      this.changed();
    };
    at(`add-${id}`).addEventListener("click", go);
    input.addEventListener("keydown", (event) => event.key === "Enter" && go());
    input.addEventListener("input", () => input.setCustomValidity(""));
  },

  _readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    this.view = VIEWS.includes(given.get("view")) ? given.get("view") : "runs";
    Table.filter = at("filter").value = given.get("filter") ?? "";
    Table.group = at("group").checked = given.get("group") === "1";
    if (given.has("sort")) Table.sort = { name: given.get("sort").replace(/^-/, ""), down: given.get("sort").startsWith("-") };
    if (given.has("columns")) Table.columns = given.get("columns").split(",").filter(Boolean);
    if (given.has("metrics")) Curves.metrics = given.get("metrics").split(",").filter(Boolean);
    if (["step", "tokens", "flops", "seconds"].includes(given.get("x"))) Curves.axis = at("axis").value = given.get("x");
    Curves.smooth = Math.min(100, Math.max(0, Number(given.get("smooth")) || 0));
    at("smooth").value = Curves.smooth;
    Curves.logX = at("log-x").checked = given.get("logx") === "1";
    Curves.logY = at("log-y").checked = given.get("logy") === "1";
    if (given.has("runs")) {
      Table.chosen = new Set(given.get("runs").split(",").filter(Boolean));
      this.choseThemselves = true;
    }
  },

  /** Keep the view in the address, so that it can be sent to somebody and survives a reload. */
  _writeAddress() {
    const kept = new URLSearchParams();
    const put = (name, value, usual = "") => value !== usual && kept.set(name, value);
    put("view", this.view, "runs");
    put("filter", Table.filter);
    put("group", Table.group ? "1" : "");
    put("sort", (Table.sort.down ? "-" : "") + Table.sort.name, "-begun");
    if (Table.columns) put("columns", Table.columns.join(","), null);
    if (Curves.metrics) put("metrics", Curves.metrics.join(","), null);
    put("x", Curves.axis, "step");
    put("smooth", String(Curves.smooth), "0");
    put("logx", Curves.logX ? "1" : "");
    put("logy", Curves.logY ? "1" : "");
    if (this.choseThemselves && Table.chosen.size <= 30) put("runs", [...Table.chosen].join(","), null);
    history.replaceState(null, "", `#${kept}`);
  },
};

Main.start();
