// The JavaScript client of Rails, unmodified, three generations of it, against the real server. Only the environment is
// made up: node has no document and, in older releases, no WebSocket.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Inbox, Server, within } from "./server.mjs";

globalThis.self = globalThis;
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };

const require = createRequire(import.meta.url);
const clients = [
  { version: "8.1", library: require("@rails/actioncable"), tellsReconnected: true },
  { version: "7.2", library: require("actioncable-7"), tellsReconnected: true },
  { version: "6.1", library: require("actioncable-6"), tellsReconnected: false },
];
for (const { library } of clients) library.adapters.WebSocket = WebSocket;

let server;
const consumers = [];

before(async () => (server = await Server.start()));
after(async () => {
  for (const consumer of consumers) consumer.disconnect();
  await server.stop();
});

function createConsumer(library) {
  const consumer = library.createConsumer(server.url("/cable"));
  consumers.push(consumer);
  return consumer;
}

// A subscription whose callbacks go into `events`, what it receives into `received`.
function subscribe(consumer, params, name = JSON.stringify(params)) {
  const events = new Inbox(`the events of ${name}`);
  const received = new Inbox(`the messages of ${name}`);
  const subscription = consumer.subscriptions.create(params, {
    connected(details) { events.put({ event: "connected", ...details }); },
    disconnected() { events.put({ event: "disconnected" }); },
    rejected() { events.put({ event: "rejected" }); },
    received(data) { received.put(data); },
  });
  return { subscription, events, received, say: (message) => subscription.perform("receive", { message }) };
}

async function subscribed(...args) {
  const made = subscribe(...args);
  assert.equal((await made.events.next()).event, "connected");
  return made;
}

