// All alarms now, with a filter; and how they were.

import { $, el } from "./dom.js";
import { get } from "./api.js";
import { AlarmList, bedLabel, needsPerson } from "./alarms.js";
import { current, onFrame } from "./live.js";
import { age } from "./words.js";

const filters = { priority: $("#f-priority"), kind: $("#f-kind"), state: $("#f-state"), bed: $("#f-bed") };
const list = new AlarmList($("#alarms"), {
  detail: true,
  only: (alarm, bed) => {
    const state = filters.state.value;
    const fits = !state || (state === "waiting" && needsPerson(alarm) && alarm.signal !== "latched") || (state === "known" && alarm.signal === "acknowledged") || (state === "latched" && alarm.signal === "latched");
    return fits && [["priority", alarm.priority], ["kind", alarm.kind], ["bed", bed.id]].every(([name, value]) => !filters[name].value || filters[name].value === value);
  },
});

onFrame((frame) => {
  if (filters.bed.options.length === 1) for (const bed of [...frame.beds, { id: "station" }]) filters.bed.append(el("option", { value: bed.id }, bedLabel(frame, bed.id)));
  list.draw(frame);
});
for (const filter of Object.values(filters)) filter.addEventListener("change", () => current() && list.draw(current()));

if ($("#kpis")) {
  get("/kpis")
    .then((found) => {
      const share = Object.entries(found.share).map(([name, part]) => `${name} ${part} % (aim ${found.target_share[name]} %)`);
      const rules = Object.entries(found.by_rule).map(([name, count]) => `${name}: ${count}`);
      $("#kpis").replaceChildren(
        el("p", {}, `${found.alarms} alarms: ${share.join(", ")}.`),
        el("p", {}, found.session_hours ? `${found.per_session_hour} in an hour of session (${found.sessions} sessions, ${found.session_hours} h). The noisiest tenth of sessions had ${found.top_tenth_percent ?? 0} % of them.` : "No session."),
        el("p", {}, found.judged ? `${found.judged} judged, ${found.non_actionable_percent} % of them needed no action.` : "None judged yet: needed action, known, artefact (see a finished session)."),
        el("p", {}, found.acknowledged ? `${found.acknowledged} acknowledged: half of them within ${age(found.acknowledge_p50_s)}, nine of ten within ${age(found.acknowledge_p90_s)}, the last after ${age(found.acknowledge_worst_s)}.` : "None acknowledged."),
        ...Object.entries(found.overloaded).map(([name, count]) => el("p", {}, `${name} had ${count} alarms in the last 120 min that needed no action.`)),
        el("p", {}, rules.join(" · ")),
      );
    })
    .catch(() => {});
}
