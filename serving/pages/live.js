// Keeps one stream of events open for all tabs of a browser, and tells each tab what it asks for.
//
// A page asks by attributes of its body: `data-live` (the address of the stream), `data-topics` and `data-channels`
// (with spaces between them) and `data-after` (the id up to which it shows everything). If they change, it dispatches
// `live:want` on the document. News arrive there as `live`, with {kind, source, seq, topics, channel, data} as detail,
// each once and in order. `data-connection` of the root element is `live` or `stale`. Elements with
// `data-connection-lost` are shown while it is stale, with that text, in which {s} stands for seconds.
//
// One tab leads: it holds a lock and the stream, and passes on what it hears. Every tab knows how far it was told, so
// that whoever leads next goes on from there.
"use strict";
(() => {
  const page = document.body.dataset, root = document.documentElement;
  if (!page.live) return;
  const STALE_MS = 12_000, FIRST_PAUSE_MS = 1_000, LONGEST_PAUSE_MS = 30_000, GATHER_MS = 50, NAME = "brain-live";
  const tab = Math.random().toString(36).slice(2), canShare = Boolean(navigator.locks && window.BroadcastChannel);
  const channel = canShare ? new BroadcastChannel(NAME) : null;
  const wants = new Map();                            // of the tab that leads: tab -> what it asks for, and from where
  let asked = {topics: [], channels: []}, told = {};  // what this tab asks for; source -> number it was told last
  let leads = false, stream = null, served = [], timer = 0, pauseMs = FIRST_PAUSE_MS;
  let openedMs = 0, heardMs = Date.now(), leaderMs = heardMs, leaderHides = false, isLost = false;

  const words = text => (text || "").split(" ").filter(Boolean);
  const numbers = text => Object.fromEntries((text || "").split(",").filter(Boolean).map(part => {
    const [source, seq] = part.split(":");
    return [source, Number(seq)];
  }));

  const leave = () => { clearTimeout(timer); stream?.close(); stream = null; };

  function want() {
    asked = {topics: words(page.topics), channels: words(page.channels)};
    told = numbers(page.after);
    ask();
  }

  function ask() {
    const message = {type: "want", tab, ...asked, told};
    if (leads) gather(message);
    else channel?.postMessage(message);
  }

  function hear(message) {
    leaderMs = Date.now();
    leaderHides = message.hides;
    if (message.type === "lead") return ask();
    if (!message.served.includes(tab)) return;  // of a stream from before this tab asked: the next one repeats it
    isLost = message.type === "lost";
    if (!isLost) heardMs = Date.now();
    if (message.type === "news") take(message.news);
    for (const [source, seq] of Object.entries(numbers(message.id))) told[source] = Math.max(told[source] || 0, seq);
    show();
  }

  function take(news) {
    const isOfChannel = !asked.channels.length || !news.channel || asked.channels.includes(news.channel);
    const isAsked = isOfChannel && news.topics.some(topic => asked.topics.includes(topic));
    if (isAsked && news.seq > (told[news.source] || 0)) document.dispatchEvent(new CustomEvent("live", {detail: news}));
  }

  function show() {
    const silentMs = Date.now() - heardMs, isStale = isLost || silentMs > STALE_MS, s = Math.floor(silentMs / 1_000);
    root.dataset.connection = isStale ? "stale" : "live";
    for (const element of document.querySelectorAll("[data-connection-lost]")) {
      const text = isStale ? element.dataset.connectionLost.replace("{s}", s < 10 ? s : s - s % 10) : "";
      element.hidden = !isStale;
      if (element.textContent !== text) element.textContent = text;
    }
    return isStale;
  }

  function watch() {
    const isStale = show(), isLong = sinceMs => Date.now() - sinceMs > 2 * STALE_MS;
    if (leads && isStale) stream && Date.now() - Math.max(heardMs, openedMs) > STALE_MS ? lose() : say({type: "lost"});
    const isLeft = isLong(leaderMs) || leaderHides && isLong(heardMs);
    if (leads || !canShare || !isStale || !isLeft || document.hidden) return;
    leaderMs = heardMs = Date.now();
    lead({steal: true});  // the tab that leads sleeps
  }

  function lead(how) {
    const forGood = () => new Promise(() => { leads = true; say({type: "lead"}); ask(); });
    if (!canShare) return void forGood();
    navigator.locks.request(NAME, how, forGood).catch(() => {  // another tab took the place
      leads = false;
      leave();
      lead({});
    });
  }

  function gather(message) {
    wants.set(message.tab, message);
    clearTimeout(timer);
    timer = setTimeout(open, GATHER_MS);  // so that tabs that open together cost one stream
  }

  function open() {
    leave();
    const all = [...wants.values()], from = {};
    for (const one of all) for (const [source, seq] of Object.entries(one.tab === tab ? told : one.told))
      from[source] = Math.min(from[source] ?? Infinity, seq);
    const after = Object.entries(from).map(one => one.join(":")).join(",");
    const each = name => [...new Set(all.flatMap(one => one[name]))];
    const query = new URLSearchParams([["after", after], ...each("topics").map(topic => ["topic", topic])]);
    if (all.every(one => one.channels.length)) each("channels").forEach(one => query.append("channel", one));
    if (!query.has("topic")) return;
    [served, openedMs] = [[...wants.keys()], Date.now()];
    stream = new EventSource(`${page.live}?${query}`);
    stream.addEventListener("beat", event => pass({type: "beat"}, event));
    stream.onmessage = event => pass({type: "news", news: JSON.parse(event.data)}, event);
    stream.onerror = lose;
  }

  function pass(message, event) {
    const id = event.lastEventId;
    pauseMs = FIRST_PAUSE_MS;
    for (const one of wants.values()) if (served.includes(one.tab)) one.told = numbers(id);
    say({...message, id});
  }

  function lose() {
    leave();
    say({type: "lost"});
    timer = setTimeout(open, pauseMs * (0.5 + Math.random() / 2));
    pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
  }

  function say(message) {
    const whole = {...message, served, hides: document.hidden};
    channel?.postMessage(whole);
    if (message.type !== "lead") hear(whole);
  }

  const again = () => { if (leads && show()) { pauseMs = FIRST_PAUSE_MS; open(); } };
  if (channel) channel.onmessage = ({data}) => {
    if (data.type === "bye") wants.delete(data.tab);
    else if (data.type !== "want") leads || hear(data);
    else if (leads) gather(data);
  };
  addEventListener("pagehide", () => { channel?.postMessage({type: "bye", tab}); leave(); });
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  addEventListener("offline", () => { if (leads) lose(); });
  addEventListener("online", again);
  document.addEventListener("visibilitychange", again);
  document.addEventListener("live:want", want);
  setInterval(watch, 1_000);
  show();
  want();
  lead({});
})();
