// An application in Ruby that is asked about connections and channels over AnyCable's HTTP RPC: it answers, is slow, is
// killed and comes back, and talks nonsense.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { createCable } from "@anycable/core";
import WebSocket from "ws";
import { Rpc, rubyInstalled } from "./apps.mjs";
import { Inbox, Server, freePort, until } from "./server.mjs";
import { inSeconds, kStreamsSecret, kTokenSecret, signedName, token } from "./tokens.mjs";

globalThis.self = globalThis;
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };

const require = createRequire(import.meta.url);
const actioncable = require("@rails/actioncable");

const folder = mkdtempSync(join(tmpdir(), "ringcast-rpc-"));
const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, `${content}\n`);
  return path;
};
after(() => rmSync(folder, { recursive: true }));

let app, server;
const clients = [];

// The application and a server that asks it.
async function begin(args = []) {
  const port = await freePort();
  app = await Rpc.start({ broadcasts: `http://127.0.0.1:${port}/_broadcast` });
  server = await Server.start({
    port,
    args: ["--rpc-url", app.rpcUrl, "--rpc-secret-file", file("rpc", Rpc.kSecret),
      "--broadcast-key-file", file("broadcast", Rpc.kBroadcastKey), ...args],
  });
}

async function end() {
  for (const client of clients.splice(0)) client.socket.terminate();
  await server?.stop();
  await app?.stop();
}

const chat = (room) => JSON.stringify({ channel: "ChatChannel", room });

// What comes, but pings, and how it ends.
class Client extends Inbox {
  constructor(user, { path = "/cable?x=1", headers = {} } = {}) {
    super(`client ${user}`);
    const cookie = user === undefined ? {} : { Cookie: `theme=dark; user=${user}` };
    this.socket = new WebSocket(server.url(path), ["actioncable-v1-json"], { headers: { ...cookie, ...headers } });
    this.socket.on("message", (text) => {
      const message = JSON.parse(text);
      if (message.type !== "ping") this.put(message);
    });
    this.socket.on("error", () => {});
    this.closed = new Promise((done) => // not once(), which an error before the handshake's end would reject
      this.socket.on("close", (code, reason) => done({ code, reason: String(reason) })));
    clients.push(this);
  }

  static async welcomed(user, options) {
    const client = new Client(user, options);
    const welcome = await client.next();
    assert.equal(welcome.type, "welcome", JSON.stringify(welcome));
    client.sid = welcome.sid;
    return client;
  }

  say(command, identifier, data) {
    this.socket.send(JSON.stringify({ command, identifier, ...(data && { data: JSON.stringify(data) }) }));
  }

  perform(identifier, action, data = {}) {
    this.say("message", identifier, { action, ...data });
  }

  // Confirmed, with the application's own message in front of the confirmation.
  async subscribed(room) {
    this.say("subscribe", chat(room));
    const hello = await this.next();
    assert.ok(hello.message?.hello, JSON.stringify(hello));
    assert.deepEqual(await this.next(), { identifier: chat(room), type: "confirm_subscription" });
    return hello.message.hello;
  }

  async message() {
    return (await this.next()).message;
  }

  leave() {
    this.socket.close();
    return this.closed;
  }
}

const metric = async (name) => {
  const text = await (await fetch(`${server.origin}/metrics`)).text();
  const line = text.split("\n").find((each) => each.startsWith(`${name} `));
  return Number(line?.slice(name.length));
};
const asked = async (method) => (await app.asked()).log.filter((call) => call.method === method);

