// One bed's tile. Its layout is fixed: whatever happens, no element moves; only text, colour and shape change.

import { el, hide, icon, mark, say } from "./dom.js";
import { doing, post } from "./api.js";
import { acknowledge, acknowledgeMilder, colour, flashing, mayCare, milder, needsPerson, shape, word } from "./alarms.js";
import { isLost, serverNow } from "./live.js";
import { PHASES, age, bounds, freshness, left, number, plainly, signalWords, span, unit } from "./words.js";

const LINE_MS = 600_000;
const LOWEST = 78; // of the line; what is lower runs along the bottom

/** Whether a number may still stand: it has a value and is not older than the server allows. */
export function standing(one, now) {
  return Boolean(one) && one.value !== null && one.value !== undefined && !isLost() && !(one.stale && now >= one.stale);
}

/** Why there is no number, in a few words. */
export function whyNot(one, now) {
  if (isLost()) return "connection lost";
  if (!one) return "not measured";
  if (one.value === null || one.value === undefined) return one.why || "no value";
  return `old: ${age((now - one.at) / 1000)}`;
}

export function numeric(label, name) {
  const parts = {
    name,
    label: el("span", { class: "name" }, label),
    value: el("output", { class: "value", "aria-label": label }, "--"),
    limits: el("span", { class: "limits" }),
    unit: el("span", { class: "unit" }),
    age: el("span"),
    off: el("span", { class: "off", hidden: true }, icon("bell-off", "a limit is off")),
  };
  const note = el("span", { class: "note" }, parts.unit, parts.age);
  parts.node = el("div", { class: `numeric ${name}` }, el("div", { class: "above" }, parts.label, parts.limits, parts.off), parts.value, note);
  return parts;
}

export function fill(parts, one, now, text) {
  const stands = standing(one, now);
  say(parts.value, stands ? text ?? number(one.value, one.decimals) : "--");
  mark(parts.node, "data-priority", (stands && one.priority) || null);
  mark(parts.node, "data-empty", !stands);
  mark(parts.node, "data-quality", stands && one.quality !== "valid" ? one.quality : null);
  const ageS = stands ? (now - one.at) / 1000 : 0;
  const doubt = stands && one.quality === "questionable" ? "? " : "";
  say(parts.unit, stands ? `${unit(one.unit)} · ` : "");
  say(parts.age, stands ? doubt + freshness(ageS) : whyNot(one, now));
  const words = one ? bounds(one.low, one.high) : "";
  say(parts.limits, words);
  hide(parts.off, !one?.off?.length);
}

export class Tile {
  /** `recall` asks for the past of the line, which is the session's: each time another one has begun. */
  constructor(id, label, recall) {
    this.id = id;
    this.ask = recall;
    this.points = [];
    this.painted = 0;
    this.spo2 = numeric("SpO₂", "spo2");
    this.pulse = numeric("PR", "pulse");
    this.pressure = numeric("BP", "pressure");
    this.title = el("a", { class: "title" }, label);
    this.code = el("span", { class: "code" });
    this.drill = el("span", { class: "drill", hidden: true }, "DRILL");
    this.phase = el("span", { class: "phase" });
    this.task = el("span", { class: "task" });
    this.ready = el("span", { class: "ready" });
    this.bell = el("button", { type: "button", class: "bell", onclick: () => this.pauseOrResume() }, icon("bell"), el("span"));
    this.line = el("canvas", { class: "line", "aria-hidden": "true" });
    this.shape = el("span", { class: "shape" });
    this.word = el("strong", { class: "word" });
    this.text = el("span", { class: "text" });
    this.more = el("span", { class: "more" });
    this.ack = el("button", { type: "button", class: "ack", onclick: () => this.top && acknowledge(this.bed, this.top, this.ack) }, "Ack");
    this.all = el("button", { type: "button", class: "ack all", onclick: () => acknowledgeMilder(this.bed, this.all) });
    this.start = el("a", { class: "button start", href: `/beds/${id}/start` }, "Start a session");
    this.node = el(
      "article",
      { class: "tile", "data-bed": id, "aria-label": label },
      el("header", {}, this.title, this.drill, this.code, this.bell),
      this.spo2.node,
      this.pulse.node,
      this.pressure.node,
      el("div", { class: "course" }, this.line, this.ready),
      el("div", { class: "plan" }, this.phase, this.task),
      el("div", { class: "alarm-row" }, this.shape, el("span", { class: "what" }, this.word, this.text), this.more, this.ack, this.all),
      this.start,
    );
  }

