"use strict";
/* Numbers as people read them, and means with their intervals. */

const COMMAS = new Intl.NumberFormat("en-US"); // toLocaleString makes one anew for every number

const Numbers = {
  /** To four digits; large counts short. */
  short(value) {
    if (value === null || value === undefined) return "";
    if (!Number.isFinite(value)) return String(value);
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 10000) return String(value);
    if (size >= 1e15 || (size < 1e-4 && size > 0)) return value.toExponential(2).replace("e+", "e");
    for (const [least, unit, letter] of [[1e12, 1e12, "T"], [1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]]) {
      if (size >= least) return Number((value / unit).toPrecision(4)) + letter;
    }
    return String(Number(value.toPrecision(4 + (size >= 1000))));
  },

  /** Bytes as 380 B, 117 kB. */
  bytes(value) {
    return value < 1000 ? `${value} B` : value < 1e6 ? `${Math.round(value / 1000)} kB` : `${(value / 1e6).toFixed(1)} MB`;
  },

  /** A count in thousands with commas. */
  count(value) {
    return value === null || value === undefined ? "" : COMMAS.format(Math.round(value));
  },

  /** Seconds as 45s, 7m05s, 3h20m. */
  duration(seconds) {
    if (seconds === null || seconds === undefined) return "";
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole}s`;
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
    if (!hours) return `${minutes}m${String(whole % 60).padStart(2, "0")}s`;
    return `${hours}h${String(minutes).padStart(2, "0")}m`;
  },

  /** Seconds since 1970 as 2026-11-27 07:18. */
  time(seconds) {
    if (seconds === null || seconds === undefined) return "";
    const date = new Date(seconds * 1000);
    const two = (number) => String(number).padStart(2, "0");
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${two(date.getHours())}:${two(date.getMinutes())}`;
  },

  /** The mean of some numbers and half of its 95 % interval (Student's); NaN for one number. */
  mean(values) {
    const n = values.length;
    const mean = values.reduce((sum, value) => sum + value, 0) / n;
    if (n < 2) return { mean, half: NaN, n };
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
    return { mean, half: student(n - 1) * Math.sqrt(square / n), n };
  },

  /** A mean with its interval, to as many digits as the interval makes sense of. */
  interval({ mean, half, n }) {
    if (!Number.isFinite(half) || half === 0) return [this.short(mean), n > 1 ? "± 0" : ""];
    const digits = Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(half))));
    if (Math.abs(mean) >= 100000 || half < 1e-6) return [this.short(mean), `± ${this.short(half)}`];
    return [mean.toFixed(digits), `± ${half.toFixed(digits)}`];
  },

  /** Ticks of an axis from `low` to `high`: about `many` round numbers; of a logarithmic one its decades. */
  ticks(low, high, many, log) {
    if (log) {
      const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
      const each = Math.max(1, Math.ceil((last - first) / many));
      const within = last - first <= 2 ? [1, 2, 5] : [1];
      const found = [];
      for (let power = first; power <= last; power += each) for (const times of within) found.push(times * 10 ** power);
      const inside = found.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
      return inside.length >= 2 ? inside : this.ticks(low, high, many, false);
    }
    const rough = (high - low) / many;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((times) => times * power >= rough) * power;
    const found = [];
    for (let place = Math.ceil(low / step - 1e-9); place * step <= high + step * 1e-9; place++) found.push(Number((place * step).toPrecision(12)));
    return found;
  },
};

/** 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const STUDENT = [
  12.7062, 4.30265, 3.18245, 2.77645, 2.57058, 2.44691, 2.36462, 2.306, 2.26216, 2.22814, 2.20099, 2.17881, 2.16037, 2.14479, 2.13145,
  2.11991, 2.10982, 2.10092, 2.09302, 2.08596, 2.07961, 2.07387, 2.06866, 2.0639, 2.05954, 2.05553, 2.05183, 2.04841, 2.04523, 2.04227,
];

/** The quantile of any number of degrees of freedom; beyond the table by the series of Peiser (1943), to 5 digits. */
function student(freedom) {
  if (freedom <= STUDENT.length) return STUDENT[freedom - 1];
  const z = 1.959963984540054;
  return z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2) + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * freedom ** 3);
}
