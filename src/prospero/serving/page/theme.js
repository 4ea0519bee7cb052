// Light or dark before anything is drawn: what the reader chose, else what the system says.
"use strict";

const THEMES = ["system", "light", "dark"];

function chosenTheme() {
  try {
    const name = localStorage.getItem("prospero.theme");
    return THEMES.includes(name) ? name : "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

function applyTheme(name) {
  document.documentElement.dataset.theme = name;
  try {
    localStorage.setItem("prospero.theme", name);
  } catch {
    // it lasts until the page is left
  }
}

applyTheme(chosenTheme());

document.addEventListener("DOMContentLoaded", () => {
  const button = document.getElementById("theme");
  const label = () => {
    const name = document.documentElement.dataset.theme;
    button.setAttribute("aria-label", `Colours: ${name}. Change`);
    button.title = `Colours: ${name}`;
  };
  button.addEventListener("click", () => {
    const at = THEMES.indexOf(document.documentElement.dataset.theme);
    applyTheme(THEMES[(at + 1) % THEMES.length]);
    label();
  });
  label();
});
