// The list of sessions and its search.

import { $, el } from "./dom.js";
import { get, toast } from "./api.js";
import { date, hm, span } from "./words.js";

const form = $("#search");
const given = new URLSearchParams(location.search);
for (const [name, value] of given) if (form[name]) form[name].value = value;

async function search() {
  const asked = new URLSearchParams();
  for (const name of ["code", "protocol", "had_alarms", "mode"]) if (form[name].value) asked.set(name, form[name].value);
  if (form.from.value) asked.set("from_at", `${form.from.value}T00:00:00`);
  if (form.to.value) asked.set("to_at", `${form.to.value}T23:59:59`);
  const { sessions } = await get(`/sessions?${asked}`);
  $("#none").hidden = sessions.length > 0;
  $("#found tbody").replaceChildren(...sessions.map(row));
}

function row(one) {
  const started = Date.parse(one.started_at);
  const ended = one.ended_at ? Date.parse(one.ended_at) : null;
  return el(
    "tr",
    { class: one.mode === "drill" ? "drill-row" : false },
    el("td", {}, el("a", { href: `/sessions/${one.session_id}` }, `${date(started)} ${hm(started)}`)),
    el("td", {}, one.bed_id),
    el("td", {}, one.patient_code),
    el("td", {}, one.protocol),
    el("td", {}, ended ? span((ended - started) / 1000) : el("span", { class: "tag" }, "running")),
    el("td", {}, one.alarms ? el("span", { class: "tag", "data-colour": one.high ? "high" : "medium" }, `${one.alarms}${one.high ? `, ${one.high} high` : ""}`) : "none"),
    el("td", {}, one.signed_by || "–"),
    el("td", {}, el("a", { href: `/sessions/${one.session_id}#download` }, "open")),
  );
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search().catch((fault) => toast(fault.message, true));
});
search().catch((fault) => toast(fault.message, true));
