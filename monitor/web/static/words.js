// Numbers, ages and times in words. Instants are milliseconds since 1970 UTC.
//
// Law: one clock stands on a page, the site's. On the night when it is put back every time carries its offset.

const zone = document.documentElement.dataset.zone || "UTC";
const plain = { hour12: false, timeZone: zone };
const clock = new Intl.DateTimeFormat("en-GB", { ...plain, hour: "2-digit", minute: "2-digit" });
const exact = new Intl.DateTimeFormat("en-GB", { ...plain, hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-CA", { timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit" });
const named = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "longOffset" });
const HOUR = 3_600_000;

/** "+02:00" of an instant. */
const offset = (ms) => named.formatToParts(ms).find((part) => part.type === "timeZoneName").value.slice(3) || "+00:00";
/** The offset in short where the clocks change within hours, as the records print it: "+02", "+10:30". */
const shift = (ms) => (offset(ms - 12 * HOUR) === offset(ms + 12 * HOUR) ? "" : offset(ms).replace(":00", ""));

export const hm = (ms) => clock.format(ms) + shift(ms);
export const hms = (ms) => exact.format(ms) + shift(ms);
export const date = (ms) => day.format(ms);
export const zoneName = zone;

export const LABELS = {
  spo2: "SpO₂",
  heart_rate: "HR",
  pulse_rate: "PR",
  nibp_systolic: "Sys",
  nibp_diastolic: "Dia",
  nibp_mean: "Mean",
  nibp_pulse_rate: "Cuff PR",
  respiration_rate: "RR",
  etco2: "etCO₂",
  temperature: "Temp",
};
export const UNITS = { "mm[Hg]": "mmHg", Cel: "°C" };
/**
 * What the core says, as people read it: mmHg for mm[Hg], and the site's time for times of day in UTC. Each is the
 * instant of that time of day which is nearest to `near`, when it was said.
 */
export function plainly(text, near) {
  const said = text.replaceAll("mm[Hg]", "mmHg").replaceAll(" Cel", " °C");
  return said.includes(" UTC") ? said.replace(/\b([01]\d|2[0-3]):([0-5]\d)(:[0-5]\d)?( UTC)?\b/g, (...found) => here(found, near)) : said;
}

function here([, hour, minute, second], near) {
  const day = 24 * HOUR;
  const said = (Number(hour) * 60 + Number(minute)) * 60_000 + Number(second?.slice(1) || 0) * 1000;
  const at = said + Math.round((near - said) / day) * day;
  return (second ? hms : hm)(at);
}
export const unit = (text) => UNITS[text] || text || "";
export const PHASES = { baseline: "Baseline", dosing: "Dosing", observation: "Observation", ready: "Ready", ended: "Ended" };

/** 75 → "1:15", 4000 → "1:06 h". */
export function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${String(whole % 60).padStart(2, "0")}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")} h`;
}

/** An age in the fewest words: "3 s", "12 min", "2 h". */
export function age(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

/** How old a number is, calmly: what is fresh is "now", and seconds go by fives. */
export const freshness = (seconds) => (seconds < 5 ? "now" : seconds < 60 ? `${Math.floor(seconds / 5) * 5} s` : age(seconds));

/** How long until something: minutes while there is time, then seconds too. */
export const left = (seconds) => (seconds > 120 && seconds < 3600 ? `${Math.ceil(seconds / 60)} min` : span(seconds));

export const number = (value, decimals = 0) => (value === null || value === undefined ? "--" : value.toFixed(decimals));

/** The limits of a metric in words: "90–120", "≥ 93", "≤ 160". */
export function bounds(low, high) {
  if (low !== null && low !== undefined && high !== null && high !== undefined) return `${low}–${high}`;
  if (low !== null && low !== undefined) return `≥ ${low}`;
  if (high !== null && high !== undefined) return `≤ ${high}`;
  return "";
}

const OUTCOMES = {
  AlarmRaised: "Alarm",
  AlarmEscalated: "Alarm worse",
  AlarmEnded: "Alarm ended",
  AlarmLatched: "Alarm latched",
  AlarmAcknowledged: "Acknowledged",
  AlarmReset: "Seen and reset",
  AlarmFrozen: "Alarm frozen: no measurement",
  AlarmThawed: "Measurement back",
  AlarmResumed: "Alarm signals again",
  AlarmReminded: "Reminder",
  AlarmPaused: "Alarm paused",
  AudioPaused: "Sound paused",
  AudioResumed: "Sound again",
  SignalsConfirmed: "Light and sound seen and heard",
  SessionStarted: "Session started",
  PhaseChanged: "Phase",
  DoseRecorded: "Dose",
  DoseWithdrawn: "Dose struck",
  HoldPrompted: "Hold prompt",
  HoldCleared: "Hold cleared",
  BaselineEstablished: "Baseline",
  LimitChanged: "Limit changed",
  LimitAnnotated: "Marked",
  ReadingUnconfirmed: "Awaiting repeat",
  ReadingNotConfirmed: "Not confirmed",
  CheckpointDue: "Checkpoint due",
  CheckpointMet: "Checkpoint met",
  CheckpointMissed: "Checkpoint missed",
  ManualRecorded: "Measured by hand",
  ScoreRecorded: "Score",
  NoteRecorded: "Note",
  Answered: "Answered",
  ReadyForDischarge: "All criteria met",
  ReadinessLost: "Criteria not met any more",
  ReadinessConfirmed: "Readiness confirmed",
  SessionEnded: "Session ended",
  BacklogSummarised: "Late readings",
  DeviceAssociated: "Device joined",
  DeviceDissociated: "Device left",
  AlarmOffered: "Offered",
  AlarmAccepted: "Accepted",
  AlarmRejected: "Passed on",
  OwnershipTimedOut: "Nobody answered",
  OwnershipExhausted: "Nobody has accepted",
  LadderChanged: "People on duty",
  RecordSigned: "Record signed",
  DispositionRecorded: "What the alarm was",
  RecordCorrected: "Correction",
  Refused: "Refused",
};
export const outcome = (name) => OUTCOMES[name] || name;

/** What an alarm's signal is, in words. */
export function signalWords(alarm, now) {
  const left = alarm.until ? span((alarm.until - now) / 1000) : "";
  if (alarm.signal === "acknowledged") return `known to ${alarm.by}${left ? `, again in ${left}` : ""}`;
  if (alarm.signal === "audio_paused") return `sound paused ${left}`;
  if (alarm.signal === "alarm_paused") return `paused ${left}`;
  if (alarm.signal === "latched") return "ended, not seen yet";
  if (alarm.frozen) return "frozen: no measurement";
  return "";
}
