// A shell in a copy of the box. Rows come as texts with names of styles; here they become text nodes.

const STYLES = /^(c([0-9]|1[0-5])|bold|underline|inverse|cursor|code)$/;
const MOST_ROWS_KEPT = 2000;

export function dig() {
  const place = document.querySelector("#dig");
  if (!place) return;
  place.hidden = false;
  const find = (id) => document.getElementById(id);
  const open = find("dig-open");
  const said = find("dig-said");
  const terminal = place.querySelector(".terminal");
  const glass = find("dig-glass");
  const screen = find("dig-rows");
  const gone = find("dig-gone");
  const field = find("dig-keys");
  let shell = null;

  open.addEventListener("click", async () => {
    if (shell || open.disabled) return;
    open.disabled = true;
    said.textContent = "Copying the box …";
    terminal.hidden = false; // its size is what the shell is told
    const path = `/item/${encodeURIComponent(document.body.dataset.item)}/dig`;
    const told = await post(path, measure(glass));
    if (!told.dig) return refuse(told.text);
    begin(told.dig, told.of);
  });

  // A page that is loaded again finds the copy that it had open.
  if (place.dataset.live) {
    terminal.hidden = false;
    begin(place.dataset.live, "");
  }

  function refuse(text) {
    said.textContent = text;
    terminal.hidden = true;
    open.disabled = false;
    open.focus();
  }

  function begin(name, of) {
    said.textContent = "";
    open.hidden = true;
    gone.replaceChildren();
    screen.replaceChildren();
    find("dig-of").textContent = of === "snapshot" ? "from its newest snapshot, older than this step;" : "";
    shell = { path: `/dig/${name}`, queue: [], busy: false, application: false, brackets: false, size: "" };
    const source = new EventSource(`${shell.path}/screen`);
    shell.source = source;
    source.addEventListener("message", (event) => show(JSON.parse(event.data)));
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED) end("The line to the copy is broken, or it is closed.");
    });
    field.value = "";
    field.focus();
    resize();
  }

  function end(why) {
    if (!shell) return;
    shell.source.close();
    shell = null;
    const had = place.contains(document.activeElement);
    said.textContent = `${why} The copy is gone; its recording is kept.`;
    field.disabled = true;
    terminal.classList.add("over");
    open.hidden = false;
    open.disabled = document.body.classList.contains("inert");
    if (had) open.focus();
  }

  function show(told) {
    if (!shell) return;
    field.disabled = false;
    terminal.classList.remove("over");
    shell.application = told.keys;
    shell.brackets = told.paste;
    const low = glass.scrollTop + glass.clientHeight >= glass.scrollHeight - 4;
    for (const row of told.gone) gone.append(line(row));
    while (gone.childElementCount > MOST_ROWS_KEPT) gone.firstElementChild.remove();
    while (screen.childElementCount > told.count) screen.lastElementChild.remove();
    while (screen.childElementCount < told.count) screen.append(line([]));
    for (const [number, row] of Object.entries(told.rows)) screen.children[number].replaceWith(line(row));
    if (low || told.gone.length) glass.scrollTop = glass.scrollHeight;
    shell.until = Date.now() + told.left * 1000;
    clock();
    if (told.over) end(told.over);
  }

  function clock() {
    if (!shell) return;
    const left = Math.max(0, Math.round((shell.until - Date.now()) / 1000));
    find("dig-left").textContent = left < 60 ? `${left} s left` : `${Math.floor(left / 60)} min left`;
  }
  setInterval(clock, 1000);

  // Sent in the order in which it was typed: one request at a time.
  function type(text) {
    if (!shell || !text) return;
    shell.queue.push(text);
    pump(shell);
  }

  async function pump(to) {
    if (to.busy) return;
    to.busy = true;
    while (to.queue.length && to === shell) {
      const keys = to.queue.splice(0).join("");
      const told = await post(to.path, { do: "type", keys });
      if (told.text) said.textContent = told.text;
      else if (said.textContent) said.textContent = "";
    }
    to.busy = false;
  }

  function resize() {
    if (!shell || terminal.hidden) return;
    const { rows, columns } = measure(glass);
    if (shell.size === `${rows} ${columns}`) return;
    shell.size = `${rows} ${columns}`;
    post(shell.path, { do: "size", rows, columns });
  }
  new ResizeObserver(resize).observe(glass);

  async function post(path, fields) {
    const body = new URLSearchParams({ form: place.dataset.form, ...fields });
    try {
      const answer = await fetch(path, { method: "POST", body });
      if (answer.status === 204) return {};
      return await answer.json();
    } catch {
      return { text: "The desk does not answer." };
    }
  }

  // Everything goes to the shell while it has the cursor, but Ctrl-Enter, which gets out.
  terminal.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.target !== field || event.isComposing) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      find("dig-close").focus();
      return;
    }
    const sent = sequence(event, shell?.application);
    if (sent === null) return;
    event.preventDefault();
    type(sent);
  });
  field.addEventListener("input", (event) => {
    if (event.isComposing) return;
    type(field.value.replaceAll("\n", "\r"));
    field.value = "";
  });
  field.addEventListener("compositionend", () => {
    type(field.value);
    field.value = "";
  });
  field.addEventListener("paste", (event) => {
    event.preventDefault();
    const pasted = event.clipboardData.getData("text").replaceAll("\r\n", "\r").replaceAll("\n", "\r");
    const plain = pasted.replaceAll("\x1b", "");
    type(shell?.brackets ? `\x1b[200~${plain}\x1b[201~` : plain);
  });
  // Text can be marked and copied: a click that marks nothing brings the cursor back.
  glass.addEventListener("click", () => {
    if (!document.getSelection()?.toString()) field.focus();
  });
  for (const cap of terminal.querySelectorAll("[data-send]")) {
    cap.addEventListener("click", () => {
      const key = cap.dataset.send;
      const event = key.startsWith("^") ? { key: key[1], ctrlKey: true } : { key };
      type(sequence(event, shell?.application));
      field.focus();
    });
  }
  find("dig-close").addEventListener("click", () => {
    if (shell) post(shell.path, { do: "close" });
  });
}

