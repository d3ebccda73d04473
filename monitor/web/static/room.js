// A tablet beside the patient: values, discreetly. It never sounds, flashes or names a number alarming.

import { $, say } from "./dom.js";
import { onFrame, serverNow } from "./live.js";
import { fill, numeric, standing } from "./tile.js";
import { PHASES, number } from "./words.js";

const bedId = $("#room").dataset.bed;
const spo2 = numeric("SpO₂", "spo2");
const pulse = numeric("PR", "pulse");
const pressure = numeric("BP", "pressure");
$("#numbers").append(spo2.node, pulse.node, pressure.node);
const calm = (one) => one && { ...one, priority: "" };

onFrame((frame) => {
  const bed = frame.beds.find((one) => one.id === bedId);
  if (!bed) return;
  const now = serverNow();
  const { nibp_systolic: systolic, nibp_diastolic: diastolic } = bed.numbers;
  fill(spo2, calm(bed.numbers.spo2), now);
  fill(pulse, calm(bed.numbers.heart_rate || bed.numbers.pulse_rate), now);
  fill(pressure, calm(systolic), now, `${number(systolic?.value)}/${standing(diastolic, now) ? number(diastolic.value) : "--"}`);
  $("#room-drill").hidden = bed.session?.mode !== "drill";
  say($("#room-phase"), bed.session ? PHASES[bed.session.phase] : "No session");
});
