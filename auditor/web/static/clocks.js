// Times that run out, told in the page while they do.

export function clocks() {
  const timed = [...document.querySelectorAll("[data-until]")];
  if (!timed.length) return;
  const began = Date.now();
  const tick = () => {
    for (const one of timed) {
      const left = (Date.parse(one.dataset.until) - Date.now()) / 1000;
      if (one.matches(".undo")) {
        if (left <= 0) one.remove();
        else one.querySelector(".left").textContent = `${span(left)} left`;
      } else {
        one.textContent = left > 0 ? span(left) : "no time any more";
      }
    }
    setTimeout(tick, Date.now() - began < 120000 ? 1000 : 10000);
  };
  tick();
}

function span(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 48 * 3600) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d`;
}
