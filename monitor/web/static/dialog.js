// One dialog for every question: fields, a reason, yes or no. It keeps the keyboard and gives the focus back.

import { el } from "./dom.js";

/**
 * Ask. `lines` is a list under the text. `fields`: {name, label, type, value, choose, unit, required, digits, focus,
 * hint}. `act` gets the values and may throw: its words are shown and the dialog stays. Returns the values, or null
 * when given up.
 */
export function ask({ title, text = "", lines = [], fields = [], yes = "OK", danger = false, also = null, act = null }) {
  return new Promise((settle) => {
    const wrong = el("p", { class: "wrong", role: "alert" });
    const inputs = fields.map(field);
    const submit = el("button", { type: "submit", class: danger ? "main danger" : "main" }, yes);
    const form = el(
      "form",
      { method: "dialog", novalidate: false },
      el("h2", { id: "dialog-title" }, title),
      text ? el("p", {}, text) : null,
      lines.length ? el("ul", {}, lines.map((one) => el("li", {}, one))) : null,
      inputs.map((one) => one.node),
      wrong,
      el("div", { class: "row end" }, also, el("button", { type: "button", class: "quiet", onclick: () => close(null) }, "Cancel"), submit),
    );
    const dialog = el("dialog", { "aria-labelledby": "dialog-title", oncancel: () => settle(null) }, form);
    const close = (value) => {
      dialog.close();
      dialog.remove();
      settle(value);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const values = Object.fromEntries(inputs.map((one) => [one.name, one.read()]));
      submit.disabled = true;
      try {
        if (act) await act(values);
        close(values);
      } catch (fault) {
        wrong.textContent = fault.message;
        submit.disabled = false;
      }
    });
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    (inputs.find((one) => one.focus) || inputs[0])?.input.focus();
  });
}

function field({ name, label, type = "text", value = "", choose = null, unit = "", required = true, digits = false, focus = false, hint = "", step = "any", min, max }) {
  let input;
  if (choose) {
    input = el("select", { name, required }, choose.map((one) => el("option", { value: one.value, selected: one.value === value }, one.label)));
  } else if (type === "textarea") {
    input = el("textarea", { name, required, rows: 3, maxlength: 2000 }, value);
  } else {
    input = el("input", { name, type, required, value, autocomplete: "off", maxlength: 300 });
    if (digits) input.setAttribute("inputmode", "numeric");
    if (type === "number") {
      input.step = step;
      input.setAttribute("inputmode", "decimal");
      if (min !== undefined) input.min = min;
      if (max !== undefined) input.max = max;
    }
  }
  const node = el("label", {}, el("span", {}, label, unit ? el("span", { class: "dim" }, ` ${unit}`) : null), input, hint ? el("small", { class: "dim" }, hint) : null);
  const read = () => (type === "number" ? (input.value === "" ? null : Number(input.value)) : input.value.trim());
  return { name, node, input, read, focus };
}