for (const { version, library, tellsReconnected } of clients) {
  const room = (name) => ({ channel: "ChatChannel", room_id: `${version}-${name}` });

  describe(`@rails/actioncable ${version}`, () => {
    test("connects, and says that it is the first time", async () => {
      const { events } = subscribe(createConsumer(library), room("first"));
      const { event, reconnected } = await events.next();
      assert.equal(event, "connected");
      assert.equal(reconnected, tellsReconnected ? false : undefined);
    });

    test("two consumers chat; each keeps its name", async () => {
      const alice = await subscribed(createConsumer(library), "ChatChannel", "alice");
      const bob = await subscribed(createConsumer(library), "ChatChannel", "bob");
      const names = [];
      for (const [speaker, message] of [[alice, "one"], [bob, "two"], [alice, "three"]]) {
        speaker.say(message);
        const heard = await alice.received.next();
        assert.deepEqual(await bob.received.next(), heard);
        assert.equal(heard.message, message);
        assert.deepEqual(Object.keys(heard), ["message", "sender"]);
        names.push(heard.sender);
      }
      assert.match(names[0], /^Client \d+$/);
      assert.equal(names[2], names[0]);
      assert.notEqual(names[1], names[0]);
    });

    test("text of every kind arrives as it was sent", async () => {
      const { received, say } = await subscribed(createConsumer(library), room("text"));
      for (const message of ["", "<script>alert(1)</script> & more", "line\nline\ttab \"quoted\" \\", "你好 🐦 \u2028\u2029\u0000", "x".repeat(100000)]) {
        say(message);
        assert.equal((await received.next()).message, message);
      }
    });

    test("send without an action is receive", async () => {
      const { subscription, received } = await subscribed(createConsumer(library), room("send"));
      subscription.send({ message: "plain" });
      assert.equal((await received.next()).message, "plain");
    });

    test("rooms are apart, and a number names the same room as its digits", async () => {
      const number = Number(`${version.replace(".", "")}7`);
      const speaker = createConsumer(library);
      const here = await subscribed(speaker, { channel: "ChatChannel", room_id: number });
      const elsewhere = await subscribed(speaker, { channel: "ChatChannel", room_id: number + 1 });
      const listener = await subscribed(createConsumer(library), { channel: "ChatChannel", room_id: String(number) });
      elsewhere.say("not for you");
      assert.equal((await elsewhere.received.next()).message, "not for you");
      here.say("for you");
      assert.equal((await here.received.next()).message, "for you");
      assert.equal((await listener.received.next()).message, "for you");
    });

    test("an unknown channel is rejected and forgotten; the connection goes on", async () => {
      const consumer = createConsumer(library);
      const { events } = subscribe(consumer, "NoSuchChannel");
      assert.equal((await events.next()).event, "rejected");
      assert.equal(consumer.subscriptions.subscriptions.length, 0);
      const { say, received } = await subscribed(consumer, room("after-reject"));
      say("still here");
      assert.equal((await received.next()).message, "still here");
    });

    test("after unsubscribe nothing arrives, until subscribed again", async () => {
      const consumer = createConsumer(library);
      const speaker = await subscribed(createConsumer(library), room("leave"), "speaker");
      const first = await subscribed(consumer, room("leave"), "first");
      speaker.say("before");
      assert.equal((await first.received.next()).message, "before");
      assert.equal((await speaker.received.next()).message, "before");
      first.subscription.unsubscribe();
      // Commands run in order: once this one is answered, so is the unsubscribe.
      await subscribed(consumer, room("fence"));
      speaker.say("between");
      assert.equal((await speaker.received.next()).message, "between");
      const second = await subscribed(consumer, room("leave"), "second");
      speaker.say("after");
      assert.equal((await second.received.next()).message, "after");
      assert.equal(first.received.waiting, 0);
    });

    test("two subscriptions with one identifier are both connected", async () => {
      const consumer = createConsumer(library);
      const one = await subscribed(consumer, room("twice"), "one");
      const two = await subscribed(consumer, room("twice"), "two");
      one.say("both");
      assert.equal((await one.received.next()).message, "both");
      assert.equal((await two.received.next()).message, "both");
      one.subscription.unsubscribe(); // the client keeps the server's subscription while another one needs it
      two.say("the other");
      assert.equal((await two.received.next()).message, "the other");
      assert.equal(one.received.waiting, 0);
      assert.equal(two.received.waiting, 0);
    });

    test("many subscriptions at once are all confirmed", async () => {
      const consumer = createConsumer(library);
      const made = Array.from({ length: 50 }, (_, index) => subscribe(consumer, room(`many-${index}`)));
      for (const { events } of made) assert.equal((await events.next()).event, "connected");
      made.forEach(({ say }, index) => say(String(index)));
      for (const [index, { received }] of made.entries()) assert.equal((await received.next()).message, String(index));
    });

    test("ticks arrive in order", async () => {
      const { received } = await subscribed(createConsumer(library), { channel: "TickerChannel", symbol: "ACME" });
      let last = -1;
      for (let count = 0; count < 5; ++count) {
        const tick = await received.next();
        assert.equal(tick.symbol, "ACME");
        assert.match(tick.price, /^\d+\.\d+$/);
        assert.equal(typeof tick.change, "string");
        assert.ok(Math.abs(tick.time - Date.now()) < 60000, `${tick.time} is now, in milliseconds`);
        assert.ok(tick.seq > last, `${tick.seq} after ${last}`);
        last = tick.seq;
      }
    });

    test("what is published over HTTP arrives as JSON", async () => {
      const { received } = await subscribed(createConsumer(library), room("http"));
      const value = { text: "<b>", list: [1, null, true, "x"], deep: { number: 1.5 } };
      const answer = await fetch(`${server.origin}/_broadcast`, {
        method: "POST",
        body: JSON.stringify({ stream: `chat_${version}-http`, data: JSON.stringify(value) }),
      });
      assert.ok(answer.ok, `status ${answer.status}`);
      assert.deepEqual(await received.next(), value);
    });
  });
}

describe("@rails/actioncable over a restart", () => {
  test("every generation comes back by itself and is subscribed again", async () => {
    // A server of its own: the others' consumers would come back too, and none of this is their business.
    const first = await Server.start();
    const made = clients.map(({ library }) => library.createConsumer(first.url("/cable")));
    const chats = await Promise.all(made.map((consumer, index) => subscribed(consumer, "ChatChannel", `client ${index}`)));
    await first.stop();
    for (const { events } of chats) assert.equal((await events.next()).event, "disconnected");
    const second = await Server.start({ port: first.port });
    try {
      await Promise.all(chats.map(async ({ events }, index) => {
        const { event, reconnected } = await within(events.next(), "the client to come back");
        assert.equal(event, "connected");
        assert.equal(reconnected, clients[index].tellsReconnected ? true : undefined);
      }));
      chats[0].say("here again");
      for (const { received } of chats) assert.equal((await received.next()).message, "here again");
    } finally {
      for (const consumer of made) consumer.disconnect();
      await second.stop();
    }
  });
});
