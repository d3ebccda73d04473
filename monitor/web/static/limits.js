// Limits of a session: in force, worst-case delay, and a change in two steps.

import { $, el, icon } from "./dom.js";
import { get, may, post, toast } from "./api.js";
import { ask } from "./dialog.js";
import { age, hm, unit } from "./words.js";

const bed = $("#limits-page").dataset.bed;

async function draw() {
  let found;
  try {
    found = await get(`/beds/${bed}/limits`);
  } catch (fault) {
    $("#free").hidden = false;
    $("#free").textContent = fault.message;
    return;
  }
  $("#limits tbody").replaceChildren(...found.limits.map(row));
}

function sign(one) {
  if (one.side === "low") return one.inclusive ? "≤" : "<";
  return one.inclusive ? "≥" : ">";
}

function row(one) {
  const parts = Object.entries(one.delay.parts).map(([name, seconds]) => `${name} ${age(seconds)}`);
  const floor = one.delay.floor !== undefined ? ` · at ${one.delay.floor} and below: ${age(one.delay.floor_s)}` : "";
  const inForce = one.value !== null ? `${sign(one)} ${one.value} ${unit(one.unit)}` : one.state;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, `${one.label} ${one.side}`, el("br"), el("small", { class: "dim" }, one.id)),
    el("td", {}, one.annotation ? el("span", { class: "tag" }, "chart only") : el("span", { class: "tag", "data-colour": one.priority }, one.priority)),
    el("td", {}, one.state === "off" ? icon("bell-off", "off") : null, ` ${inForce}`, one.live ? null : el("small", { class: "dim" }, " (not in this phase)")),
    el("td", { class: "dim" }, one.preset === null ? "from baseline" : String(one.preset)),
    el("td", { title: parts.join(" + ") }, one.annotation ? "–" : `${age(one.delay.worst_s)}${floor}`),
    el("td", { class: "dim" }, one.source),
    el("td", {}, one.change ? `${one.change.by}, ${hm(Date.parse(one.change.at))}: ${one.change.reason}` : "–"),
    el("td", {}, may("limits") ? el("button", { type: "button", "aria-label": `Change ${one.id}`, onclick: () => propose(one) }, "Change") : null),
  );
}

async function propose(one) {
  let proposal;
  const first = await ask({
    title: `${one.label} ${one.side}, ${one.priority}`,
    text: `Now: ${one.value ?? one.state}. The sensible range is checked.`,
    fields: [
      { name: "on", label: "Limit", choose: [{ value: "on", label: "on" }, { value: "off", label: "OFF (crossed bell, reminders)" }], value: one.state === "off" ? "off" : "on" },
      { name: "value", label: "New value", unit: unit(one.unit), type: "number", value: one.value ?? one.preset ?? "", required: false, focus: true },
      { name: "reason", label: "Reason" },
    ],
    yes: "Next",
    act: async (given) => {
      proposal = await post(`/beds/${bed}/limits/propose`, { limit_id: one.id, value: given.on === "on" ? given.value : null, on: given.on === "on", reason: given.reason });
    },
  });
  if (!first || !proposal) return;
  const done = await ask({ title: "Confirm the change", text: proposal.words, yes: "Yes, change it", danger: true, act: () => post(`/beds/${bed}/limits/confirm`, { token: proposal.token }) });
  if (done) toast("The limit is changed.");
  draw();
}

draw();
