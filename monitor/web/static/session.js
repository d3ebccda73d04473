// One session: what is now, what there is to do, and everything that was.

import { $, $$, el, icon, mark, say } from "./dom.js";
import { doing, get, may, post, toast } from "./api.js";
import { ask } from "./dialog.js";
import { AlarmList, Announcer, acknowledge, acknowledgeMilder, mayCare, milder, needsPerson } from "./alarms.js";
import { SessionChart } from "./chart.js";
import { reach } from "./lines.js";
import { onFrame, serverNow } from "./live.js";
import { fill, numeric, standing, taskWords } from "./tile.js";
import { LABELS, age, date, hm, hms, number, outcome, plainly, span } from "./words.js";
import "./page.js";

const root = $("#session");
const id = root.dataset.id;
const bedId = root.dataset.bed;
const live = Boolean(root.dataset.live);
const mayRemark = may("care") || (may("drill") && root.dataset.mode === "drill");
const scales = JSON.parse(root.dataset.scales);
const SCALE_WORDS = { moaas: "MOAA/S (5 awake … 0 no response)", dissociation: "Dissociation (0 none … 4 extreme)", nausea: "Nausea (0 none … 3 severe)" };
let bed = null;

for (const one of $$("time[data-time]")) say(one, `${date(Date.parse(one.dataset.time))} ${hm(Date.parse(one.dataset.time))}`);

// --- chart ----------------------------------------------------------------------------------------------

const chart = new SessionChart(
  { rate: $("#chart-rate"), spo2: $("#chart-spo2") },
  (time) => {
    pointed = time;
    say($("#readout"), time === null ? hint : chart.words(time));
  },
  async (from, to) => (await get(`/sessions/${id}/traces?from_at=${iso(from)}&to_at=${iso(to)}`)).traces,
);
const iso = (seconds) => new Date(seconds * 1000).toISOString();
const hint = "Point at the chart to read it; drag to look closer; double click for all.";
let pointed = null;
let loaded = false;
let pointedAt = null;

export async function load() {
  const begun = performance.now();
  const found = await get(`/sessions/${id}/chart`);
  window.chartFetchMs = performance.now() - begun;
  const drawn = performance.now();
  chart.load(found);
  requestAnimationFrame(() => setTimeout(() => (window.chartPaintMs = performance.now() - drawn)));
  loaded = true;
  window.sessionChart = chart;
  say($("#readout"), hint);
  drawValues();
  past(found.marks);
}

$("#zoom-in").addEventListener("click", () => chart.scale(0.6));
$("#zoom-out").addEventListener("click", () => chart.scale(1 / 0.6));
$("#zoom-all").addEventListener("click", () => chart.zoom(null));
$("#zoom-last").addEventListener("click", () => chart.zoom([chart.to - 1800, chart.to]));
document.addEventListener("theme", () => chart.paint());
$("#chart-rate").addEventListener("click", () => {
  pointedAt = pointed;
});

// --- now -------------------------------------------------------------------------------------------------

const shown = { spo2: numeric("SpO₂", "spo2"), pulse_rate: numeric("PR", "pulse_rate"), pressure: numeric("BP", "pressure"), heart_rate: numeric("HR", "heart_rate"), respiration_rate: numeric("RR", "respiration_rate"), etco2: numeric("etCO₂", "etco2"), temperature: numeric("Temp", "temperature") };
const list = live ? new AlarmList($("#alarms"), { only: (_, where) => where.id === bedId, detail: true }) : null;
const announcer = new Announcer($("#said"));
if (live) $("#now").append(shown.spo2.node, shown.pulse_rate.node, shown.pressure.node, shown.heart_rate.node, shown.respiration_rate.node, shown.etco2.node, shown.temperature.node);

$("#all")?.addEventListener("click", () => acknowledgeMilder(bed, $("#all")));

let lastPhase = "";

