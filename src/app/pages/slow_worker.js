// The reader that stops. A page's WebSocket cannot be told to stop reading, but a WebSocketStream from which nobody
// reads is not read from the network either. Where there is none, this worker blocks itself instead: no event runs, and
// a browser whose sockets press back then leaves the rest with the kernel. Classic script, in a thread of its own.
//
// in:  {kind: "start", url, messages}   {kind: "read", published}
// out: {kind: "stopped"}   {kind: "progress", received}   {kind: "over", received, code, reason}   {kind: "failed"}
// A code of null: everything arrived and the connection is still there.
"use strict";

const kBlockMs = 6000;
const kQuietMs = 2000;

let received = 0;
let published = Infinity; // known when told to read again
let readAgain = () => {};

addEventListener("message", ({ data }) => {
  if (data.kind === "read") {
    published = data.published;
    readAgain();
  } else if (typeof WebSocketStream === "function") {
    withStream(data.url).catch(() => postMessage({ kind: "failed" }));
  } else {
    withBlocking(data.url);
  }
});

async function withStream(url) {
  const stream = new WebSocketStream(url);
  const told = new Promise((resolve) => (readAgain = resolve));
  const closed = stream.closed.then(
    ({ closeCode, reason }) => ({ code: closeCode, reason }),
    (error) => ({ code: error.closeCode ?? 1006, reason: error.reason ?? "" }),
  );
  const { readable } = await stream.opened;
  postMessage({ kind: "stopped" });
  await told;
  const reader = readable.getReader();
  const all = (async () => {
    for (;;) {
      const { done } = await reader.read();
      if (done) return closed;
      count();
    }
  })().catch(() => closed);
  over(await Promise.race([all, quiet()]));
}

function withBlocking(url) {
  const socket = new WebSocket(url);
  let opened = false;
  socket.addEventListener("open", () => {
    opened = true;
    postMessage({ kind: "stopped" });
    const until = performance.now() + kBlockMs;
    while (performance.now() < until);
    quiet().then(over);
  });
  socket.addEventListener("message", count);
  socket.addEventListener("close", ({ code, reason }) => {
    if (opened) over({ code, reason });
    else postMessage({ kind: "failed" });
  });
}

let countedAt = 0;

function count() {
  received += 1;
  countedAt = performance.now();
  if (received % 16 === 0) postMessage({ kind: "progress", received });
}

// Resolves when everything published has arrived, or nothing more comes and no close either.
async function quiet() {
  countedAt = performance.now();
  while (received < published && performance.now() - countedAt < kQuietMs) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // The close, if there is one, stands behind the last message.
  await new Promise((resolve) => setTimeout(resolve, kQuietMs));
  return { code: null, reason: "" };
}

function over({ code, reason }) {
  postMessage({ kind: "over", received, code, reason });
}
