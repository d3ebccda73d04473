// One's own PIN, password and second factor.

import { $ } from "./dom.js";
import { change, doing, get } from "./api.js";

for (const name of ["pin", "password"]) {
  const form = $(`#${name}`);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { password: form.password.value, new: form.new.value };
    const done = await doing($("button", form), () => change("POST", `/me/${name}`, body), "Set.");
    if (done) form.reset();
  });
}

if ($("#seed")) {
  get("/me/factor").then(({ seed }) => {
    $("#seed").textContent = seed.replace(/(.{4})/g, "$1 ").trim();
    const form = $("#factor");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const done = await doing($("button", form), () => change("POST", "/me/factor", { seed, code: form.code.value }), "Set.");
      if (done) location.reload();
    });
  });
}
