// Alarms as the pages speak of them: which come first, their shape and word, and what a person can do.

import { el, hide, icon, mark, say } from "./dom.js";
import { ask } from "./dialog.js";
import { doing, may, me, post } from "./api.js";
import { serverNow } from "./live.js";
import { age, plainly, signalWords } from "./words.js";

export const RANK = { high: 3, medium: 2, low: 1 };
export const shape = (alarm) => (alarm.kind === "technical" && alarm.priority === "low" ? "shape-technical" : `shape-${alarm.priority}`);
export const word = (alarm) => alarm.priority.toUpperCase();
export const colour = (alarm) => (alarm.kind === "technical" && alarm.priority === "low" ? "technical" : alarm.priority);
export const signals = (alarm) => alarm.signal === "on" && !alarm.covered;
/** Quiet: known, paused or over; it is shown, and does not flash. */
export const flashing = (alarm) => signals(alarm);

/** All alarms of a frame with their bed: high before low, then the newest (AL-05). Covered ones last. */
export function everyAlarm(frame) {
  const beds = frame.station ? [...frame.beds, frame.station] : frame.beds;
  const found = beds.flatMap((bed) => bed.alarms.map((alarm) => ({ alarm, bed })));
  return found.sort((a, b) => RANK[b.alarm.priority] - RANK[a.alarm.priority] || a.alarm.covered - b.alarm.covered || b.alarm.present - a.alarm.present);
}

export const bedLabel = (frame, id) => (id === "station" ? "Monitor" : frame.labels[id]?.label || id);

/** Whether this person may act at this bed: care, or a drill that they run. */
export const mayCare = (bed) => may("care") || (may("drill") && bed.session?.mode === "drill");

export async function acknowledge(bed, alarm, button) {
  const path = `/beds/${bed.id}/alarms/${alarm.id}`;
  if (alarm.signal === "latched") return doing(button, () => post(`${path}/reset`), "Seen: taken off the list.");
  return doing(button, () => post(`${path}/acknowledge`, { priority: alarm.priority }));
}

export const needsPerson = (alarm) => alarm.signal !== "acknowledged" && alarm.signal !== "off";

/** The low and medium alarms of a bed that wait for somebody: one press may answer them together (P-37). */
export const milder = (bed) => bed.alarms.filter((one) => one.priority !== "high" && !one.covered && needsPerson(one));

export const acknowledgeMilder = (bed, button) =>
  doing(button, () => post(`/beds/${bed.id}/acknowledge`, { seen: Object.fromEntries(milder(bed).map((one) => [one.id, one.priority])) }));

/** Pause one alarm for a minute, with a reason. */
export const pauseAlarm = (bed, alarm) =>
  ask({
    title: "Pause this alarm",
    text: `${plainly(alarm.text, alarm.since)}. No light and no sound of this alarm for a short while, such as while a probe is moved.`,
    fields: [
      { name: "seconds", label: "For", choose: [30, 60, 120].map((s) => ({ value: String(s), label: `${s} s` })), value: "60" },
      { name: "reason", label: "Reason", focus: true },
    ],
    yes: "Pause",
    act: (given) => post(`/beds/${bed.id}/alarms/${alarm.id}/pause`, { seconds: Number(given.seconds), reason: given.reason }),
  });

/** Keep a list of alarms in step with the frames; a row stays the same node while its alarm lasts. */
export class AlarmList {
  constructor(node, { only = () => true, detail = false } = {}) {
    this.node = node;
    this.only = only;
    this.detail = detail;
    this.rows = new Map();
    this.empty = el("li", { class: "none" }, "No alarms");
  }

  draw(frame) {
    const wanted = everyAlarm(frame).filter(({ alarm, bed }) => this.only(alarm, bed));
    const seen = new Set(wanted.map(({ alarm }) => alarm.id));
    for (const [id, row] of this.rows) {
      if (seen.has(id)) continue;
      row.node.remove();
      this.rows.delete(id);
    }
    wanted.forEach(({ alarm, bed }, place) => {
      const row = this.rows.get(alarm.id) || this.make(alarm.id);
      this.fill(row, alarm, bed, frame);
      if (this.node.children[place] !== row.node) this.node.insertBefore(row.node, this.node.children[place] || null);
    });
    if (!wanted.length && !this.empty.isConnected) this.node.append(this.empty);
    if (wanted.length) this.empty.remove();
  }

