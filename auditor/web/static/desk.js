// The desk's page: what works without this file works better with it. Nothing here makes markup.

import { listen } from "./live.js";
import { keys } from "./keys.js";
import { fresh } from "./fresh.js";
import { clocks } from "./clocks.js";
import { compare } from "./compare.js";
import { dig } from "./dig.js";

for (const one of document.querySelectorAll("[hidden].cycle, #keys-button[hidden], #keep[hidden]")) {
  one.hidden = false;
}

// Decoded, as the executor reads it, exact bytes: the next of them.
document.querySelector(".cycle")?.addEventListener("click", () => {
  const views = [...document.querySelectorAll('input[name="view"]')];
  const next = (views.findIndex((one) => one.checked) + 1) % views.length;
  views[next].checked = true;
});

// A long story shows its end, and all of it when asked.
const older = document.querySelector("#older");
if (older) {
  const story = document.querySelector(".story");
  story.classList.add("folded");
  older.hidden = false;
  older.addEventListener("click", () => {
    story.classList.remove("folded");
    older.hidden = true;
  });
}

// The second vote may be the first one again; it is filled in, and still has to be sent.
document.querySelector("#keep")?.addEventListener("click", (event) => {
  const { decision, scoreWas } = event.currentTarget.dataset;
  const form = document.querySelector("form.vote");
  const choice = form.querySelector(`input[name="decision"][value="${CSS.escape(decision)}"]`);
  const score = form.querySelector(`input[name="score"][value="${CSS.escape(scoreWas)}"]`);
  if (choice) choice.checked = true;
  if (score) score.checked = true;
  (score ?? choice)?.focus();
});

compare();
const armed = fresh();
keys(armed);
clocks();
listen();
dig();
