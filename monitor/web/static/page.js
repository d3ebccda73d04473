// What every page has: clock, theme, who is here, and the strip that says when the monitor is silent.

import { $, $$, el, mark, say } from "./dom.js";
import { change, doing, may, me, wake } from "./api.js";
import { current, isLost, onFrame, onLost, serverNow } from "./live.js";
import { hms, span } from "./words.js";

for (const link of $$("[data-nav]")) {
  const here = link.dataset.nav === "/" ? location.pathname === "/" : location.pathname.startsWith(link.dataset.nav);
  if (here) link.setAttribute("aria-current", "page");
}

$("#theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  document.dispatchEvent(new CustomEvent("theme"));
});

// --- strips: what is wrong with the whole --------------------------------------------------------------

const strips = new Map();

/** Show or take away a strip over the page; `text` empty takes it away. */
export function strip(name, text, kind = "technical", action = null) {
  let node = strips.get(name);
  if (!text) {
    node?.remove();
    strips.delete(name);
    return;
  }
  if (!node) {
    node = el("div", { class: `strip ${kind}`, role: "alert" }, el("span", { class: "text" }), action);
    strips.set(name, node);
    $("#strips").append(node);
  }
  node.className = `strip ${kind}`;
  say($(".text", node), text);
}

let silentSince = Date.now();
onLost((lost) => {
  if (lost) silentSince = Date.now() - 5000;
  drawLost();
});

function drawLost() {
  const waiting = !current() && Date.now() - silentSince < 5000;
  strip("lost", isLost() && !waiting ? `CONNECTION LOST for ${span((Date.now() - silentSince) / 1000)}: no numbers are shown. Look at the bedside monitors.` : "", "high");
}

onFrame((frame) => {
  const health = frame.health || {};
  strip("broker", health.broker && health.broker !== "connected" ? `The broker is ${health.broker}: nothing arrives from the devices.` : "", "high");
  strip("journal", health.journal && health.journal !== "durable" ? "The record is not durable: the disk refuses." : "", "medium");
  strip("stalled", health.loop_age_s > 2 ? "The monitor's loop has stalled: look at the bedside monitors." : "", "high");
  const drill = frame.beds.some((bed) => bed.session?.mode === "drill");
  document.body.classList.toggle("has-drill", drill);
});

setInterval(() => {
  const time = isLost() ? "--:--:--" : hms(serverNow());
  say($("#clock"), time);
  mark($("#clock"), "data-long", time.length > 8);
  drawLost();
  drawPerson();
}, 500);

// --- who is here ----------------------------------------------------------------------------------------

function drawPerson() {
  const awake = me.awake_until > Date.now();
  say($("#person-name"), awake ? me.name : `${me.name} (away)`);
  mark($("#person"), "data-away", !awake);
  const emergency = me.emergency_until > Date.now();
  strip("emergency", emergency ? `EMERGENCY READING by ${me.name}, for ${span((me.emergency_until - Date.now()) / 1000)}. It is written down.` : "", "medium");
}
document.addEventListener("person", drawPerson);
drawPerson();

$("#person").addEventListener("click", () => menu());

function menu() {
  const dialog = el("dialog", { "aria-label": "Who is here", class: "menu" });
  const leave = (what) => () => {
    dialog.close();
    what();
  };
  dialog.append(
    el("h2", {}, me.name),
    el("p", { class: "dim" }, `${me.roles.join(", ")}${me.on_duty ? " · on duty" : ""}`),
    el("button", { type: "button", onclick: leave(() => wake("")) }, "Someone else is here (PIN)"),
    may("care") ? el("button", { type: "button", onclick: leave(duty) }, me.on_duty ? "End my duty" : "Begin my duty") : "",
    el("a", { class: "button", href: "/me" }, "My sign-in"),
    el(
      "button",
      {
        type: "button",
        onclick: leave(async () => {
          await doing(null, () => change("POST", "/sign-out"));
          location.href = "/sign-in";
        }),
      },
      "Sign out of this station",
    ),
    el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Close"),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/** Alarms are offered to those on duty. */
function duty() {
  const on = !me.on_duty;
  return doing(null, async () => Object.assign(me, await change("POST", "/me/duty", { on_duty: on })), on ? "You are on duty: alarms are offered to you." : "You are off duty.");
}

// A sign of life, at most once a minute, keeps the right to change things; it never wakes who was away.
let aliveAt = 0;
async function alive() {
  if (Date.now() - aliveAt < 60_000 || me.awake_until < Date.now()) return;
  aliveAt = Date.now();
  try {
    Object.assign(me, await change("POST", "/me/active"));
  } catch {
    /* the next touch tries again */
  }
}
for (const name of ["pointerdown", "keydown"]) addEventListener(name, alive, { passive: true });
