// What changes elsewhere is told here at once: how many wait, and that a question is closed.

export function listen() {
  const waiting = document.querySelector("#waiting");
  if (!waiting) return;
  const item = document.body.dataset.item;
  const line = document.querySelector("#line");
  let source = null;
  const open = () => {
    if (source || document.body.classList.contains("inert")) return;
    source = new EventSource(item ? `/events?item=${encodeURIComponent(item)}` : "/events");
    source.addEventListener("open", () => {
      line.hidden = true;
    });
    source.addEventListener("error", () => {
      line.textContent = "The line to the desk is broken. What you see may be old; trying again.";
      line.hidden = false;
    });
    source.addEventListener("message", (event) => {
      const told = JSON.parse(event.data);
      count(told.waiting);
      if (told.closed) {
        shut();
        close(told.closed);
      }
    });
  };
  const shut = () => {
    source?.close();
    source = null;
  };
  // Browsers give a server few lines at a time: a question in the background gives its own up, and
  // asks anew when it is looked at. The queue keeps its line, to say in its title what waits.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") open();
    else if (item) shut();
  });
  window.addEventListener("pagehide", shut);
  window.addEventListener("pageshow", open);
  open();
  count(Number(document.documentElement.dataset.waiting));
}

const title = document.title;

// In the title, the icon, and on the desktop's icon where there is one.
function count(waiting) {
  const shown = waiting > 99 ? "99+" : String(waiting);
  document.title = waiting ? `(${shown}) ${title}` : title;
  document.querySelector('link[rel="icon"]').href = waiting ? "/static/icon-waiting.svg" : "/static/icon.svg";
  if (navigator.setAppBadge) navigator.setAppBadge(waiting).catch(() => {});
  document.querySelector("#waiting").textContent = shown;
  const here = document.querySelector("#waiting-here");
  if (here) here.textContent = shown;
  const of = document.querySelector(".hero .of");
  if (of) of.textContent = `${waiting === 1 ? "step waits" : "steps wait"} for you`;
  const next = document.querySelector("#next");
  if (next) next.disabled = !waiting;
}

// Nothing can be sent any more; what was typed stays on the page, to be copied.
function close(closed) {
  const told = document.querySelector("#closed");
  told.textContent = closed.text;
  told.hidden = false;
  document.body.classList.add("inert");
  for (const one of document.querySelectorAll(":is(.panel, .comparison) :is(button, input)")) {
    one.disabled = one.form?.id !== "onward";
  }
  for (const one of document.querySelectorAll(":is(.panel, .comparison) textarea")) one.readOnly = true;
  document.querySelector("#onward").hidden = false;
  for (const form of document.querySelectorAll(":is(.panel, .comparison) form:not(#onward)")) {
    form.removeAttribute("data-fresh");
    form.addEventListener("submit", (event) => event.preventDefault());
  }
}
