// What a page must have so that everyone can use it (WCAG 2.2, AA), as far as a program can tell.

const bad = [];
const tell = (what, one) => bad.push(`${what}: ${one.outerHTML?.slice(0, 120) ?? one}`);
const all = (css) => [...document.querySelectorAll(css)];
const shown = (one) => one.checkVisibility({ visibilityProperty: true });

// 1.4.3: text stands out from what is behind it, mixed as its ancestors' opacity says.
const rgb = (text) => (text.match(/[0-9.]+/g) ?? []).map(Number);
const luminance = ([r, g, b]) => {
  const f = (v) => ((v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
};
const mixed = (front, back, alpha) => front.map((v, i) => v * alpha + back[i] * (1 - alpha));
function colours(one) {
  const path = [];
  for (let at = one; at; at = at.parentElement) path.unshift(getComputedStyle(at));
  let back = rgb(getComputedStyle(document.documentElement).backgroundColor).slice(0, 3);
  if (!back.some((v) => v)) back = rgb(getComputedStyle(document.body).backgroundColor).slice(0, 3);
  let opacity = 1;
  for (const style of path) {
    opacity *= Number(style.opacity);
    const [r, g, b, a = 1] = rgb(style.backgroundColor);
    back = mixed([r, g, b], back, a * opacity);
  }
  const [r, g, b, a = 1] = rgb(path.at(-1).color);
  return [mixed([r, g, b], back, a * opacity), back];
}
function ratio(one) {
  const [x, y] = colours(one).map(luminance);
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}
for (const one of all("body *")) {
  const words = [...one.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  if (!(words || one.value) || !shown(one) || one.closest(":disabled, option")) continue;
  if (one.matches("input[type=hidden], input[type=radio], input[type=checkbox]")) continue;
  const style = getComputedStyle(one), pixels = parseFloat(style.fontSize);
  const large = pixels >= 24 || (pixels >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio(one) < (large ? 3 : 4.5)) tell(`contrast ${ratio(one).toFixed(2)}`, one);
}

// 1.1.1, 1.3.1, 2.4.1, 2.4.2, 3.1.1, 4.1.2: what it is, and what it is called.
if (document.documentElement.lang !== "en") tell("language", document.documentElement.lang);
if (!document.title.trim()) tell("title", "none");
for (const css of ["main", "header", "nav", "h1"]) {
  if (all(css).filter(shown).length !== 1 && !(css === "header" && all("body > header").length === 1)) {
    tell("how many", `${css} ${all(css).length}`);
  }
}
const levels = all("h1, h2, h3, h4").filter(shown).map((one) => Number(one.tagName[1]));
levels.forEach((level, i) => {
  if (level > (levels[i - 1] ?? 0) + 1) tell("headings", levels.join(" "));
});
for (const one of all("img:not([alt])")) tell("alt", one);
const named = (one) => one.getAttribute("aria-label") || one.textContent.trim() || one.title;
for (const one of all("a, button, summary, legend, [role=region], aside, nav, th").filter(shown)) {
  const own = one.getAttribute("aria-labelledby");
  if (one.matches("nav, aside, [role=region]") ? !(one.getAttribute("aria-label") || own) : !named(one)) {
    tell("name", one);
  }
}
for (const one of all("input:not([type=hidden]), textarea, select")) {
  if (!one.labels?.length && !one.getAttribute("aria-label")) tell("label", one);
}
for (const one of all("fieldset")) if (!one.querySelector("legend")) tell("legend", one);
const ids = all("[id]").map((one) => one.id);
if (new Set(ids).size < ids.length) tell("ids", ids.join(" "));

// 2.5.8: what is pressed is 24 pixels wide and high, unless it is a word in a sentence.
for (const one of all("a, button, summary, label, input, select, textarea").filter(shown)) {
  if (one.closest("p, li, td, .jump") && one.matches("a, label")) continue;
  if (one.matches("label:has(> textarea, > select, > input:not([type]))")) continue;
  const target = one.matches("input[type=radio], input[type=checkbox]") ? one.labels[0] : one;
  const box = target.getBoundingClientRect();
  if (box.width < 24 || box.height < 24) tell(`target ${box.width}x${box.height}`, one);
}

// 1.4.10, 2.3.3: nothing scrolls sideways, nothing moves by itself.
if (document.documentElement.scrollWidth > innerWidth) tell("sideways", location.pathname);
for (const one of all("*")) {
  const style = getComputedStyle(one);
  if (/[1-9]/.test(style.transitionDuration + style.animationDuration)) tell("moves", one);
  if (style.scrollBehavior === "smooth") tell("moves", one);
}
return [...new Set(bad)];
