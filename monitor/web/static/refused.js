// Reading in an emergency: with a reason, for fifteen minutes, written down.

import { $ } from "./dom.js";
import { change, doing } from "./api.js";

$("#emergency")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (await doing($("#emergency button"), () => change("POST", "/me/emergency", { reason: event.target.reason.value }))) location.reload();
});
