// Conversations recorded between clients and the real servers, Rails' Action Cable and Sinatra with faye-websocket
// (tests/data), held again with Ringcast: the clients' bytes as they were, handshake, cookie and masks included, and
// Ringcast's answers compared byte for byte. Where it answers otherwise on purpose, the list below says how.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Redis } from "./engines.mjs";
import { Inbox, Server } from "./server.mjs";

const read = (name) => readFileSync(new URL(`../data/${name}.jsonl`, import.meta.url), "utf8").trim().split("\n").map((line) => JSON.parse(line));

// The secret that signed the recorded cookies.
const kSecretKeyBase = "ringcast-reference-secret-key-base-0123456789abcdef0123456789abcdef";

function encodeFrame(opcode, payload) {
  const long = payload.length > 125;
  const header = Buffer.alloc(long ? 4 : 2);
  header[0] = 0x80 | opcode;
  header[1] = long ? 126 : payload.length;
  if (long) header.writeUInt16BE(payload.length, 2);
  return Buffer.concat([header, payload]);
}

const payloadOf = (frame) => frame.toString("utf8", frame[1] === 126 ? 4 : 2);

// As it was on the wire.
function recordedFrame({ header, mask, text, b64, close_code, close_reason, opcode }) {
  let payload = text !== undefined ? Buffer.from(text) : Buffer.from(b64 ?? "", "base64");
  if (opcode === 8 && close_code) payload = Buffer.concat([Buffer.from([close_code >> 8, close_code & 255]), Buffer.from(close_reason ?? "")]);
  if (!mask) return encodeFrame(opcode, payload);
  const key = Buffer.from(mask, "hex");
  return Buffer.concat([Buffer.from(header, "hex"), key, payload.map((byte, index) => byte ^ key[index & 3])]);
}

// A recorded connection, open to Ringcast. What arrives is cut into HTTP answers and frames; pings are left out.
class Connection {
  constructor(server, name) {
    this.arrived = new Inbox(`connection ${name}`);
    this.upgraded = false;
    this.bytes_ = Buffer.alloc(0);
    this.socket = net.connect(server.port, "127.0.0.1").setNoDelay();
    this.socket.on("data", (bytes) => {
      this.bytes_ = Buffer.concat([this.bytes_, bytes]);
      while (this.cut_());
    });
    this.socket.on("end", () => this.arrived.put({ end: true }));
    this.socket.on("error", () => {}); // what is missing says it
  }

  cut_() {
    const bytes = this.bytes_;
    let length;
    if (!this.upgraded) {
      const end = bytes.indexOf("\r\n\r\n") + 4;
      if (end < 4) return false;
      const head = bytes.toString("latin1", 0, end);
      this.upgraded = head.startsWith("HTTP/1.1 101");
      length = end + Number(/\r\nContent-Length: (\d+)/i.exec(head)?.[1] ?? 0);
      if (bytes.length < length) return false;
      this.arrived.put({ head, body: bytes.toString("utf8", end, length) });
    } else {
      const header = bytes[1] === 126 ? 4 : 2;
      if (bytes.length < header) return false;
      length = header + (header === 4 ? bytes.readUInt16BE(2) : bytes[1]);
      if (bytes.length < length) return false;
      const frame = bytes.subarray(0, length);
      if (frame.includes('{"type":"ping"')) assert.match(frame.toString("latin1", 2), /^\{"type":"ping","message":\d{10}\}$/);
      else this.arrived.put({ frame });
    }
    this.bytes_ = bytes.subarray(length);
    return this.bytes_.length > 0;
  }
}

