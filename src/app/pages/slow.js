// What becomes of a consumer that does not read. Two connections join one room: one on this page, which reads, and one
// in a worker, which stops; then the room is flooded with more than the server and the kernel hold for a connection.

import { openSocket, publish, randomRoom } from "/bench.js";
import { number, rendered, t } from "/i18n.js";
import { socketUrl } from "/raw.js";

const kMessageBytes = 16 * 1024;
const kPerPost = 32;
const kMessages = 2048; // 32 MiB: the socket buffers on both sides and the server's log together hold less
const kSettleMs = 5000;
const kGivenUpMs = 10000; // the server's grace, and what a busy machine adds

export function startSlow({ button, published, prompt, stalled, verdict }) {
  let run = null;
  let sentence = () => "";
  const draw = () => {
    lane(published, run?.published ?? 0);
    lane(prompt, run?.prompt ?? 0);
    lane(stalled, run?.stalled ?? 0);
    verdict.textContent = sentence();
    if (run?.good === undefined) delete verdict.dataset.good;
    else verdict.dataset.good = run.good;
  };
  rendered(draw);

  button.addEventListener("click", async () => {
    if (run?.running) {
      run.readAgain(); // switched back by hand
      return;
    }
    run = new Run();
    sentence = () => t("slow_running");
    const reading = () => {
      button.setAttribute("aria-checked", "false");
      sentence = () => t("slow_waking");
    };
    button.setAttribute("aria-checked", "true");
    const timer = setInterval(draw, 100);
    try {
      await run.go(reading);
      sentence = () => run.sentence();
    } catch {
      run.good = false;
      sentence = () => t("slow_failed");
    } finally {
      clearInterval(timer);
      run.end();
      button.setAttribute("aria-checked", "false");
      draw();
    }
  });
}

class Run {
  constructor() {
    this.room_ = randomRoom("slow");
    this.running = true;
    this.published = 0; // messages, like the next two
    this.prompt = 0;
    this.stalled = 0;
    this.close_ = null; // {code, reason} of the slow reader
    this.good = undefined;
    this.flooding_ = true;
  }

  // Calls reading() when the slow reader is let go on.
  async go(reading) {
    this.socket_ = await openSocket(`/websocket/${this.room_}`);
    this.socket_.addEventListener("message", () => (this.prompt += 1));
    this.worker_ = new Worker("/slow_worker.js");
    const heard = (kind) => new Promise((resolve, reject) => {
      this.worker_.addEventListener("message", ({ data }) => {
        if (data.received !== undefined) this.stalled = data.received;
        if (data.kind === kind) resolve(data);
        if (data.kind === "failed") reject(new Error("failed"));
      });
      this.worker_.addEventListener("error", () => reject(new Error("worker")));
    });
    const stopped = heard("stopped");
    const over = heard("over");
    over.catch(() => {});
    this.worker_.postMessage({ kind: "start", url: socketUrl(`/websocket/${this.room_}`), messages: kMessages });
    await stopped;

    const before = await givenUp();
    const pad = "x".repeat(kMessageBytes - 32);
    while (this.flooding_ && this.published < kMessages) {
      await publish(Array.from({ length: kPerPost }, (_, index) => ({
        stream: `room_${this.room_}`,
        data: JSON.stringify({ n: this.published + index, pad }),
      })));
      this.published += kPerPost;
    }
    // Before it gives a reader up the server waits for it: whoever reads on by then is not too slow.
    for (let waited = 0; this.flooding_ && waited < kGivenUpMs && (await givenUp()) === before; waited += 100) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    this.readAgain();
    reading();
    this.close_ = await over;
    this.stalled = this.close_.received;
    // A busy machine may keep the prompt reader from its work: as long as something comes, more may.
    for (let waited = 0, had = this.prompt; this.prompt < this.published && waited < kSettleMs; waited += 50) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      if (this.prompt > had) [had, waited] = [this.prompt, 0];
    }
    this.good = this.prompt === this.published && this.close_.code === 1013;
  }

  readAgain() {
    this.flooding_ = false;
    this.worker_?.postMessage({ kind: "read", published: this.published });
  }

  end() {
    this.running = false;
    this.socket_?.close(1000);
    this.worker_?.terminate();
  }

  sentence() {
    const { code, reason } = this.close_;
    const values = {
      code,
      reason: reason ? ` “${reason}”` : "",
      got: number(this.stalled),
      prompt: number(this.prompt),
      all: number(this.published),
    };
    if (code === null) return t("slow_kept", values);
    return t(code === 1006 ? "slow_cut" : "slow_closed", values);
  }
}

// How often the server has given a reader up. (That a connection has ended is counted when the reader has heard of it.)
async function givenUp() {
  const metrics = await (await fetch("/metrics", { cache: "no-store" })).text();
  return [...metrics.matchAll(/^ringcast_dropped_total\{.*reason="lapped".*\} (\d+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0);
}

function lane({ text, bar }, messages) {
  text.textContent = t("mebibytes", { n: number((messages * kMessageBytes) / 2 ** 20, 1) });
  bar.firstElementChild.style.transform = `scaleX(${messages / kMessages})`;
}