  draw(bed, frame) {
    this.bed = bed;
    const now = serverNow();
    this.numbers(bed, now);
    this.head(bed, frame, now);
    this.plan(bed, now);
    this.alarm(bed, now);
    this.remember(bed, now);
  }

  numbers(bed, now) {
    const numbers = bed.numbers;
    fill(this.spo2, numbers.spo2, now);
    const heart = standing(numbers.heart_rate, now) || !numbers.pulse_rate ? numbers.heart_rate : null;
    say(this.pulse.label, heart ? "HR" : "PR");
    fill(this.pulse, heart || numbers.pulse_rate, now);
    const { nibp_systolic: systolic, nibp_diastolic: diastolic } = numbers;
    const worst = [systolic, diastolic].find((one) => one?.priority === "high") || [systolic, diastolic].find((one) => one?.priority);
    const text = `${number(systolic?.value)}/${standing(diastolic, now) ? number(diastolic.value) : "--"}`;
    fill(this.pressure, systolic && { ...systolic, priority: worst?.priority || "", off: [...(systolic.off || []), ...(diastolic?.off || [])] }, now, text);
  }

  head(bed, frame, now) {
    const session = bed.session;
    say(this.title, frame.labels[bed.id]?.label || bed.id);
    mark(this.title, "href", session ? `/sessions/${session.id}` : `/beds/${bed.id}/start`);
    say(this.code, session ? session.code : "free");
    hide(this.drill, session?.mode !== "drill");
    const pause = bed.pause;
    say(this.bell.lastChild, pause ? span((pause.until - now) / 1000) : "");
    const crossed = pause ? "bell-off" : "bell";
    if (this.crossed !== crossed) {
      this.crossed = crossed;
      this.bell.firstChild.replaceWith(icon(crossed));
    }
    mark(this.bell, "data-paused", Boolean(pause));
    mark(this.bell, "aria-label", pause ? `Sound of ${this.title.textContent} is paused by ${pause.by}: sound again` : `Pause the sound of ${this.title.textContent} for two minutes`);
    mark(this.bell, "disabled", !mayCare(bed));
    mark(this.node, "data-free", !session);
    mark(this.node, "data-drill", session?.mode === "drill");
    hide(this.start, Boolean(session) || bed.alarms.length > 0 || bed.fault);
  }

  plan(bed, now) {
    const session = bed.session;
    if (!session) {
      say(this.phase, bed.fault || "");
      say(this.task, "");
      say(this.ready, "");
      return;
    }
    const anchor = session.first_dose || session.started;
    const since = Math.floor((now - anchor) / 60_000);
    say(this.phase, `${PHASES[session.phase]} ${session.first_dose ? "+" : ""}${since} min`);
    say(this.task, taskWords(session, now));
    mark(this.task, "data-late", session.next && now > session.next.due);
    const { met, of } = session.ready;
    say(this.ready, session.phase === "ready" ? "✓ ready" : session.phase === "observation" ? `ready ${met}/${of}` : "");
  }

  alarm(bed, now) {
    const top = bed.alarms.find((one) => !one.covered) || bed.alarms[0] || null;
    this.top = top;
    mark(this.node, "data-colour", top ? colour(top) : null);
    mark(this.node, "data-flash", top ? flashing(top) : null);
    mark(this.node, "data-signal", top ? top.signal : null);
    const wanted = top ? shape(top) : "";
    if (this.shaped !== wanted) {
      this.shaped = wanted;
      this.shape.replaceChildren(...(wanted ? [icon(wanted)] : []));
    }
    say(this.word, top ? word(top) : "");
    say(this.text, top ? [plainly(top.text, top.since), signalWords(top, now)].filter(Boolean).join(" · ") : "");
    hide(this.ack, !top || !mayCare(bed) || !needsPerson(top));
    const waiting = top?.priority === "high" && needsPerson(top) ? [] : milder(bed); // a high one first, by itself
    hide(this.all, waiting.length < 2 || !mayCare(bed));
    say(this.all, `All ${waiting.length}`);
    say(this.more, bed.alarms.length > 1 ? `+${bed.alarms.length - 1}` : "");
    if (!this.all.hidden) mark(this.all, "aria-label", `Acknowledge all ${waiting.length} low and medium alarms: ${this.title.textContent}`);
    say(this.ack, top?.signal === "latched" ? "Seen" : "Ack");
    if (top) mark(this.ack, "aria-label", `${this.ack.textContent === "Ack" ? "Acknowledge" : "Seen"}: ${this.title.textContent}, ${plainly(top.text, top.since)}`);
  }

