// What was measured, as it grows: one line for each metric, put on a common time axis for the chart.
//
// Law: a gap stays a gap, and a line is only as fine as what came: two values may stand for many.

import { number } from "./words.js";

const METRICS = ["heart_rate", "pulse_rate", "spo2", "nibp_systolic", "nibp_diastolic", "nibp_mean"];
const GAP_S = { spo2: 10, heart_rate: 10, pulse_rate: 10 };

/**
 * One metric as it grows: seconds and values, ascending; `null` is a measurement without a value. `every`: it came as
 * the ends of so long intervals, in seconds; 0: every value.
 */
export class Line {
  constructor(metric, every = 0) {
    this.metric = metric;
    this.every = every;
    this.at = [];
    this.values = [];
    this.low = Infinity;
    this.high = -Infinity;
  }

  /** Remember the lowest and the highest, so that no redraw looks through all. */
  reach(values) {
    for (const value of values) {
      if (value === null) continue;
      if (value < this.low) this.low = value;
      if (value > this.high) this.high = value;
    }
  }

  /** Take a trace's points; several devices of one metric are merged by time. */
  take(at, values) {
    this.reach(values);
    if (!this.at.length) {
      this.at = at.slice();
      this.values = values.slice();
      return;
    }
    const all = this.at.map((t, n) => [t, this.values[n]]).concat(at.map((t, n) => [t, values[n]]));
    all.sort((a, b) => a[0] - b[0]);
    this.at = all.map((one) => one[0]);
    this.values = all.map((one) => one[1]);
  }

  /** From how many seconds on there is a gap: a device that measures seldom is no gap. */
  gap() {
    const steps = [];
    for (let n = 1; n < this.at.length; n += Math.ceil(this.at.length / 50)) steps.push(this.at[n] - this.at[n - 1]);
    const usual = steps.sort((a, b) => a - b)[steps.length >> 1] || 0;
    return Math.max(GAP_S[this.metric] || 1e9, usual <= this.every ? 1.5 * this.every : 2.5 * usual);
  }

  push(at, value) {
    // A frame tells milliseconds, a trace microseconds: the same reading must not stand twice.
    if (this.at.length && at <= this.at[this.at.length - 1] + 0.0015) return false;
    this.at.push(at);
    this.values.push(value);
    this.reach([value]);
    return true;
  }

  /** How many points are not later than a time. */
  until(time) {
    let low = 0;
    let high = this.at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.at[middle] <= time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The last value at or before a time, if it is not older than `most` seconds. */
  before(time, most) {
    const place = this.until(time) - 1;
    return place < 0 || time - this.at[place] > most ? null : this.values[place];
  }

  /** The lowest and the highest after one time and not after another, or null. */
  within(from, to) {
    let low = Infinity;
    let high = -Infinity;
    for (let n = this.until(from); n < this.at.length && this.at[n] <= to; n += 1) {
      if (this.values[n] === null) continue;
      if (this.values[n] < low) low = this.values[n];
      if (this.values[n] > high) high = this.values[n];
    }
    return low === Infinity ? null : [low, high];
  }
}

/** "97", or "94–97" where two values stand for many. */
export const reach = (ends) => (ends ? [...new Set(ends.map((one) => number(one)))].join("–") : "--");

/** A line for each metric of a chart, with what traces say of it. */
export const linesOf = (traces, every) => {
  const lines = Object.fromEntries(METRICS.map((name) => [name, new Line(name, every)]));
  for (const trace of traces) lines[trace.metric]?.take(trace.at, trace.values);
  return lines;
};

/** Put lines on one ascending x: `undefined` where a line has no point, `null` where it has a gap. */
export function align(lines) {
  const parts = lines.map(gapped);
  if (parts.length === 1) return parts[0];
  const x = [];
  const columns = parts.map(() => []);
  const place = parts.map(() => 0);
  for (;;) {
    let at = Infinity;
    for (let n = 0; n < parts.length; n += 1) {
      const t = parts[n][0][place[n]];
      if (t < at) at = t;
    }
    if (at === Infinity) return [x, ...columns];
    x.push(at);
    for (let n = 0; n < parts.length; n += 1) {
      const [times, values] = parts[n];
      columns[n].push(times[place[n]] === at ? values[place[n]] : undefined);
      while (times[place[n]] === at) place[n] += 1;
    }
  }
}

function gapped(line) {
  const most = line.gap();
  const x = [];
  const y = [];
  for (let n = 0; n < line.at.length; n += 1) {
    if (n && line.at[n] - line.at[n - 1] > most) {
      x.push(line.at[n - 1] + most / 2);
      y.push(null);
    }
    x.push(line.at[n]);
    y.push(line.values[n]);
  }
  return [x, y];
}
