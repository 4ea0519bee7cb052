"use strict";
/* The table of all runs: sorted, filtered, grouped; what is chosen in it is drawn and compared. */

const Table = {
  sort: { name: "begun", down: true },
  group: false,
  columns: null,
  filter: "",
  chosen: new Set(),
  open: new Set(),
  shown: [],
  _rows: new Map(),

  /** Draw the table anew. */
  draw() {
    const all = [...Data.runs.values()];
    const { test, trouble } = Filter.parse(this.filter, { version: Data.version, list: all });
    this.shown = trouble ? [] : all.filter(test);
    at("trouble").hidden = !trouble;
    at("trouble").textContent = trouble;
    at("filter").setAttribute("aria-invalid", String(Boolean(trouble)));
    const columns = columnsOf(this.shown.length ? this.shown : all, this.columns);
    at("reset-columns").hidden = this.columns === null;
    const table = at("runs");
    const focused = this._focused();
    table.tHead.replaceChildren(this._head(columns));
    const rows = this.group ? this._groups(columns) : this._runs(this.shown, columns, false);
    if (!rows.length) {
      const text = all.length ? (trouble ? "" : "No run is like that.") : "No runs yet. Train one: python train.py";
      rows.push(el("tr", {}, el("td", { class: "empty", colspan: columns.length + 3 }, text)));
    }
    arrange(table.tBodies[0], rows);
    if (focused) table.querySelector(focused)?.focus();
    const states = new Map();
    for (const run of this.shown) states.set(run.state, (states.get(run.state) ?? 0) + 1);
    const words = [...states].map(([state, count]) => `${count} ${state}`).join(", ");
    at("count").textContent = `${this.shown.length} of ${all.length} runs${words ? `: ${words}` : ""}`;
  },

  _focused() {
    const element = document.activeElement;
    const id = element?.closest?.("#runs") && element.dataset.focus;
    return id ? `[data-focus="${CSS.escape(id)}"]` : "";
  },

  _head(columns) {
    const picked = this.shown.filter((run) => this.chosen.has(run.key)).length;
    const all = el("input", {
      type: "checkbox", "aria-label": "Choose all that are shown", "data-focus": "all", checked: picked > 0 && picked === this.shown.length,
      indeterminate: picked > 0 && picked < this.shown.length, onchange: (event) => this._choose(this.shown, event.target.checked),
    });
    const cells = [{ name: "name", label: this.group ? "group" : "run" }, { name: "state", label: "state" }, ...columns].map((column, place) => {
      const direction = this.sort.name === column.name ? (this.sort.down ? "descending" : "ascending") : "none";
      const drop = place > 1 ? el("button", { class: "drop", "aria-label": `Leave out ${column.label}`, "data-focus": `drop ${column.name}`, onclick: () => this._drop(column.name, columns) }, "×") : null;
      const sort = el("button", { class: "sort", "data-focus": `sort ${column.name}`, onclick: () => this._sortBy(column.name) }, column.label);
      return el("th", { scope: "col", class: column.number ? "number" : "", "aria-sort": direction, "data-column": column.name }, sort, drop);
    });
    return el("tr", {}, el("th", { class: "pick" }, all), ...cells);
  },

  _runs(runs, columns, member) {
    const names = columns.map((column) => column.name).join("\n");
    return this.sorted(runs).map((run) => {
      const chosen = this.chosen.has(run.key);
      const texts = columns.map((column) => column.show(shown(run, column.name)));
      const mark = [names, chosen && Curves.colour(run.key), member, run.state, run.report, ...run.notes, ...texts].join("\0");
      if (this._rows.get(run.key)?.mark !== mark) this._rows.set(run.key, { mark, row: this._row(run, columns, texts, chosen, member) });
      return this._rows.get(run.key).row;
    });
  },

  _row(run, columns, texts, chosen, member) {
    const pick = el("input", { type: "checkbox", checked: chosen, "data-focus": `pick ${run.key}`, "aria-label": `Choose ${run.name}`, onchange: (event) => this._choose([run], event.target.checked) });
    const address = Data.reportAddress(run);
    const report = address ? el("a", { href: address, target: "_blank", rel: "noopener noreferrer", "aria-label": `Report of ${run.name}` }, "report") : null;
    const open = el("button", { title: run.name, "data-focus": `open ${run.key}`, onclick: () => Detail.open(run.key) }, run.name);
    return el(
      "tr", { class: `${chosen ? "chosen" : ""} ${member ? "member" : ""}`, "data-run": run.key },
      el("td", { class: "pick" }, pick),
      el("td", { class: "name" }, el("span", { class: "dot", colour: chosen ? Curves.colour(run.key) : "" }), open, report),
      el("td", { class: "of-state", title: run.notes.join("; ") }, el("span", { class: `state ${run.state}` }, run.state), run.notes.length ? el("span", { class: "quiet" }, ` · ${short(run.notes.join("; "), 60)}`) : null),
      ...columns.map((column, place) => el("td", { class: column.number ? "number" : column.setting ? "setting" : "", title: texts[place].length > 24 ? texts[place] : null }, texts[place])),
    );
  },

  _groups(columns) {
    const names = differing(this.shown);
    const groups = groupsOf(this.shown).map((group) => ({ ...group, name: groupName(group, names), means: new Map(columns.map((column) => [column.name, meanOf(group.runs, column.name)])) }));
    const worth = (group) => {
      if (this.sort.name === "name") return group.name;
      if (group.means.get(this.sort.name)) return group.means.get(this.sort.name).mean;
      return this.sorted(group.runs).map((run) => shown(run, this.sort.name))[0];
    };
    groups.sort((a, b) => this._compare(worth(a), worth(b)));
    return groups.flatMap((group) => {
      const open = this.open.has(group.key);
      const picked = group.runs.filter((run) => this.chosen.has(run.key)).length;
      const pick = el("input", { type: "checkbox", checked: picked === group.runs.length, indeterminate: picked > 0 && picked < group.runs.length, "data-focus": `pick ${group.key}`, "aria-label": `Choose ${group.name}`, onchange: (event) => this._choose(group.runs, event.target.checked) });
      const toggle = el("button", { "aria-expanded": String(open), title: group.name, "data-focus": `open ${group.key}`, onclick: () => this._toggle(group.key) }, `${open ? "▾" : "▸"} ${group.name}`);
      const states = [...new Set(group.runs.map((run) => run.state))].join(", ");
      const row = el(
        "tr", { class: "group", "data-group": group.key },
        el("td", { class: "pick" }, pick), el("td", { class: "name" }, toggle), el("td", {}, `${group.runs.length} × ${states}`),
        ...columns.map((column) => this._meanCell(group, column)),
      );
      return open ? [row, ...this._runs(group.runs, columns, true)] : [row];
    });
  },

  _meanCell(group, column) {
    const found = group.means.get(column.name);
    if (found) {
      const [mean, half] = Numbers.interval(found);
      return el("td", { class: "number", title: `${found.n} finished, one of each seed` }, mean, el("span", { class: "interval" }, half ? ` ${half}` : " (1 seed)"));
    }
    const values = [...new Set(group.runs.map((run) => column.show(shown(run, column.name))))];
    values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const text = values.length > 4 ? `${values.length} values` : column.setting ? values.join(", ") : values.length === 1 ? values[0] : "";
    return el("td", { class: column.number ? "number" : "setting" }, text);
  },

  /** Runs in the table's order; what a run does not have stands last either way. */
  sorted(runs) {
    const value = (run) => shown(run, this.sort.name);
    return [...runs].sort((a, b) => this._compare(value(a), value(b)) || (b.begun ?? 0) - (a.begun ?? 0) || (a.key < b.key ? -1 : 1));
  },

  _compare(a, b) {
    const missing = (value) => value === undefined || value === null || value === "";
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const numbers = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
    const order = numbers ? Number(a) - Number(b) : String(a).localeCompare(String(b), "en", { numeric: true });
    return this.sort.down ? -order : order;
  },

  _sortBy(name) {
    const down = this.sort.name === name ? !this.sort.down : ["begun", "step", "tokens", "seconds"].includes(name);
    this.sort = { name, down };
    Main.changed();
  },

  _drop(name, columns) {
    this.columns = columns.map((column) => column.name).filter((other) => other !== name);
    Main.changed();
  },

  _toggle(key) {
    if (!this.open.delete(key)) this.open.add(key);
    Main.changed();
  },

  _choose(runs, chosen) {
    for (const run of runs) chosen ? this.chosen.add(run.key) : this.chosen.delete(run.key);
    Main.choseThemselves = true;
    Main.changed();
  },

  /** The chosen runs that are there, in the table's order. */
  chosenRuns() {
    return this.sorted([...this.chosen].map((key) => Data.runs.get(key)).filter(Boolean));
  },
};

/** A text of at most so many letters. */
function short(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** Put rows into a table's body in their order; those that stand there already stay, which spares the browser most. */
function arrange(body, rows) {
  rows.forEach((row, place) => {
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
  while (body.children.length > rows.length) body.lastChild.remove();
}