describe("an application that answers", { skip: !rubyInstalled() && "there is no Ruby" }, () => {
  before(() => begin(["--jwt-secret-file", file("jwt", kTokenSecret), "--streams-secret-file", file("streams", kStreamsSecret)]));
  after(end);
  beforeEach(() => app.mode("well"));

  test("is told of the request, and says who it is", async () => {
    const client = await Client.welcomed("ann");
    assert.ok(client.sid, "the welcome is the application's, with the socket's id");
    const [{ env }] = await asked("connect");
    assert.equal(env.url, `${server.origin}/cable?x=1`);
    assert.deepEqual(env.headers, { cookie: "theme=dark; user=ann", REMOTE_ADDR: "127.0.0.1" });
  });

  test("turns away whom it does not know", async () => {
    const client = new Client();
    assert.deepEqual(await client.next(), { type: "disconnect", reason: "unauthorized", reconnect: false });
    assert.equal((await client.closed).code, 1000);
  });

  test("confirms and rejects, and its transmissions come before the confirmation", async () => {
    const client = await Client.welcomed("ann");
    assert.equal(await client.subscribed("1"), "ann");
    client.say("subscribe", chat("forbidden"));
    assert.deepEqual(await client.next(), { identifier: chat("forbidden"), type: "reject_subscription" });
    const unknown = JSON.stringify({ channel: "NoSuchChannel" });
    client.say("subscribe", unknown);
    assert.deepEqual(await client.next(), { identifier: unknown, type: "reject_subscription" });
    const [first] = await asked("command");
    assert.equal(first.command, "subscribe");
    assert.equal(first.identifier, chat("1"));
    assert.equal(first.connection_identifiers, '{"user":"ann"}');
  });

  test("performs actions that broadcast to everybody", async () => {
    const [ann, bob] = [await Client.welcomed("ann"), await Client.welcomed("bob")];
    for (const client of [ann, bob]) await client.subscribed("2");
    for (let i = 0; i < 10; ++i) {
      ann.perform(chat("2"), "speak", { text: `hi ${i}` });
      for (const client of [ann, bob]) assert.deepEqual(await client.message(), { text: `hi ${i}`, from: "ann" });
    }
  });

  test("keeps its state between calls: the connection's, and each channel's", async () => {
    const client = await Client.welcomed("ann");
    await client.subscribed("3");
    await client.subscribed("4");
    client.perform(chat("3"), "rename", { name: "anna" });
    client.perform(chat("3"), "count", { n: 1 });
    client.perform(chat("3"), "count", { n: 2 });
    assert.deepEqual(await client.message(), { n: 1, count: 1 });
    assert.deepEqual(await client.message(), { n: 2, count: 2 });
    client.perform(chat("4"), "tell");
    const told = await client.message();
    assert.deepEqual(told.cstate, { name: "anna", url: `${server.origin}/cable?x=1` });
    assert.deepEqual(told.istate, { count: "0" });
    client.perform(chat("3"), "rename", { name: "" });
    client.perform(chat("4"), "tell");
    assert.deepEqual((await client.message()).cstate, { url: `${server.origin}/cable?x=1` }, "what is empty is gone");
  });

  test("begins and ends streams from within actions", async () => {
    const [ann, bob] = [await Client.welcomed("ann"), await Client.welcomed("bob")];
    await ann.subscribed("5");
    await bob.subscribed("6");
    bob.perform(chat("6"), "follow", { room: "5" });
    bob.perform(chat("6"), "speak", { text: "mine" });
    assert.equal((await bob.message()).text, "mine");
    ann.perform(chat("5"), "speak", { text: "to followers" });
    assert.deepEqual(await bob.next(), { identifier: chat("6"), message: { text: "to followers", from: "ann" } });
    bob.perform(chat("6"), "unfollow", { room: "5" });
    assert.equal(await bob.message(), "unfollowed");
    ann.perform(chat("5"), "speak", { text: "unheard" });
    bob.perform(chat("6"), "speak", { text: "last" });
    assert.equal((await bob.message()).text, "last");
  });

  test("hears of ends: of subscriptions, and of connections with what was left", async () => {
    const client = await Client.welcomed("ann");
    await client.subscribed("7");
    await client.subscribed("8");
    client.perform(chat("8"), "count", { n: 1 });
    await client.message();
    client.say("unsubscribe", chat("7"));
    await until(async () => (await asked("command")).some(({ command }) => command === "unsubscribe"), "the unsubscribe");
    await client.leave();
    const [farewell] = await until(async () => {
      const calls = await asked("disconnect");
      return calls.length > 0 && calls;
    }, "the farewell");
    assert.equal(farewell.identifiers, '{"user":"ann"}');
    assert.deepEqual(farewell.subscriptions, [chat("8")]);
    assert.deepEqual(farewell.env.istate, { [chat("8")]: '{"count":"1"}' });
    assert.equal(farewell.env.cstate.name, "ann");
  });

  test("ends a connection itself", async () => {
    const client = await Client.welcomed("ann");
    await client.subscribed("9");
    client.perform(chat("9"), "quit");
    assert.deepEqual(await client.next(), { type: "disconnect", reason: "bye", reconnect: false });
    assert.equal((await client.closed).code, 1000);
  });

  test("disconnects by the identifiers it gave", async () => {
    const [ann, again, bob] = [await Client.welcomed("ann"), await Client.welcomed("ann"), await Client.welcomed("bob")];
    const answer = await fetch(`${server.origin}/_broadcast`, {
      method: "POST",
      headers: { Authorization: `Bearer ${Rpc.kBroadcastKey}` },
      body: JSON.stringify({ command: "disconnect", payload: { identifier: '{"user":"ann"}', reconnect: false } }),
    });
    assert.ok(answer.ok);
    for (const client of [ann, again]) {
      assert.deepEqual(await client.next(), { type: "disconnect", reason: "remote", reconnect: false });
    }
    await bob.subscribed("10");
  });

  test("is not asked about clients with a token, and hears of their commands by its ext", async () => {
    const ext = '{"user": "jim"}';
    const jid = token({ ext, exp: inSeconds(600) });
    const client = await Client.welcomed(undefined, { path: `/cable?jid=${jid}` });
    assert.equal(await client.subscribed("11"), "nobody", "no connect has left a state");
    const log = (await app.asked()).log.filter(({ method }) => method !== "disconnect"); // of those before
    assert.deepEqual(log.map(({ method }) => method), ["command"]);
    assert.equal(log[0].connection_identifiers, ext, "verbatim");
    const bad = new Client(undefined, { path: `/cable?jid=${jid}x` });
    assert.equal((await bad.next()).reason, "unauthorized");
  });

  test("is not asked about streams that it has signed", async () => {
    const client = await Client.welcomed("ann");
    const identifier = JSON.stringify({ channel: "$pubsub", signed_stream_name: signedName("news") });
    client.say("subscribe", identifier);
    assert.deepEqual(await client.next(), { identifier, type: "confirm_subscription" });
    assert.equal((await asked("command")).length, 0);
  });

  test("serves @rails/actioncable", async () => {
    actioncable.adapters.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { headers: { Cookie: "user=rita" } });
      }
    };
    const consumer = actioncable.createConsumer(server.url("/cable"));
    const inbox = new Inbox("@rails/actioncable");
    const subscription = consumer.subscriptions.create({ channel: "ChatChannel", room: "12" }, {
      connected: () => inbox.put("connected"),
      received: (data) => inbox.put(data),
    });
    assert.deepEqual(await inbox.next(), { hello: "rita" });
    assert.equal(await inbox.next(), "connected");
    subscription.perform("speak", { text: "hi" });
    assert.deepEqual(await inbox.next(), { text: "hi", from: "rita" });
    consumer.disconnect();
  });

  test("serves @anycable/core", async () => {
    const cable = createCable(server.url("/cable"), {
      websocketImplementation: class extends WebSocket {
        constructor(url, protocols) {
          super(url, protocols, { headers: { Cookie: "user=cora" } });
        }
      },
    });
    const channel = cable.subscribeTo("ChatChannel", { room: "13" });
    const inbox = new Inbox("@anycable/core");
    channel.on("message", (message) => inbox.put(message));
    await channel.ensureSubscribed();
    await channel.perform("speak", { text: "hi" });
    let message;
    do message = await inbox.next(); while (message.hello);
    assert.deepEqual(message, { text: "hi", from: "cora" });
    cable.disconnect();
  });
});

