// Several proposals side by side: one of them has the frame, and keys go to it.

export function compare() {
  const offers = [...document.querySelectorAll(".offer")];
  if (!offers.length) return;
  for (const one of document.querySelectorAll("#next-offer, #previous-offer, #keep-compared, .turn")) {
    one.hidden = false;
  }
  const frame = (chosen, move) => {
    for (const one of offers) one.toggleAttribute("data-active", one === chosen);
    if (move) {
      chosen.focus({ preventScroll: true });
      chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  };
  const step = (by) => {
    const now = offers.findIndex((one) => one.hasAttribute("data-active"));
    frame(offers[(now + by + offers.length) % offers.length], true);
  };
  document.querySelector("#next-offer")?.addEventListener("click", () => step(1));
  document.querySelector("#previous-offer")?.addEventListener("click", () => step(-1));
  for (const one of offers) {
    one.addEventListener("focusin", () => frame(one, false));
    one.querySelector(".turn")?.addEventListener("click", () => {
      const views = [...one.querySelectorAll('.tabs > input[type="radio"]')];
      const next = (views.findIndex((view) => view.checked) + 1) % views.length;
      views[next].checked = true;
    });
  }
  // The second vote may be the first one again; it is filled in, and still has to be sent.
  document.querySelector("#keep-compared")?.addEventListener("click", () => {
    for (const one of offers) {
      const { place, decision, scoreWas } = one.dataset;
      const choose = (name, value) => {
        const found = one.querySelector(`input[name="${name}-${place}"][value="${CSS.escape(value)}"]`);
        if (found) found.checked = true;
      };
      choose("decision", decision);
      choose("score", scoreWas);
    }
  });
  frame(offers[0], false);
}
