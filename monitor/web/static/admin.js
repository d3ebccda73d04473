// People, audit and system, for admins.

import { $, $$, el } from "./dom.js";
import { change, doing, get, toast } from "./api.js";
import { ask } from "./dialog.js";
import { date, hms, outcome, plainly } from "./words.js";

const ROLES = ["nurse", "clinician", "operator", "admin"];
const when = (text) => `${date(Date.parse(text))} ${hms(Date.parse(text))}`;
const cells = (...texts) => el("tr", {}, texts.map((text) => el("td", {}, text)));
const failed = (fault) => toast(fault.message, true);

// --- people ----------------------------------------------------------------------------------------------

async function people() {
  const { users } = await get("/admin/users");
  $("#users tbody").replaceChildren(
    ...users.map((one) => {
      const set = (body) => doing(null, () => change("PATCH", `/admin/users/${encodeURIComponent(one.name)}`, body), "Changed.").then(people);
      const roles = ROLES.map((role) => {
        const box = el("input", { type: "checkbox", checked: one.roles.includes(role), "aria-label": `${one.name}: ${role}` });
        box.addEventListener("change", () => set({ roles: ROLES.filter((name) => (name === role ? box.checked : one.roles.includes(name))) }));
        return el("span", { class: "key" }, box, role, " ");
      });
      const duty = el("input", { type: "checkbox", checked: one.on_duty, "aria-label": `${one.name}: on duty` });
      duty.addEventListener("change", () => set({ on_duty: duty.checked }));
      return el(
        "tr",
        {},
        el("th", { scope: "row" }, one.name),
        el("td", {}, roles),
        el("td", {}, duty),
        el("td", {}, one.has_pin ? el("button", { type: "button", onclick: () => set({ forget_pin: true }) }, "Take away") : "none"),
        el("td", {}, one.has_factor ? el("button", { type: "button", onclick: () => set({ forget_factor: true }) }, "Take away") : "none"),
        el("td", { class: "row" }, el("button", { type: "button", onclick: () => password(one) }, "New password"), el("button", { type: "button", class: "danger", onclick: () => remove(one) }, "Remove")),
      );
    }),
  );
}

const password = (one) => ask({ title: `New password for ${one.name}`, text: "All their sign-ins end.", fields: [{ name: "password", label: "Password", type: "password" }], yes: "Set", act: (given) => change("PATCH", `/admin/users/${encodeURIComponent(one.name)}`, given) });
const remove = (one) => ask({ title: `Remove ${one.name}`, text: "Their sign-ins end now. What they did stays in the record.", yes: "Remove", danger: true, act: () => change("DELETE", `/admin/users/${encodeURIComponent(one.name)}`) }).then(people);

if ($("#users")) {
  people().catch(failed);
  const form = $("#add");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { name: form.elements.name.value, password: form.password.value, roles: [form.role.value] };
    if (await doing($("button", form), () => change("POST", "/admin/users", body), "Added.")) form.reset();
    people();
  });
}

// --- audit -------------------------------------------------------------------------------------------------

async function audit() {
  const form = $("#filter");
  const asked = new URLSearchParams(["by", "what", "bed"].map((name) => [name, form[name].value]));
  if (form.elements.from.value) asked.set("from_at", `${form.elements.from.value}T00:00:00`);
  const found = await get(`/admin/audit?${asked}`);
  const whole = found.chain === "whole";
  $("#chain").textContent = whole ? "✓ The chain is whole: no line was altered or removed." : `✗ The chain is broken: ${found.chain}.`;
  $("#chain").className = whole ? "" : "wrong";
  $("#ledger tbody").replaceChildren(...found.ledger.map((one) => cells(String(one.number), when(one.at), one.by, one.what, one.detail)));
  $("#deeds tbody").replaceChildren(...found.deeds.map((one) => cells(when(one.at), one.by, outcome(one.outcome), one.bed_id, plainly(one.reason, Date.parse(one.at)))));
}

if ($("#filter")) {
  audit().catch(failed);
  $("#filter").addEventListener("submit", (event) => {
    event.preventDefault();
    audit().catch(failed);
  });
}

// --- system ------------------------------------------------------------------------------------------------

// What the self-check tells, in words and units; what has no row here stands at the end by its own name.
const HEALTH = {
  broker: ["Broker"],
  journal: ["Record"],
  annunciators: ["Pages with proved sound"],
  dead_channels: ["Channels that fail"],
  disk_free_bytes: ["Disk free", "GB", 1e-9],
  journal_bytes: ["Journal", "MB", 1e-6],
  messages_delivered: ["Messages delivered"],
  messages_unsettled: ["Messages under way"],
  mirror_lag_seconds: ["Mirror behind", "s"],
  mirror_points_refused: ["Mirror refused"],
  clock_drift_s: ["Clock set since the start by", "s"],
  clock_synchronised: ["Clock kept by a time server"],
  clock_error_s: ["… wrong by at most", "s"],
  sign_ins_refused: ["Sign-ins refused"],
  links_lost: ["Link to the broker lost"],
  loop_age_s: ["Loop last came round", "s ago"],
  messages_waiting: ["Messages waiting"],
  batches_waiting: ["Batches waiting for the disk"],
  slowest_commit_s: ["Slowest commit", "s"],
  self_check_s: ["Self-check took", "s"],
  received: ["Readings received"],
  stored: ["… stored"],
  repeated: ["… sent twice"],
  quarantined: ["… not understood"],
  alarms_raised: ["Alarms raised"],
  commits: ["Commits"],
  pages: ["Walls that look"],
  frame: ["Frames made"],
  build_ms: ["A frame takes", "ms"],
  dropped: ["Slow pages let go"],
  version: ["Version"],
  boot_id: ["Run"],
};
const told = (value, unit = "", factor = 1) => (Array.isArray(value) ? value.join(", ") || "none" : typeof value === "boolean" ? (value ? "yes" : "no") : value === null || value === "" ? "–" : `${typeof value === "number" && !Number.isInteger(value * factor) ? Number((value * factor).toPrecision(3)) : value} ${unit}`.trim());

async function health() {
  const { health: found, wall } = await get("/admin/health");
  const { ok, ...said } = { ...found, ...wall };
  const names = [...Object.keys(HEALTH).filter((name) => name in said), ...Object.keys(said).filter((name) => !(name in HEALTH))];
  const row = (name, text, wrong = false) => el("div", {}, el("dt", {}, name), el("dd", { class: wrong ? "wrong" : "" }, text));
  $("#health").replaceChildren(row("All in all", ok ? "✓ as it should be" : "✗ look below", !ok), ...names.map((name) => row((HEALTH[name] || [name.replaceAll("_", " ")])[0], told(said[name], ...(HEALTH[name] || []).slice(1)))));
}

if ($("#health")) {
  health().catch(failed);
  setInterval(() => health().catch(() => {}), 2000);
  get("/admin/quarantine")
    .then(({ quarantine }) => $("#quarantine tbody").replaceChildren(...(quarantine.length ? quarantine.map((one) => cells(when(one.at), one.topic, one.reason, String(one.payload).slice(0, 200))) : [cells("empty", "", "", "")])))
    .catch(failed);
  const button = $("#test-routes");
  button.addEventListener("click", () =>
    doing(button, async () => {
      const { targets } = await change("POST", "/admin/routes/test");
      $("#targets").replaceChildren(el("ul", {}, targets.map((one) => el("li", {}, Object.values(one).join(" · ")))));
    }),
  );
}

for (const link of $$(".tabs a")) if (link.getAttribute("href") === location.pathname) link.setAttribute("aria-current", "page");
