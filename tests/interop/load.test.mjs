// The load generator against servers that are wrong on purpose, in one way each: it must find that and say so with
// its exit status. Against an honest one, and against ours, it must find nothing, and its figures must add up.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";

import { Server } from "./server.mjs";

const kServer = process.env.RINGCAST_BIN ?? fileURLToPath(new URL("../../build/ringcast", import.meta.url));
const kLoad = path.join(path.dirname(kServer), "ringcast-load");

// What becomes of the 20th message that one subscriber is to get.
const kFaultyMessage = 20;
const faults = {
  none: (socket, message) => socket.send(message),
  lost: () => {},
  duplicated: (socket, message) => {
    socket.send(message);
    socket.send(message);
  },
  corrupt: (socket, message) => socket.send(message.replace(/xx"/, 'xy"')),
  truncated: (socket, message) => socket.send(message.replace(/xx"/, 'x"')),
  cut: (socket) => socket.terminate(),
};

// A room, or an echo on /echo, or ChatChannel on /cable, that treats its second visitor badly.
class FaultyServer {
  constructor(fault) {
    this.sockets = new Set();
    this.server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: (offered) => [...offered][0] });
    this.server.on("connection", (socket, request) => this.#welcome(socket, request.url, fault));
  }

  async url(path) {
    if (!this.server.address()) await new Promise((ready) => this.server.once("listening", ready));
    return `ws://127.0.0.1:${this.server.address().port}${path}`;
  }

  close() {
    for (const socket of this.sockets) socket.terminate();
    this.server.close();
  }

  #welcome(socket, url, fault) {
    const faulty = this.sockets.size === 1;
    this.sockets.add(socket);
    socket.on("close", () => this.sockets.delete(socket));
    socket.on("error", () => {});
    let sent = 0;
    let held;
    socket.give = (message) => {
      if (!faulty || ++sent < kFaultyMessage) return socket.send(message);
      if (fault === "reordered") {
        if (sent === kFaultyMessage) held = message;
        else socket.send(message);
        if (sent === kFaultyMessage + 1) socket.send(held);
      } else if (fault === "swapped") {
        // One of another publisher's goes first; each publisher's keep their order.
        const publisher = (text) => /#(\d+)/.exec(text)[1];
        if (sent === kFaultyMessage) held = [message];
        else if (held && publisher(message) === publisher(held[0])) held.push(message);
        else {
          socket.send(message);
          for (const late of held ?? []) socket.send(late);
          held = undefined;
        }
      } else if (sent === kFaultyMessage) faults[fault](socket, message);
      else socket.send(message);
    };
    const cable = url.startsWith("/cable");
    if (cable) socket.send('{"type":"welcome"}');
    socket.on("message", (bytes, binary) => {
      if (url.startsWith("/echo")) {
        if (fault === "corrupt" && ++sent === kFaultyMessage) bytes[bytes.length - 1] ^= 1;
        return faulty && fault === "lost" && ++sent === kFaultyMessage ? undefined : socket.send(bytes, { binary });
      }
      const message = bytes.toString();
      if (!cable) return this.#publish((each) => each.give(message));
      const { command, identifier, data } = JSON.parse(message);
      if (command === "subscribe") {
        socket.identifier = identifier;
        return socket.send(JSON.stringify({ identifier, type: "confirm_subscription" }));
      }
      this.#publish((each) =>
        each.give(JSON.stringify({ identifier: each.identifier, message: { message: JSON.parse(data).message } })),
      );
    });
  }

  #publish(give) {
    for (const socket of this.sockets) give(socket);
  }
}

function load(...flags) {
  return new Promise((resolve) =>
    execFile(kLoad, [...flags, "--json", "--warmup", "0", "--patience", "2"], (error, stdout, stderr) =>
      resolve({ status: error ? error.code : 0, stderr, result: stdout ? JSON.parse(stdout) : undefined }),
    ),
  );
}

async function loadFaulty(fault, path, ...flags) {
  const server = new FaultyServer(fault);
  try {
    return await load(flags[0], "--url", await server.url(path), ...flags.slice(1));
  } finally {
    server.close();
  }
}

const kFanout = ["fanout", "--connections", "8", "--seconds", "30", "--messages", "200", "--window", "8"];
const kFindings = ["lost", "duplicated", "reordered", "corrupt", "cut", "disagreed"];

for (const [name, path, flags] of [
  ["rooms", "/room", []],
  ["channels", "/cable", ["--protocol", "cable"]],
  ["channels named differently by each", "/cable", ["--protocol", "cable", "--distinct-identifiers"]],
]) {
  test(`an honest server passes: ${name}`, async () => {
    const { status, stderr, result } = await loadFaulty("none", path, ...kFanout, ...flags);
    assert.equal(status, 0, stderr);
    assert.equal(result.ok, true);
    for (const finding of kFindings) assert.equal(result[finding], 0, finding);
    // The drain after the last message is not measured, but its latencies are.
    assert.equal(result.latency_count, 200 * 8);
    assert.equal(result.complete_count, 200);
    assert.ok(result.latency_p50_us <= result.latency_p99_us && result.latency_p99_us <= result.latency_max_us);
    assert.ok(result.complete_p50_us >= result.latency_p50_us, "the last delivery is not before the median");
    assert.ok(result.client_busy_percent >= 0 && result.client_busy_percent <= 100.5, String(result.client_busy_percent));
  });

  for (const [fault, finding] of [
    ["lost", "lost"],
    ["duplicated", "duplicated"],
    ["reordered", "reordered"],
    ["corrupt", "corrupt"],
    ["truncated", "corrupt"],
    ["cut", "cut"],
  ]) {
    test(`a server is caught: ${name}, one message ${fault}`, async () => {
      const { status, stderr, result } = await loadFaulty(fault, path, ...kFanout, ...flags);
      assert.equal(status, 1, stderr);
      assert.equal(result.ok, false);
      assert.ok(result[finding] >= 1, JSON.stringify(result));
      assert.match(stderr, /connection 1 /, "it names the connection");
    });
  }
}