function draw(frame) {
  bed = frame.beds.find((one) => one.id === bedId);
  if (!bed) return;
  if (bed.session?.id !== id) {
    if (loaded) location.reload();
    return;
  }
  const now = serverNow();
  const session = bed.session;
  drawNumbers(now);
  drawHead(session, now);
  list.draw(frame);
  announcer.draw({ beds: [bed], station: null, labels: frame.labels });
  const waiting = milder(bed);
  $("#all").hidden = waiting.length < 2 || !mayCare(bed);
  say($("#all"), `Acknowledge all ${waiting.length} low and medium`);
  drawCriteria(session);
  drawDoses(session);
  const care = mayCare(bed);
  $("#actions").hidden = $("#leaving").hidden = $("#annotate").hidden = !care;
  say($('[data-act="pause"]'), bed.pause ? `Sound again (${span((bed.pause.until - now) / 1000)})` : "Pause sound");
  mark($("#limb"), "aria-pressed", String(session.same_limb));
  const hold = session.held.map((name) => LABELS[name] || name).join(", ");
  $("#hold").hidden = !hold;
  say($("#hold"), hold ? `HOLD: ${hold} above the protocol's line before the dose. Measure again; a dose now needs a reason.` : "");
  if (loaded) {
    if (session.phase !== lastPhase && lastPhase) load();
    else {
      const begun = performance.now();
      chart.append(bed.numbers, now);
      window.chartAppendMs = performance.now() - begun;
    }
  }
  lastPhase = session.phase;
}

function drawNumbers(now) {
  const numbers = bed.numbers;
  fill(shown.spo2, numbers.spo2, now);
  for (const name of ["pulse_rate", "heart_rate", "respiration_rate", "etco2", "temperature"]) {
    shown[name].node.hidden = !numbers[name] && name !== "pulse_rate";
    fill(shown[name], numbers[name], now);
  }
  const { nibp_systolic: systolic, nibp_diastolic: diastolic } = numbers;
  fill(shown.pressure, systolic && { ...systolic, priority: systolic.priority || diastolic?.priority || "" }, now, `${number(systolic?.value)}/${standing(diastolic, now) ? number(diastolic.value) : "--"}`);
}

function drawHead(session, now) {
  for (const step of $$("#steps li")) mark(step, "aria-current", step.dataset.phase === session.phase ? "step" : null);
  const figures = [
    ["Since start", span((now - session.started) / 1000)],
    ["Since first dose", session.first_dose ? span((now - session.first_dose) / 1000) : "no dose yet"],
    ["Next", taskWords(session, now) || "nothing due"],
    ["Cuff due at", session.cuff_due ? hm(session.cuff_due) : "no cadence"],
    ["Baseline BP", session.baseline.nibp_systolic ? `${number(session.baseline.nibp_systolic)}/${number(session.baseline.nibp_diastolic)}` : session.phase === "baseline" ? "none yet" : "none"],
  ];
  if (session.without.length) figures.push(["Not measured", session.without.map((name) => LABELS[name] || name).join(", ")]);
  const box = $("#figures");
  if (box.children.length !== figures.length) box.replaceChildren(...figures.map(() => el("div", {}, el("dt"), el("dd"))));
  figures.forEach(([name, text], n) => {
    say(box.children[n].children[0], name);
    say(box.children[n].children[1], text);
  });
}

// The criteria are asked for, not sent to every wall: when the count of those met changes, and now and then.
let criteria = [];
let criteriaOf = "";
let criteriaText = "";

async function askCriteria() {
  criteria = (await get(`/beds/${bedId}`)).criteria;
  if (bed?.session) drawCriteria(bed.session);
}

function drawCriteria(session) {
  const of = JSON.stringify([session.ready, session.phase, Math.floor(serverNow() / 5000)]);
  if (of !== criteriaOf) {
    criteriaOf = of;
    askCriteria().catch(() => {});
  }
  const text = JSON.stringify([criteria, mayCare(bed)]);
  if (text === criteriaText) return;
  criteriaText = text;
  const signs = { met: "✓", "not met": "✗", "not measured": "–" };
  $("#criteria").replaceChildren(
    ...criteria.map((one) =>
      el(
        "li",
        {},
        el("span", { class: "sign", "data-answer": one.answer, title: one.answer }, signs[one.answer]),
        el("span", {}, one.label, el("span", { class: "visually-hidden" }, `: ${one.answer}`)),
        el("small", {}, plainly(one.words, serverNow())),
        one.kind === "asked" && mayCare(bed) ? el("span", { class: "yes-no" }, answer(one, true), answer(one, false)) : null,
        one.kind === "score" && mayCare(bed) ? el("span", { class: "yes-no" }, el("button", { type: "button", "aria-label": `Score: ${one.label}`, onclick: () => ACTS.score(null, one.scale) }, "Score")) : null,
      ),
    ),
  );
}

