// The session's chart: two panels on one time axis. Gaps stay gaps; a cuff reading is a bar from diastolic to
// systolic; limits are bands; doses, phases, alarms and notes are marks. uPlot draws the axes and the lines.
//
// A long session comes as the lowest and the highest of each ten seconds; who looks closer gets every value.

import { align, linesOf, reach } from "./lines.js";
import { hm, hms, number, plainly } from "./words.js";

// Asking for a colour makes the browser lay out the page; a chart asks hundreds of times in one drawing.
const colours = new Map();
document.addEventListener("theme", () => colours.clear());
const css = (name) => {
  if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colours.get(name);
};
const CLOSE_S = 3600; // of so short a span the server tells every value
const REST_MS = 150; // fingers that still move ask for nothing
const COLOUR = { heart_rate: "--series-heart", pulse_rate: "--series-pulse", nibp_systolic: "--series-cuff" };
const SHORT = { heart_rate: "HR", pulse_rate: "PR", nibp_systolic: "Sys" };
const MARK_COLOUR = { high: "--high-text", medium: "--medium-text", low: "--medium-text" };
const PASSING_MS = 60_000;
const DRAWN = new Set(["DoseRecorded", "PhaseChanged", "AlarmRaised", "AlarmAcknowledged", "NoteRecorded", "ManualRecorded", "ScoreRecorded", "CheckpointMet", "CheckpointMissed", "LimitChanged", "HoldPrompted"]);

export class SessionChart {
  /** `boxes`: {rate, spo2} elements. `read(time)` is told where the cursor is; `ask(from, to)` gives traces. */
  constructor(boxes, read, ask) {
    this.boxes = boxes;
    this.read = read;
    this.ask = ask;
    this.lines = linesOf([]);
    this.everyS = 0; // the lines are the ends of so long intervals; 0: every value
    this.near = null; // every value of what is looked at closely: {from, to, lines}
    this.looking = 0;
    this.bands = [];
    this.marks = [];
    this.from = 0;
    this.to = 0;
    this.window = null; // null: everything, and it grows; else [from, to] in seconds
    this.follows = false; // the window ends at the newest, and goes along with it
    this.live = false;
    this.plots = [];
  }

  load(found) {
    this.lines = linesOf(found.traces, found.every_s);
    this.everyS = found.every_s;
    this.near = null;
    this.bands = found.bands;
    this.marks = found.marks.filter((one) => DRAWN.has(one.what)).filter(stands);
    this.from = found.from / 1000;
    this.to = found.to / 1000;
    this.live = found.live;
    this.aligned = null;
    this.bars = this.cuff();
    if (this.plots.length) this.redraw();
    else this.make();
    this.look();
  }

  /** The lines that are drawn: every value where it is there for all that is in sight. */
  drawn() {
    const [from, to] = this.span();
    return this.near && this.near.from <= from && this.near.to >= to ? this.near.lines : this.lines;
  }

  /** Ask for every value of what is in sight, once nobody moves any more; until it comes the overview stands. */
  look() {
    clearTimeout(this.looking);
    const [from, to] = this.span();
    const width = to - from;
    if (!this.everyS || !this.window || width > CLOSE_S || this.drawn() !== this.lines) return;
    const more = Math.min(width, CLOSE_S - width) / 2;
    this.looking = setTimeout(async () => {
      const newest = to + more >= this.to;
      const traces = await this.ask(from - more, to + more).catch(() => null);
      if (!traces) return;
      const lines = linesOf(traces);
      if (newest) for (const [name, line] of Object.entries(lines)) this.catchUp(line, this.lines[name]);
      this.near = { from: from - more, to: newest ? Infinity : to + more, lines };
      this.aligned = null;
      this.redraw();
    }, REST_MS);
  }

  /** What came in while the answer was under way. */
  catchUp(line, other) {
    for (let n = other.until(line.at[line.at.length - 1] ?? Infinity); n < other.at.length; n += 1) line.push(other.at[n], other.values[n]);
  }