  make(id) {
    const row = { alarm: null, bed: null };
    row.icon = el("span", { class: "shape" });
    row.word = el("strong", { class: "word" });
    row.bed_name = el("a", { class: "bed" });
    row.text = el("span", { class: "text" });
    row.state = el("span", { class: "state" });
    row.ack = el("button", { type: "button", class: "ack", onclick: () => acknowledge(row.bed, row.alarm, row.ack) }, "Ack");
    row.accept = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => doing(row.accept, () => post(`/beds/${row.bed.id}/alarms/${row.alarm.id}/accept`, {}), "Accepted: it is yours.") }, "Accept");
    row.reject = el("button", { type: "button", class: "quiet", hidden: true, onclick: () => doing(row.reject, () => post(`/beds/${row.bed.id}/alarms/${row.alarm.id}/reject`, {}), "Passed on to the next.") }, "Pass on");
    row.pause = el("button", { type: "button", class: "quiet", hidden: !this.detail, onclick: () => pauseAlarm(row.bed, row.alarm) }, "Pause");
    row.node = el("li", { class: "alarm", "data-id": id }, el("div", { class: "head" }, row.icon, row.word, row.bed_name), row.text, row.state, el("div", { class: "acts" }, row.ack, row.accept, row.reject, row.pause));
    this.rows.set(id, row);
    return row;
  }

  fill(row, alarm, bed, frame) {
    if (row.shape !== shape(alarm)) {
      row.shape = shape(alarm);
      row.icon.replaceChildren(icon(row.shape));
    }
    row.alarm = alarm;
    row.bed = bed;
    mark(row.node, "data-colour", colour(alarm));
    mark(row.node, "data-flash", flashing(alarm));
    mark(row.node, "data-signal", alarm.signal);
    mark(row.node, "data-covered", alarm.covered);
    say(row.word, word(alarm));
    say(row.bed_name, (bed.session?.mode === "drill" ? "DRILL " : "") + bedLabel(frame, bed.id));
    mark(row.bed_name, "href", bed.session ? `/sessions/${bed.session.id}` : null);
    const text = plainly(alarm.text, alarm.since);
    say(row.text, text);
    const now = serverNow();
    const words = [`for ${age((now - alarm.since) / 1000)}`, signalWords(alarm, now)];
    if (alarm.owner) words.push(`taken by ${alarm.owner}`);
    else if (alarm.ownership === "offered") words.push("offered, nobody has it yet");
    else if (alarm.ownership === "exhausted") words.push("NOBODY HAS ACCEPTED IT");
    say(row.state, words.filter(Boolean).join(" · "));
    say(row.ack, alarm.signal === "latched" ? "Seen" : "Ack");
    hide(row.ack, !mayCare(bed) || !needsPerson(alarm) || alarm.covered);
    hide(row.accept, !mayCare(bed) || alarm.covered || !["offered", "exhausted"].includes(alarm.ownership));
    hide(row.reject, !this.detail || !mayCare(bed) || !(alarm.ownership === "offered" || alarm.owner === me.name));
    hide(row.pause, !this.detail || !mayCare(bed) || alarm.covered || !alarm.pausable || alarm.signal === "alarm_paused" || alarm.signal === "latched");
    mark(row.ack, "aria-label", `${row.ack.textContent === "Ack" ? "Acknowledge" : "Seen"}: ${alarm.priority} ${bedLabel(frame, bed.id)} ${text}`);
  }
}

/** Say new alarms to those who listen instead of looking; each once. */
export class Announcer {
  constructor(node) {
    this.node = node;
    this.said = new Set();
  }

  /** Returns whether something new signals. */
  draw(frame) {
    let fresh = false;
    const known = new Set();
    for (const { alarm, bed } of everyAlarm(frame)) {
      const name = `${alarm.id} ${alarm.priority} ${alarm.signal}`;
      known.add(name);
      if (!signals(alarm) || this.said.has(name)) continue;
      fresh = true;
      this.node.textContent = `${word(alarm)} ${bedLabel(frame, bed.id)}: ${plainly(alarm.text, alarm.since)}`;
    }
    this.said = known;
    return fresh;
  }
}