describe("an application that is slow", { skip: !rubyInstalled() && "there is no Ruby" }, () => {
  before(() => begin(["--rpc-concurrency", "3", "--rpc-timeout-ms", "20000"]));
  after(end);

  test("a hundred commands of one connection keep their order", async () => {
    await app.mode("slow", { seconds: 0.01 });
    const client = await Client.welcomed("ann");
    client.say("subscribe", chat("1"));
    for (let n = 1; n <= 100; ++n) client.perform(chat("1"), "count", { n });
    assert.deepEqual(await client.message(), { hello: "ann" });
    assert.equal((await client.next()).type, "confirm_subscription");
    for (let n = 1; n <= 100; ++n) assert.deepEqual(await client.message(), { n, count: n });
  });

  test("is asked no more at once than the limit", async () => {
    await app.mode("slow", { seconds: 0.05 });
    await Promise.all(Array.from({ length: 30 }, (_, i) => Client.welcomed(`user${i}`)));
    const { most, log } = await app.asked();
    assert.equal(log.filter(({ method }) => method === "connect").length, 30);
    assert.ok(most <= 3, `${most} at once`);
    assert.equal(await metric("ringcast_rpc_in_flight"), 0);
  });

  test("subscribing again meanwhile is confirmed once", async () => {
    await app.mode("slow", { seconds: 0.2 });
    const client = await Client.welcomed("ann");
    for (let i = 0; i < 4; ++i) client.say("subscribe", chat("2"));
    client.perform(chat("2"), "count", { n: 1 });
    assert.deepEqual(await client.message(), { hello: "ann" });
    assert.equal((await client.next()).type, "confirm_subscription");
    assert.deepEqual(await client.message(), { n: 1, count: 1 });
    assert.equal((await asked("command")).length, 2);
  });

  test("whoever leaves meanwhile is said farewell to all the same", async () => {
    await app.mode("slow", { seconds: 0.3 });
    const client = new Client("gone");
    await until(async () => (await asked("connect")).length === 1, "the connect");
    client.socket.terminate();
    const [farewell] = await until(async () => {
      const calls = await asked("disconnect");
      const mine = calls.filter(({ identifiers }) => identifiers === '{"user":"gone"}');
      return mine.length > 0 && mine;
    }, "the farewell");
    assert.equal(farewell.identifiers, '{"user":"gone"}');
    assert.ok((await metric("ringcast_rpc_stale_total")) >= 1);
  });
});

