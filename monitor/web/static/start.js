// Begin a session: code, protocol, a look at what the devices say, and one tap.

import { $, $$, el } from "./dom.js";
import { post } from "./api.js";
import { onFrame, serverNow } from "./live.js";
import { standing } from "./tile.js";
import { LABELS, age, number } from "./words.js";

const form = $("#start");
const bedId = form.dataset.bed;

onFrame((frame) => {
  const bed = frame.beds.find((one) => one.id === bedId);
  if (!bed) return;
  if (bed.session) location.replace(`/sessions/${bed.session.id}`);
  const now = serverNow();
  const rows = [check(bed.devices.length > 0, bed.devices.length ? `devices here: ${bed.devices.join(", ")}` : "no device serves this bed (see Devices)")];
  for (const name of ["spo2", "pulse_rate", "nibp_systolic"]) {
    const one = bed.numbers[name];
    const stands = standing(one, now);
    rows.push(check(stands, stands ? `${LABELS[name]} ${number(one.value)} (${age((now - one.at) / 1000)} ago)` : `${LABELS[name]}: nothing yet`));
  }
  const health = frame.health;
  if (health.broker) rows.push(check(health.broker === "connected", `broker ${health.broker}`));
  if (health.annunciators !== undefined) rows.push(check(health.annunciators > 0, `${health.annunciators} pages with proved sound`));
  $("#checks").replaceChildren(...rows);
});

function check(good, text) {
  return el("li", {}, el("strong", {}, good ? "✓ " : "– "), text);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = $("button[type=submit]", form);
  button.disabled = true;
  $("#wrong").textContent = "";
  try {
    const answer = await post(`/beds/${bedId}/start`, {
      patient_code: form.patient_code.value,
      protocol: form.protocol.value,
      mode: form.drill?.checked ? "drill" : "real",
      without: $$("input[name=without]:checked", form).map((one) => one.value),
      reason: form.reason.value,
    });
    if (answer) location.href = `/sessions/${answer.session_id}`;
  } catch (refusal) {
    $("#wrong").textContent = refusal.message;
  }
  button.disabled = false;
});
