// Begin a session: code, protocol, a look at what the devices say, and one tap.
//
// Law: what is proved already is not asked for again, and what is not never keeps a session from beginning (AL-51).

import { $, $$, el, icon, say } from "./dom.js";
import { doing, get, post } from "./api.js";
import { onFrame, serverNow } from "./live.js";
import { burst } from "./sound.js";
import { sound, sounds, switchSoundOn } from "./sounding.js";
import { standing } from "./tile.js";
import { LABELS, age, hm, number } from "./words.js";

const form = $("#start");
const bedId = form.dataset.bed;
const screen = (localStorage.screen ||= Math.random().toString(36).slice(2));

let known = "";

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
  $("#checks").replaceChildren(...rows);
  sounds(frame);
  const seen = `${health.annunciators} ${health.dead_channels}`;
  if (known !== seen) {
    known = seen;
    proofs();
  }
});

// --- the start-up test ------------------------------------------------------------------------------------

async function proofs() {
  const { by, at, missing } = await get(`/start-up?screen=${encodeURIComponent(screen)}`);
  const proved = at ? [check(true, `light and sound of this screen: seen and heard by ${by} at ${hm(at)}`)] : [];
  const whole = check(true, "sound and messages reach people");
  $("#proofs").replaceChildren(...proved, ...(missing.length ? missing.map((one) => check(false, one)) : [whole]));
  $("#test").hidden = Boolean(at);
  $("#override").hidden = !missing.length;
  form.override.required = missing.length > 0 && !form.drill?.checked;
}

$("#play").addEventListener("click", () =>
  doing($("#play"), async () => {
    const lights = [["high", "HIGH"], ["medium", "MEDIUM"], ["low", "LOW"], ["technical", "LOW, technical"]];
    $("#lights").replaceChildren(...lights.map(([colour, words]) => el("li", { class: "alarm", "data-colour": colour, "data-flash": colour === "high" || colour === "medium" }, el("div", { class: "head" }, el("span", { class: "shape" }, icon(`shape-${colour}`)), el("strong", { class: "word" }, words), el("span", {}, "TEST, no patient")))));
    $("#signals").hidden = false;
    const proved = await switchSoundOn();
    if (proved) burst(sound.context, sound.meter, "high", sound.context.currentTime + 0.8);
    say($("#heard-words"), proved ? "Four lights, a short tone, and the tones of a high alarm: seen and heard? If not, turn the sound up and test again." : "This browser gives no sound: is its volume off, is it muted?");
    $("#heard").hidden = !proved;
    say($("#play"), "Test again");
  }),
);

$("#heard").addEventListener("click", () =>
  doing($("#heard"), async () => {
    const done = await post("/start-up", { screen });
    if (done) await proofs();
    return done;
  }),
);
form.drill?.addEventListener("change", () => proofs());

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
      screen,
      override: form.override.value,
    });
    if (answer) location.href = `/sessions/${answer.session_id}`;
  } catch (refusal) {
    $("#wrong").textContent = refusal.message;
    proofs();
  }
  button.disabled = false;
});
