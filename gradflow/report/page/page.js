"use strict";
(() => {
  const root = document.documentElement;

  // Dark or light: as the system has it, until the button is pressed.
  const theme = document.getElementById("theme");
  const prefers = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (prefers.matches ? "dark" : "light")) === "dark";
  const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
  prefers.addEventListener("change", name);
  theme.hidden = false;
  name();
})();
