// Several servers that share a real Redis or a real PostgreSQL: what is published at one of them, or by another
// program at the engine, reaches the clients of all, in one order.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { Postgres, Redis } from "./engines.mjs";
import { Inbox, Server, until, within } from "./server.mjs";

class Client {
  static async room(server, name) {
    const client = new Client(server, `/websocket/${name}`);
    await within(once(client.socket, "open"), "the room to open");
    return client;
  }

  static async chat(server) {
    const client = new Client(server, "/cable", ["actioncable-v1-json"]);
    assert.equal((await client.next()).type, "welcome");
    client.socket.send(JSON.stringify({ command: "subscribe", identifier: '{"channel":"ChatChannel"}' }));
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

    before(async () => {
      engine = await Engine.start();
      const args = [...engine.flags, "--channel-prefix", "app", "--adapter-ready-s", "0"];
      // The last one's clients are to fetch what they missed, after any outage of a second.
      const patience = ["30", "30", "1"];
      servers = await Promise.all(patience.map((seconds) => Server.start({ args: [...args, "--outage-reconnect-s", seconds] })));
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

    test("equal messages are each delivered", async () => {
      const client = await Client.room(servers[0], "equal");
      for (let i = 0; i < 20; ++i) client.socket.send('{"message":"the same"}');
      for (let i = 0; i < 20; ++i) assert.equal((await client.next()).message, "the same");
      client.close();
    });

    test("while it is away the servers are not ready; then everything flows again", async () => {
      const client = await Client.room(servers[0], "outage");
      const [patient, impatient] = [await Client.chat(servers[1]), await Client.chat(servers[2])];
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
    });

    if (name === "Redis") {
      test("nothing stays subscribed when the last client has left", async () => {
        await until(async () => (await engine.channels()).length === 0, "every subscription to be given up");
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
