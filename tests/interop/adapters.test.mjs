// Several servers that share a real Redis or a real PostgreSQL: what is published at one of them, or by another
// program at the engine, reaches the clients of all, in one order.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { Postgres, Redis } from "./engines.mjs";
import { Inbox, kBinary, load, Server, until, within } from "./server.mjs";

class Client {
  static async room(server, name) {
    const client = new Client(server, `/websocket/${name}`);
    await within(once(client.socket, "open"), "the room to open");
    return client;
  }

  // In a room where nobody was before, a confirmation says that the engine knows the user, too: it was told in order.
  static async chat(server, { user = 0, room } = {}) {
    const client = new Client(server, `/cable?user=${user}`, ["actioncable-v1-json"]);
    const welcome = await client.next();
    assert.equal(welcome.type, "welcome");
    client.sid = welcome.sid;
    const identifier = JSON.stringify({ channel: "ChatChannel", room_id: room });
    client.socket.send(JSON.stringify({ command: "subscribe", identifier }));
    assert.equal((await client.next()).type, "confirm_subscription");
    return client;
  }

  constructor(server, path, protocols = []) {
    this.received = new Inbox(path);
    this.socket = new WebSocket(server.url(path), protocols);
    this.socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.type !== "ping") this.received.put(message);
    });
    this.socket.on("error", () => {}); // what is missing says it
    this.socket.on("close", (code) => this.received.put({ closed: code }));
  }

  async disconnected(reconnect) {
    assert.deepEqual(await this.next(), { type: "disconnect", reason: "remote", reconnect });
    assert.deepEqual(await this.next(), { closed: 1000 });
  }

  next() {
    return this.received.next();
  }

  close() {
    this.socket.terminate();
  }
}

