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

async function health() {
  const found = await get("/admin/health");
  const rows = [...Object.entries(found.health), ...Object.entries(found.wall).map(([name, value]) => [`wall ${name}`, value])];
  $("#health").replaceChildren(...rows.map(([name, value]) => el("div", {}, el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, Array.isArray(value) ? value.join(", ") || "none" : String(value ?? "–")))));
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
