// Light or dark, as the person chose before: set before anything is painted, so that nothing flashes. No module, since those wait.
{
  let theme = null;
  try {
    theme = localStorage.getItem("hookhold-theme");
  } catch {
    // A browser may forbid storage: then it is as the system says.
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
