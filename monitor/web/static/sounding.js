// A page that sounds: the button in its bar, the red strip while it is silent, and alarms as they come.
//
// Law: only a page that loads this counts as heard (AL-35), and it then sounds for every alarm of the house.

import { $, el, mark, say } from "./dom.js";
import { Announcer, everyAlarm, signals } from "./alarms.js";
import { leaseNow, proveSound } from "./live.js";
import { Sound } from "./sound.js";
import { strip } from "./page.js";

export const sound = new Sound();
const announcer = new Announcer($("#said"));
const button = $("#sound");
const switchOn = el("button", { type: "button", onclick: () => button.click() }, "Switch sound on");
proveSound(() => sound.running());
window.afterwatchSound = sound;

/** With every frame: sound for the worst alarm that signals. */
export function sounds(frame) {
  const fresh = announcer.draw(frame);
  const heard = everyAlarm(frame).find(({ alarm }) => signals(alarm));
  sound.frame(heard ? heard.alarm.priority : "", fresh);
  drawSound();
}

function drawSound() {
  const running = sound.running();
  mark(button, "aria-pressed", String(running));
  say($("span", button), running ? "Sound on" : "Sound off");
  mark($("use", button), "href", running ? "#bell" : "#bell-off");
  strip("sound", running ? "" : "NO SOUND on this page: alarms are shown, not heard.", "soundless", switchOn);
}

/** Switch on after a person's gesture; returns whether the test tone was measured. */
export async function switchSoundOn() {
  const proved = await sound.unlock();
  localStorage.setItem("sound", "on");
  leaseNow();
  drawSound();
  return proved;
}

button.addEventListener("click", async () => {
  if (!sound.running()) return switchSoundOn();
  await sound.off();
  localStorage.removeItem("sound");
  leaseNow();
  return drawSound();
});

// A page that was heard before asks again; the browser may want a gesture first, then any touch is one.
if (localStorage.getItem("sound") === "on") {
  const again = async () => {
    if (!sound.running() && (await sound.unlock())) {
      leaseNow();
      drawSound();
    }
  };
  again();
  addEventListener("pointerdown", again, { once: true });
  addEventListener("keydown", again, { once: true });
}
