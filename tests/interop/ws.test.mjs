// The raw routes through the npm package ws: a WebSocket client by other people, with its own idea of the RFC.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, test } from "node:test";
import WebSocket from "ws";
import { Inbox, Server, within } from "./server.mjs";

let server;
const clients = [];

before(async () => (server = await Server.start()));
after(async () => {
  for (const client of clients) client.socket.terminate();
  await server.stop();
});

class Client {
  static async open(path, options = {}) {
    const client = new Client(path, options);
    await within(once(client.socket, "open"), `${path} to open`);
    return client;
  }

  constructor(path, { protocols = [], ...options } = {}) {
    this.received = new Inbox(path);
    this.socket = new WebSocket(server.url(path), protocols, options);
    this.socket.on("message", (data, binary) => this.received.put(binary ? data : data.toString()));
    this.closed = new Promise((resolve) => {
      this.socket.on("close", (code, reason) => resolve({ code, reason: reason.toString() }));
    });
    this.socket.on("error", () => {}); // the close says what matters
    clients.push(this);
  }

  sendJson(value) {
    this.socket.send(JSON.stringify(value));
  }

  async next() {
    return JSON.parse(await this.received.next());
  }

  end() {
    return within(this.closed, "the close");
  }
}

// The status of a refused handshake, with the answer's headers.
async function refusal(path, options) {
  const client = new Client(path, options);
  const [, response] = await within(
    Promise.race([once(client.socket, "unexpected-response"), once(client.socket, "open").then(() => assert.fail("accepted"))]),
    "a refusal",
  );
  response.resume();
  client.socket.terminate();
  return { status: response.statusCode, headers: response.headers };
}

async function post(path, { body, type, headers = {} } = {}) {
  const answer = await fetch(`${server.origin}${path}`, {
    method: "POST",
    body,
    headers: { ...(type ? { "Content-Type": type } : {}), ...headers },
  });
  return { status: answer.status, json: await answer.json() };
}

let rooms = 0;
const newRoom = () => `ws-${++rooms}`;

test("/websocket welcomes, and tells everybody who said what", async () => {
  const alice = await Client.open("/websocket");
  const bob = await Client.open("/websocket");
  for (const client of [alice, bob]) {
    const welcome = await client.next();
    assert.deepEqual(Object.keys(welcome), ["message", "sender"]);
    assert.equal(welcome.sender, "Server");
    assert.ok(welcome.message.length > 0);
  }
  alice.sendJson({ message: "hi", sender: "somebody else", more: 1 });
  const heard = await bob.next();
  assert.deepEqual(await alice.next(), heard);
  assert.deepEqual(Object.keys(heard), ["message", "sender"]);
  assert.equal(heard.message, "hi");
  assert.match(heard.sender, /^Client \d+$/);
  bob.sendJson({ message: { nested: [1, "two", null] } });
  const answer = await alice.next();
  assert.deepEqual(answer.message, { nested: [1, "two", null] });
  assert.notEqual(answer.sender, heard.sender);
  assert.deepEqual(await bob.next(), answer);
});

for (const [name, text, pattern] of [
  ["text that is not JSON", "{oops", /^Invalid JSON format/],
  ["an empty text", "", /^Invalid JSON format/],
  ["a binary frame", Buffer.from('{"message":"x"}'), /./],
  ["an array", "[1]", /expected a JSON object/],
  ["a number", "42", /expected a JSON object/],
  ["null", "null", /expected a JSON object/],
  ["a string", '"a message"', /./],
]) {
  for (const path of ["/websocket", "/websocket/errors"]) {
    test(`${path} answers ${name} to the sender alone`, async () => {
      const sender = await Client.open(path);
      const other = await Client.open(path);
      if (path === "/websocket") {
        await sender.next();
        await other.next();
      }
      sender.socket.send(text);
      const answer = await sender.next();
      assert.deepEqual(Object.keys(answer), ["error"]);
      assert.match(answer.error, pattern);
      sender.sendJson({ message: "still here" });
      assert.equal((await sender.next()).message, "still here");
      assert.equal((await other.next()).message, "still here");
      sender.socket.close();
      other.socket.close();
      await Promise.all([sender.end(), other.end()]);
    });
  }
}

test("a room passes on every key, with the server's sender alone", async () => {
  const room = newRoom();
  const alice = await Client.open(`/websocket/${room}`);
  const bob = await Client.open(`/websocket/${room}`);
  alice.socket.send('{"message":"hello","k":1.10,"sender":"spoof","list":[ 1 ]}');
  const text = await bob.received.next();
  assert.equal(await alice.received.next(), text);
  assert.equal(text.match(/"sender"/g).length, 1);
  const { sender, ...others } = JSON.parse(text);
  assert.match(sender, /^Client \d+$/);
  assert.deepEqual(Object.keys(others), ["message", "k", "list"]);
  assert.match(text, /"k":1\.10[,}]/); // numbers are passed on digit for digit
});