describe("an application that answers nonsense", { skip: !rubyInstalled() && "there is no Ruby" }, () => {
  before(() => begin(["--rpc-timeout-ms", "700"]));
  after(end);

  const kUnavailable = { type: "disconnect", reason: "unavailable", reconnect: true };

  for (const name of ["html", "truncated", "types", "status", "error", "raise", "500", "401", "404"]) {
    test(`${name}: nobody comes in, and a subscription is rejected`, async () => {
      await app.mode(name, { only: "connect" });
      const client = new Client("ann");
      assert.deepEqual(await client.closed, { code: 1011, reason: "the application failed" });
      assert.equal(client.waiting, 0);

      await app.mode(name, { only: "subscribe" });
      const other = await Client.welcomed("ann");
      other.say("subscribe", chat("1"));
      assert.deepEqual(await other.next(), { identifier: chat("1"), type: "reject_subscription" });
      await app.mode(name, { only: "message" });
      await other.subscribed("1");
      other.perform(chat("1"), "count", { n: 1 });
      other.say("subscribe", chat("1")); // costs the command and nothing else
      assert.deepEqual(await other.next(), { identifier: chat("1"), type: "confirm_subscription" });
      await app.mode("well");
      other.perform(chat("1"), "count", { n: 2 });
      assert.deepEqual(await other.message(), { n: 2, count: 1 });
    });
  }

  for (const name of ["endless", "trickle", "503"]) {
    test(`${name}: whoever asked is told to come back`, async () => {
      await app.mode(name, { only: "connect" });
      const client = new Client("ann");
      assert.deepEqual(await client.next(), kUnavailable);
      assert.equal((await client.closed).code, 1013);
      await app.mode(name, { only: "message" });
      const other = await until(async () => {
        const welcomed = new Client("ann");
        return (await welcomed.next()).type === "welcome" && welcomed;
      }, "a welcome");
      await other.subscribed("1");
      other.perform(chat("1"), "count", { n: 1 });
      assert.deepEqual(await other.next(), kUnavailable);
      assert.equal((await other.closed).code, 1013);
    });
  }
});

describe("an application that is killed", { skip: !rubyInstalled() && "there is no Ruby" }, () => {
  before(() => begin(["--rpc-timeout-ms", "1000"]));
  after(end);

  test("clients stay, those who ask are told to come back, and can once it is there again", async () => {
    const [ann, bob] = [await Client.welcomed("ann"), await Client.welcomed("bob")];
    for (const client of [ann, bob]) await client.subscribed("1");
    const { port } = app;
    await app.kill();

    ann.perform(chat("1"), "count", { n: 1 });
    assert.deepEqual(await ann.next(), { type: "disconnect", reason: "unavailable", reconnect: true });
    assert.equal((await ann.closed).code, 1013);
    while ((await metric("ringcast_rpc_breaker_open")) !== 1) {
      const client = new Client("cid");
      assert.equal((await client.next()).reason, "unavailable");
    }
    // Now and then one is let through, to see whether the application is there again.
    const refused = () => metric('ringcast_rpc_calls_total{method="connect",result="breaker"}');
    const before = await refused();
    await until(async () => {
      const client = new Client("cid");
      assert.equal((await client.next()).reason, "unavailable");
      return (await refused()) > before;
    }, "a call that the breaker refuses");

    // Whoever asks nothing hears on.
    const answer = await fetch(`${server.origin}/_broadcast`, {
      method: "POST",
      headers: { Authorization: `Bearer ${Rpc.kBroadcastKey}` },
      body: JSON.stringify({ stream: "chat_1", data: '"still here"' }),
    });
    assert.ok(answer.ok);
    assert.equal(await bob.message(), "still here");

    await app.stop();
    app = await Rpc.start({ port, broadcasts: `${server.origin}/_broadcast` });
    const back = await until(async () => {
      const again = new Client("ann");
      return (await again.next()).type === "welcome" && again;
    }, "a welcome");
    await back.subscribed("1");
    bob.perform(chat("1"), "count", { n: 1 });
    assert.deepEqual(await bob.message(), { n: 1, count: 1 }, "its state was kept here");
    assert.equal(await metric("ringcast_rpc_breaker_open"), 0);
    // Ann's farewell waited for the application to be there.
    await until(async () => (await asked("disconnect")).some(({ identifiers }) => identifiers === '{"user":"ann"}'), "the farewell");
  });
});