for (const [name, Engine] of [["Redis", Redis], ["PostgreSQL", Postgres]]) {
  describe(name, { skip: name === "PostgreSQL" && !Postgres.installed }, () => {
    let engine;
    let servers;
    let args;

    before(async () => {
      engine = await Engine.start();
      const user = "current_user=gid://ref-chat/User/{query.user}";
      args = [...engine.flags, "--channel-prefix", "app", "--adapter-ready-s", "0", "--identified-by", user, "--anycable", "on"];
      // A machine so busy that an answer takes seconds is no outage.
      args.push("--adapter-timeout-s", "600");
      servers = await Promise.all([0, 1, 2].map(() => Server.start({ args: [...args, "--outage-reconnect-s", "600"] })));
    });
    after(async () => {
      for (const server of servers ?? []) await server.stop();
      await engine?.stop();
    });

    test("a room's message reaches the clients of every server", async () => {
      const clients = await Promise.all(servers.map((server) => Client.room(server, "general")));
      clients[0].socket.send('{"message":"hello"}');
      const answer = await fetch(`${servers[1].origin}/send_message_to_room/general`, {
        method: "POST",
        body: new URLSearchParams({ message: "from HTTP" }),
      });
      assert.equal(answer.status, 200);
      for (const client of clients) {
        const messages = [(await client.next()).message, (await client.next()).message].sort();
        assert.deepEqual(messages, ["from HTTP", "hello"]);
        client.close();
      }
    });

    test("what another program publishes is delivered, and only under the prefix", async () => {
      const client = await Client.chat(servers[2]);
      await engine.publish("chat_channel", '{"from":"elsewhere"}');
      await engine.publish("app:chat_channel", '{"from":"Rails"}');
      assert.deepEqual((await client.next()).message, { from: "Rails" });
      client.close();
    });

    test("all servers deliver in one order, whoever publishes", async () => {
      const clients = await Promise.all(servers.map((server) => Client.room(server, "order")));
      const kEach = 200;
      for (let i = 0; i < kEach; ++i) {
        for (const [who, client] of clients.entries()) client.socket.send(JSON.stringify({ message: `${who}:${i}` }));
      }
      const seen = [];
      for (const client of clients) {
        const messages = [];
        while (messages.length < kEach * clients.length) messages.push((await client.next()).message);
        seen.push(messages);
        client.close();
      }
      assert.deepEqual(seen[1], seen[0]);
      assert.deepEqual(seen[2], seen[0]);
      for (const who of clients.keys()) {
        const mine = seen[0].filter((message) => message.startsWith(`${who}:`));
        assert.deepEqual(mine, [...Array(kEach).keys()].map((i) => `${who}:${i}`));
      }
    });

    test("hundreds of subscribers on two servers hear publishers on both, and one at the engine, in one order", async (t) => {
      const straight = [kBinary, "publish", "room_crowd", "-", ...engine.flags.slice(2)].map((word) => `'${word}'`);
      const urls = servers.slice(0, 2).map((server) => server.url("/websocket/crowd"));
      const result = await load("fanout", "--url", urls.join(), "--pipe", `${straight.join(" ")} > /dev/null`,
        "--connections", "400", "--publishers", "4", "--messages", "500", "--window", "16", "--seconds", "60");
      assert.equal(result.latency_count, 400 * 500);
      t.diagnostic(`200,000 deliveries in ${result.seconds.toFixed(1)} s`);
    });

    test("equal messages are each delivered", async () => {
      const client = await Client.room(servers[0], "equal");
      for (let i = 0; i < 20; ++i) client.socket.send('{"message":"the same"}');
      for (let i = 0; i < 20; ++i) assert.equal((await client.next()).message, "the same");
      client.close();
    });

    test("a user whom Rails disconnects is gone from every server", async () => {
      // The name and the messages are those that Rails 6.1 and 7.2 were recorded with.
      const channel = "app:action_cable/Z2lkOi8vcmVmLWNoYXQvVXNlci8x";
      for (const [message, reconnect] of [
        ['{"type":"disconnect"}', true],
        ['{"type":"disconnect","reconnect":true}', true],
        ['{"type":"disconnect","reconnect":false}', false],
      ]) {
        const there = (server, user) => Client.chat(server, { user, room: `${message} ${server.port} ${user}` });
        const theirs = await Promise.all(servers.map((server) => there(server, 1)));
        const another = await there(servers[1], 2);
        await engine.publish(channel, message);
        for (const client of theirs) await client.disconnected(reconnect);
        await engine.publish("app:chat_channel", "0"); // not theirs
        another.socket.ping();
        await within(once(another.socket, "pong"), "the other user to be there");
        assert.equal(another.received.waiting, 0);
        another.close();
      }
    });

    test("a user whom a producer disconnects at one server is gone from all", async () => {
      const clients = await Promise.all(servers.map((server) => Client.chat(server, { user: 3, room: `post ${server.port}` })));
      const identifier = JSON.stringify({ current_user: "gid://ref-chat/User/3" });
      const answer = await fetch(`${servers[1].origin}/_broadcast`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ command: "disconnect", payload: { identifier, reconnect: false } }),
      });
      assert.equal(answer.status, 201);
      for (const client of clients) await client.disconnected(false);
    });

    test("a message is kept from the socket that its producer excludes, on whichever server it is", async () => {
      const clients = await Promise.all(servers.map((server) => Client.chat(server, { user: 5, room: "exclude" })));
      const say = (server, data, exclude_socket) =>
        fetch(`${server.origin}/_broadcast`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ stream: "chat_exclude", data, meta: { exclude_socket } }),
        });
      for (const [i, client] of clients.entries()) assert.ok((await say(servers[(i + 1) % 3], `"not ${i}"`, client.sid)).ok);
      // Redis has AnyCable's own producers, too.
      const anycable = name === "Redis";
      const envelope = { stream: "chat_exclude", data: "1.10", meta: { exclude_socket: clients[0].sid } };
      if (anycable) await engine.publish("__anycable__", JSON.stringify(envelope));
      for (const [i, client] of clients.entries()) {
        const expected = [0, 1, 2].filter((other) => other !== i).map((other) => `not ${other}`);
        if (anycable && i !== 0) expected.push(1.1);
        const heard = [];
        while (heard.length < expected.length) heard.push((await client.next()).message);
        assert.deepEqual(heard.sort(), expected.sort());
      }
      // Somebody has heard each of them, so all of them were before this one.
      assert.ok((await say(servers[0], '"everybody"')).ok);
      for (const client of clients) {
        assert.equal((await client.next()).message, "everybody");
        client.close();
      }
    });

    test("while it is away the servers are not ready; then everything flows again", async () => {
      // Whose clients are to fetch what they missed after any outage of a second.
      const hasty = await Server.start({ args: [...args, "--outage-reconnect-s", "1"] });
      const client = await Client.room(servers[0], "outage");
      const [patient, impatient] = [await Client.chat(servers[1]), await Client.chat(hasty)];
      await engine.kill();
      await until(async () => (await fetch(`${servers[0].origin}/ready`)).status === 503, "readiness to end");
      assert.equal((await fetch(`${servers[0].origin}/health`)).status, 200);
      await sleep(1000);
      await engine.launch();
      await until(async () => (await fetch(`${servers[0].origin}/ready`)).ok, "readiness to come back");
      await until(async () => (await fetch(`${servers[1].origin}/ready`)).ok, "readiness to come back");
      const late = await Client.room(servers[1], "outage");
      late.socket.send('{"message":"again"}');
      assert.equal((await client.next()).message, "again");
      assert.deepEqual(await impatient.next(), { type: "disconnect", reason: "server_restart", reconnect: true });
      await engine.publish("app:chat_channel", '"still here"');
      assert.equal((await patient.next()).message, "still here");
      for (const each of [client, late, patient, impatient]) each.close();
      await hasty.stop();
    });

    if (name === "Redis") {
      test("AnyCable's channel disconnects, too", async () => {
        const clients = await Promise.all(servers.map((server) => Client.chat(server, { user: 4, room: `any ${server.port}` })));
        const identifier = JSON.stringify({ current_user: "Z2lkOi8vcmVmLWNoYXQvVXNlci80" });
        await engine.publish("__anycable__", JSON.stringify({ command: "disconnect", payload: { identifier, reconnect: false } }));
        for (const client of clients) await client.disconnected(false);
      });

      test("nothing stays subscribed when the last client has left", async () => {
        const own = (name) => name === "__anycable__"; // whoever is connected
        await until(async () => (await engine.listenedTo()).every(own), "every subscription to be given up");
      });
    } else {
      test("a payload beyond what it carries is refused, not lost", async () => {
        const answer = await fetch(`${servers[0].origin}/_broadcast`, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ stream: "chat_channel", data: JSON.stringify("x".repeat(8000)) }),
        });
        assert.equal(answer.status, 413);
      });
    }
  });
}
