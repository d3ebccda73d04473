// The overview page: asks every two seconds, and greys itself when nothing came for five. What sites say is text,
// never markup.
"use strict";

const ASK_MS = 2000;
const STALE_MS = 5000;
const STATES = {
  live: "live",
  unwell: "live, not well",
  silent: "SILENT",
  offline: "OFFLINE",
  stopped: "stopped",
  unknown: "NOT HEARD",
};
let heardAt = 0;

function cell(row, text, kind) {
  const made = row.insertCell();
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function age(seconds) {
  if (seconds === null) return "no beat heard yet";
  return `last beat ${seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} ago`;
}

function since(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime()) ? "" : ` (${at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })})`;
}

function words(alarm) {
  const drill = alarm.mode === "drill" ? "DRILL " : "";
  const taken = alarm.acknowledged_by ? `, acknowledged by ${alarm.acknowledged_by}` : "";
  return `${drill}${alarm.priority.toUpperCase()} ${alarm.bed}: ${alarm.text || alarm.rule}${since(alarm.onset_at)}${taken}`;
}

function draw(said) {
  const body = document.getElementById("rows");
  body.replaceChildren();
  for (const one of said.rows) {
    const row = body.insertRow();
    row.dataset.site = one.site;
    row.dataset.state = one.state;
    cell(row, one.site, "site");
    cell(row, `${STATES[one.state] || one.state}${one.state === "live" ? "" : `, ${age(one.heard_s)}`}`, `state ${one.state}`);
    const real = one.worst && one.worst.mode !== "drill";
    const kind = one.worst ? `${real ? one.worst.priority : "drill"} ${one.worst.kind}` : "";
    cell(row, one.worst ? words(one.worst) : "none", one.worst ? `alarm ${kind}` : "none");
    const counted = Object.entries(one.counts).filter(([, count]) => count);
    cell(row, counted.map(([priority, count]) => `${count} ${priority}`).join(", "));
    cell(row, `${one.in_session} of ${one.beds}`);
  }
  const lost = ["silent", "offline", "unknown"].reduce((sum, state) => sum + (said.states[state] || 0), 0);
  document.getElementById("sum").textContent = `${said.sites} sites, ${said.high} high alarms, ${lost} not heard`;
  document.title = `${said.high ? `(${said.high}) ` : ""}Afterwatch: sites`;
  const more = document.getElementById("more");
  more.hidden = said.sites <= said.rows.length;
  more.textContent = `${said.rows.length} of ${said.sites} sites are shown, the worst first.`;
  tell(said.linked ? "" : `No line to the central broker (${said.reason}). Nothing below is known to be so now.`);
}

function tell(trouble) {
  const line = document.getElementById("trouble");
  line.hidden = !trouble;
  line.textContent = trouble;
  document.body.classList.toggle("stale", Boolean(trouble));
}

async function ask() {
  try {
    const reply = await fetch("/overview.json", { cache: "no-store", signal: AbortSignal.timeout(4000) });
    if (!reply.ok) throw new Error(String(reply.status));
    draw(await reply.json());
    heardAt = Date.now();
  } catch {
    if (Date.now() - heardAt > STALE_MS) tell("This page hears nothing from its server. Nothing below is known to be so now.");
  }
}

ask();
setInterval(ask, ASK_MS);
