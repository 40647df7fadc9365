// Looks at a page with an agent's words, which all hold a mark: where they stand, and what they do.

const mark = arguments[0];
const FRAMES = ".agent, .decoded, .diff, .story .what, .changes, .evidence summary, h3";
const LETTERS = ".agent, .decoded dd, .diff code, .changes code, .story .what, summary > code, h3 code";
const article = document.querySelector("article");
const bad = [];
const tell = (what, text) => bad.push(`${what}: ${text.slice(0, 100)}`);

// What is seen of a text: its first box, cut by whatever clips it on the way up.
function seen(node) {
  const range = document.createRange();
  range.selectNodeContents(node);
  const [rect] = range.getClientRects();
  if (!rect) return null;
  let { left, right } = rect;
  let clipped = false;
  for (let at = node.parentElement; at !== article; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.display === "inline") continue;
    if (style.overflowX === "visible" && !/paint|content|strict/.test(style.contain)) continue;
    const box = at.getBoundingClientRect();
    [left, right, clipped] = [Math.max(left, box.left), Math.min(right, box.right), true];
  }
  return { left, right, clipped };
}

const home = article.getBoundingClientRect();
const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
for (let node; (node = walker.nextNode()); ) {
  if (!node.data.includes(mark)) continue;
  const one = node.parentElement;
  if (one.matches("textarea[name=modified]")) continue;
  if (!article.contains(one) || !one.closest(FRAMES)) tell("outside", node.data);
  else if (one.checkVisibility()) {
    const place = seen(node);
    if (!place) continue;
    if (!place.clipped) tell(`nothing clips ${one.tagName}.${one.className}`, node.data);
    if (place.left >= place.right) continue;
    if (place.left < home.left - 1 || place.right > home.right + 1) tell("leaves", node.data);
  }
}

for (const one of document.querySelectorAll("article *")) {
  const frame = one.closest(LETTERS);
  if (frame && one !== frame && one.tagName !== "MARK") tell("element", one.outerHTML);
  for (const { name, value } of one.attributes) {
    if (value.includes(mark)) tell("attribute", `${name}=${value}`);
  }
}
for (const one of document.querySelectorAll("[src], [href], [action], base, style, meta[http-equiv]")) {
  const to = one.getAttribute("src") ?? one.getAttribute("href") ?? one.getAttribute("action");
  if (to === null || new URL(to, location.href).origin !== location.origin) tell("elsewhere", one.outerHTML);
}
if (document.documentElement.scrollWidth > innerWidth) tell("the page", "scrolls sideways");

const came = performance.getEntries().map((one) => one.name);
return {
  bad,
  owned: typeof window.owned,
  title: document.title,
  html: document.documentElement.outerHTML,
  text: article.textContent,
  loaded: came.filter((name) => /^[a-z]+:/.test(name)),
  ours: document.querySelector(".panel").innerText + document.querySelector(".top").innerText,
};