  /** Add one moment of the live bed; returns whether something was new. */
  append(numbers, now) {
    const drawn = this.drawn();
    let grew = false;
    for (const lines of this.near ? [this.lines, this.near.lines] : [this.lines]) {
      for (const [name, line] of Object.entries(lines)) {
        const one = numbers[name];
        if (!one?.at || !line.push(one.at / 1000, one.value)) continue;
        grew = true;
        if (lines === drawn) this.extend(name, line);
      }
    }
    this.to = now / 1000;
    if (this.follows) this.window = [this.to - (this.window[1] - this.window[0]), this.to];
    if (grew) this.bars = this.cuff();
    this.redraw();
    return grew;
  }

  /** Add a line's newest point to what is aligned already; what does not fit at the end is aligned anew. */
  extend(name, line) {
    const place = { heart_rate: ["rate", 1], pulse_rate: ["rate", 2], spo2: ["spo2", 1] }[name];
    if (!place || !this.aligned) return;
    const columns = this.aligned[place[0]];
    const x = columns[0];
    const newest = line.at.length - 1;
    const at = line.at[newest];
    const last = x[x.length - 1];
    const gap = newest > 0 && at - line.at[newest - 1] > line.gap();
    if (at < last || gap) {
      this.aligned = null;
      return;
    }
    if (at > last) for (const [n, column] of columns.entries()) column.push(n ? undefined : at);
    columns[place[1]][x.length - 1] = line.values[newest];
  }

  cuff() {
    const { nibp_systolic: systolic, nibp_diastolic: diastolic } = this.lines;
    const low = new Map(diastolic.at.map((at, n) => [at, diastolic.values[n]]));
    return systolic.at.map((at, n) => ({ at, high: systolic.values[n], low: low.get(at) ?? null })).filter((one) => one.high !== null);
  }

  data() {
    const lines = this.drawn();
    if (this.aligned?.of === lines) return this.aligned;
    const rate = align([lines.heart_rate, lines.pulse_rate]);
    const spo2 = align([lines.spo2]);
    this.aligned = null;
    if (rate[0].length && spo2[0].length) this.aligned = { of: lines, rate, spo2 };
    const ends = this.span();
    for (const one of [rate, spo2]) {
      if (one[0].length) continue;
      one[0].push(ends[0], ends[1]);
      for (let n = 1; n < one.length; n += 1) one[n].push(null, null);
    }
    return { rate, spo2 };
  }

  span() {
    return this.window || [this.from, Math.max(this.to, this.from + 60)];
  }

  make() {
    const data = this.data();
    const sync = "session";
    this.rate = this.plot(this.boxes.rate, sync, data.rate, [this.series("HR", "--series-heart"), this.series("PR", "--series-pulse")], () => this.rateRange(), ["nibp_systolic", "nibp_diastolic", "heart_rate", "pulse_rate"], () => Math.max(210, Math.min(430, innerHeight * 0.4)));
    this.spo2 = this.plot(this.boxes.spo2, sync, data.spo2, [this.series("SpO₂", "--series-spo2")], () => this.spo2Range(), ["spo2"], () => Math.max(120, Math.min(230, innerHeight * 0.2)));
    this.plots = [this.rate, this.spo2];
    new ResizeObserver(() => this.size()).observe(this.boxes.rate);
    this.keyboard();
    this.touch();
  }

  series(label, colour) {
    return { label, stroke: () => css(colour), width: 1.6, points: { show: false }, spanGaps: false };
  }