function answer(one, met) {
  const button = el("button", { type: "button", "aria-label": `${one.label}: ${met ? "yes" : "no"}` }, met ? "Yes" : "No");
  button.addEventListener("click", () => doing(button, () => post(`/beds/${bedId}/answer`, { criterion: one.id, met })).then(askCriteria));
  return button;
}

let dosesText = "";
function drawDoses(session) {
  const text = JSON.stringify([session.doses, mayCare(bed)]);
  if (text === dosesText) return;
  dosesText = text;
  $("#doses").replaceChildren(
    ...(session.doses.length ? session.doses : [null]).map((dose) =>
      dose === null
        ? el("li", { class: "none" }, el("span"), el("span", {}, "No dose recorded"))
        : el(
            "li",
            {},
            el("span", { class: "sign" }, "●"),
            el("span", { class: dose.withdrawn ? "struck" : "" }, `${dose.amount_mg} mg ${dose.route}, ${hm(dose.at)}`),
            el("small", {}, dose.withdrawn ? `struck: ${dose.withdrawn}` : `by ${dose.by}`),
            !dose.withdrawn && mayCare(bed) ? el("span", { class: "yes-no" }, el("button", { type: "button", onclick: () => strike(dose) }, "Wrong?")) : null,
          ),
    ),
  );
}

const strike = (dose) =>
  ask({
    title: "Strike this dose",
    text: `${dose.amount_mg} mg ${dose.route} at ${hm(dose.at)} was recorded by mistake. It stays in the record, struck through.`,
    fields: [{ name: "reason", label: "Reason", focus: true }],
    yes: "Strike",
    danger: true,
    act: (given) => post(`/beds/${bedId}/dose/withdraw`, { at: dose.exact, reason: given.reason }),
  });

// --- what a person does ------------------------------------------------------------------------------------

const ago = { name: "ago", label: "When", choose: [["0", "now"], ["1", "1 min ago"], ["2", "2 min ago"], ["5", "5 min ago"], ["10", "10 min ago"], ["15", "15 min ago"], ["30", "30 min ago"]].map(([value, label]) => ({ value, label })), value: "0" };
const at = (given) => (given.ago === "0" ? null : new Date(serverNow() - Number(given.ago) * 60_000).toISOString());
const USUAL_MG = { in: 56, iv: 40, im: 40 };

