// Three servers on one engine, publishing all the while, and something goes wrong: the engine dies, hangs, throws a
// connection out or lets nobody in, the network between it and one server fails. Whatever it is, no client hears a
// message twice, all hear those they hear in one order, what is missing is counted, and it all flows again by itself.

import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { Postgres, Redis } from "./engines.mjs";
import { kDeadlineMs, Server, until, within } from "./server.mjs";
import { Wire } from "./wire.mjs";

const kFar = 2; // the one whose engine is at the other end of a wire
const kPublishEveryMs = 20;
const kUnheardMs = 250; // the next one waits for the last, so that no backlog grows on a busy machine; for so long

let rooms = 0;

// How many of the numbers stand in ascending order when the fewest are left out.
function longestRun(numbers) {
  const ends = []; // of a run of each length, the least
  for (const number of numbers) {
    const at = ends.findIndex((end) => end > number);
    ends[at < 0 ? ends.length : at] = number;
  }
  return ends.length;
}

// One client on every server, each of which publishes and hears the same room; and one that only counts pings. Ends
// with the test.
class Traffic {
  static async on(t, servers) {
    const traffic = new Traffic(servers);
    t.after(() => traffic.stop_());
    traffic.before = await traffic.counters();
    const room = `/websocket/faults-${++rooms}`;
    for (const [who, server] of servers.entries()) {
      const socket = new WebSocket(server.url(room));
      socket.on("message", (data) => traffic.hear_(who, JSON.parse(data).message));
      traffic.sockets.push(socket);
      await within(once(socket, "open"), "the room to open");
      const cable = new WebSocket(server.url("/cable"), ["actioncable-v1-json"]);
      cable.on("message", (data) => JSON.parse(data).type === "ping" && traffic.ping_(who));
      traffic.cables.push(cable);
    }
    traffic.timer = setInterval(() => traffic.publishMore_(), kPublishEveryMs);
    await traffic.flows();
    return traffic;
  }

  constructor(servers) {
    this.servers = servers;
    this.sockets = [];
    this.cables = [];
    this.heard = servers.map(() => []); // texts, in order
    this.heardAt = servers.map(() => new Map());
    this.sent = new Map(); // text -> when
    this.lastOf = servers.map(() => undefined); // each publisher's last text
    this.count = 0;
    this.pingedAt = [];
    this.longestPause = 0; // between two pings, ms
  }

  stop_() {
    clearInterval(this.timer);
    for (const socket of [...this.sockets, ...this.cables]) socket.terminate();
  }

  publish_(who, what) {
    const text = `${who}:${what}`;
    this.sent.set(text, performance.now());
    this.lastOf[who] = text;
    this.sockets[who].send(JSON.stringify({ message: text }));
  }

  publishMore_() {
    for (const who of this.sockets.keys()) {
      const last = this.lastOf[who];
      const unheard = last && !this.heardAt[who].has(last) && performance.now() - this.sent.get(last) < kUnheardMs;
      if (!unheard) this.publish_(who, this.count++);
    }
  }

  hear_(who, text) {
    if (text === undefined || !this.sent.has(text)) return; // a welcome
    this.heard[who].push(text);
    if (!this.heardAt[who].has(text)) this.heardAt[who].set(text, performance.now());
  }

  ping_(who) {
    const now = performance.now();
    if (this.pingedAt[who]) this.longestPause = Math.max(this.longestPause, now - this.pingedAt[who]);
    this.pingedAt[who] = now;
  }

  // When every server's client had something of every publisher that was published since. In ms since then.
  async flows(since = performance.now()) {
    const first = (who, publisher) => {
      for (const [text, at] of this.heardAt[who]) {
        if (text.startsWith(`${publisher}:`) && this.sent.get(text) >= since) return at;
      }
    };
    const all = () => [0, 1, 2].flatMap((who) => [0, 1, 2].map((publisher) => first(who, publisher)));
    await until(() => all().every((at) => at !== undefined), "messages to flow from everybody to everybody");
    return Math.max(...all()) - since;
  }

  async counters() {
    return Promise.all(
      this.servers.map(async (server) => {
        const text = await (await fetch(`${server.origin}/metrics`)).text();
        return Object.fromEntries([...text.matchAll(/^ringcast_adapter_(\w+) (\d+)/gm)].map(([, name, value]) => [name, Number(value)]));
      }),
    );
  }

  async since() {
    const now = await this.counters();
    return now.map((counters, i) => Object.fromEntries(Object.keys(counters).map((name) => [name, counters[name] - this.before[i][name]])));
  }

  // Until what is asked of every server's counters holds.
  async counted(holds, what) {
    await until(async () => (await this.counters()).every(holds), what);
  }

  down() {
    return this.counted(({ up }) => up === 0, "every server to notice");
  }