test("rooms are apart; ?room= is another way in", async () => {
  const [here, elsewhere] = [newRoom(), newRoom()];
  const alias = await Client.open(`/websocket?room=${here}`);
  const direct = await Client.open(`/websocket/${here}`);
  const stranger = await Client.open(`/websocket/${elsewhere}`);
  alias.sendJson({ message: "through the alias" });
  assert.equal((await direct.next()).message, "through the alias");
  assert.equal((await alias.next()).message, "through the alias"); // and no welcome before it
  stranger.sendJson({ message: "elsewhere" });
  assert.equal((await stranger.next()).message, "elsewhere"); // the first it hears
});

test("a room's name is decoded once, and has no slash", async () => {
  const encoded = await Client.open("/websocket/caf%C3%A9%20no.%201");
  const answer = await post(`/send_message_to_room/${encodeURIComponent("café no. 1")}?message=x`);
  assert.equal(answer.status, 200);
  assert.equal((await encoded.next()).message, "x");
  assert.equal((await refusal("/websocket/a%2Fb")).status, 404);
});

test("the HTTP producer takes forms, queries and JSON", async () => {
  const room = newRoom();
  const client = await Client.open(`/websocket/${room}`);
  const path = `/send_message_to_room/${room}`;
  const form = "application/x-www-form-urlencoded";
  for (const [answer, expected] of [
    [await post(path, { body: "message=from+a+form&sender=me", type: form }), { message: "from a form", sender: "me" }],
    [await post(path, { body: "message=caf%C3%A9", type: form }), { message: "café", sender: "HTTP API" }],
    [await post(`${path}?message=from%20a%20query`), { message: "from a query", sender: "HTTP API" }],
    [await post(path, { body: JSON.stringify({ message: "json", sender: "robot" }), type: "application/json" }), { message: "json", sender: "robot" }],
  ]) {
    assert.equal(answer.status, 200);
    assert.deepEqual(answer.json, { status: "ok", message: `Message sent to room ${room}` });
    assert.deepEqual(await client.next(), expected);
  }
});

test("the HTTP producer refuses what it cannot send", async () => {
  const room = newRoom();
  const nothing = await post(`/send_message_to_room/${room}`, { body: "sender=me", type: "application/x-www-form-urlencoded" });
  assert.equal(nothing.status, 422);
  assert.equal(nothing.json.status, "error");
  const foreign = await post(`/send_message_to_room/${room}?message=x`, { headers: { Origin: "http://elsewhere.example" } });
  assert.ok(foreign.status >= 400 && foreign.status < 500, `status ${foreign.status}`);
  const get = await fetch(`${server.origin}/send_message_to_room/${room}?message=x`);
  assert.ok(get.status === 404 || get.status === 405, `status ${get.status}`);
});

test("/_broadcast carries text untouched, one or many, and says what is wrong with the rest", async () => {
  const room = newRoom();
  const client = await Client.open(`/websocket/${room}`);
  const send = (value) => post("/_broadcast", { body: typeof value === "string" ? value : JSON.stringify(value), type: "application/json" });
  const stream = `room_${room}`;
  assert.equal((await send({ stream, data: "not JSON at all <&>" })).status, 201);
  assert.equal(await client.received.next(), "not JSON at all <&>");
  const many = Array.from({ length: 1000 }, (_, index) => ({ stream, data: `{ "n": ${index} }` }));
  assert.equal((await send(many)).status, 201);
  for (const { data } of many) assert.equal(await client.received.next(), data);
  for (const wrong of ["{", "[]x", "42", { stream }, { data: "x" }, { stream: 1, data: "x" }, [{ stream, data: "x" }, { stream }]]) {
    const { status } = await send(wrong);
    assert.ok(status >= 400 && status < 500, `${JSON.stringify(wrong)}: status ${status}`);
  }
  assert.equal((await send({ stream, data: "last" })).status, 201);
  assert.equal(await client.received.next(), "last"); // of an array with one mistake nothing was sent
});