const ACTS = {
  dose: () =>
    ask({
      title: "Record a dose",
      text: bed.session.held.length ? "The hold prompt stands: say why the dose was given." : "",
      fields: [
        { name: "amount_mg", label: "Amount", unit: "mg", type: "number", value: lastDose(), min: 0.1, max: 1000, focus: true },
        { name: "route", label: "Route", choose: [["in", "nasal"], ["iv", "intravenous"], ["im", "intramuscular"], ["sc", "subcutaneous"], ["po", "by mouth"]].map(([value, label]) => ({ value, label })), value: root.dataset.route },
        ago,
        { name: "reason", label: "Reason", required: bed.session.held.length > 0, hint: bed.session.held.length ? "" : "only if something is unusual" },
      ],
      yes: "Record",
      act: (given) => post(`/beds/${bedId}/dose`, { amount_mg: given.amount_mg, route: given.route, reason: given.reason, at: at(given) }),
    }),
  "dosing-end": (button) =>
    ask({ title: "Dosing ended", text: "The infusion stopped, or the last device was used.", fields: [ago], yes: "Yes, ended", act: (given) => post(`/beds/${bedId}/dosing-end`, { at: at(given) }) }).then(() => button.focus()),
  manual: () =>
    ask({
      title: "Measured by hand",
      text: "Fill in what was measured; leave the rest empty.",
      fields: [
        ["nibp_systolic", "Systolic", "mmHg"],
        ["nibp_diastolic", "Diastolic", "mmHg"],
        ["pulse_rate", "Pulse", "/min"],
        ["spo2", "SpO₂", "%"],
        ["respiration_rate", "Respiration", "/min"],
      ]
        .map(([name, label, unit]) => ({ name, label, unit, type: "number", required: false }))
        .concat([ago]),
      yes: "Record",
      act: ({ ago: when, ...values }) => {
        const given = Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
        if (!Object.keys(given).length) throw new Error("Give at least one value.");
        return post(`/beds/${bedId}/manual`, { values: given, at: at({ ago: when }) });
      },
    }),
  score: (_, scale = "") =>
    ask({
      title: "Score",
      fields: [
        { name: "scale", label: "Scale", value: scale, choose: Object.keys(scales).map((name) => ({ value: name, label: SCALE_WORDS[name] || name })) },
        { name: "value", label: "Score", type: "number", step: 1, min: 0, max: 5, focus: true },
      ],
      yes: "Record",
      act: (given) => post(`/beds/${bedId}/score`, given),
    }),
  note: () => note(null),
  pause: (button) => doing(button, () => post(`/beds/${bedId}/audio/${bed.pause ? "resume" : "pause"}`, {})),
  limb: (button) => doing(button, () => post(`/beds/${bedId}/same-limb`, { same: !bed.session.same_limb })),
  ready: async () => {
    await askCriteria().catch(() => {});
    const open = criteria.filter((one) => one.answer !== "met");
    return ask({
      title: "Confirm readiness",
      text: open.length ? "Not met:" : "Every criterion of the protocol is met.",
      lines: open.map((one) => `${one.label} (${plainly(one.words, serverNow())})`),
      fields: open.length ? [{ name: "reason", label: "Reason to confirm all the same", focus: true }] : [],
      yes: "Confirm",
      act: (given) => post(`/beds/${bedId}/ready`, { reason: given.reason || "" }),
    });
  },
  end: () =>
    ask({
      title: "End the session",
      text: bed.session.phase === "ready" ? "The patient leaves; watching ends." : "Readiness is not confirmed: give a reason.",
      fields: bed.session.phase === "ready" ? [] : [{ name: "reason", label: "Reason", focus: true }],
      yes: "End",
      danger: true,
      act: async (given) => {
        await post(`/beds/${bedId}/end`, { reason: given.reason || "" });
        setTimeout(() => location.reload(), 300);
      },
    }),
};

function lastDose() {
  const given = bed.session.doses.filter((one) => !one.withdrawn);
  return given.length ? given[given.length - 1].amount_mg : USUAL_MG[root.dataset.route] || "";
}

function note(time) {
  return ask({
    title: time ? `Note at ${hms(time * 1000)}` : "Note",
    fields: [
      { name: "kind", label: "Kind", choose: [["symptom", "Symptom"], ["intervention", "Intervention"], ["note", "Note"]].map(([value, label]) => ({ value, label })) },
      { name: "text", label: "Text", type: "textarea", focus: true },
      ...(time ? [] : [ago]),
    ],
    yes: "Write down",
    act: ({ ago: when, ...given }) => post(`/beds/${bedId}/note`, { ...given, at: time ? iso(time) : at({ ago: when }) }),
  }).then(() => load());
}

for (const button of $$("[data-act]")) button.addEventListener("click", () => bed && ACTS[button.dataset.act](button));
$("#annotate").addEventListener("click", () => note(pointedAt ?? chart.to));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName) || $("dialog[open]")) return;
  const name = event.key.toLowerCase();
  if (name === "a" && bed) {
    const first = bed.alarms.find((one) => needsPerson(one));
    if (first) acknowledge(bed, first, null);
  }
  if (name === "n" && bed && mayCare(bed)) note(pointed ?? null);
  if (name === "d" && bed && mayCare(bed)) ACTS.dose();
});

// --- tabs ---------------------------------------------------------------------------------------------------

