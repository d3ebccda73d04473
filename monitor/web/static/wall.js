// The wall: tiles in room order, alarms with the high ones first, and the sound.

import { $, say } from "./dom.js";
import { get, me } from "./api.js";
import { AlarmList, RANK, everyAlarm, signals } from "./alarms.js";
import { current, onFrame, serverNow } from "./live.js";
import { sounds } from "./sounding.js";
import { Tile } from "./tile.js";
import "./page.js";

const tiles = new Map();
const box = $("#tiles");
const list = new AlarmList($("#alarms"));
const order = $("#order");

// --- tiles ----------------------------------------------------------------------------------------------

function draw(frame) {
  const begun = performance.now();
  for (const bed of frame.beds) {
    let tile = tiles.get(bed.id);
    if (!tile) {
      tile = new Tile(bed.id, frame.labels[bed.id]?.label || bed.id, recall);
      tiles.set(bed.id, tile);
      box.append(tile.node);
      laid = false;
    }
    tile.draw(bed, frame);
  }
  arrange(frame);
  list.draw(frame);
  const count = everyAlarm(frame).filter(({ alarm }) => !alarm.covered).length;
  say($("#count"), count ? String(count) : "");
  sounds(frame);
  window.wallDrawMs = performance.now() - begun;
}

/** Ask for the past of a tile's line. What a device kept comes after its session: an empty past is asked for again. */
async function recall(tile, tries = 3) {
  try {
    const { lines } = await get(`/beds/${tile.id}/trend`);
    tile.recall(lines);
    const lasted = serverNow() - (tile.bed.session?.started ?? Infinity);
    if (!lines.spo2 && lasted > 60_000 && tries > 1) setTimeout(recall, 5000, tile, tries - 1);
  } catch {
    /* the line begins now */
  }
}

function arrange(frame) {
  const urgent = order.value === "urgency";
  const worst = (bed) => Math.max(0, ...bed.alarms.map((one) => RANK[one.priority] * 2 + signals(one)));
  const sorted = urgent ? [...frame.beds].sort((a, b) => worst(b) - worst(a)) : frame.beds;
  sorted.forEach((bed, place) => {
    const node = tiles.get(bed.id).node;
    if (node.style.order !== String(place)) node.style.order = String(place);
  });
  if (!laid) lay();
}

// Columns and rows fill the screen: the tile whose shape is nearest to 3:2 wins.
let laid = false;
function lay() {
  const width = box.clientWidth;
  const height = box.clientHeight;
  const count = tiles.size;
  if (!count || !width) return;
  laid = true;
  const narrow = matchMedia("(max-width: 700px)").matches;
  let best = { columns: 1, fit: -Infinity };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const scale = Math.min(width / columns / 1.45, height / rows);
    if (scale > best.fit) best = { columns, rows, fit: scale };
  }
  const small = narrow || best.fit < 125;
  const columns = narrow ? 1 : small ? Math.max(1, Math.floor(width / 230)) : best.columns;
  box.style.setProperty("--columns", columns);
  box.classList.toggle("scrolls", small);
  box.classList.toggle("tall", !small && width / columns < 1.2 * (height / best.rows));
  requestAnimationFrame(measure);
}

/** Tell the sheet how large a tile has become, and each tile how large its line is; all tiles are alike. */
function measure() {
  const { clientWidth, clientHeight } = tiles.values().next().value.node;
  box.style.setProperty("--w", `${clientWidth / 100}px`);
  box.style.setProperty("--h", `${clientHeight / 100}px`);
  box.classList.toggle("tiny", clientHeight < 165);
  for (const tile of tiles.values()) tile.measure();
}
new ResizeObserver(() => {
  laid = false;
  lay();
}).observe(box);
document.addEventListener("theme", () => {
  for (const tile of tiles.values()) tile.measure();
});

order.value = localStorage.getItem("order") || "room";
order.addEventListener("change", () => {
  localStorage.setItem("order", order.value);
  if (current()) draw(current());
});

// --- keyboard: A acknowledges the first alarm that waits, P pauses the sound of its bed -------------------

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName) || $("dialog[open]")) return;
  if (event.key.toLowerCase() === "a") $("#alarms .ack:not([hidden])")?.click();
  if (event.key.toLowerCase() === "p") {
    const first = current() && everyAlarm(current()).find(({ alarm }) => signals(alarm));
    if (first) tiles.get(first.bed.id)?.pauseOrResume();
  }
});

onFrame(draw);
export { me };
