// The drill console: scripts, runs on free beds, changes while they run, and the score after.

import { $, el } from "./dom.js";
import { doing, get, post, toast } from "./api.js";
import { ask } from "./dialog.js";

const INJECT = [
  ["apnoea", "Patient stops breathing"],
  ["laryngospasm", "Patient: laryngospasm"],
  ["surge", "Patient: pressure surge"],
  ["vasovagal", "Patient faints"],
  ["vomiting", "Patient vomits"],
  ["movement", "Patient moves"],
  ["probe_off", "SpO₂ probe falls off"],
  ["low_perfusion", "SpO₂ probe: low perfusion"],
  ["cuff_error", "Cuff fails"],
  ["cuff_leak", "Cuff leaks"],
  ["battery_low", "Battery low"],
  ["offline", "Device goes offline"],
];
const GOING = "running";
let drawn = "";

async function draw() {
  const found = await get("/drills");
  const text = JSON.stringify(found);
  if (text === drawn) return;
  drawn = text;
  labels = found.labels;
  $("#cannot").hidden = found.can_run;
  $("#runs").replaceChildren(...(found.runs.length ? found.runs.map(run) : [el("p", { class: "dim" }, "None since the monitor started.")]));
  const open = new Set([...document.querySelectorAll("#drills details[open]")].map((one) => one.dataset.name));
  $("#drills").replaceChildren(...(found.drills.length ? found.drills.map((one) => card(one, found, open.has(one.name))) : [el("p", { class: "dim" }, "No drill is configured.")]));
}

const scripts = new Map();

function card(one, found, open) {
  const script = el("pre", { class: "script" }, scripts.get(one.name) || "…");
  const button = el("button", { type: "button", class: "main", disabled: !found.can_run || !found.free.length, onclick: () => begin(one, found.free) }, found.free.length ? "Run on a free bed" : "No bed is free");
  const node = el("details", { class: "card", "data-name": one.name, open }, el("summary", {}, el("strong", {}, one.title || one.name), el("span", { class: "dim" }, ` ${one.teaches || ""}`)), script, button);
  node.addEventListener("toggle", async () => {
    if (!node.open || scripts.has(one.name)) return;
    try {
      scripts.set(one.name, (await get(`/drills/${one.name}`)).script);
      script.textContent = scripts.get(one.name);
    } catch (fault) {
      toast(fault.message, true);
    }
  });
  return node;
}

let labels = {};
const label = (bed) => labels[bed] || bed;

const begin = (one, free) =>
  ask({
    title: `Run: ${one.title || one.name}`,
    text: "A session in mode drill begins on the bed, and ends with the drill.",
    fields: [
      { name: "bed", label: "On", choose: free.map((bed) => ({ value: bed, label: label(bed) })) },
      ...(free.length > 1 ? [{ name: "second", label: "And on", required: false, choose: [{ value: "", label: "no second bed" }, ...free.map((bed) => ({ value: bed, label: label(bed) }))], hint: "only for drills of two beds" }] : []),
    ],
    yes: "Run the drill",
    act: async (given) => {
      await post("/drills/runs", { name: one.name, beds: [given.bed, given.second].filter(Boolean) });
      draw();
    },
  });

function run(one) {
  const stop = el("button", { type: "button", class: "danger" }, "Stop");
  stop.addEventListener("click", () => doing(stop, () => post(`/drills/runs/${one.id}/stop`, {}), "Stopped; it is scored as far as it went.").then(draw));
  const links = Object.entries(one.sessions || {}).map(([bed, session]) => el("a", { href: `/sessions/${session}` }, `${label(bed)}: the record`));
  const said = (one.steps || []).filter((line) => line.trim());
  return el(
    "section",
    { class: "card run" },
    el("h3", {}, el("span", { class: "drill" }, "DRILL"), ` ${one.title || one.name} · ${(one.beds || []).map(label).join(", ")} · ${one.state} · by ${one.by}`),
    one.score ? score(one.score) : null,
    said.length ? el("details", { open: one.state === GOING }, el("summary", {}, "What was said"), el("ol", { class: "said-lines" }, said.slice(-12).map((line) => el("li", {}, line)))) : null,
    el("div", { class: "row" }, one.state === GOING ? [el("button", { type: "button", onclick: () => inject(one) }, "Change something now"), stop] : null, links),
  );
}

/** What the monitor should have said, what nobody expected, and what staff did; roles are named, nobody is ranked. */
function score(card) {
  const sign = { true: "✓", false: "✗", null: "–" };
  const row = (one, who) => el("tr", {}, el("td", { class: one.met === false ? "wrong" : "" }, sign[String(one.met)]), el("td", {}, who || one.role), el("td", {}, one.what), el("td", {}, one.text), el("td", { class: "n" }, one.seconds === null ? "" : `${Math.round(one.seconds)} s`));
  const rows = [...card.raised.map((one) => row(one, "monitor")), ...card.forbidden.map((one) => row(one, "monitor, never")), ...card.unexpected.map((one) => row({ ...one, met: false }, "not expected")), ...card.staff.map((one) => row(one))];
  return el("table", { class: "score" }, el("caption", { class: "visually-hidden" }, "Score"), el("thead", {}, el("tr", {}, ["", "Who", "What", "How it was", "After"].map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, rows));
}

const inject = (one) =>
  ask({
    title: "Change something now",
    fields: [
      ...(one.beds.length > 1 ? [{ name: "bed", label: "On", choose: one.beds.map((bed) => ({ value: bed, label: label(bed) })) }] : []),
      { name: "what", label: "What", choose: INJECT.map(([value, text]) => ({ value, label: text })) },
      { name: "seconds", label: "For", unit: "s", type: "number", value: 60, min: 1, max: 3600 },
    ],
    yes: "Do it",
    act: (given) => post(`/drills/runs/${one.id}/inject`, given),
  });

draw().catch((fault) => toast(fault.message, true));
setInterval(() => !document.querySelector("dialog[open]") && draw().catch(() => {}), 2000);