  // Publishes last words that everybody hears behind all else, and returns what each of the servers has counted and
  // its client has missed.
  async end() {
    clearInterval(this.timer);
    // Words may be lost, too, where connections still come and go.
    for (let round = 0, all = false; !all; ++round) {
      const texts = [0, 1, 2].map((who) => `${who}:last ${round}`);
      for (const who of [0, 1, 2]) this.publish_(who, `last ${round}`);
      const heard = () => this.heardAt.every((heardAt) => texts.every((text) => heardAt.has(text)));
      all = await until(heard, "the last words", kDeadlineMs / 4).catch((error) => {
        if (round === 3) throw error;
      });
    }
    const counted = await this.since();
    this.stop_();

    const orders = this.heard.map((heard) => new Set(heard));
    for (const [who, heard] of this.heard.entries()) {
      assert.equal(orders[who].size, heard.length, `server ${who}: something came twice`);
      for (const publisher of [0, 1, 2]) {
        const numbers = heard.map((text) => text.match(/^(\d):(\d+)$/)).filter((match) => match?.[1] === `${publisher}`).map((match) => Number(match[2]));
        // What was sent to the engine and not answered counts as lost. One that wakes may come to it all the same,
        // when it has taken others on another connection.
        const displaced = numbers.length - longestRun(numbers);
        assert.ok(displaced <= counted[publisher].lost_total, `server ${who}: not in the order of publisher ${publisher}: ${numbers}`);
      }
      const both = (text) => orders[0].has(text) && orders[who].has(text);
      assert.deepEqual(heard.filter(both), this.heard[0].filter(both), `servers 0 and ${who}: two orders`);
    }
    // What is missing is somebody's counted loss on its way to the engine, or lies in a gap of who misses it.
    const lost = counted.reduce((sum, { lost_total, refused_total }) => sum + lost_total + refused_total, 0);
    const missing = orders.map((order) => this.sent.size - order.size);
    for (const [who, count] of missing.entries()) {
      assert.ok(count <= lost || counted[who].gaps_total > 0, `server ${who}: ${count} missing, ${lost} lost, and no gap`);
    }
    return { missing, gaps: counted.map(({ gaps_total }) => gaps_total), pause: this.longestPause };
  }

  // The same where nothing may be missing.
  async endWhole() {
    const { missing, gaps } = await this.end();
    assert.deepEqual({ missing, gaps }, { missing: [0, 0, 0], gaps: [0, 0, 0] });
  }
}

