// Behind real proxies: WebSockets through nginx and Caddy as proxies/ configures them, and who the client is then. All
// of 127.0.0.0/8 is this machine, so clients of different addresses are sockets bound to different ones, and a limit of
// one connection per address shows whom the server takes them for.

import assert from "node:assert/strict";
import { once } from "node:events";
import net from "node:net";
import { after, test } from "node:test";
import WebSocket from "ws";
import { nginxStreams, program, Proxy } from "./proxies.mjs";
import { Inbox, Server, until, within } from "./server.mjs";

const kFlags = ["--echo", "--drain-seconds", "1"];
const kKey = "dGhlIHNhbXBsZSBub25jZQ==";

const sockets = [];
after(() => {
  for (const socket of sockets) socket.terminate();
});

// The status a handshake at `url` is answered with; 101 leaves it open. from: the client's address.
async function handshake(url, { from = "127.0.0.2", ...options } = {}) {
  const socket = new WebSocket(url, { localAddress: from, ...options });
  sockets.push(socket);
  const failed = new Promise((_, reject) => socket.on("error", reject));
  failed.catch(() => {});
  return within(
    Promise.race([
      once(socket, "open").then(() => 101),
      once(socket, "unexpected-response").then(([, response]) => {
        response.resume();
        return response.statusCode;
      }),
      failed,
    ]),
    `an answer to the handshake at ${url}`,
  );
}

// Runs `body` with a server of these flags and the proxy that `start` puts in front of it.
async function behind(start, args, body) {
  const server = await Server.start({ args: [...kFlags, "--connections-per-address", "1", ...args] });
  try {
    const proxy = await start(server);
    try {
      await body({ server, proxy });
    } finally {
      for (const socket of sockets.splice(0)) socket.terminate();
      await proxy.stop();
    }
  } finally {
    await server.stop();
  }
}

const skip = (name) => (program(name) ? false : `${name} is not installed`);

for (const [name, start] of [["nginx", Proxy.nginx], ["caddy", Proxy.caddy]]) {
  test(`${name}: a WebSocket goes through in both directions`, { skip: skip(name) }, () =>
    behind(start, ["--trusted-proxy", "127.0.0.1"], async ({ proxy }) => {
      const socket = new WebSocket(proxy.url("/echo"), { origin: proxy.origin });
      sockets.push(socket);
      const received = new Inbox(`/echo behind ${name}`);
      socket.on("message", (data, binary) => received.put(binary ? data : data.toString()));
      await within(once(socket, "open"), "/echo to open");
      for (const message of ["hello", "é".repeat(200000), Buffer.alloc(70000, 0xff)]) {
        socket.send(message);
        assert.deepEqual(await received.next(), message);
      }
      const pong = once(socket, "pong");
      socket.ping("there?");
      assert.equal(String((await within(pong, "a pong"))[0]), "there?");
      const closed = once(socket, "close");
      socket.close(4001, "done");
      assert.equal((await within(closed, "the close"))[0], 4001);
    }));

  test(`${name}: clients of a trusted proxy are known by their own addresses`, { skip: skip(name) }, () =>
    behind(start, ["--trusted-proxy", "127.0.0.1"], async ({ proxy }) => {
      assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2" }), 101);
      assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2" }), 429);
      assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.3" }), 101);
      // What the client writes itself stands left of what the proxy adds, or is replaced.
      const headers = { "X-Forwarded-For": "203.0.113.9" };
      assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2", headers }), 429);
      // A place is free again some time after its connection has ended.
      sockets[0].close();
      await until(async () => (await handshake(proxy.url("/echo"), { from: "127.0.0.2" })) === 101, "the place to be free");
    }));

  test(`${name}: without --trusted-proxy its clients are all the proxy`, { skip: skip(name) }, () =>
    // It may keep connections of its own to us, so there is room for some more than one.
    behind(start, ["--connections-per-address", "4"], async ({ proxy }) => {
      const statuses = [];
      for (let last = 2; last < 7; ++last) statuses.push(await handshake(proxy.url("/echo"), { from: `127.0.0.${last}` }));
      assert.equal(statuses[0], 101);
      assert.equal(statuses.at(-1), 429);
    }));

  test(`${name}: a page that the proxy serves may connect, another may not`, { skip: skip(name) }, () =>
    behind(start, ["--trusted-proxy", "127.0.0.1"], async ({ proxy }) => {
      assert.equal(await handshake(proxy.url("/echo"), { origin: proxy.origin }), 101);
      assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.3", origin: "http://elsewhere.example" }), 403);
    }));
}

