// The switch between light, dark, and what the system says. `theme.js` sets what was chosen before the page is painted.

import { h } from "./dom.js";

const STORED = "hookhold-theme";
/** What a press leads to, from what is. */
const NEXT = { auto: "light", light: "dark", dark: "auto" };
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };
const WORDS = { auto: "as the system", light: "light", dark: "dark" };

/** The button; `changed` shows it anew. */
export function switcher(changed) {
  const theme = document.documentElement.dataset.theme ?? "auto";
  const label = `Colours: ${WORDS[theme]}. Change to: ${WORDS[NEXT[theme]]}`;
  const press = () => {
    choose(NEXT[theme]);
    changed();
  };
  return h("button", { type: "button", class: "sign", onclick: press, "aria-label": label, title: label }, SIGNS[theme]);
}

function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(STORED, theme);
  } catch {
    // It holds until the page is closed, then.
  }
}
