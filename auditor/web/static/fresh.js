// Nothing decides within half a second after a page appears, or comes back to the front: what was
// meant for the page before shall not decide on this one. The server checks the same.

const FRESH_MS = 500;

export function fresh() {
  let since = Infinity;
  const buttons = document.querySelectorAll("form[data-fresh] button, form[data-fresh] input[type=radio]");
  const shown = () => {
    since = performance.now();
    setTimeout(settle, FRESH_MS + 10);
    settle();
  };
  const armed = () => document.visibilityState === "visible" && performance.now() - since >= FRESH_MS;
  const settle = () => {
    if (document.body.classList.contains("inert")) return;
    for (const one of buttons) one.disabled = !armed();
    document.body.classList.toggle("armed", armed());
  };
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") shown();
  });
  window.addEventListener("pageshow", shown);
  shown();
  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-fresh]") && !armed()) event.preventDefault();
  });
  return armed;
}