// Holds the conversation of `name` again. `said(text)` lists what Ringcast says for a recorded text; connections in
// `skip` are left out; a recorded `note` of something that happened besides is made to happen by the function.
async function replay(server, name, { said = (text) => [text], skip = [], note = () => {} } = {}) {
  const connections = new Map();
  const expected = new Map(); // by connection, what has to arrive before the client goes on
  const names = new Map(); // what a raw client is called, then and now
  const expect = (conn, item) => expected.set(conn, [...(expected.get(conn) ?? []), item]);

  const same = (actual, { end, head, answer, frame }) => {
    const shown = actual.end ? "the end" : actual.head ?? String(actual.frame);
    if (end) return assert.ok(actual.end, `${shown} instead of the end`);
    if (head) return assert.equal(shown, head);
    if (answer) return assert.deepEqual([actual.head?.split(" ")[1], actual.body], [answer.status, answer.body], shown);
    const [then] = /"Client \d+"/.exec(frame) ?? [];
    if (then && !names.has(then)) names.set(then, /"Client \d+"/.exec(shown)?.[0]);
    if (then) frame = encodeFrame(1, Buffer.from(payloadOf(frame).replace(then, names.get(then))));
    assert.equal(shown, String(frame));
    assert.ok(actual.frame.equals(frame));
  };
  const settle = async () => {
    for (const [conn, items] of expected) {
      const actual = [];
      for (const _ of items) actual.push(await connections.get(conn).arrived.next());
      // Copies of one broadcast for several subscriptions come in any order.
      if (items.every(({ frame }) => frame)) for (const list of [items, actual]) list.sort((a, b) => Buffer.compare(a.frame, b.frame ?? a.frame));
      actual.forEach((item, index) => same(item, items[index]));
    }
    expected.clear();
  };

  const fromClient = (record) => {
    if (!connections.has(record.conn)) connections.set(record.conn, new Connection(server, `${record.conn} of ${name}`));
    const { socket } = connections.get(record.conn);
    if (record.kind === "http") socket.write(record.head, "latin1");
    else if (record.kind === "frame") socket.write(recordedFrame(record));
    else if (record.kind === "fin") socket.end();
    else if (record.kind === "rst") socket.resetAndDestroy();
    else assert.fail(`a client's ${record.kind}`);
  };
  const fromServer = (record) => {
    const { conn, kind, head, text } = record;
    if (kind === "http" && head.startsWith("HTTP/1.1 101")) expect(conn, { head });
    else if (kind === "http") expect(conn, { answer: { status: head.split(" ")[1] } });
    else if (kind === "http_body") expected.get(conn).at(-1).answer.body = /^[0-9a-f]+\r\n([^]*)\r\n0\r\n\r\n$/.exec(text)[1]; // one chunk
    else if (kind === "fin") expect(conn, { end: true });
    else if (record.opcode !== 1) expect(conn, { frame: recordedFrame(record) });
    else if (!text.startsWith('{"type":"ping"')) for (const here of said(text)) expect(conn, { frame: encodeFrame(1, Buffer.from(here)) });
  };

  try {
    for (const record of read(name)) {
      if (record.kind === "scenario" || skip.includes(record.conn)) continue;
      if (record.dir === "s2c") {
        fromServer(record);
        continue;
      }
      await settle();
      if (record.kind === "note") await note(record.text);
      else fromClient(record);
    }
    await settle();
    for (const [conn, { arrived }] of connections) assert.equal(arrived.waiting, 0, `connection ${conn} has more to say`);
  } finally {
    for (const { socket } of connections.values()) socket.destroy();
  }
}

let folder;
before(() => (folder = mkdtempSync(join(tmpdir(), "ringcast-recorded-"))));
after(() => rmSync(folder, { recursive: true }));

