// The war room's page, live: takes pieces and messages from the stream, sends what people say, and
// says so when it is not live. Works on what the server drew; no framework, no build, no state of
// its own beyond what is on the page.
"use strict";

(() => {
  const body = document.body;
  const thread = body.dataset.thread || "";
  const byId = (id) => document.getElementById(id);
  const input = byId("line");
  const skew = Date.parse(body.dataset.now) - Date.now(); // ages count on the server's clock
  const now = () => Date.now() + skew;
  const clock = (at) => new Date(at).toISOString().slice(11, 16) + " UTC";

  // Ages -------------------------------------------------------------------------------------

  function ago(seconds) {
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
      if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
    }
    return "just now";
  }

  function age() {
    for (const one of document.querySelectorAll(".age[data-since]")) {
      const text = ago((now() - Date.parse(one.dataset.since)) / 1000);
      if (one.textContent !== text) one.textContent = text;
    }
  }

  // Pieces and messages ----------------------------------------------------------------------

  const atEnd = () =>
    window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 120;
  const toEnd = () => window.scrollTo({ top: document.documentElement.scrollHeight });

  // A piece in which someone selects or types waits until they are done: nothing moves under a hand.
  const waiting = new Map();

  function inUse(place) {
    const selection = document.getSelection();
    const selected = selection && !selection.isCollapsed && place.contains(selection.anchorNode);
    return selected || place.querySelector("button:active, a:active") !== null;
  }

  function put(place, html) {
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    const label = focused && (focused.textContent || focused.getAttribute("href"));
    const stay = atEnd();
    place.innerHTML = html;
    if (label) {
      const same = [...place.querySelectorAll("button, a, summary")]
        .find((one) => (one.textContent || one.getAttribute("href")) === label);
      if (same) same.focus({ preventScroll: true });
    }
    if (stay && place.closest("main")) toEnd();
  }

  function part({ name, html }) {
    const place = byId(`part-${name}`);
    if (!place || place.classList.contains("welcome") && !html.includes("<li")) return;
    if (inUse(place)) {
      waiting.set(name, html);
      return;
    }
    waiting.delete(name);
    put(place, html);
    if (name === "card" || name === "ask") title();
    age();
  }

  function settle() {
    for (const [name, html] of [...waiting]) part({ name, html });
  }

  const plainTitle = document.title;
  function title() {
    const mine = document.querySelector(".ask.mine") !== null;
    document.title = (mine ? "◆ " : "") + plainTitle;
  }

  function post({ id, html }) {
    const list = byId("thread");
    if (!list) return;
    const stay = atEnd();
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const article = fresh.content.querySelector("article");
    const old = byId(`post-${id}`);
    if (old) {
      if (inUse(old)) {
        setTimeout(() => post({ id, html }), 1000);
        return;
      }
      const open = [...old.querySelectorAll("details")].map((one) => one.open);
      [...article.querySelectorAll("details")].forEach((one, i) => { one.open = Boolean(open[i]); });
      old.replaceWith(article);
    } else {
      article.classList.add("new");
      const later = [...list.children].find((one) => Number(one.dataset.post) > id);
      list.insertBefore(article, later || null);
      byId("empty")?.remove();
    }
    age();
    if (stay) toEnd();
    else if (!old) byId("newer").hidden = false;
  }

  // The stream -------------------------------------------------------------------------------

  const SILENCE = 15000; // the server says something every five seconds
  let stream = null;
  let heard = Date.now();
  let after = body.dataset.after || "0";
  let lost = null;

  function live() {
    heard = Date.now();
    if (lost === null) return;
    lost = null;
    byId("live").hidden = true;
  }

  function notLive() {
    const place = byId("live");
    if (lost === null) lost = heard;
    place.textContent = `▲ Not live since ${clock(lost + skew)}; reconnecting`;
    place.hidden = false;
  }

  function on(kind, act) {
    stream.addEventListener(kind, (event) => {
      live();
      if (event.lastEventId) after = event.lastEventId;
      act(JSON.parse(event.data));
    });
  }

  function listen() {
    if (stream) stream.close();
    stream = new EventSource(`/stream${thread ? `/${thread}` : ""}?after=${after}`);
    on("post", post);
    on("part", part);
    on("beat", () => {});
    stream.addEventListener("error", () => {
      notLive();
      if (stream.readyState === EventSource.CLOSED) refused();
    });
  }

  async function refused() {
    try {
      const answer = await fetch("/api/incidents");
      if (answer.status === 401) {
        byId("live").textContent =
          "▲ Your session has ended. Open the address that `halon up` prints.";
        return;
      }
    } catch { /* not there yet: try again below */ }
    setTimeout(listen, 2000);
  }

  if (byId("live")) {
    listen();
    setInterval(() => {
      if (Date.now() - heard > SILENCE && stream.readyState !== EventSource.CLOSED) {
        notLive();
        listen(); // a connection that is half open never says that it is dead
      }
    }, 2000);
    window.addEventListener("offline", notLive);
    window.addEventListener("online", listen);
    window.addEventListener("pagehide", () => stream.close());
    window.addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  }

  // Saying things ----------------------------------------------------------------------------

  function answer(html, wrong) {
    const place = byId("said");
    place.classList.toggle("wrong", wrong);
    place.innerHTML = html;
    place.hidden = false;
  }

  function trouble(text) {
    const place = byId("said");
    place.classList.add("wrong");
    place.textContent = text;
    place.hidden = false;
  }

  const keys = new WeakMap(); // one key per text of a form: sent twice is done once
  const UNSENT = "Not sent: the war room does not answer. What you typed is kept; send it again.";

  async function send(form) {
    const fields = Object.fromEntries(new FormData(form));
    const text = JSON.stringify(fields);
    if (keys.get(form)?.text !== text) keys.set(form, { text, key: crypto.randomUUID() });
    const buttons = [...form.querySelectorAll("button")];
    buttons.forEach((one) => { one.disabled = true; });
    try {
      const response = await fetch(form.getAttribute("action"), {
        method: "POST",
        headers: { "Content-Type": "application/json", Accept: "application/json" },
        body: JSON.stringify({ ...fields, key: keys.get(form).key }),
      });
      const said = await response.json();
      keys.delete(form);
      if (said.html === undefined) trouble(`${said.error} ${said.do || ""}`);
      else heardBack(form, said);
    } catch {
      trouble(UNSENT);
    }
    buttons.forEach((one) => { one.disabled = false; });
  }

  function heardBack(form, said) {
    if (said.accepted && form.id === "review") window.location.assign(`/${said.incident}`);
    else if (said.accepted && said.incident && said.incident !== thread) {
      window.location.assign(`/${said.incident}`);
    } else {
      answer(said.html, !said.accepted);
      if (form.id === "say" && said.accepted) input.value = "";
    }
  }

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    close();
    send(event.target);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-fill], #newer");
    if (!button) return;
    if (button.id === "newer") {
      button.hidden = true;
      toEnd();
    } else if (button.dataset.fill !== undefined) {
      input.value = button.dataset.fill;
      input.focus();
    } else {
      copy(button);
    }
  });

  async function copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.parentElement.querySelector("code"));
      const selection = document.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      button.textContent = "Selected";
    }
  }

  window.addEventListener("scroll", () => { if (byId("newer") && atEnd()) byId("newer").hidden = true; });

  // The input: `/` focuses, arrows choose, Tab takes, Enter sends, Esc closes ------------------

  const list = byId("completions");
  let rows = [];
  let chosen = -1;
  let asked = 0;

  function close() {
    rows = [];
    chosen = -1;
    if (!list) return;
    list.hidden = true;
    list.replaceChildren();
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(index) {
    chosen = index;
    [...list.children].forEach((row, i) => {
      row.setAttribute("aria-selected", String(i === index));
      if (i === index) row.scrollIntoView({ block: "nearest" });
    });
    if (index >= 0) input.setAttribute("aria-activedescendant", `completion-${index}`);
  }

  function take(index) {
    input.value = rows[index].insert;
    close(); // what was chosen is taken: the next Enter sends, however slow the answer is
    input.focus();
    complete();
  }

  function cell(kind, text) {
    const made = document.createElement("span");
    made.className = kind;
    made.textContent = text;
    return made;
  }

  async function complete() {
    const ticket = ++asked;
    const line = input.value;
    if (rows.length) choose(-1); // it was chosen for another line
    if (!line.startsWith("/")) return close();
    const query = new URLSearchParams({ line, thread });
    let found;
    try {
      found = (await (await fetch(`/complete?${query}`)).json()).completions || [];
    } catch {
      return close();
    }
    if (ticket !== asked || document.activeElement !== input) return undefined;
    if (!found.length || (found.length === 1 && found[0].insert.trim() === line.trim())) {
      return close();
    }
    rows = found;
    list.replaceChildren(...rows.map((row, i) => {
      const item = document.createElement("li");
      item.id = `completion-${i}`;
      item.setAttribute("role", "option");
      const words = document.createElement("code");
      words.textContent = `${row.insert.trim()} ${row.words}`.trim();
      item.append(words, cell("does", row.does));
      if (row.example) item.append(cell("example", row.example));
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(i); });
      return item;
    }));
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    return choose(-1);
  }

  function key(event) {
    const open = rows.length > 0;
    if (event.key === "Escape" && open) close();
    else if (event.key === "ArrowDown" && open) choose((chosen + 1) % rows.length);
    else if (event.key === "ArrowUp" && open) choose((chosen < 1 ? rows.length : chosen) - 1);
    else if (event.key === "Tab" && open && !event.shiftKey) take(Math.max(chosen, 0));
    else if (event.key === "Enter" && open && chosen >= 0) take(chosen);
    else return;
    event.preventDefault();
  }

  if (input && list) {
    input.addEventListener("input", complete);
    input.addEventListener("keydown", key);
    input.addEventListener("blur", close);
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest("input:not([type=checkbox]), textarea");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.focus();
      if (!input.value) input.value = "/";
      complete();
    });
  }

  setInterval(age, 5000);
  setInterval(settle, 1000);
  age();
  title();
  if (thread && !window.location.hash) toEnd();
})();