describe("three servers on one engine", { concurrency: true }, () => {
  for (const [name, Engine] of [["Redis", Redis], ["PostgreSQL", Postgres]]) {
    describe(name, { concurrency: 1, skip: name === "PostgreSQL" && !Postgres.installed }, () => {
      let engine;
      let wire;
      let servers = [];

      before(async () => {
        engine = await Engine.start();
        wire = await Wire.to(engine.port);
        // To them silence is a busy machine.
        servers = await startThree(wire, "--adapter-timeout-s", "600");
      });
      after(async () => {
        for (const server of servers) await server.stop();
        wire?.close();
        await engine?.stop();
      });

      const startThree = (far, ...more) =>
        Promise.all(
          [0, 1, 2].map((i) => {
            const flags = engine.flags.map((word) => (i === kFar ? word.replace(`:${engine.port}/`, `:${far.port}/`) : word));
            return Server.start({ args: [...flags, "--shards", "1", "--adapter-ready-s", "0", ...more] });
          }),
        );

      const report = (t, { missing, gaps, pause }, ms) => {
        t.diagnostic(`flows ${Math.round(ms)} ms after its return; missed ${missing}, gaps ${gaps}`);
        if (pause > 0) t.diagnostic(`at most ${Math.round(pause)} ms without a ping`);
      };

      test("it is killed and comes back", async (t) => {
        const traffic = await Traffic.on(t, servers);
        await engine.kill();
        await traffic.down();
        await engine.launch();
        const ms = await traffic.flows(performance.now());
        const result = await traffic.end();
        assert.deepEqual(result.gaps, [1, 1, 1]);
        report(t, result, ms);
      });

      test("it hangs for a second: everything comes late", async (t) => {
        const traffic = await Traffic.on(t, servers);
        t.after(() => engine.wake());
        await engine.hang();
        await sleep(1000);
        await engine.wake();
        t.diagnostic(`flows ${Math.round(await traffic.flows(performance.now()))} ms after its return`);
        await traffic.endWhole();
      });

      test("the listening connections are thrown out", async (t) => {
        const traffic = await Traffic.on(t, servers);
        await engine.throwOutListeners();
        await traffic.counted(({ gaps_total }, i) => gaps_total > traffic.before[i].gaps_total, "gaps to be counted");
        const ms = await traffic.flows(performance.now());
        const result = await traffic.end();
        assert.deepEqual(result.gaps, [1, 1, 1]);
        report(t, result, ms);
      });

      test("the publishing connections are thrown out: nobody else's messages are missed", async (t) => {
        const traffic = await Traffic.on(t, servers);
        await engine.throwOutPublishers();
        await traffic.counted(({ reconnects_total }, i) => reconnects_total > traffic.before[i].reconnects_total, "new connections");
        const ms = await traffic.flows(performance.now());
        const result = await traffic.end();
        assert.deepEqual(result.gaps, [0, 0, 0]);
        report(t, result, ms);
      });

      test("it lets nobody in for a while, and says why", async (t) => {
        const traffic = await Traffic.on(t, servers);
        await engine.lockOut();
        await traffic.down();
        await until(() => servers.every(({ stderr }) => stderr.includes(engine.lockedOut)), "the reason in the log");
        await engine.letIn();
        const ms = await traffic.flows(performance.now());
        const result = await traffic.end();
        assert.deepEqual(result.gaps, [1, 1, 1]);
        report(t, result, ms);
      });

      test("the network of one server is slow", async (t) => {
        const traffic = await Traffic.on(t, servers);
        wire.delay = 150;
        await traffic.flows(performance.now());
        await sleep(300);
        wire.delay = 0;
        // What was under way keeps its place in the order.
        await sleep(200);
        await traffic.endWhole();
      });

      const failTheWire = async (traffic, fail) => {
        const failed = performance.now();
        fail();
        const again = ({ reconnects_total }, i) => i !== kFar || reconnects_total > traffic.before[i].reconnects_total;
        await traffic.counted(again, "a new connection");
        const noticed = performance.now();
        const ms = await traffic.flows(noticed);
        return { noticed: noticed - failed, ms, result: await traffic.end() };
      };

      for (const [how, fail] of [
        ["cut", () => wire.cut()],
        ["half-closed", () => wire.halfClose()],
      ]) {
        test(`the network of one server is ${how}: the others notice nothing`, async (t) => {
          const { noticed, ms, result } = await failTheWire(await Traffic.on(t, servers), fail);
          assert.deepEqual(result.gaps, [0, 0, 1]);
          t.diagnostic(`connected again after ${Math.round(noticed)} ms`);
          report(t, result, ms);
        });
      }

      if (name === "Redis") {
        test("its memory is full", async (t) => {
          const traffic = await Traffic.on(t, servers);
          await engine.cli("config", "set", "maxmemory-policy", "noeviction", "maxmemory", "1");
          assert.match(await engine.cli("set", "key", "value"), /^OOM/);
          // Messages are not kept, so they pass.
          await traffic.flows(performance.now());
          await engine.cli("config", "set", "maxmemory", "0");
          await traffic.endWhole();
        });

        test("a server that hangs is thrown out for its output buffer, and comes back", async (t) => {
          const traffic = await Traffic.on(t, servers);
          const bulk = new WebSocket(servers[0].url("/websocket/bulk"));
          await within(once(bulk, "open"), "the room to open");
          await engine.cli("config", "set", "client-output-buffer-limit", "pubsub 1mb 1mb 1");
          const large = "x".repeat(100000);
          const listeners = async () => (await engine.cli("client", "list", "type", "pubsub")).split("\n").length;
          const all = await listeners();
          servers[0].process_.kill("SIGSTOP");
          await until(async () => {
            await engine.publishMany("room_bulk", large, 100);
            return (await listeners()) < all;
          }, "Redis to throw the server out");
          servers[0].process_.kill("SIGCONT");
          const ms = await traffic.flows(performance.now());
          const result = await traffic.end();
          bulk.terminate();
          assert.deepEqual(result.gaps, [1, 0, 0]);
          report(t, result, ms);
        });
      }

      describe("whose silence is its end", () => {
        let wire;
        let attentive = [];

        before(async () => {
          wire = await Wire.to(engine.port);
          attentive = await startThree(wire);
        });
        after(async () => {
          for (const server of attentive) await server.stop();
          wire?.close();
        });

        test("it hangs without closing anything until the servers give it up", async (t) => {
          const traffic = await Traffic.on(t, attentive);
          t.after(() => engine.wake());
          await engine.hang();
          await traffic.down();
          await engine.wake();
          const ms = await traffic.flows(performance.now());
          // Whose listening connection outlasts it has missed nothing.
          report(t, await traffic.end(), ms);
        });

        test("the network of one server goes dead without a word", async (t) => {
          const traffic = await Traffic.on(t, attentive);
          const { noticed, ms, result } = await failTheWire(traffic, () => wire.deafen());
          assert.ok(result.gaps[kFar] >= 1);
          t.diagnostic(`connected again after ${Math.round(noticed)} ms`);
          report(t, result, ms);
        });
      });

      test("nothing stays subscribed when the last client has left", async () => {
        await until(async () => (await engine.listenedTo()).length === 0, "every subscription to be given up");
      });
    });
  }
});
