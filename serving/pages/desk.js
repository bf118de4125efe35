// Keeps the desk up to date, and sees to it that no click is lost or done twice.
//
// Parts: the element with `data-part` (the address of its content) has pieces (`data-piece`). When something is told,
// the content is asked for again, and each piece that differs is replaced, unless something in it is focused, hovered
// or typed in: then the element with `data-news` is shown, whose button replaces all. Texts in `data-time` do not count
// as a difference, and are written anew. With `data-refresh-s` it is asked again every so many seconds, too.
// Forms: a form is sent once. While the connection is lost it is kept, and sent once it is back.
// Notes: what is typed in a field with `data-keep` stays in this tab until it is sent.
// Session: `data-idle-s` of the body says after how many seconds without a request it ends.
// Keys: elements with `data-key` are reached by a first key and a second one, both of which can be changed.
"use strict";
(() => {
  const $ = selector => document.querySelector(selector), all = selector => [...document.querySelectorAll(selector)];
  const root = document.documentElement, about = document.body.dataset, part = $("[data-part]"), offer = $("[data-news]");
  const GATHER_MS = 100, BEAT_MS = 10_000, idleMs = Number(about.idleS || 0) * 1_000;
  let timer = 0, isAsking = false, isDue = false, isLeaving = false, seenMs = Date.now(), activeMs = seenMs, kept = null;

  // Parts
  const isBusy = piece => piece.matches(":hover") || piece.contains(document.activeElement);
  const bare = piece => {
    const copy = piece.cloneNode(true);
    for (const one of copy.querySelectorAll("[name=once], [data-time]")) one.remove();
    return copy.innerHTML.replace(/ (class="desk-waits"|class="")/g, "");
  };

  async function show({force = false} = {}) {
    if (!part) return;
    if (isAsking) { isDue = true; return; }
    [isAsking, isDue] = [true, false];
    try {
      const answer = await fetch(part.dataset.part, {headers: {accept: "text/html"}, redirect: "error"});
      if (answer.ok) replace(await answer.text(), force);
      else if ([401, 403, 404].includes(answer.status) && !isLeaving) location.reload();
    } catch { /* the connection is lost, which the page says by itself; it is asked again once it is back */ }
    isAsking = false;
    if (isDue) show();
  }

  function replace(text, force) {
    seenMs = Date.now();
    const fresh = new DOMParser().parseFromString(text, "text/html"), before = $("[data-suggestion]")?.textContent;
    if (!fresh.querySelector("[data-piece]")) {
      offer.hidden = force || !isBusy(part);
      if (offer.hidden) part.innerHTML = text;
      part.dataset.shown = Date.now();
      return;
    }
    const old = new Map(all("[data-piece]").map(piece => [piece.dataset.piece, piece]));
    let isLeft = false;
    for (const piece of fresh.querySelectorAll("[data-piece]")) {
      const there = old.get(piece.dataset.piece);
      old.delete(piece.dataset.piece);
      if (!there) { isLeft = true; continue; }
      if (bare(there) === bare(piece)) { tell(there, piece); continue; }
      if (isBusy(there) && !force) isLeft = true;
      else there.replaceWith(piece);
    }
    if ((isLeft || old.size) && force) return location.reload();
    offer.hidden = !isLeft && !old.size;
    part.dataset.shown = Date.now();
    const now = $("[data-suggestion]")?.textContent;
    if (now && now !== before && $("[data-said]")) $("[data-said]").textContent = `${$("#do").textContent}: ${now}`;
  }

  function tell(there, piece) {
    const times = [...piece.querySelectorAll("[data-time]")];
    for (const [at, one] of there.querySelectorAll("[data-time]").entries()) one.textContent = times[at].textContent;
  }

  function hear() {
    clearTimeout(timer);
    timer = setTimeout(show, GATHER_MS);
  }

  offer?.querySelector("button").addEventListener("click", () => show({force: true}));
  part?.addEventListener("mouseleave", () => { if (!offer.hidden) show(); });
  document.addEventListener("live", hear);
  if (part?.dataset.refreshS) setInterval(show, part.dataset.refreshS * 1_000);
  new MutationObserver(() => { if (root.dataset.connection === "live") { send(); hear(); } })
    .observe(root, {attributeFilter: ["data-connection"]});

  // Forms
  document.addEventListener("submit", event => {
    const form = event.target, isLost = !navigator.onLine || root.dataset.connection === "stale";
    if (form.method === "dialog") return;
    if (form.dataset.sent || kept) event.preventDefault();
    else if (isLost && form.method === "post") {
      event.preventDefault();
      kept = {form, button: event.submitter};
      for (const one of all("[data-held-back]")) one.hidden = false;
    } else form.dataset.sent = "yes";
  });
  function send() {
    if (!kept || !navigator.onLine) return;
    const {form, button} = kept;
    kept = null;
    for (const one of all("[data-held-back]")) one.hidden = true;
    if (form.isConnected) form.requestSubmit(button);
    else show();
  }
  addEventListener("online", () => setTimeout(send, 500));
  addEventListener("pageshow", () => all("form[data-sent]").forEach(form => delete form.dataset.sent));

  addEventListener("beforeunload", () => { isLeaving = true; });

  // Notes
  const place = field => `note ${location.pathname} ${field.dataset.keep}`;
  if ($("[data-noted]")) sessionStorage.removeItem(`note ${location.pathname} note`);
  for (const field of all("[data-keep]")) {
    field.value ||= sessionStorage.getItem(place(field)) || "";
    field.addEventListener("input", () => sessionStorage.setItem(place(field), field.value));
    if (field.dataset.keep !== "note") field.form.addEventListener("submit", () => sessionStorage.removeItem(place(field)));
  }

  // Session: it is kept while somebody works here, and warned of before it ends
  const beat = () => {
    if (!about.csrf || Date.now() - activeMs > idleMs / 2) return;
    const headers = {"x-csrf-token": about.csrf};
    fetch(about.beat, {method: "POST", headers}).then(answer => { if (answer.ok) seenMs = Date.now(); }, () => {});
  };
  const warn = () => { $("[data-expiry]").hidden = Date.now() - seenMs < idleMs * 0.8; };
  for (const kind of ["keydown", "pointermove", "pointerdown"])
    addEventListener(kind, () => { activeMs = Date.now(); }, {passive: true});
  $("[data-expiry] button")?.addEventListener("click", () => { activeMs = Date.now(); show(); beat(); warn(); });
  if (idleMs && about.beat) { setInterval(beat, BEAT_MS); setInterval(warn, Math.min(5_000, idleMs / 10)); beat(); }

  // Keys
  const DEFAULTS = {first: "g", said: "s", accepted: "a", maybe: "m", declined: "d", later: "l", undo: "u", instead: "i",
    why: "w", note: "n", over: "o", back: "b", consent: "c", negotiate: "e", next: "j", previous: "k", home: "h", correct: "r",
    help: "?"};
  const map = {...DEFAULTS, ...JSON.parse(localStorage.getItem("brain-keys") || "{}")}, dialog = $("[data-keys]");
  let isSecond = false, wait = 0;
  const isTyping = () => document.activeElement?.matches("input, textarea, select, [contenteditable]");

  function step(by) {
    const items = all("[data-suggestion], .desk-next li"), at = items.findIndex(item => item === document.activeElement);
    const next = items[Math.max(0, Math.min(items.length - 1, at + by))];
    if (next) { next.tabIndex = -1; next.focus(); }
  }

  function reach(name) {
    if (name === "next" || name === "previous") return step(name === "next" ? 1 : -1);
    const found = $(`[data-key="${name}"]`);
    if (!found) return;
    if (found.matches("input, textarea, select")) found.focus();
    else if (found.matches("summary")) { found.parentElement.open = true; found.focus(); }
    else found.click();
  }

  addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping() || !dialog || dialog.open) return;
    const name = Object.keys(map).find(one => one !== "first" && map[one] === event.key);
    if (isSecond && name) { event.preventDefault(); reach(name); }
    isSecond = !isSecond && event.key === map.first;
    clearTimeout(wait);
    if (isSecond) wait = setTimeout(() => { isSecond = false; }, 2_000);
  });
  for (const field of all("[data-map]")) {
    field.value = map[field.dataset.map];
    field.addEventListener("input", () => {
      const isTaken = field.dataset.map !== "first" && Object.entries(map).some(([name, key]) =>
        name !== "first" && name !== field.dataset.map && key === field.value);
      field.setCustomValidity(isTaken || !field.value ? "?" : "");
      if (isTaken || !field.value) return;
      map[field.dataset.map] = field.value;
      localStorage.setItem("brain-keys", JSON.stringify(map));
    });
  }
  const help = $("[data-help]");
  if (help) { help.hidden = false; help.addEventListener("click", () => dialog.showModal()); }
})();
