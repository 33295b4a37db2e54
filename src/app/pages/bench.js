// Ten thousand messages around the whole loop: posted to the server in arrays, broadcast to a room, received here. Each
// carries its number and the time it was handed to fetch(), so order, loss and latency are judged by the receiver.

import { number, rendered, t } from "/i18n.js";
import { socketUrl } from "/raw.js";

const kMessages = 10000;
const kPerPost = 250;
const kQuietMs = 5000;    // nothing for so long after the last post: what is missing is lost
const kRetryMs = 100;
const kBins = 48;

export const randomRoom = (prefix) =>
  `${prefix}-${Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

// Publishes an array of {stream, data}. A busy server answers 503 and has taken none of it, so the same array goes again.
export async function publish(envelopes, onRetry = () => {}) {
  const body = JSON.stringify(envelopes);
  for (;;) {
    const answer = await fetch("/_broadcast", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (answer.ok) return;
    if (answer.status !== 503) throw new RefusedError(answer.status);
    onRetry();
    await new Promise((resolve) => setTimeout(resolve, kRetryMs));
  }
}

export class RefusedError extends Error {
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

export function startBench({ button, bar, results, histogram, low, high, hint }) {
  let run = null; // the Run shown
  let message = () => "";
  const fields = ["delivered", "order", "lost", "p50", "p99", "rate"].map((key) => {
    const box = results.appendChild(document.createElement("div"));
    const label = box.appendChild(document.createElement("dt"));
    const output = box.appendChild(document.createElement("dd"));
    output.dataset.result = key;
    return { key, label, output };
  });

  const draw = () => {
    const shown = run?.shown() ?? {};
    for (const { key, label, output } of fields) {
      label.textContent = key === "p50" || key === "p99" ? key : t(key);
      output.textContent = shown[key]?.text ?? "–";
      if (shown[key]?.good === undefined) delete output.dataset.good;
      else output.dataset.good = shown[key].good;
    }
    const part = (run?.received ?? 0) / kMessages;
    bar.firstElementChild.style.transform = `scaleX(${part})`;
    bar.setAttribute("aria-valuenow", Math.floor(part * 100));
    hint.textContent = message();
    // The figures stand above it already; the sentence is for those who hear the page.
    hint.classList.toggle("unseen", run?.complete ?? false);
  };
  rendered(draw);

  button.addEventListener("click", async () => {
    button.disabled = true;
    run = new Run();
    message = () => t("bench_running");
    drawHistogram(histogram, low, high, []);
    const timer = setInterval(draw, 100);
    try {
      await run.go();
      message = () => run.sentence();
      drawHistogram(histogram, low, high, run.latencies);
    } catch (error) {
      message = () => (error instanceof RefusedError ? t("bench_refused", { status: error.status }) : t("bench_failed"));
    } finally {
      clearInterval(timer);
      run.end();
      button.disabled = false;
      draw();
    }
  });
}

class Run {
  constructor() {
    this.room_ = randomRoom("bench");
    this.seen_ = new Uint8Array(kMessages);
    this.latencies = []; // ms, sorted when the run is over
    this.received = 0;
    this.displaced_ = 0; // arrived after a later one
    this.highest_ = -1;
    this.over_ = false;
    this.complete = false;
    this.startedAt_ = 0;
    this.lastAt_ = 0;
  }

  async go() {
    this.socket_ = await openSocket(`/websocket/${this.room_}`);
    const arrived = new Promise((resolve, reject) => {
      this.socket_.addEventListener("message", (event) => {
        this.receive_(JSON.parse(event.data));
        if (this.received === kMessages) resolve();
      });
      this.socket_.addEventListener("close", () => reject(new Error("closed")));
    });
    arrived.catch(() => {}); // it is awaited only after the posts
    this.startedAt_ = this.lastAt_ = performance.now();
    for (let first = 0; first < kMessages; first += kPerPost) {
      const sentAt = performance.now();
      await publish(Array.from({ length: kPerPost }, (_, index) => ({
        stream: `room_${this.room_}`,
        data: JSON.stringify({ n: first + index, t: sentAt }),
      })));
    }
    await Promise.race([arrived, this.quiet_()]);
    this.over_ = this.complete = true;
    this.latencies.sort((a, b) => a - b);
  }

  end() {
    this.over_ = true;
    this.socket_?.close(1000);
  }

  receive_({ n, t: sentAt }) {
    const now = performance.now();
    this.lastAt_ = now;
    if (!Number.isInteger(n) || n < 0 || n >= kMessages || this.seen_[n]) return;
    this.seen_[n] = 1;
    this.received += 1;
    if (n < this.highest_) this.displaced_ += 1;
    this.highest_ = Math.max(this.highest_, n);
    this.latencies.push(now - sentAt);
  }

  async quiet_() {
    while (performance.now() - this.lastAt_ < kQuietMs) await new Promise((resolve) => setTimeout(resolve, 250));
  }

  quantile_(part) {
    return this.latencies[Math.min(this.latencies.length - 1, Math.floor(part * this.latencies.length))] ?? 0;
  }

  shown() {
    const shown = { delivered: { text: number(this.received), good: this.over_ ? this.received === kMessages : undefined } };
    if (!this.over_ || this.received === 0) return shown;
    const lost = kMessages - this.received;
    const seconds = (this.lastAt_ - this.startedAt_) / 1000;
    return {
      ...shown,
      order: { text: this.displaced_ === 0 ? t("kept") : t("broken", { n: number(this.displaced_) }), good: this.displaced_ === 0 },
      lost: { text: number(lost), good: lost === 0 },
      p50: { text: `${number(this.quantile_(0.5), 1)} ms` },
      p99: { text: `${number(this.quantile_(0.99), 1)} ms` },
      rate: { text: number(this.received / seconds) },
    };
  }

  sentence() {
    return t("bench_done", {
      delivered: number(this.received),
      lost: number(kMessages - this.received),
      p50: number(this.quantile_(0.5), 1),
      p99: number(this.quantile_(0.99), 1),
    });
  }
}

export function openSocket(path) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(socketUrl(path));
    socket.addEventListener("open", () => resolve(socket));
    socket.addEventListener("close", () => reject(new Error("closed")));
  });
}

// How many messages took how long, from 0 to the slowest.
function drawHistogram(svg, low, high, latencies) {
  svg.replaceChildren();
  low.textContent = high.textContent = "";
  if (latencies.length === 0) return;
  const most = latencies[latencies.length - 1] || 1;
  const bins = new Array(kBins).fill(0);
  for (const latency of latencies) bins[Math.min(kBins - 1, Math.floor((latency / most) * kBins))] += 1;
  const peak = Math.max(...bins);
  bins.forEach((count, index) => {
    if (count === 0) return;
    const bar = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "rect"));
    const height = Math.max(1, (count / peak) * 42);
    bar.setAttribute("x", index * (240 / kBins) + 0.4);
    bar.setAttribute("y", 44 - height);
    bar.setAttribute("width", 240 / kBins - 0.8);
    bar.setAttribute("height", height);
  });
  low.textContent = "0 ms";
  high.textContent = `${number(most, 1)} ms`;
}