const tabs = $$('[role="tab"]');
function choose(tab) {
  for (const one of tabs) {
    const on = one === tab;
    one.setAttribute("aria-selected", String(on));
    one.tabIndex = on ? 0 : -1;
    $(`#${one.getAttribute("aria-controls")}`).hidden = !on;
  }
  ({ "tab-values": drawValues, "tab-log": drawLog, "tab-compare": compare, "tab-whatif": whatIf })[tab.id]();
}
for (const tab of tabs) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
    next.focus();
    choose(next);
  });
}

const SLOT_S = 300;
function drawValues() {
  if (!loaded) return;
  const names = ["heart_rate", "pulse_rate", "spo2"].filter((name) => chart.lines[name].at.length);
  const heads = ["Five minutes to", ...names.map((name) => LABELS[name]), "BP (at)"];
  $("#values thead").replaceChildren(el("tr", {}, heads.map((text) => el("th", { scope: "col" }, text))));
  const rows = [];
  for (let slot = chart.from; slot < chart.to; slot += SLOT_S) {
    const end = Math.min(slot + SLOT_S, chart.to);
    const bar = [...chart.bars].reverse().find((one) => one.at > slot && one.at <= end);
    const cells = names.map((name) => reach(chart.lines[name].within(slot, end)));
    rows.push([hm(end * 1000), ...cells, bar ? `${number(bar.high)}/${number(bar.low)} (${hm(bar.at * 1000)})` : "–"]);
  }
  $("#values tbody").replaceChildren(...rows.reverse().map((cells) => el("tr", {}, cells.map((text, n) => el(n ? "td" : "th", n ? { class: "n" } : { scope: "row" }, text)))));
}

// What people wrote down and may have got wrong; a dose of a running session is struck instead.
const CORRECTABLE = new Set(["SessionStarted", "DoseRecorded", "ManualRecorded", "ScoreRecorded", "NoteRecorded", "Answered", "ReadinessConfirmed", "DispositionRecorded"]);

const logged = new Map();
let lastId = 0;
async function drawLog() {
  const { entries } = await get(`/sessions/${id}/log?after=${lastId}`);
  for (const one of entries) {
    lastId = one.id;
    const row = entryRow(one);
    logged.set(one.id, row);
    $("#log tbody").prepend(row);
    const wrong = one.outcome === "RecordCorrected" && logged.get(one.detail.entry_id);
    if (!wrong) continue;
    wrong.classList.add("corrected");
    $(".why", wrong).append(el("small", { class: "right" }, `right: ${one.detail.text} (${one.by}: ${one.reason})`));
  }
}

function entryRow(one) {
  const colour = one.kind === "technical" && one.priority === "low" ? "technical" : one.priority;
  const value = one.value === null ? "" : String(one.value);
  const scored = one.detail.values ? Object.entries(one.detail.values).map(([name, of]) => `${LABELS[name] || name} ${of}`).join(", ") : "";
  const why = one.outcome === "RecordCorrected" ? `${one.detail.text} (${one.reason})` : one.reason || one.detail.disposition || one.detail.phase || scored || [one.detail.scale, value, one.detail.route].filter(Boolean).join(" ");
  const button = CORRECTABLE.has(one.outcome) && mayRemark ? el("button", { type: "button", class: "quiet wrong-button", onclick: () => correct(one) }, "Wrong?") : null;
  return el(
    "tr",
    { "data-entry": one.id },
    el("td", {}, hms(Date.parse(one.at))),
    el("td", {}, el("span", { class: "tag", "data-colour": colour || false }, `${outcome(one.outcome)}${one.priority ? ` · ${one.priority}` : ""}`)),
    el("td", { class: "why" }, el("span", { class: "said" }, plainly(why, Date.parse(one.at)))),
    el("td", {}, one.by),
    el("td", {}, button),
  );
}

