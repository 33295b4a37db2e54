// Several servers that share a real Redis or a real PostgreSQL: what is published at one of them, or by another
// program at the engine, reaches the clients of all, in one order.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import WebSocket from "ws";
import { freePort, Inbox, Server, until, within } from "./server.mjs";

const run = promisify(execFile);

class Redis {
  static async start() {
    const redis = new Redis(await freePort());
    await redis.launch();
    return redis;
  }

  constructor(port) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), "ringcast-redis-"));
    this.flags = ["--adapter", "redis", "--redis-url", `redis://127.0.0.1:${port}/1`];
  }

  async launch() {
    this.process_ = spawn("redis-server", ["--port", this.port, "--bind", "127.0.0.1", "--save", "", "--dir", this.folder], {
      stdio: "ignore",
    });
    await until(async () => (await this.cli("ping").catch(() => "")) === "PONG", "Redis to answer");
  }

  async cli(...words) {
    return (await run("redis-cli", ["-p", this.port, ...words])).stdout.trim();
  }

  publish(channel, payload) {
    return this.cli("publish", channel, payload);
  }

  async channels() {
    return (await this.cli("pubsub", "channels")).split("\n").filter((name) => name && !name.includes("_canary"));
  }

  async kill() {
    this.process_.kill("SIGKILL");
    await once(this.process_, "exit");
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

class Postgres {
  static async start() {
    const postgres = new Postgres(await freePort());
    // It refuses to run as root; tests may be run by anybody.
    chmodSync(postgres.folder, 0o777);
    const bin = postgres.bin;
    await postgres.as_user(`${bin}/initdb -D ${postgres.folder}/data -A trust -U ringcast --no-sync`);
    await postgres.launch();
    return postgres;
  }

  constructor(port) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), "ringcast-postgres-"));
    const versions = readdirSync("/usr/lib/postgresql").sort((a, b) => Number(b) - Number(a));
    this.bin = `/usr/lib/postgresql/${versions[0]}/bin`;
    this.url = `postgresql://ringcast@127.0.0.1:${port}/postgres`;
    this.flags = ["--adapter", "postgresql", "--postgres-url", this.url];
  }

  async launch() {
    const options = `-p ${this.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=${this.folder} -c fsync=off`;
    await this.as_user(`${this.bin}/pg_ctl -w -D ${this.folder}/data -l ${this.folder}/log -o "${options}" start`);
  }

  as_user(command) {
    return process.getuid() === 0 ? run("runuser", ["-u", "postgres", "--", "sh", "-c", command]) : run("sh", ["-c", command]);
  }

  publish(channel, payload) {
    return run(`${this.bin}/psql`, [this.url, "-qc", `select pg_notify('${channel}', '${payload}')`]);
  }

  kill() {
    return this.as_user(`${this.bin}/pg_ctl -D ${this.folder}/data -m immediate stop`);
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}

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
  describe(name, { skip: name === "PostgreSQL" && !existsSync("/usr/lib/postgresql") }, () => {
    let engine;
    let servers;

    before(async () => {
      engine = await Engine.start();
      const args = [...engine.flags, "--channel-prefix", "app", "--adapter-ready-s", "0"];
      servers = await Promise.all([1, 2, 3].map(() => Server.start({ args })));
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
      await engine.kill();
      await until(async () => (await fetch(`${servers[0].origin}/ready`)).status === 503, "readiness to end");
      assert.equal((await fetch(`${servers[0].origin}/health`)).status, 200);
      await engine.launch();
      await until(async () => (await fetch(`${servers[0].origin}/ready`)).ok, "readiness to come back");
      await until(async () => (await fetch(`${servers[1].origin}/ready`)).ok, "readiness to come back");
      const late = await Client.room(servers[1], "outage");
      late.socket.send('{"message":"again"}');
      assert.equal((await client.next()).message, "again");
      client.close();
      late.close();
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
