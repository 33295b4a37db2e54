// Puts the page together: one consumer for the ticker and the chat, one raw socket, the figures and the two experiments.

import { startBench } from "/bench.js";
import { Consumer } from "/cable.js";
import { startCableChat, startRawChat } from "/chat.js";
import { startFigures } from "/figures.js";
import { number, rendered, startLanguage, t } from "/i18n.js";
import { socketUrl } from "/raw.js";
import { startSlow } from "/slow.js";
import { startTicker } from "/ticker.js";

const byId = (id) => document.getElementById(id);
const kDefaultRoom = "general";

startLanguage(byId("language"));

const consumer = new Consumer(socketUrl("/cable"));
showState(consumer);
startTicker(consumer, byId("ticker"), byId("ticker-rate"));
startCableChat(consumer, chatParts("cable"));
const retryRaw = startRawChat(chatParts("raw"), roomOfAddress(), showCurl);
byId("retry").addEventListener("click", () => {
  consumer.retryNow();
  retryRaw();
});
startFigures(byId("figures"), () => consumer.state === "open");
startBench({
  button: byId("bench-start"),
  bar: byId("bench-bar"),
  results: byId("bench-results"),
  histogram: byId("bench-histogram"),
  low: byId("bench-low"),
  high: byId("bench-high"),
  hint: byId("bench-hint"),
});
startSlow({
  button: byId("slow-switch"),
  published: { text: byId("slow-published"), bar: byId("slow-published-bar") },
  prompt: { text: byId("slow-prompt"), bar: byId("slow-prompt-bar") },
  stalled: { text: byId("slow-stalled"), bar: byId("slow-stalled-bar") },
  verdict: byId("slow-verdict"),
});
byId("curl-copy").addEventListener("click", copyCurl);
consumer.connect();

function chatParts(name) {
  return {
    log: byId(`${name}-log`),
    form: byId(`${name}-form`),
    input: byId(`${name}-text`),
    hint: byId(`${name}-hint`),
    roomForm: byId(`${name}-room-form`),
    roomInput: byId(`${name}-room`),
    where: byId(`${name}-where`),
  };
}

// /websocket/ROOM, /websocket?room=ROOM and /websocket (everybody) serve this page too.
function roomOfAddress() {
  const [, route, room] = /^\/(websocket)(?:\/([^/]*))?\/?$/.exec(location.pathname) ?? [];
  try {
    if (room) return decodeURIComponent(room);
  } catch {
    return kDefaultRoom; // a stray percent sign
  }
  return new URLSearchParams(location.search).get("room") ?? (route ? "" : kDefaultRoom);
}

// The words change with the state and are spoken; the countdown beside them changes every moment and is not.
function showState(consumer) {
  const box = byId("state");
  const text = byId("state-text");
  const countdown = byId("state-countdown");
  let timer = 0;
  const count = () => {
    const left = Math.max(0, consumer.retryAt - performance.now()) / 1000;
    countdown.textContent = consumer.state === "waiting" ? t("seconds", { n: number(left, 1) }) : "";
  };
  const draw = () => {
    box.dataset.state = consumer.state;
    text.textContent = t(`state_${consumer.state}`);
    byId("retry").hidden = consumer.state !== "waiting" && consumer.state !== "refused";
    clearInterval(timer);
    if (consumer.state === "waiting") timer = setInterval(count, 100);
    count();
  };
  consumer.onState = () => {
    draw();
    // The other connections wait on clocks of their own; the server is back for them too.
    if (consumer.state === "open") retryRaw();
  };
  rendered(draw);
}

function showCurl(room) {
  byId("raw-path").textContent = room === "" ? "/websocket" : `/websocket/${room}`;
  const path = `/send_message_to_room/${encodeURIComponent(room || kDefaultRoom)}`;
  // encodeURIComponent lets a quote through; everything else that a shell reads is percent-encoded by it.
  const target = `${location.origin}${path}`.replaceAll("'", "%27");
  byId("curl").textContent = `curl -d 'message=Hello from curl' -d sender=curl '${target}'`;
}

async function copyCurl() {
  const button = byId("curl-copy");
  try {
    await navigator.clipboard.writeText(byId("curl").textContent);
  } catch {
    // No clipboard for this page: leave the line selected, one keystroke from copied.
    getSelection().selectAllChildren(byId("curl"));
    return;
  }
  button.textContent = byId("curl-hint").textContent = t("copied");
  setTimeout(() => {
    button.textContent = t("copy");
    byId("curl-hint").textContent = "";
  }, 1500);
}