function line(row) {
  const made = document.createElement("div");
  for (const [text, names] of row) {
    const part = document.createElement(names ? "span" : "i");
    part.textContent = text;
    for (const name of names.split(" ")) if (STYLES.test(name)) part.classList.add(name);
    made.append(names ? part : document.createTextNode(text));
  }
  if (!row.length) made.append("\n");
  return made;
}

// How many rows and columns of letters fit.
function measure(glass) {
  const probe = document.createElement("span");
  probe.textContent = "0".repeat(50);
  glass.append(probe);
  const { width, height } = probe.getBoundingClientRect();
  probe.remove();
  const style = getComputedStyle(glass);
  const across = glass.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const down = glass.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
  return {
    rows: Math.max(4, Math.floor(down / (parseFloat(style.lineHeight) || height || 18))),
    columns: Math.max(20, Math.floor((across * 50) / (width || 400))),
  };
}

const ENDS = { ArrowUp: "A", ArrowDown: "B", ArrowRight: "C", ArrowLeft: "D", Home: "H", End: "F" };
const TILDES = { Insert: 2, Delete: 3, PageUp: 5, PageDown: 6, F5: 15, F6: 17, F7: 18, F8: 19, F9: 20, F10: 21, F12: 24 };
const PLAIN = { Enter: "\r", Backspace: "\x7f", Tab: "\t", Escape: "\x1b" };

// What a terminal sends for a key; null for what is a letter, which the field takes, or no key of a shell.
function sequence(event, application) {
  const { key } = event;
  if (key === "Tab" && event.shiftKey) return "\x1b[Z";
  if (key in PLAIN) return (event.altKey ? "\x1b" : "") + PLAIN[key];
  const held = 1 + (event.shiftKey ? 1 : 0) + (event.altKey ? 2 : 0) + (event.ctrlKey ? 4 : 0);
  if (key in ENDS) {
    if (held > 1) return `\x1b[1;${held}${ENDS[key]}`;
    return (application ? "\x1bO" : "\x1b[") + ENDS[key];
  }
  if (key in TILDES) return `\x1b[${TILDES[key]}${held > 1 ? `;${held}` : ""}~`;
  if (event.metaKey || key.length !== 1) return null;
  if (event.ctrlKey && !event.altKey) {
    if (event.shiftKey && /^[cv]$/i.test(key)) return null; // copy and paste, as in other terminals
    if (key === " ") return "\0";
    const code = key.toUpperCase().charCodeAt(0);
    return code >= 64 && code < 96 ? String.fromCharCode(code - 64) : null;
  }
  if (event.altKey && !event.ctrlKey) return `\x1b${key}`;
  return null;
}