describe("Action Cable as recorded from Rails", () => {
  let server;
  before(async () => {
    const file = join(folder, "secret_key_base");
    writeFileSync(file, kSecretKeyBase);
    server = await Server.start({
      args: ["--identified-by", "current_user=cookies.signed.user_id", "--secret-key-base-file", file,
        "--require-origin", "on", "--trusted-proxy", "127.0.0.1"],
    });
  });
  after(() => server?.stop());

  // The recorded application looks up a user's address; the cookie holds the id.
  const sender = (text) => text.replace('"sender":"alice@example.com"', '"sender":1').replace('"sender":"bob@example.com"', '"sender":2');
  const kConfirm = '{"identifier":"{\\"channel\\":\\"ChatChannel\\"}","type":"confirm_subscription"}';

  // Rails never answers a second subscribe, and its client repeats it for ever.
  const confirmed_twice = (text) => (text.includes('"message":"once"') ? [kConfirm, sender(text)] : [sender(text)]);
  // An action that only the recorded application has. What follows it shows that nothing before it was answered.
  const without_action = (text) => (text.includes('"email":') ? [] : [text]);
  const scenarios = {
    subscribe_confirm: {},
    // The demo's rooms have names: null and an object are none.
    subscribe_room: { said: (text) => /room_id\\":(null|\{)/.test(text) ? text.includes("confirm") ? [text.replace("confirm", "reject")] : [] : [sender(text)] },
    message_receive: { said: (text) => [sender(text)] },
    missing_subprotocol: {},
    unsupported_subprotocol: {},
    deflate_offer: {},
    binary_frame: {},
    unknown_command: {},
    unsubscribe: {},
    connect_welcome_pings: {},
    client_vanishes: {},
    duplicate_subscribe: { said: confirmed_twice },
    malformed_json: { said: without_action },
    action_names: { said: without_action },
    unauthorized_no_cookie: {},
    unauthorized_bad_cookie: {},
    unauthorized_expired_cookie: {},
    unauthorized_pipelined_subscribe: {},
    // puma loses what comes in one packet with the handshake; here it is carried out.
    pipelined_subscribe: { said: (text) => [text, kConfirm] },
    bad_origin: {},
    no_origin: {},
    // A scheme is compared without regard to case (RFC 6454, section 4).
    origin_variants: { skip: [3] },
  };
  for (const [name, difference] of Object.entries(scenarios)) {
    test(name, () => replay(server, `rails-async/${name}`, difference));
  }
  for (const name of ["message_receive", "unsubscribe", "duplicate_subscribe", "malformed_json", "unauthorized_bad_cookie", "unauthorized_expired_cookie"]) {
    test(`${name}, from Rails 7.2`, () => replay(server, `rails72-async/${name}`, scenarios[name]));
  }
  test("message_receive, with Redis", () => replay(server, "rails-redis/message_receive", scenarios.message_receive));
});

describe("with Redis", () => {
  let redis;
  let server;
  before(async () => {
    redis = await Redis.start();
    server = await Server.start({ args: [...redis.flags, "--channel-prefix", "my_app_production", "--welcome", "Welcome to the Sinatra Chat!"] });
  });
  after(async () => {
    await server?.stop();
    await redis?.stop();
  });

  // A client cannot name itself: Sinatra's JSON has the key twice, here the client's own is replaced.
  const one_sender = (text) => [text.replace(/"sender":"spoof",(.*),("sender":"Client \d+")/, '$2,$1')];
  const note = async (text) => {
    const [, channel, message] = /^redis-cli publish (\S+) '(.*)'$/.exec(text);
    await redis.publish(channel, message);
  };
  for (const [name, difference] of Object.entries({ welcome_echo: {}, rooms: { said: one_sender, note }, client_vanishes: {} })) {
    test(`${name}, from Sinatra`, () => replay(server, `sinatra/${name}`, difference));
  }

  for (const version of ["rails61", "rails72"]) {
    test(`what ${version} published reaches clients as it reached its own`, async () => {
      const { published, received } = JSON.parse(readFileSync(new URL(`../data/bus/${version}_redis.json`, import.meta.url)));
      const frames = received.filter((text) => text.includes('\\"ChatChannel\\"'));
      const inbox = new Inbox("the client");
      const socket = new WebSocket(server.url("/cable"), ["actioncable-v1-json"]);
      socket.on("message", (data) => data.includes('{"type":"ping"') || inbox.put(String(data)));
      assert.equal(await inbox.next(), received[0]);
      const confirms = frames.filter((text) => text.endsWith('"confirm_subscription"}'));
      for (const text of confirms) {
        socket.send(JSON.stringify({ command: "subscribe", identifier: JSON.parse(text).identifier }));
        assert.equal(await inbox.next(), text);
      }
      for (const { channel, payload } of published) await redis.publish(channel, payload);
      for (const text of frames.slice(confirms.length)) assert.equal(await inbox.next(), text);
      assert.equal(inbox.waiting, 0);
      socket.terminate();
    });
  }
});
