"use strict";
/* The filter: words, and conditions on anything that a run has: `optimizer.lr>=1e-3 state=running -failed "two words"`. */

const FACTS = ["name", "state", "sweep", "seed", "step", "tokens", "seconds", "begun"];

/** Everything that a run has under a name: facts, what its sweep set, its settings, its newest values. */
function found(run, name) {
  const all = [];
  if (FACTS.includes(name)) all.push(run[name]);
  if (Object.hasOwn(run.job, name)) all.push(run.job[name]);
  const setting = Data.setting(run, name);
  if (setting !== undefined) all.push(setting);
  if (Object.hasOwn(run.values, name)) all.push(run.values[name]);
  return all;
}

/** What a cell shows of a run under a name, or undefined. */
function shown(run, name) {
  return found(run, name)[0];
}

/** All names that any run has something under. */
function knownNames(runs) {
  const names = new Set(FACTS);
  for (const name of Object.keys(Data.common)) names.add(name);
  for (const run of runs) {
    for (const part of [run.settings, run.values, run.job]) for (const name of Object.keys(part)) names.add(name);
    for (const name of run.columns) names.add(name);
  }
  return names;
}

const Filter = {
  /** Return {test(run), trouble}: whether a run is shown, and what is wrong with the text in one line ("" if nothing). */
  parse(text, runs) {
    const tests = [];
    let trouble = "";
    const words = text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
    for (const word of words) {
      const not = word.startsWith("-") && word.length > 1;
      const bare = not ? word.slice(1) : word;
      const parts = /^([^\s"<>=!~]+)(<=|>=|!=|=|<|>|~)(.*)$/s.exec(bare);
      const test = parts ? this._condition(parts[1], parts[2], unquoted(parts[3])) : this._word(unquoted(bare));
      if (parts) {
        const names = (this._names ??= new Map()).get(runs.version) ?? knownNames(runs.list);
        this._names.clear();
        this._names.set(runs.version, names);
        if (!names.has(parts[1])) trouble ||= `no run has '${parts[1]}'${nearest(parts[1], names)}`;
        else if ("<=>=".includes(parts[2]) && parts[2] !== "=" && parts[3] !== "" && Number.isNaN(Number(unquoted(parts[3])))) trouble ||= `${parts[1]}${parts[2]} needs a number, not '${unquoted(parts[3])}'`;
        if (parts[3] === "") continue; // still being typed
      }
      tests.push(not ? (run) => !test(run) : test);
    }
    return { test: (run) => tests.every((test) => test(run)), trouble };
  },

  _word(word) {
    const wanted = word.toLowerCase();
    return (run) => textOf(run).includes(wanted);
  },

  _condition(name, operator, wanted) {
    const number = wanted.trim() === "" ? NaN : Number(wanted);
    const pattern = new RegExp(`^${wanted.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join(".*")}$`, "is");
    const equal = (value) => (!Number.isNaN(number) && value !== null && value !== "" && Number(value) === number) || pattern.test(String(value));
    return (run) => {
      const values = found(run, name);
      if (operator === "=") return values.some(equal);
      if (operator === "!=") return !values.some(equal);
      if (operator === "~") return values.some((value) => String(value).toLowerCase().includes(wanted.toLowerCase()));
      const numbers = values.filter((value) => value !== null && value !== "" && typeof value !== "boolean").map(Number);
      if (operator === "<") return numbers.some((value) => value < number);
      if (operator === "<=") return numbers.some((value) => value <= number);
      if (operator === ">") return numbers.some((value) => value > number);
      return numbers.some((value) => value >= number);
    };
  },
};

function unquoted(text) {
  return text.replaceAll('"', "");
}

/** What free words are looked for in: name, state, notes, tags, and what its sweep set. */
function textOf(run) {
  const own = Object.entries(run.job).map(([name, value]) => `${name}=${value}`);
  return [run.name, run.state, run.sweep ?? "", ...run.notes, Data.setting(run, "tags") ?? "", Data.setting(run, "model") ?? "", ...own].join(" ").toLowerCase();
}

function nearest(word, names) {
  const end = word.slice(word.lastIndexOf(".") + 1).toLowerCase();
  let best = "";
  let least = 4;
  for (const name of names) {
    const far = distance(word.toLowerCase(), name.toLowerCase(), least);
    if (far < least) [best, least] = [name, far];
  }
  best ||= [...names].find((name) => end.length > 1 && name.toLowerCase().includes(end)) ?? "";
  return best ? `; did you mean '${best}'?` : "";
}

/** How many letters differ (Levenshtein), `most` where it is that many or more. */
function distance(a, b, most) {
  if (Math.abs(a.length - b.length) >= most) return most;
  let row = Array.from({ length: b.length + 1 }, (_, place) => place);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] !== b[j - 1])));
    row = next;
  }
  return Math.min(row[b.length], most);
}