  async pauseOrResume() {
    if (!this.bed) return;
    if (this.bed.pause) await doing(this.bell, () => post(`/beds/${this.id}/audio/resume`, {}));
    else await doing(this.bell, () => post(`/beds/${this.id}/audio/pause`, {}));
  }

  // --- the last ten minutes -------------------------------------------------------------------------------

  recall(lines) {
    const line = lines.spo2 || [[], []];
    const old = line[0].map((at, n) => [at, line[1][n]]);
    const first = this.points[0]?.[0] ?? Infinity;
    this.points = [...old.filter((point) => point[0] < first), ...this.points];
    this.paint(serverNow());
  }

  remember(bed, now) {
    const session = bed.session?.id ?? null;
    const begun = session && session !== this.session;
    if (begun || !session) this.points = []; // a line is one patient's
    this.session = session;
    const one = bed.numbers.spo2;
    const last = this.points[this.points.length - 1];
    if (one && one.at && (!last || one.at > last[0])) this.points.push([one.at, standing(one, now) ? one.value : null]);
    while (this.points.length && this.points[0][0] < now - LINE_MS) this.points.shift();
    if (begun) this.ask(this);
    if (now - this.painted >= LINE_MS / this.width) this.paint(now); // a pixel further
  }

  paint(now) {
    this.painted = now;
    const canvas = this.line;
    const ratio = devicePixelRatio || 1;
    const width = Math.round(this.width * ratio);
    const height = Math.round(this.height * ratio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, width, height);
    const place = (value) => ((100 - Math.max(LOWEST, Math.min(100, value))) / (100 - LOWEST)) * (height - 6 * ratio) + 3 * ratio;
    this.paintLimit(pen, width, ratio, place);
    pen.strokeStyle = pen.fillStyle = this.ink;
    pen.lineWidth = 2.2 * ratio;
    pen.lineJoin = "round";
    pen.beginPath();
    let before = 0;
    for (const [at, value] of this.points) {
      if (value === null) {
        before = 0;
        continue;
      }
      const x = ((at - now + LINE_MS) / LINE_MS) * width;
      const y = place(value);
      if (before && at - before < 20_000) pen.lineTo(x, y);
      else pen.moveTo(x, y);
      before = at;
    }
    pen.stroke();
  }

  /** Where the low limit stands, so that a line by itself says how deep it is. */
  paintLimit(pen, width, ratio, place) {
    const low = this.bed?.numbers.spo2?.low;
    if (low === undefined) return;
    pen.strokeStyle = pen.fillStyle = this.faint;
    pen.lineWidth = ratio;
    pen.setLineDash([3 * ratio, 4 * ratio]);
    pen.beginPath();
    pen.moveTo(0, place(low));
    pen.lineTo(width, place(low));
    pen.stroke();
    pen.setLineDash([]);
    if (this.height < 40 || this.width < 170) return;
    pen.font = `${11 * ratio}px sans-serif`;
    pen.textBaseline = "top";
    pen.fillText(`SpO₂, 10 min; limit ${low}`, 0, place(low) + 3 * ratio);
  }

  /** Measure once per layout, not once per second. */
  measure() {
    this.width = this.line.clientWidth;
    this.height = this.line.clientHeight;
    const style = getComputedStyle(this.line);
    this.ink = style.color;
    this.faint = style.getPropertyValue("--faint");
    this.paint(serverNow());
  }
}

/** What is to be done next at a bed, with its countdown. */
export function taskWords(session, now) {
  if (session.held.length) return "HOLD: above the line, measure again";
  const next = session.next;
  if (next) {
    const label = next.label.replace(/blood pressure/i, "BP");
    const seconds = (next.due - now) / 1000;
    if (seconds > 0) return `in ${left(seconds)}: ${label}`;
    return `DUE, ${left((next.until - now) / 1000)} left: ${label}`;
  }
  if (session.cuff_due) {
    const seconds = (session.cuff_due - now) / 1000;
    return seconds > 0 ? `BP in ${left(seconds)}` : `BP due ${left(-seconds)} ago`;
  }
  return "";
}