function correct(one) {
  const dose = one.outcome === "DoseRecorded" && bed?.session?.id === id && bed.session.doses.find((given) => !given.withdrawn && given.exact === one.detail.given_at);
  if (dose) return strike(dose).then(drawLog);
  return ask({
    title: "Correct an entry",
    text: `${outcome(one.outcome)}, ${hms(Date.parse(one.at))}. The entry stays in the record; the correction stands beside it with your name.`,
    fields: [
      { name: "text", label: "What is right", type: "textarea", focus: true },
      { name: "reason", label: "Why the entry is wrong" },
    ],
    yes: "Correct",
    act: (given) => post(`/sessions/${id}/corrections`, { entry_id: one.id, ...given }),
  }).then(drawLog);
}

setInterval(() => {
  if (live && !$("#panel-log").hidden) drawLog().catch(() => {});
  if (live && !$("#panel-values").hidden) drawValues();
}, 5000);

// --- earlier sessions of the patient --------------------------------------------------------------------------

async function compare() {
  const box = $("#panel-compare");
  box.replaceChildren(el("p", { class: "dim" }, "Looking …"));
  const code = (await get(`/sessions/${id}`)).patient_code;
  const { sessions } = await get(`/sessions?code=${encodeURIComponent(code)}&limit=6`);
  const same = sessions.filter((one) => one.patient_code === code);
  const rows = await Promise.all(
    same.map(async (one) => {
      const found = await get(`/sessions/${one.session_id}/chart`);
      const series = Object.fromEntries(found.traces.map((trace) => [trace.metric, trace]));
      const dose = found.marks.find((m) => m.what === "DoseRecorded");
      const first = dose ? dose.at / 1000 : found.from / 1000;
      const systolic = series.nibp_systolic || { at: [], values: [] };
      const before = systolic.values.filter((_, n) => systolic.at[n] <= first);
      const peak = Math.max(...systolic.values.filter((value) => value !== null));
      const low = Math.min(...(series.spo2?.values || []).filter((value) => value !== null));
      return { one, before: before[before.length - 1], peak, low, alarms: one.alarms, first, systolic };
    }),
  );
  const table = el(
    "table",
    {},
    el("thead", {}, el("tr", {}, ["Date", "Protocol", "Systolic before", "Highest", "Rise", "Lowest SpO₂", "Alarms"].map((text) => el("th", { scope: "col" }, text)))),
    el(
      "tbody",
      {},
      rows.map(({ one, before, peak, low, alarms }) =>
        el("tr", {}, el("td", {}, one.session_id === id ? `${date(Date.parse(one.started_at))} (this one)` : el("a", { href: `/sessions/${one.session_id}` }, date(Date.parse(one.started_at)))), el("td", {}, one.protocol), ...[before, peak, before && Number.isFinite(peak) ? peak - before : null, low, alarms].map((value) => el("td", { class: "n" }, Number.isFinite(value) ? String(value) : "–"))),
      ),
    ),
  );
  box.replaceChildren(el("p", { class: "dim" }, same.length > 1 ? "All sessions kept under this code." : "No earlier session is kept under this code."), table, el("div", { id: "compare-chart" }));
  if (same.length > 1) overlay($("#compare-chart"), rows);
}

function overlay(box, rows) {
  const minutes = [...new Set(rows.flatMap((row) => row.systolic.at.map((at) => Math.round((at - row.first) / 60))))].sort((a, b) => a - b);
  const columns = rows.map((row) => {
    const by = new Map(row.systolic.at.map((at, n) => [Math.round((at - row.first) / 60), row.systolic.values[n]]));
    return minutes.map((minute) => by.get(minute));
  });
  const ink = getComputedStyle(document.documentElement);
  const dim = ink.getPropertyValue("--dim");
  const strong = ink.getPropertyValue("--link");
  const axis = { stroke: dim, grid: { stroke: ink.getPropertyValue("--line") } };
  new uPlot({ width: box.clientWidth - 20, height: 200, title: "Systolic since the first dose (min)", scales: { x: { time: false } }, axes: [axis, axis], series: [{ label: "min" }, ...rows.map((row) => ({ label: date(Date.parse(row.one.started_at)), stroke: row.one.session_id === id ? strong : dim, width: row.one.session_id === id ? 3 : 1.2, spanGaps: true }))] }, [minutes, ...columns], box);
}

// --- other limits -----------------------------------------------------------------------------------------------

