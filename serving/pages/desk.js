// Keeps a part of a page up to date: when something is told about it, the part is asked for again.
//
// The part is the element with `data-part`, the address of its content. It is replaced only while nothing in it is
// focused, hovered or typed in; until then the element with `data-news` is shown, whose button replaces it.
"use strict";
(() => {
  const part = document.querySelector("[data-part]"), offer = document.querySelector("[data-news]");
  if (!part) return;
  const GATHER_MS = 100;
  let timer = 0, isAsking = false, isDue = false;

  const isBusy = () => part.matches(":hover") || part.contains(document.activeElement);

  async function show() {
    if (isAsking) { isDue = true; return; }
    isAsking = true;
    isDue = false;
    try {
      const answer = await fetch(part.dataset.part, {headers: {accept: "text/html"}, redirect: "error"});
      if (answer.ok) {
        part.innerHTML = await answer.text();
        part.dataset.shown = Date.now();
        offer.hidden = true;
      } else if (answer.status === 401 || answer.status === 403 || answer.status === 404) location.reload();
    } catch { /* the connection is lost, which the page says by itself; it is asked again once it is back */ }
    isAsking = false;
    if (isDue) show();
  }

  function hear() {
    clearTimeout(timer);
    timer = setTimeout(() => isBusy() ? offer.hidden = false : show(), GATHER_MS);
  }

  offer.querySelector("button").addEventListener("click", show);
  part.addEventListener("mouseleave", () => { if (!offer.hidden && !isBusy()) show(); });
  document.addEventListener("live", hear);
  new MutationObserver(() => { if (document.documentElement.dataset.connection === "live") hear(); })
    .observe(document.documentElement, {attributeFilter: ["data-connection"]});
})();
