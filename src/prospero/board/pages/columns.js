"use strict";
/* Which columns the table has: what every run has, the numbers that count, and the settings in which the runs differ. */

const MOST_SETTINGS = 6;
const UNTELLING = /^(run_dir|outputs_dir|name|resume|plugins|traceback|buffer_mb|callbacks\.progress.*|data\.num_workers|logger.*)$/;

const KINDS = {
  begun: { label: "begun", show: (value) => Numbers.time(value) },
  step: { label: "step", show: (value) => Numbers.count(value), number: true },
  tokens: { label: "tokens", show: (value) => Numbers.short(value), number: true },
  seconds: { label: "trained", show: (value) => Numbers.duration(value), number: true },
};

/** Return the columns of the table after name and state: {name, label, show, number, setting}. */
function columnsOf(runs, chosen) {
  const names = chosen ?? ["begun", "step", "tokens", "seconds", ...objectives(runs), "train/loss", ...differing(runs).slice(0, MOST_SETTINGS), "train/tokens_per_second"];
  return [...new Set(names)].map(columnOf);
}

function columnOf(name) {
  const kind = KINDS[name];
  if (kind) return { name, ...kind };
  const number = name.includes("/");
  return { name, label: name, number, setting: !number, show: (value) => (typeof value === "number" ? Numbers.short(value) : value === undefined || (value === null && FACTS.includes(name)) ? "" : String(value)) };
}

/** The metrics by which runs are judged, the most frequent first. */
function objectives(runs) {
  const counts = new Map();
  for (const run of runs) if (run.objective) counts.set(run.objective, (counts.get(run.objective) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name).slice(0, 2);
}

/** The settings in which runs differ: those that their sweeps vary first, then those of the most runs. */
function differing(runs) {
  const keys = new Set(runs.map((run) => run.key));
  const varied = Data.sweeps.filter((sweep) => sweep.jobs.some((job) => keys.has(job.run))).flatMap((sweep) => sweep.varied);
  const counts = new Map();
  for (const run of runs) {
    for (const name of Object.keys(run.settings)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const names = [...new Set([...varied, ...[...counts].sort((a, b) => b[1] - a[1]).map(([name]) => name)])];
  return names.filter((name) => !UNTELLING.test(name) && new Set(runs.map((run) => JSON.stringify(shown(run, name)))).size > 1);
}

/** Runs that differ in their seed alone, newest run of each seed first: [{key, runs}]. */
function groupsOf(runs) {
  const groups = new Map();
  for (const run of runs) {
    if (!groups.has(run.group)) groups.set(run.group, { key: run.group, runs: [] });
    groups.get(run.group).runs.push(run);
  }
  return [...groups.values()];
}

/** The mean of a metric over the seeds of a group: of each seed the newest run that has a number and is not to be doubted. */
function meanOf(runs, name) {
  const seeds = new Map();
  for (const run of [...runs].sort((a, b) => (a.begun ?? 0) - (b.begun ?? 0))) {
    const value = run.values[name];
    if (run.state === "finished" && Number.isFinite(value)) seeds.set(String(run.seed), value);
  }
  return seeds.size ? Numbers.mean([...seeds.values()]) : null;
}

/** What a group is called: the settings in which it differs from the other groups, else the name of its first run. */
function groupName(group, names) {
  const run = group.runs[0];
  const sweepOf = Data.sweeps.find((sweep) => sweep.key === run.sweep);
  const words = (sweepOf?.varied.length ? sweepOf.varied : names).filter((name) => name !== "seed" && shown(run, name) !== undefined).map((name) => `${name}=${shown(run, name)}`);
  const sweep = sweepOf ? `${sweepOf.name}: ` : "";
  return words.length ? sweep + words.join(" ") : sweep + run.name;
}
