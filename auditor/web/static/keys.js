// Keys for everything. What has `data-key` is what that key does; `data-means` says so in the list.

const TYPING = "textarea, input:not([type]), input[type=text], select, [contenteditable]";

export function keys(armed) {
  const dialog = document.querySelector("#keys");
  const button = document.querySelector("#keys-button");
  button?.addEventListener("click", () => {
    list();
    dialog.showModal();
  });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.isComposing || dialog?.open) return;
    const typing = event.target.closest(TYPING);
    if (typing) {
      if (event.key === "Escape") typing.blur();
      else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send(event, armed, typing.form);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return back();
    const vote = openVote();
    const judged = vote?.querySelector("[data-active]") ?? vote;
    if (/^[0-9x]$/.test(event.key) && judged?.querySelector("input[name^=decision]:checked")) {
      const tenth = event.key === "x" ? 10 : Number(event.key);
      const score = judged.querySelector(`[data-score="${tenth}"]`);
      if (score && armed()) {
        score.checked = true;
        score.focus();
        event.preventDefault();
        return;
      }
    }
    if (/^[1-9]$/.test(event.key)) {
      const evidence = [...document.querySelectorAll(`[data-digit="${event.key}"]`)].find(meantHere);
      if (evidence) return press(event, evidence);
    }
    if (event.key === "Enter" && vote && !event.target.closest("a, button, summary")) {
      return send(event, armed, vote);
    }
    const meant = [...document.querySelectorAll("[data-key]")].find(
      (one) => one.dataset.key.split(" ").includes(event.key) && visible(one) && meantHere(one),
    );
    if (!meant || (event.key === "Enter" && event.target.closest("a, button, summary"))) return;
    if (meant.matches("input[type=radio]") && !armed()) return;
    press(event, meant);
  });
}

// A key does what a click does; what is written in gets the cursor.
function press(event, meant) {
  event.preventDefault();
  if (meant.matches("textarea, select")) return meant.focus();
  meant.click();
  if (meant.matches("input[type=radio]")) meant.focus();
  const wanted = meant.dataset.focus && document.getElementById(meant.dataset.focus);
  if (wanted) wanted.focus();
}

function send(event, armed, form) {
  event.preventDefault();
  if (form && (!form.matches("[data-fresh]") || armed())) form.requestSubmit();
}

// Escape takes the choice back, so that digits mean evidence again.
function back() {
  const vote = openVote();
  const judged = vote?.querySelector("[data-active]") ?? vote;
  for (const one of judged?.querySelectorAll("input[type=radio]:checked") ?? []) {
    if (!one.name.startsWith("view")) one.checked = false;
  }
  document.activeElement?.blur();
}

function openVote() {
  return [...document.querySelectorAll("form.vote")].find(visible);
}

// Of several proposals, keys mean the one with the frame.
function meantHere(one) {
  const offer = one.closest("[data-place]");
  return !offer || offer.hasAttribute("data-active");
}

function visible(one) {
  return one.checkVisibility ? one.checkVisibility() || one.closest("label")?.checkVisibility() : true;
}

// The list of keys is made from what this page has.
function list() {
  const told = document.querySelector("#keys-list");
  told.replaceChildren();
  const add = (key, means) => {
    const dt = document.createElement("dt");
    for (const one of key.split(" ")) {
      const kbd = document.createElement("kbd");
      kbd.textContent = one;
      dt.append(kbd, " ");
    }
    const dd = document.createElement("dd");
    dd.textContent = means;
    told.append(dt, dd);
  };
  for (const one of document.querySelectorAll("[data-key]")) {
    if (one.dataset.key === "?" || !visible(one) || !meantHere(one)) continue;
    add(one.dataset.key, one.dataset.means ?? one.title.replace(/ \(.\)$/, ""));
  }
  if (openVote()?.querySelector("[data-score]")) {
    add("0 … 9 x", "after a decision: its score, in tenths; x is 1");
    add("Enter", "send");
    add("Esc", "think again");
  }
  if (document.querySelector("[data-digit]")) add("1 … 9", "open a piece of evidence");
  add("?", "this list");
}