  plot(box, sync, data, series, range, metrics, height) {
    const ink = () => css("--dim");
    const axis = { stroke: ink, grid: { stroke: () => css("--line"), width: 1 }, ticks: { stroke: () => css("--line") }, font: "12px sans-serif" };
    const chart = new uPlot(
      {
        width: box.clientWidth || 600,
        height: height(),
        legend: { show: false },
        cursor: { sync: { key: sync }, drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
        scales: { x: { time: true, range: () => this.span() }, y: { range } },
        axes: [
          { ...axis, values: (_, ticks, _axis, _space, step) => ticks.map((t) => (step < 60 ? hms : hm)(t * 1000)), space: 76 },
          { ...axis, size: 46 },
        ],
        series: [{}, ...series],
        hooks: {
          drawClear: [(u) => this.drawBands(u, metrics)],
          draw: [(u) => this.drawMarks(u, metrics)],
          setSelect: [(u) => this.selected(u)],
          setCursor: [(u) => this.read(u.cursor.idx === null || u.cursor.left < 0 ? null : u.posToVal(u.cursor.left, "x"))],
        },
      },
      data,
      box,
    );
    chart.over.addEventListener("dblclick", () => this.zoom(null));
    chart.wanted = height;
    return chart;
  }

  /** The rates and the cuff's bars that are in sight, with the systolic's limit when it is near. */
  rateRange() {
    let low = 60;
    let high = 120;
    const [from, to] = this.span();
    for (const one of this.bars) {
      if (one.at < from || one.at > to) continue;
      high = Math.max(high, one.high + 12);
      if (one.low !== null) low = Math.min(low, one.low - 6);
    }
    for (const name of ["heart_rate", "pulse_rate"]) {
      const line = this.lines[name];
      high = Math.max(high, line.high + 8);
      low = Math.min(low, line.low - 8);
    }
    return [Math.max(0, Math.floor(low / 10) * 10), Math.ceil(high / 10) * 10];
  }

  spo2Range() {
    const low = Math.min(85, this.lines.spo2.low);
    return [Math.max(0, Math.floor((low - 2) / 5) * 5), 100];
  }

  redraw() {
    const data = this.data();
    this.rate.setData(data.rate);
    this.spo2.setData(data.spo2);
  }

  size() {
    for (const one of this.plots) {
      const box = one.root.parentElement;
      if (box.clientWidth && box.clientWidth !== one.width) one.setSize({ width: box.clientWidth, height: one.wanted() });
    }
  }

  paint() {
    for (const one of this.plots) one.redraw(false, true);
  }

  // --- what stands behind and before the lines --------------------------------------------------------

  /** Shade what lies beyond a limit; where another metric runs through it, a labelled line says as much. */
  drawBands(u, metrics) {
    const pen = u.ctx;
    const box = u.bbox;
    pen.save();
    const labels = new Map();
    for (const band of this.bands) {
      if (!metrics.includes(band.metric) || band.metric === "nibp_diastolic" || !this.lines[band.metric].at.length) continue;
      const left = Math.max(box.left, u.valToPos(band.from / 1000, "x", true));
      const right = Math.min(box.left + box.width, band.to ? u.valToPos(band.to / 1000, "x", true) : Infinity);
      if (right <= left) continue;
      for (const limit of band.limits) {
        if (!limit.on) continue;
        const edge = u.valToPos(limit.value, "y", true);
        if (edge < box.top || edge > box.top + box.height) continue;
        const shaded = band.metric === "spo2" || (band.metric === "nibp_systolic" && limit.side === "high");
        if (shaded) {
          pen.fillStyle = css(limit.priority === "high" ? "--band-high" : "--band-medium");
          if (limit.side === "high") pen.fillRect(left, box.top, right - left, edge - box.top);
          else pen.fillRect(left, edge, right - left, box.top + box.height - edge);
        } else this.limitLine(pen, band.metric, left, right, edge);
        if (!shaded && !band.to) labels.set(`${SHORT[band.metric]} ${limit.side === "high" ? ">" : "<"} ${number(limit.value)}`, [edge, band.metric]);
      }
    }
    this.limitLabels(pen, box, labels);
    pen.restore();
  }

  limitLine(pen, metric, left, right, edge) {
    pen.strokeStyle = css(COLOUR[metric]);
    pen.globalAlpha = 0.45;
    pen.setLineDash([2 * devicePixelRatio, 5 * devicePixelRatio]);
    pen.beginPath();
    pen.moveTo(left, edge);
    pen.lineTo(right, edge);
    pen.stroke();
    pen.setLineDash([]);
    pen.globalAlpha = 1;
  }

  limitLabels(pen, box, labels) {
    pen.font = `${10.5 * devicePixelRatio}px sans-serif`;
    pen.textBaseline = "bottom";
    pen.textAlign = "left";
    for (const [text, [edge, metric]] of labels) {
      pen.fillStyle = css(COLOUR[metric]);
      pen.fillText(text, box.left + 4 * devicePixelRatio, edge - 1);
    }
  }

  drawMarks(u, metrics) {
    const pen = u.ctx;
    const ratio = devicePixelRatio;
    pen.save();
    pen.beginPath();
    pen.rect(u.bbox.left, 0, u.bbox.width, u.bbox.top + u.bbox.height);
    pen.clip();
    if (metrics.includes("nibp_systolic")) this.drawBars(u, pen, ratio);
    pen.font = `${11 * ratio}px sans-serif`;
    pen.textBaseline = "top";
    pen.textAlign = "left";
    const rows = [];
    for (const one of this.marks) {
      const own = !one.metric || metrics.includes(one.metric) || one.what === "PhaseChanged";
      if (!own || (metrics.includes("spo2") && !["AlarmRaised", "AlarmAcknowledged", "DoseRecorded"].includes(one.what))) continue;
      const x = u.valToPos(one.at / 1000, "x", true);
      if (x < u.bbox.left - 1 || x > u.bbox.left + u.bbox.width) continue;
      this.drawMark(u, pen, ratio, one, x, rows);
    }
    pen.restore();
  }

  drawBars(u, pen, ratio) {
    pen.strokeStyle = css("--series-cuff");
    pen.lineWidth = 2 * ratio;
    const cap = 3.5 * ratio;
    for (const one of this.bars) {
      const x = u.valToPos(one.at, "x", true);
      const top = u.valToPos(one.high, "y", true);
      const bottom = one.low === null ? top : u.valToPos(one.low, "y", true);
      pen.beginPath();
      pen.moveTo(x - cap, top);
      pen.lineTo(x + cap, top);
      pen.moveTo(x, top);
      pen.lineTo(x, bottom);
      pen.moveTo(x - cap, bottom);
      pen.lineTo(x + cap, bottom);
      pen.stroke();
    }
  }

  drawMark(u, pen, ratio, one, x, rows) {
    const top = u.bbox.top;
    const bottom = top + u.bbox.height;
    if (one.what === "AlarmRaised" || one.what === "AlarmAcknowledged") {
      pen.fillStyle = pen.strokeStyle = css(one.kind === "technical" && one.priority === "low" ? "--technical-text" : MARK_COLOUR[one.priority] || "--dim");
      const size = 6 * ratio;
      const y = bottom - size * 1.4;
      pen.beginPath();
      if (one.what === "AlarmAcknowledged") {
        pen.lineWidth = 2 * ratio;
        pen.moveTo(x - size * 0.7, y - size * 2);
        pen.lineTo(x - size * 0.1, y - size * 1.4);
        pen.lineTo(x + size * 0.9, y - size * 2.8);
        pen.stroke();
        return;
      }
      if (one.priority === "high") pen.moveTo(x, y - size), pen.lineTo(x + size, y + size), pen.lineTo(x - size, y + size);
      else if (one.priority === "medium") pen.moveTo(x, y - size), pen.lineTo(x + size, y), pen.lineTo(x, y + size), pen.lineTo(x - size, y);
      else if (one.kind === "technical") pen.rect(x - size * 0.8, y - size * 0.8, size * 1.6, size * 1.6);
      else pen.arc(x, y, size * 0.9, 0, Math.PI * 2);
      pen.fill();
      return;
    }
    const strong = one.what === "DoseRecorded" || one.what === "PhaseChanged";
    pen.strokeStyle = pen.fillStyle = css(strong ? "--text" : "--dim");
    pen.globalAlpha = strong ? 0.9 : 0.6;
    pen.lineWidth = (strong ? 1.5 : 1) * ratio;
    pen.setLineDash(strong ? [] : [3 * ratio, 3 * ratio]);
    pen.beginPath();
    pen.moveTo(x, top);
    pen.lineTo(x, bottom);
    pen.stroke();
    pen.setLineDash([]);
    const text = markWords(one);
    const width = pen.measureText(text).width;
    const last = x + width + 4 * ratio > u.bbox.left + u.bbox.width; // at the edge the words stand before the line
    const begin = last ? x - width - 6 * ratio : x;
    let row = 0;
    while (rows[row] !== undefined && rows[row] > begin - 4 * ratio) row += 1;
    rows[row] = begin + width + 8 * ratio;
    if (row < 6) pen.fillText(text, begin + 3 * ratio, top + 2 * ratio + row * 13 * ratio);
    pen.globalAlpha = 1;
  }

  // --- zoom: drag, keys, touch -------------------------------------------------------------------------

  selected(u) {
    if (u.select.width > 8) this.zoom([u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")]);
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  zoom(to) {
    if (to && to[1] - to[0] < 20) return;
    if (to) {
      const whole = [this.from, Math.max(this.to, this.from + 60)];
      to = [Math.max(whole[0], to[0]), Math.min(whole[1], to[1])];
      if (to[0] <= whole[0] && to[1] >= whole[1]) to = null;
    }
    this.window = to;
    this.follows = Boolean(to && this.live && to[1] >= this.to - 1);
    this.redraw();
    this.look();
  }

  scale(factor, at = 0.5) {
    const [from, to] = this.span();
    const centre = from + (to - from) * at;
    this.zoom([centre - (centre - from) * factor, centre + (to - centre) * factor]);
  }

  pan(part) {
    const [from, to] = this.span();
    const width = to - from;
    const begin = Math.max(this.from, Math.min(Math.max(this.to, this.from + 60) - width, from + width * part));
    this.zoom([begin, begin + width]);
  }

  keyboard() {
    this.boxes.rate.addEventListener("keydown", (event) => {
      const act = { "+": () => this.scale(0.6), "=": () => this.scale(0.6), "-": () => this.scale(1 / 0.6), 0: () => this.zoom(null), ArrowLeft: () => this.pan(-0.25), ArrowRight: () => this.pan(0.25), Home: () => this.pan(-1e6), End: () => this.pan(1e6) }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  touch() {
    for (const plot of this.plots) {
      let start = null;
      const spread = (touches) => Math.abs(touches[0].clientX - touches[1].clientX);
      const middle = (touches) => (touches[0].clientX + touches[1].clientX) / 2;
      plot.over.addEventListener("touchstart", (event) => {
        start = event.touches.length === 2 ? { spread: Math.max(20, spread(event.touches)), middle: middle(event.touches), span: this.span() } : null;
      });
      plot.over.addEventListener(
        "touchmove",
        (event) => {
          if (!start || event.touches.length !== 2) return;
          event.preventDefault();
          const box = plot.over.getBoundingClientRect();
          const factor = start.spread / Math.max(20, spread(event.touches));
          const width = start.span[1] - start.span[0];
          const held = start.span[0] + (width * (start.middle - box.left)) / box.width;
          const place = (middle(event.touches) - box.left) / box.width;
          this.zoom([held - width * factor * place, held + width * factor * (1 - place)]);
        },
        { passive: false },
      );
    }
  }

  /** What stood at a time, in words. */
  words(time) {
    const lines = this.drawn();
    const every = lines === this.lines ? this.everyS : 0;
    const value = (name) => {
      const line = lines[name];
      if (every) return reach(line.within(time - every, time));
      return number(line.before(time, line.gap() / 2));
    };
    const parts = [hms(time * 1000)];
    if (lines.heart_rate.at.length) parts.push(`HR ${value("heart_rate")}`);
    if (lines.pulse_rate.at.length) parts.push(`PR ${value("pulse_rate")}`);
    parts.push(`SpO₂ ${value("spo2")}`);
    const bar = [...this.bars].reverse().find((one) => one.at <= time + 1);
    if (bar) parts.push(`BP ${number(bar.high)}/${number(bar.low)} at ${hm(bar.at * 1000)}`);
    return parts.join("   ");
  }
}

/** Whether a mark is drawn: doses entered afterwards go through phases in a moment, of which the last counts. */
function stands(one, place, all) {
  if (one.what !== "PhaseChanged") return true;
  return !all.slice(place + 1).some((other) => other.what === "PhaseChanged" && other.at - one.at < PASSING_MS);
}

/** A mark in a few words. */
export function markWords(one) {
  if (one.what === "DoseRecorded") return `${one.value} mg ${one.detail.route || ""}`;
  if (one.what === "PhaseChanged") return one.detail.phase;
  if (one.what === "CheckpointMet") return "✓";
  if (one.what === "CheckpointMissed") return "✗ missed";
  if (one.what === "LimitChanged") return "limit";
  if (one.what === "ManualRecorded") return "by hand";
  if (one.what === "ScoreRecorded") return `${one.detail.scale} ${one.value}`;
  if (one.what === "HoldPrompted") return "hold";
  return plainly(one.reason || one.what, one.at).slice(0, 24);
}