// ── Headers by hand ──────────────────────────────────────────────────────────

const direct = (args, body) => behind(async () => ({ stop() {} }), args, body);

test("only a trusted peer is believed", () =>
  direct(["--trusted-proxy", "127.0.0.9/32", "--trusted-proxy", "::1"], async ({ server }) => {
    const client = (from, address) => handshake(server.url("/echo"), { from, headers: { "X-Forwarded-For": address } });
    assert.equal(await client("127.0.0.9", "203.0.113.1"), 101);
    assert.equal(await client("127.0.0.9", "203.0.113.2"), 101);
    assert.equal(await client("127.0.0.9", "203.0.113.1"), 429);
    assert.equal(await client("127.0.0.9", "203.0.113.1, 127.0.0.9"), 429); // a proxy behind the proxy
    assert.equal(await client("127.0.0.4", "203.0.113.3"), 101);
    assert.equal(await client("127.0.0.4", "203.0.113.4"), 429);
  }));

test("a proxy that speaks TLS says so, and its pages come from https", () =>
  direct(["--trusted-proxy", "127.0.0.9"], async ({ server }) => {
    const page = (from, origin, headers) => handshake(server.url("/echo"), { from, origin, headers });
    const forwarded = { "X-Forwarded-For": "203.0.113.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example" };
    assert.equal(await page("127.0.0.9", "https://chat.example", forwarded), 101);
    assert.equal(await page("127.0.0.9", "http://chat.example", { ...forwarded, "X-Forwarded-For": "203.0.113.2" }), 403);
    assert.equal(await page("127.0.0.9", "https://other.example", { ...forwarded, "X-Forwarded-For": "203.0.113.3" }), 403);
    assert.equal(await page("127.0.0.4", "https://chat.example", forwarded), 403);
  }));

test("who somebody is is the proxy's word, and nobody else's", () =>
  direct(["--trusted-proxy", "127.0.0.9", "--identified-by", "user=header.X-User"], async ({ server }) => {
    const answer = async (from, headers) => {
      const socket = new WebSocket(server.url("/cable"), ["actioncable-v1-json"], { localAddress: from, headers });
      sockets.push(socket);
      const { type, reason, reconnect } = JSON.parse((await within(once(socket, "message"), "an answer"))[0]);
      return reason ? `${reason}, ${reconnect}` : type;
    };
    const behindProxy = (client, more) => ({ "X-Forwarded-For": client, ...more });
    assert.equal(await answer("127.0.0.9", behindProxy("203.0.113.1", { "X-User": "ann" })), "welcome");
    assert.equal(await answer("127.0.0.9", behindProxy("203.0.113.2")), "unauthorized, false");
    assert.equal(await answer("127.0.0.9", behindProxy("203.0.113.3", { "X-User": "" })), "unauthorized, false");
    // The client's own beside the proxy's.
    assert.equal(await answer("127.0.0.9", behindProxy("203.0.113.4", { "X-User": ["root", "ann"] })), "unauthorized, false");
    assert.equal(await answer("127.0.0.4", { "X-User": "ann" }), "unauthorized, false");
    assert.equal(await answer("127.0.0.5", behindProxy("127.0.0.9", { "X-User": "ann" })), "unauthorized, false");
  }));

test("pages of every origin may connect where that is said", () =>
  direct(["--allowed-origins", "*"], async ({ server }) => {
    assert.equal(await handshake(server.url("/cable"), { origin: "https://elsewhere.example" }), 101);
    assert.equal(await handshake(server.url("/echo"), { from: "127.0.0.3", origin: "http://another.example:8080" }), 101);
  }));

test("a network that is none is one sentence and exit status 2", async () => {
  await assert.rejects(Server.start({ args: ["--trusted-proxy", "10.0.0.0/33"] }), /ended with 2[^]*10\.0\.0\.0\/33/);
});

// ── The PROXY protocol ───────────────────────────────────────────────────────

const kProxyFlags = ["--proxy-protocol", "on", "--trusted-proxy", "127.0.0.9"];