test("everybody in a room hears the same, in one order", async () => {
  const room = newRoom();
  const [publishers, messages] = [4, 100];
  const all = await Promise.all(Array.from({ length: 20 }, () => Client.open(`/websocket/${room}`)));
  for (let n = 0; n < messages; ++n) for (let p = 0; p < publishers; ++p) all[p].sendJson({ message: `${p}:${n}` });
  const heard = [];
  for (const client of all) {
    const mine = [];
    while (mine.length < publishers * messages) mine.push((await client.next()).message);
    heard.push(mine);
  }
  for (const mine of heard) assert.deepEqual(mine, heard[0]);
  for (let p = 0; p < publishers; ++p) {
    const own = heard[0].filter((message) => message.startsWith(`${p}:`));
    assert.deepEqual(own, Array.from({ length: messages }, (_, n) => `${p}:${n}`));
  }
});

test("a ping is answered with its own payload", async () => {
  const { socket } = await Client.open(`/websocket/${newRoom()}`);
  for (const payload of ["", "are you there", "x".repeat(125)]) {
    const pong = once(socket, "pong");
    socket.ping(payload);
    assert.equal(String((await within(pong, "a pong"))[0]), payload);
  }
});

test("fragments make one message, with a ping between them", async () => {
  const client = await Client.open(`/websocket/${newRoom()}`);
  const pong = once(client.socket, "pong");
  client.socket.send('{"mess', { fin: false });
  client.socket.ping("between");
  client.socket.send('age":"in ', { fin: false });
  client.socket.send('pieces"}', { fin: true });
  assert.equal(String((await within(pong, "a pong"))[0]), "between");
  assert.equal((await client.next()).message, "in pieces");
});

test("a large message comes back whole", async () => {
  const client = await Client.open(`/websocket/${newRoom()}`);
  const message = "é".repeat(500000);
  client.sendJson({ message });
  assert.equal((await client.next()).message, message);
});

for (const [code, reason] of [[1000, ""], [1000, "done"], [1001, ""], [3000, "mine"], [4001, "mine too"], [4999, "é".repeat(61)]]) {
  test(`a close with ${code} is echoed`, async () => {
    const client = await Client.open(`/websocket/${newRoom()}`);
    client.socket.close(code, reason);
    const echo = await client.end();
    assert.equal(echo.code, code);
    assert.ok(echo.reason === reason || echo.reason === "", `reason ${echo.reason}`);
  });
}

test("a close without a code is answered", async () => {
  const client = await Client.open(`/websocket/${newRoom()}`);
  client.socket.close();
  assert.ok([1000, 1005].includes((await client.end()).code));
});

for (const [name, send, code] of [
  ["an unmasked frame", (socket) => socket.send("{}", { mask: false }), 1002],
  ["text that is not UTF-8", (socket) => socket.send(Buffer.from([0x7b, 0xff]), { binary: false }), 1007],
  ["more than a message may hold", (socket) => socket.send("x".repeat(1024 * 1024 + 1)), 1009],
]) {
  test(`${name} closes with ${code}`, async () => {
    const client = await Client.open(`/websocket/${newRoom()}`);
    send(client.socket);
    assert.equal((await client.end()).code, code);
  });
}

test("a foreign origin is refused, its own and none are accepted", async () => {
  const foreign = { origin: "http://elsewhere.example" };
  assert.equal((await refusal("/websocket/origins", foreign)).status, 403);
  assert.equal((await refusal("/cable", { ...foreign, protocols: ["actioncable-v1-json"] })).status, 404);
  await Client.open("/websocket/origins", { origin: server.origin });
  await Client.open("/websocket/origins");
});

test("another version of the protocol is told which one is spoken", async () => {
  const request = http.get(`${server.origin}/websocket/version`, {
    headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "8", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" },
  });
  const [response] = await within(once(request, "response"), "an answer");
  response.resume();
  assert.equal(response.statusCode, 426);
  assert.equal(response.headers["sec-websocket-version"], "13");
});

test("/cable chooses by the client's order", async () => {
  const client = await Client.open("/cable", { protocols: ["unheard-of", "actioncable-v1-json", "actioncable-unsupported"] });
  assert.equal(client.socket.protocol, "actioncable-v1-json");
  assert.equal((await client.next()).type, "welcome");
  const other = await Client.open("/cable", { protocols: ["actioncable-unsupported", "actioncable-v1-json"] });
  assert.equal(other.socket.protocol, "actioncable-unsupported");
});

test("when the server ends, raw clients are told 1001", async () => {
  const ending = await Server.start();
  const socket = new WebSocket(ending.url("/websocket/ending"));
  const closed = once(socket, "close");
  await within(once(socket, "open"), "the open");
  const stopped = ending.stop();
  const [code] = await within(closed, "the close");
  assert.equal(code, 1001);
  await stopped;
});