test("a server is caught: one client hears two publishers in another order than the rest", async () => {
  const { status, stderr, result } = await loadFaulty("swapped", "/room", ...kFanout, "--publishers", "2");
  assert.equal(status, 1, stderr);
  assert.deepEqual(kFindings.filter((finding) => result[finding] > 0), ["disagreed"]);
  assert.equal(result.disagreed, 1);
  assert.match(stderr, /connection 1 heard its stream in another order than connection 0/);
});

test("servers that do not share an engine are caught, and members of two that are one pass", async () => {
  const servers = [new FaultyServer("none"), new FaultyServer("none")];
  try {
    const [one, other] = await Promise.all(servers.map((server) => server.url("/room")));
    const apart = await load(...kFanout, "--url", `${one},${other}`, "--publishers", "2", "--window", "1", "--seconds", "1");
    assert.equal(apart.status, 1);
    assert.ok(apart.result.lost >= 1, JSON.stringify(apart.result));
    const together = await load(...kFanout, "--url", `${one},${one}`, "--publishers", "2");
    assert.equal(together.status, 0, together.stderr);
  } finally {
    for (const server of servers) server.close();
  }
});

test("a command publishes, too; that it failed is found out", async () => {
  const server = new FaultyServer("none");
  try {
    const url = await server.url("/room");
    // What it writes to standard output is nobody's: this one takes lines and publishes none of them.
    const silent = await load(...kFanout, "--url", url, "--pipe", "cat > /dev/null", "--seconds", "1");
    assert.ok(silent.result.lost >= 1, JSON.stringify(silent.result));
    const failed = await load(...kFanout, "--url", url, "--pipe", "exit 3", "--seconds", "1");
    assert.ok(failed.result.cut >= 1, JSON.stringify(failed.result));
  } finally {
    server.close();
  }
});

test("the last message of all is missed, too", async () => {
  const { status, result } = await loadFaulty("lost", "/room", "fanout", "--connections", "4", "--seconds", "30",
    "--messages", String(kFaultyMessage), "--window", "1");
  assert.equal(status, 1);
  assert.equal(result.lost, 1);
});

for (const [fault, status] of [["none", 0], ["lost", 1], ["corrupt", 1]]) {
  test(`echo, ${fault}: exit status ${status}`, async () => {
    const run = await loadFaulty(fault, "/echo", "echo", "--connections", "4", "--depth", "4", "--bytes", "40", "--seconds", "1");
    assert.equal(run.status, status, run.stderr);
    if (fault !== "none") assert.ok(run.result[fault] >= 1, JSON.stringify(run.result));
  });
}

test("what it cannot understand is a mistake of the caller's: status 2", async () => {
  for (const flags of [["fanout", "--connections", "many"], ["fanout", "--no-such"], ["dance"], ["echo", "--url", "http://x/"]]) {
    const { status, stderr } = await load(...flags);
    assert.equal(status, 2, stderr);
    assert.match(stderr, /^ringcast-load: /);
  }
});

// ── Ours ─────────────────────────────────────────────────────────────────────
let server;
before(async () => {
  server = await Server.start({ args: ["--echo", "on"] });
});
after(() => server?.stop());

const ours = (mode, path, ...flags) =>
  load(mode, "--url", server.url(path), "--pid", String(server.process_.pid), "--seconds", "1", ...flags);

for (const [name, mode, path, ...flags] of [
  ["a closed loop", "fanout", "/websocket/load", "--connections", "50", "--window", "16"],
  ["bursts", "fanout", "/websocket/load", "--connections", "20", "--burst", "32", "--every", "50"],
  ["a market's opening", "fanout", "/websocket/load", "--connections", "20", "--rate", "300", "--trace", "market-open"],
  ["several publishers", "fanout", "/websocket/load", "--connections", "20", "--publishers", "4", "--window", "16"],
  ["passers-by", "fanout", "/websocket/load", "--connections", "20", "--rate", "200", "--churn", "50"],
  ["popular streams", "fanout", "/cable", "--protocol", "cable", "--connections", "30", "--streams", "20",
    "--subs-per-conn", "5", "--zipf", "1", "--rate", "300"],
  ["different identifiers", "fanout", "/cable", "--protocol", "cable", "--connections", "30", "--distinct-identifiers"],
  ["rooms of their own", "fanout", "/websocket/load", "--connections", "30", "--streams", "30", "--window", "16"],
  ["readers that are stuck", "fanout", "/websocket/load", "--connections", "10", "--stuck", "10", "--window", "8"],
  ["echo", "echo", "/echo", "--connections", "8", "--depth", "4", "--bytes", "70000"],
  ["connect", "connect", "/websocket/load", "--connections", "100"],
  ["storm", "storm", "/cable", "--protocol", "cable", "--connections", "100", "--rounds", "2"],
  ["idle", "idle", "/cable", "--protocol", "cable", "--connections", "60", "--from", "20", "--settle", "0.1"],
  ["soak", "soak", "/websocket/load", "--protocol", "mixed", "--connections", "20", "--interval", "0.5"],
]) {
  test(`ringcast passes: ${name}`, async () => {
    const { status, stderr, result } = await ours(mode, path, ...flags);
    assert.equal(status, 0, stderr);
    assert.equal(result.ok, true);
    if (mode === "fanout" || mode === "echo") {
      assert.ok(result.per_second > 0 && result.server_cpu_ns > 0, JSON.stringify(result));
      assert.ok(result.latency_max_us > 0);
    }
  });
}
