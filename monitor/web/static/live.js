// The wall's frames, and the page's own judgement whether they still come.
//
// Law: what the server does not confirm is not shown as now. After five seconds without a frame every number
// leaves the page, whatever the reason (AL-37). Time is the server's, carried by this page's own clock.

const LOST_AFTER_MS = 5000;
const RETRY_MS = [200, 500, 1000, 2000, 3000];
const LEASE_EVERY_MS = 5000;

const pageId = Math.random().toString(36).slice(2, 12);
const listeners = new Set();
const lostListeners = new Set();

let frame = null;
let arrivedAt = 0;
let arrivedWall = 0;
let lost = true;
let socket = null;
let tries = 0;
let leasedAt = 0;
let sounding = () => false;

/** The server's clock now, in milliseconds since 1970. */
export const serverNow = () => (frame ? frame.at + (performance.now() - arrivedAt) : Date.now());
export const current = () => frame;
export const isLost = () => lost;

/** Call back with every frame, and once a second while none comes. */
export function onFrame(listener) {
  listeners.add(listener);
  if (frame) listener(frame);
}

export function onLost(listener) {
  lostListeners.add(listener);
}

/** Say how the page proves that it can be heard; asked with every lease. */
export function proveSound(proof) {
  sounding = proof;
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/api/v1/wall`);
  socket.addEventListener("message", (message) => take(JSON.parse(message.data)));
  socket.addEventListener("close", (closing) => {
    if (closing.code === 4401) {
      location.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
      return;
    }
    setTimeout(connect, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
  });
}

function take(next) {
  frame = next;
  arrivedAt = performance.now();
  arrivedWall = Date.now();
  tries = 0;
  if (lost) setLost(false);
  lease();
  for (const listener of listeners) listener(frame);
}

// Leases go out with frames, not by a timer: a hidden page's timers sleep, its socket does not.
function lease() {
  if (performance.now() - leasedAt < LEASE_EVERY_MS || socket.readyState !== WebSocket.OPEN) return;
  leasedAt = performance.now();
  socket.send(JSON.stringify({ page: pageId, sounding: sounding() }));
}

/** Lease at once: the sound was just switched on or off. */
export function leaseNow() {
  leasedAt = -Infinity;
  if (socket?.readyState === WebSocket.OPEN) lease();
}

function setLost(value) {
  lost = value;
  document.body.classList.toggle("lost", lost);
  for (const listener of lostListeners) listener(lost);
  if (lost && frame) for (const listener of listeners) listener(frame);
}

function look() {
  // Two clocks: one may sleep with the machine, the other may be set by a person.
  const silent = Math.max(performance.now() - arrivedAt, Date.now() - arrivedWall);
  if (!lost && silent > LOST_AFTER_MS) {
    setLost(true);
    socket?.close();
  }
}

document.addEventListener("visibilitychange", look);
setInterval(look, 250);
connect();
