// Devices: when last heard, what they say of themselves, and the hand-over from bed to bed.

import { $, el } from "./dom.js";
import { change, get, may, toast } from "./api.js";
import { ask } from "./dialog.js";
import { current, onFrame, serverNow } from "./live.js";
import { LABELS, age } from "./words.js";

async function draw() {
  const { devices } = await get("/admin/devices");
  const frame = current();
  const now = serverNow();
  $("#devices tbody").replaceChildren(
    ...devices.map((one) => {
      const beds = [["", "no bed"], ...(frame?.beds || []).map((bed) => [bed.id, frame.labels[bed.id]?.label || bed.id])];
      const pick = el("select", { "aria-label": `Bed of ${one.id}`, disabled: !may("care") }, beds.map(([value, label]) => el("option", { value, selected: value === one.bed }, label)));
      pick.addEventListener("change", () => handOver(one, pick.value, pick));
      const says = [one.online === false ? "offline" : "", ...one.faults, Math.abs(one.skew_s) > 5 ? `clock ${Math.round(one.skew_s)} s off` : ""].filter(Boolean);
      return el("tr", {}, el("th", { scope: "row" }, one.id), el("td", {}, one.metrics.map((name) => LABELS[name] || name).join(", ")), el("td", {}, one.format), el("td", {}, one.seen ? `${age((now - one.seen) / 1000)} ago` : "never"), el("td", {}, says.join(", ") || "–"), el("td", {}, pick));
    }),
  );
}

async function handOver(one, bed, pick) {
  const to = pick.selectedOptions[0].textContent;
  const from = one.bed ? ` from ${one.bed_label}` : "";
  const sure = await ask({
    title: "Hand over a device",
    text: `${one.id} goes${from} to ${to}. From now on its readings belong to whoever is there.`,
    yes: "Hand over",
    act: () => (bed ? change("POST", `/beds/${bed}/devices/${one.id}`) : change("DELETE", `/beds/${one.bed}/devices/${one.id}`)),
  });
  if (sure) toast(`${one.id} serves ${to} now.`);
  draw().catch((fault) => toast(fault.message, true));
}

let begun = false;
onFrame(() => {
  if (begun) return;
  begun = true;
  draw().catch((fault) => toast(fault.message, true));
});
setInterval(() => {
  if (begun && !document.querySelector("dialog[open]") && document.activeElement?.tagName !== "SELECT") draw().catch(() => {});
}, 5000);
