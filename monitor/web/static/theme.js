// The theme is chosen before the first paint, so that a dark room stays dark.
(() => {
  const kept = localStorage.getItem("theme");
  const light = matchMedia("(prefers-color-scheme: light)").matches;
  document.documentElement.dataset.theme = kept || (light ? "light" : "dark");
})();