async function whatIf() {
  const box = $("#panel-whatif");
  if (box.firstChild) return;
  const { limits } = await get(`/sessions/${id}/what-if`);
  const inputs = limits.filter((one) => one.limit !== null && !one.annotation).map((one) => ({ ...one, input: el("input", { type: "number", step: "any", value: one.limit, "aria-label": one.id }) }));
  const result = el("div", { role: "status" });
  const button = el("button", { type: "button", class: "main" }, "What would have been?");
  button.addEventListener("click", () =>
    doing(button, async () => {
      const changed = Object.fromEntries(inputs.filter((one) => one.input.value !== "" && Number(one.input.value) !== one.limit).map((one) => [one.id, Number(one.input.value)]));
      const found = await post(`/sessions/${id}/what-if`, { limits: changed });
      result.replaceChildren(el("h3", {}, `${found.before} alarms with the limits as they are, ${found.after} with these`), rows("Lost", found.lost), rows("Gained", found.gained));
    }),
  );
  box.replaceChildren(
    el("p", { class: "dim" }, "The session is played again through the same alarm logic with other limits. Nothing is changed by it."),
    el("div", { class: "row" }, inputs.map((one) => el("label", {}, el("span", {}, `${LABELS[one.metric] || one.metric} ${one.side} (${one.priority})`), one.input))),
    button,
    result,
  );
  function rows(title, alarms) {
    return el("div", {}, el("h3", {}, `${title}: ${alarms.length}`), el("ul", {}, alarms.map((one) => el("li", {}, `${hms(one.at)} ${one.priority}: ${plainly(one.reason, one.at)}`))));
  }
}

// --- the finished record ------------------------------------------------------------------------------------------

const DISPOSITIONS = { actionable: "needed action", known: "true, but known", artefact: "artefact", drill: "drill" };
const CODES = [["", "not said yet"], ...JSON.parse(root.dataset.dispositions).map((name) => [name, DISPOSITIONS[name] || name])];

function past(marks) {
  const box = $("#past");
  if (!box) return;
  const raised = marks.filter((one) => one.what === "AlarmRaised");
  const acks = new Map(marks.filter((one) => one.what === "AlarmAcknowledged").map((one) => [one.alarm, one]));
  const ends = new Map(marks.filter((one) => one.what === "AlarmEnded").map((one) => [one.alarm, one]));
  box.replaceChildren(
    ...raised.map((one) => {
      const ack = acks.get(one.alarm);
      const end = ends.get(one.alarm);
      const words = [hms(one.at), end ? `for ${age((end.at - one.at) / 1000)}` : "", ack ? `known to ${ack.by} after ${age((ack.at - one.at) / 1000)}` : "not acknowledged"];
      const low = one.kind === "technical" && one.priority === "low";
      const pick = el("select", { "aria-label": `What this alarm was: ${plainly(one.reason, one.at)}` }, CODES.map(([value, label]) => el("option", { value }, label)));
      pick.addEventListener("change", () => pick.value && doing(null, () => post(`/sessions/${id}/alarms/${one.alarm}/disposition`, { code: pick.value }), "Written down."));
      return el("li", { class: "alarm", "data-colour": low ? "technical" : one.priority }, el("div", { class: "head" }, el("span", { class: "shape" }, icon(low ? "shape-technical" : `shape-${one.priority}`)), el("strong", { class: "word" }, one.priority.toUpperCase())), el("span", { class: "text" }, plainly(one.reason, one.at)), el("span", { class: "state" }, words.filter(Boolean).join(" · ")), mayRemark ? pick : null);
    }),
  );
  if (!raised.length) box.replaceChildren(el("li", { class: "none" }, "No alarms"));
}

$("#sign")?.addEventListener("click", () =>
  ask({
    title: "Sign this record",
    text: "You have read this record. Your name and the time stand in it from now on.",
    yes: "Sign",
    act: async () => {
      const done = await post(`/sessions/${id}/sign`, {});
      if (done) location.reload();
    },
  }),
);

load().catch((fault) => toast(fault.message, true));
if (live) onFrame(draw);
else mark($("#steps li[data-phase=ended]"), "aria-current", "step");

