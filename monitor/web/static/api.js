// Asking the server. A change carries the page's token; a person who was away is asked for the PIN, once, and
// what they wanted is then done. Nothing here decides who may do what: the server does.

import { $, el } from "./dom.js";
import { ask } from "./dialog.js";

export const me = JSON.parse(document.body.dataset.me || "null");
export const may = (right) => Boolean(me && me.rights.includes(right));
const csrf = $('meta[name="csrf"]')?.content || "";

export class Refusal extends Error {
  constructor(code, text, why) {
    super(text);
    this.code = code;
    this.why = why;
  }
}

async function send(method, path, body, key) {
  const headers = { "X-CSRF-Token": csrf };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Refusal(0, "The monitor cannot be reached. It may or may not have been done: look again.");
  }
  if (answer.ok) return answer.json();
  const text = await answer.text();
  let detail = text;
  try {
    const found = JSON.parse(text).detail;
    detail = typeof found === "string" ? found : found.map((one) => `${one.loc.slice(1).join(".")}: ${one.msg}`).join("; ");
  } catch {
    /* not JSON: the text itself */
  }
  if (answer.status === 401 && !path.startsWith("/me") && !path.startsWith("/sign")) {
    location.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
  }
  throw new Refusal(answer.status, detail, answer.headers.get("X-Why"));
}

export const get = (path) => send("GET", path);

let keys = 0;
const page = Math.random().toString(36).slice(2);

/** Change something; `undefined` when the person gave up at the PIN. The same try never counts twice. */
export async function change(method, path, body) {
  const key = `${page}-${++keys}`;
  try {
    return await send(method, path, body, key);
  } catch (refusal) {
    if (refusal.why !== "asleep") throw refusal;
    if (!(await wake(refusal.message))) return undefined;
    return send(method, path, body, key);
  }
}

export const post = (path, body) => change("POST", path, body);

/** Ask who is there. Returns whether somebody proved it. */
export async function wake(words = "") {
  const { people } = await get("/people");
  const pins = people.map((name) => ({ value: name, label: name }));
  const fields = [];
  if (pins.length) {
    fields.push({ name: "name", label: "Who", choose: pins, value: people.includes(me.name) ? me.name : people[0] });
    fields.push({ name: "pin", label: "PIN", type: "password", digits: true, focus: true });
  }
  const done = await ask({
    title: pins.length ? "Who is there?" : "Sign in again",
    text: pins.length ? words : `${words}. Nobody has set a PIN yet (see “My sign-in”).`,
    fields,
    yes: pins.length ? "Continue" : "Sign in",
    also: pins.length ? el("a", { href: `/sign-in?next=${encodeURIComponent(location.pathname)}` }, "Sign in with password") : null,
    act: async (given) => {
      if (!pins.length) {
        location.href = `/sign-in?next=${encodeURIComponent(location.pathname)}`;
        return;
      }
      const now = await send("POST", "/me/switch", given);
      const other = now.name !== me.name;
      Object.assign(me, now);
      document.dispatchEvent(new CustomEvent("person"));
      if (other) toast(`${me.name} is here now.`);
    },
  });
  return Boolean(done);
}

/** Show a short message. */
export function toast(text, bad = false) {
  const node = el("p", { class: bad ? "toast bad" : "toast" }, text);
  $("#toasts").append(node);
  setTimeout(() => node.remove(), bad ? 12000 : 5000);
}

/** Do something for a button: it rests meanwhile, and says what went wrong. */
export async function doing(button, what, done = "") {
  if (button?.disabled) return undefined;
  if (button) button.disabled = true;
  try {
    const answer = await what();
    if (answer && answer.durable === false) toast("Done, but the record is not durable: the disk refuses.", true);
    else if (answer && done) toast(done);
    return answer;
  } catch (refusal) {
    toast(refusal.message, true);
    return undefined;
  } finally {
    if (button) button.disabled = false;
  }
}
