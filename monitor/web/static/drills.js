// The drill console: scripts, runs on free beds, changes while they run, and the score after.

import { $, el } from "./dom.js";
import { doing, get, post, toast } from "./api.js";
import { ask } from "./dialog.js";
import { current } from "./live.js";

const INJECT = [
  ["spo2", "SpO₂ of the patient (%)"],
  ["nibp_systolic", "systolic of the patient (mmHg)"],
  ["pulse_rate", "pulse of the patient (/min)"],
  ["probe_off", "SpO₂ probe off"],
  ["probe_on", "SpO₂ probe on again"],
  ["cuff_error", "cuff fails"],
  ["device_offline", "device goes offline"],
  ["device_online", "device comes back"],
];
let drawn = "";

async function draw() {
  const found = await get("/drills");
  const text = JSON.stringify(found);
  if (text === drawn) return;
  drawn = text;
  $("#cannot").hidden = found.can_run;
  $("#runs").replaceChildren(...(found.runs.length ? found.runs.map(run) : [el("p", { class: "dim" }, "None yet.")]));
  $("#drills").replaceChildren(...(found.drills.length ? found.drills.map((one) => card(one, found)) : [el("p", { class: "dim" }, "No drill is configured.")]));
}

function card(one, found) {
  const steps = (one.script || one.steps || []).map((step) => el("li", {}, typeof step === "string" ? step : Object.entries(step).map(([name, value]) => `${name}: ${value}`).join(", ")));
  const button = el("button", { type: "button", class: "main", disabled: !found.can_run || !found.free.length, onclick: () => begin(one, found.free) }, "Run");
  return el("details", { class: "card" }, el("summary", {}, el("strong", {}, one.title || one.name), ` ${one.what || one.description || ""}`), el("ol", {}, steps), button);
}

const label = (bed) => current()?.labels[bed]?.label || bed;

const begin = (one, free) =>
  ask({
    title: `Run: ${one.title || one.name}`,
    fields: [{ name: "bed", label: "On", choose: free.map((bed) => ({ value: bed, label: label(bed) })) }],
    yes: "Run the drill",
    act: async (given) => {
      await post("/drills/runs", { name: one.name, beds: [given.bed] });
      draw();
    },
  });

function run(one) {
  const going = one.state === "running";
  const stop = el("button", { type: "button", class: "danger" }, "Stop");
  stop.addEventListener("click", () => doing(stop, () => post(`/drills/runs/${one.id}/stop`), "Stopped.").then(draw));
  const score = one.score ? el("dl", { class: "figures" }, Object.entries(one.score).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))) : null;
  return el("section", { class: "card" }, el("h3", {}, el("span", { class: "drill" }, "DRILL"), ` ${one.name} · ${(one.beds || []).map(label).join(", ")} · ${one.state} · by ${one.by}`), score, going ? el("div", { class: "row" }, el("button", { type: "button", onclick: () => inject(one) }, "Change something now"), stop) : null);
}

const inject = (one) =>
  ask({
    title: "Change something now",
    fields: [
      { name: "what", label: "What", choose: INJECT.map(([value, text]) => ({ value, label: text })) },
      { name: "value", label: "Value", type: "number", required: false },
    ],
    yes: "Do it",
    act: (given) => post(`/drills/runs/${one.id}/inject`, given),
  });

draw().catch((fault) => toast(fault.message, true));
setInterval(() => !document.querySelector("dialog[open]") && draw().catch(() => {}), 2000);