test("nginx: a stream's PROXY header names the client", { skip: nginxStreams() ? false : "nginx is without streams" }, () =>
  behind(Proxy.nginxStream, kProxyFlags, async ({ proxy }) => {
    assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2" }), 101);
    assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2" }), 429);
    assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.3" }), 101);
    // The client behind the header is no proxy of ours: it may say what it likes.
    const headers = { "X-Forwarded-For": "203.0.113.9" };
    assert.equal(await handshake(proxy.url("/echo"), { from: "127.0.0.2", headers }), 429);
  }));

// Version 2 with the address of a client, or LOCAL without one.
function proxyV2(address, { port = 50000, tlvs = Buffer.alloc(0) } = {}) {
  const fixed = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
  const octets = (text) => Buffer.from(text.split(".").map(Number));
  const ports = Buffer.from([port >> 8, port & 0xff, 1, 187]);
  const block = address ? Buffer.concat([octets(address), octets("198.51.100.1"), ports, tlvs]) : tlvs;
  return Buffer.concat([fixed, Buffer.from(address ? [0x21, 0x11] : [0x20, 0x00]), Buffer.from([block.length >> 8, block.length & 0xff]), block]);
}

const kUpgrade =
  "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${kKey}\r\n\r\n`;
const kHealth = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

// What a peer at `from` is answered that sends these pieces, each as a packet: the status, or "" if the connection ends
// without one.
async function answered(server, from, ...pieces) {
  const socket = net.connect({ host: "127.0.0.1", port: server.port, localAddress: from });
  sockets.push({ terminate: () => socket.destroy() });
  socket.setNoDelay(true);
  let text = "";
  const answer = new Promise((resolve) => {
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (text.includes("\r\n\r\n")) resolve();
    });
    socket.on("close", resolve);
    socket.on("error", () => {}); // close follows
  });
  await within(once(socket, "connect"), "a connection");
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await within(answer, "an answer or the end");
  return text.slice(9, 12);
}

test("a PROXY header comes first from every trusted peer", () =>
  direct(kProxyFlags, async ({ server }) => {
    const from = "127.0.0.9";
    assert.equal(await answered(server, from, Buffer.concat([proxyV2("203.0.113.1"), Buffer.from(kUpgrade)])), "101");
    assert.equal(await answered(server, from, proxyV2("203.0.113.1"), kUpgrade), "429");
    assert.equal(await answered(server, from, proxyV2("203.0.113.2", { tlvs: Buffer.from("\x01\x00\x02h2", "latin1") }), kUpgrade), "101");
    const inPieces = [...proxyV2("203.0.113.3")].map((octet) => Buffer.from([octet]));
    assert.equal(await answered(server, from, ...inPieces, kUpgrade), "101");
    assert.equal(await answered(server, from, "PROXY TCP4 203.0.113.4 198.51.100.1 50000 443\r\n" + kUpgrade), "101");
    assert.equal(await answered(server, from, "PROXY TCP4 203.0.113.4 198.51.100.1 50001 443\r\n" + kUpgrade), "429");
    // The proxy itself, asking how we are.
    assert.equal(await answered(server, from, proxyV2(), kHealth), "200");
    assert.equal(await answered(server, from, "PROXY UNKNOWN\r\n" + kHealth), "200");
  }));

test("without its PROXY header a trusted peer is not served", () =>
  direct(kProxyFlags, async ({ server }) => {
    const wrong = proxyV2("203.0.113.1");
    wrong[12] = 0x11;
    const long = proxyV2("203.0.113.1");
    long.writeUInt16BE(65535, 14);
    for (const first of [kHealth, "PROXY TCP4 nonsense\r\n" + kHealth, wrong, long]) {
      assert.equal(await answered(server, "127.0.0.9", first), "");
    }
  }));

test("a PROXY header from anybody else is no request", () =>
  direct(kProxyFlags, async ({ server }) => {
    assert.equal(await answered(server, "127.0.0.4", kHealth), "200");
    assert.equal(await answered(server, "127.0.0.4", "PROXY TCP4 203.0.113.1 198.51.100.1 50000 443\r\n", kHealth), "400");
    assert.equal(await answered(server, "127.0.0.4", proxyV2("203.0.113.1"), kHealth), "400");
  }));
