// Real applications beside Ringcast: Rails 6.1 with its own Action Cable, and Sinatra with faye-websocket (tests/apps).
// What one of them broadcasts reaches the clients of the other through the same Redis or PostgreSQL, in all directions,
// and whoever is logged in to Rails is logged in here. Clients are Rails' own, @rails/actioncable. What README says about
// such applications is done as it says.

import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { Rails, rubyInstalled, Sinatra } from "./apps.mjs";
import { Postgres, Redis } from "./engines.mjs";
import { program, Proxy } from "./proxies.mjs";
import { freePort, Inbox, Server, until, within } from "./server.mjs";
import { kTokenSecret, token } from "./tokens.mjs";

globalThis.self = globalThis;
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };
const actioncable = createRequire(import.meta.url)("@rails/actioncable");

const kSecretKeyBase = "a secret of the board, as long as Rails would make it: 0123456789abcdef0123456789abcdef";
const kUser = "gid://board/User/"; // followed by an id: the sender that both servers write
const [kAnn, kBen] = [`${kUser}1`, `${kUser}2`];
const kIdentity = `current_user=${kUser}{cookies.signed.user_id}`;
const kComments = { channel: "CommentsChannel", post_id: 1 };

const folder = mkdtempSync(join(tmpdir(), "ringcast-rails-"));
const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, `${content}\n`);
  return path;
};

// The application's folder, where README's commands are run.
const board = join(folder, "board");
const kSecrets = ["--secret-key-base-file", file("secret_key_base", kSecretKeyBase), "--streams-secret-file", join(board, "streams_secret")];

const kReadme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
// The commands in a section of README, as a shell gets them.
function commands(title) {
  const section = kReadme.split(/^## /m).find((text) => text.startsWith(`${title}\n`));
  const blocks = [...section.matchAll(/^```console\n([^]*?)^```/gm)].map(([, block]) => block);
  return blocks.flatMap((block) => block.replaceAll("\\\n", "").split(/^\$ /m).slice(1));
}
// The words that a command is called with, without the program's.
const words = (command) => execFileSync("sh", ["-c", `printf '%s\\n' ${command}`], { encoding: "utf8" }).trim().split("\n").slice(1);
const [kPrintSecret, kMakeStreamsSecret, kServeRails] = commands("Put it in front of your Rails app");
const [kServeRooms, kPostToSinatra, kPostHere] = commands("Rooms as in Sinatra");
const shell = (command, env) => promisify(execFile)("sh", ["-c", command], { cwd: board, env: { ...process.env, ...env } });

// The first failure only when all have settled: what has started by then can be stopped.
async function together(starting) {
  for (const { reason } of await Promise.allSettled(starting)) if (reason) throw reason;
}

// What a browser would add to a handshake, by its URL.
const handshakes = new Map();
actioncable.adapters.WebSocket = class extends WebSocket {
  constructor(url, protocols) {
    super(url, protocols, handshakes.get(url));
  }
};
let clients = 0;
function dial(server, cookie, origin = server.origin) {
  const url = server.url(`/cable?client=${++clients}`);
  handshakes.set(url, { headers: { Cookie: cookie }, origin });
  return url;
}

function subscribe(consumer, params) {
  const name = JSON.stringify(params);
  const events = new Inbox(`the events of ${name}`);
  const received = new Inbox(`the messages of ${name}`);
  const subscription = consumer.subscriptions.create(params, {
    connected() { events.put("connected"); },
    disconnected({ willAttemptReconnect }) { events.put(willAttemptReconnect ? "disconnected" : "turned away"); },
    rejected() { events.put("rejected"); },
    received(data) { received.put(data); },
  });
  return { events, received, say: (message) => subscription.perform("receive", { message }) };
}

// Somebody with a page open that shows the chat and a post's comments.
async function visit(server, cookie, comments) {
  const consumer = actioncable.createConsumer(dial(server, cookie));
  const visitor = { consumer, chat: subscribe(consumer, "ChatChannel"), comments: subscribe(consumer, comments) };
  assert.equal(await visitor.chat.events.next(), "connected");
  assert.equal(await visitor.comments.events.next(), "connected");
  return visitor;
}

// Text frames as they come, without pings.
class Wire {
  static async open(server, cookie) {
    const wire = new Wire(server, cookie);
    assert.equal(await wire.frames.next(), '{"type":"welcome"}');
    return wire;
  }

  constructor(server, cookie) {
    const url = dial(server, cookie);
    this.frames = new Inbox(`the frames of ${url}`);
    this.socket = new actioncable.adapters.WebSocket(url, ["actioncable-v1-json"]);
    this.socket.on("message", (data) => {
      if (!data.includes('{"type":"ping"')) this.frames.put(String(data));
    });
    this.socket.on("error", () => {}); // what is missing says it
  }

  command(command, identifier, data) {
    this.socket.send(JSON.stringify({ command, identifier, data }));
  }
}

// Rails' environments in config/cable.yml, which Ringcast reads, too.
const kSetups = [
  { environment: "production", engine: "Redis", prefix: "with a prefix" },
  { environment: "staging", engine: "Redis", prefix: "without" },
  { environment: "reporting", engine: "PostgreSQL", prefix: "with a prefix" },
  { environment: "archive", engine: "PostgreSQL", prefix: "without" },
];

describe("Rails and Sinatra beside Ringcast", { skip: !rubyInstalled() && "Ruby or a gem is missing" }, () => {
  let redis;
  let postgres;
  let sinatra;
  const setups = new Map(); // what runs, by environment
  const env = { SECRET_KEY_BASE: kSecretKeyBase }; // of all
  let printing; // of the application's secret

  // Everything at once: an application computes for a second or two before it answers.
  before(async () => {
    cpSync(Rails.kRoot, board, { recursive: true });
    await shell(kMakeStreamsSecret);
    env.STREAMS_SECRET = readFileSync(join(board, "streams_secret"), "utf8").trim();
    printing = shell(kPrintSecret, { ...env, RAILS_ENV: "production", DATABASE_URL: "sqlite3::memory:" });
    printing.catch(() => {}); // said where it is needed
    await together([Redis.start().then((engine) => (redis = engine)), Postgres.installed && Postgres.start().then((engine) => (postgres = engine))]);
    env.REDIS_URL = redis.url;
    const starting = kSetups.map(async ({ environment, engine }) => {
      if (engine === "PostgreSQL" && !postgres) return;
      const [port, railsPort] = [await freePort(), await freePort()];
      const own = { ...env };
      const args = ["--cable-yml", Rails.kCableYml, "--environment", environment, "--identified-by", kIdentity, ...kSecrets];
      if (engine === "PostgreSQL") {
        await postgres.query(`create schema ${environment}`);
        own.DATABASE_URL = `${postgres.url}?schema_search_path=${environment}`;
        args.push("--postgres-url", postgres.url);
      }
      // One application sends its pages to Ringcast's own address, the others' cable is where the page is.
      if (environment === "staging") {
        own.CABLE_URL = `ws://127.0.0.1:${port}/cable`;
        args.push("--allowed-origins", `http://127.0.0.1:${railsPort}`);
      }
      const parts = {};
      setups.set(environment, parts);
      const keep = async (name, starting) => (parts[name] = await starting);
      await together([
        keep("rails", Rails.start({ environment, port: railsPort, env: own })),
        keep("first", Server.start({ args: [...args, "--trusted-proxy", "127.0.0.1"], port, env: own })),
        keep("second", Server.start({ args, env: own })),
      ]);
    });
    starting.push(Sinatra.start(redis).then((app) => (sinatra = app)));
    await together(starting);
  });
  after(async () => {
    for (const { rails, first, second } of setups.values()) {
      await Promise.all([rails?.stop(), first?.stop(), second?.stop()]);
    }
    await sinatra?.stop();
    await redis?.stop();
    await postgres?.stop();
    rmSync(folder, { recursive: true });
  });

  for (const { environment, engine, prefix } of kSetups) {
    describe(`${engine}, ${prefix}`, { skip: engine === "PostgreSQL" && !Postgres.installed }, () => {
      let rails;
      let first;
      let second;
      let ann; // her cookies
      let everybody; // a page at Rails' own cable, and one at each Ringcast
      before(async () => {
        ({ rails, first, second } = setups.get(environment));
        let ben;
        [ann, ben] = await Promise.all([rails.login("ann"), rails.login("ben")]);
        const comments = { channel: "$pubsub", signed_stream_name: await rails.signedName("comments_channel_1", ann) };
        everybody = await Promise.all([visit(rails, ann, kComments), visit(first, ann, comments), visit(second, ben, comments)]);
      });
      after(() => everybody?.forEach(({ consumer }) => consumer.disconnect()));

      const chats = async (expected) => {
        for (const { chat } of everybody) assert.deepEqual(await chat.received.next(), expected);
      };
      const comment = async (expected) => {
        for (const { comments } of everybody) assert.deepEqual(await comments.received.next(), expected);
      };

      test("what a controller, a model's callback and a job broadcast reaches Ringcast's clients", async () => {
        await rails.post("/messages", { text: "from a controller", sender: "cron" });
        await chats({ message: "from a controller", sender: "cron" });
        await rails.post("/comments", { post_id: 1, author: "ben", text: "from a model" });
        await comment({ comment: "from a model", author: "ben" });
        await rails.post("/announcements", { text: "from a job" });
        await chats({ message: "from a job", sender: "the house" });
      });

      test("what Rails' clients say reaches Ringcast's, and the other way round", async () => {
        const [atRails, atFirst, atSecond] = everybody;
        for (const [speaker, sender] of [[atRails, kAnn], [atFirst, kAnn], [atSecond, kBen]]) {
          speaker.chat.say("hello <everybody> & all");
          await chats({ message: "hello <everybody> & all", sender });
        }
      });

      test("what an HTTP producer hands to Ringcast reaches Rails' clients", async () => {
        const data = JSON.stringify({ comment: "imported", author: "script" });
        const answer = await fetch(`${second.origin}/_broadcast`, { method: "POST", body: JSON.stringify({ stream: "comments_channel_1", data }) });
        assert.equal(answer.status, 201);
        await comment({ comment: "imported", author: "script" });
      });

      test("frames are the same, byte for byte when Rails wrote the message", async (t) => {
        for (const identifier of ['{"channel":"ChatChannel","room_id":"wires"}', '{ "room_id": "wires", "for": "<ann> & \u2028", "channel": "ChatChannel" }']) {
          // A connection each: nobody learns when Rails has unsubscribed, its threads do that in their own time.
          const wires = await Promise.all([rails, first].map((server) => Wire.open(server, ann)));
          t.after(() => wires.forEach(({ socket }) => socket.terminate()));
          const [atRails, atFirst] = wires;
          const both = () => Promise.all(wires.map((wire) => wire.frames.next()));
          for (const wire of wires) wire.command("subscribe", identifier);
          const [confirmed, ours] = await both();
          assert.equal(ours, confirmed);
          for (const text of ["plain", "<b>&\"\\/\u2028\u2029\u0001\u007f", "你好 🐦", "x".repeat(200)]) {
            const data = JSON.stringify({ message: { text, list: [1, null, true, 1.5, {}] } });
            atRails.command("message", identifier, data);
            const [theirs, ours] = await both();
            assert.equal(ours, theirs);
            // Rails' clients get what Ringcast wrote decoded and encoded again.
            atFirst.command("message", identifier, data);
            const [rewritten, written] = await both();
            assert.equal(rewritten, theirs);
            assert.deepEqual(JSON.parse(written), JSON.parse(theirs));
          }
        }
      });

      test("nothing was heard from the application with the other prefix", () => {
        for (const { chat, comments } of everybody) {
          assert.equal(chat.received.waiting, 0);
          assert.equal(comments.received.waiting, 0);
        }
      });

      test("whoever logs out in Rails is disconnected from both, and nobody else is", async () => {
        await rails.logout(ann);
        const [atRails, atFirst, atSecond] = everybody;
        for (const { chat, consumer } of [atRails, atFirst]) {
          assert.equal(await chat.events.next(), "disconnected");
          consumer.disconnect();
        }
        await rails.post("/messages", { text: "she has left", sender: "cron" });
        assert.deepEqual(await atSecond.chat.received.next(), { message: "she has left", sender: "cron" });
        assert.equal(atSecond.chat.events.waiting, 0);
      });
    });
  }

  describe("rooms of Sinatra", () => {
    const enter = async (server, room) => {
      const socket = new WebSocket(server.url(`/websocket/${room}`));
      const received = new Inbox(`the room at ${server.origin}`);
      socket.on("message", (data, isBinary) => received.put(isBinary ? data : String(data)));
      await within(once(socket, "open"), "the room to open");
      return { socket, received };
    };
    const post = async (server, room, fields) => {
      const answer = await fetch(`${server.origin}/send_message_to_room/${room}`, { method: "POST", body: new URLSearchParams(fields) });
      assert.equal(answer.status, 200);
      return answer.json();
    };

    test("messages cross from one server's members and producers to the other's", async () => {
      const { first } = setups.get("production"); // rooms have no prefix, whatever channels have
      const [faye, ours] = await Promise.all([enter(sinatra, "lobby"), enter(first, "lobby")]);
      // faye opens a socket before Redis has answered its SUBSCRIBE.
      await until(async () => (await redis.cli("pubsub", "numsub", "room_lobby")).endsWith("\n2"), "both to listen");
      const both = async () => {
        const heard = await faye.received.next();
        assert.equal(await ours.received.next(), heard);
        return JSON.parse(heard);
      };
      assert.equal((await post(sinatra, "lobby", { message: "from Sinatra" })).heard, 2);
      assert.deepEqual(await both(), { message: "from Sinatra", sender: "HTTP API" });
      await post(first, "lobby", { message: "from Ringcast <3", sender: "script" });
      assert.deepEqual(await both(), { message: "from Ringcast <3", sender: "script" });
      faye.socket.send('{"message":"hello","mood":"good"}');
      assert.deepEqual(await both(), { message: "hello", mood: "good", sender: "member" });
      ours.socket.send('{"message":"hello back"}');
      const { message, sender } = await both();
      assert.equal(message, "hello back");
      assert.match(sender, /^Client \d+$/);
      // What is published there passes as it is.
      for (const text of ["not JSON", '{"price":1.10}']) {
        await redis.publish("room_lobby", text);
        assert.equal(await faye.received.next(), text);
        assert.equal(await ours.received.next(), text);
      }
      for (const { socket } of [faye, ours]) socket.terminate();
    });
  });

  describe("who is logged in to Rails", { skip: !program("nginx") && "nginx is missing" }, () => {
    const kFlags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
    let rails;
    let server;
    let proxy;
    let browser;
    before(async () => {
      ({ rails, first: server } = setups.get("production"));
      await together([
        Proxy.nginxRails(server, rails).then((started) => (proxy = started)),
        chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: kFlags }).then((started) => (browser = started)),
      ]);
    });
    after(async () => {
      await browser?.close();
      await proxy?.stop();
    });

    // A browser of somebody's own, logged in, with the board open.
    const login = async (name, site = proxy) => {
      const context = await browser.newContext();
      const page = await context.newPage();
      page.setDefaultTimeout(30000);
      const cable = page.waitForEvent("websocket");
      await page.goto(`${site.origin}/session/new`);
      await page.fill('[name="name"]', name);
      await page.click('[type="submit"]');
      await page.locator("#state").getByText("connected", { exact: true }).waitFor();
      return { context, page, url: (await cable).url() };
    };
    const heard = (page, line) => page.locator("#chat li").getByText(line, { exact: true }).waitFor();
    const say = async (page, text) => {
      await page.fill("#text", text);
      await page.press("#text", "Enter");
    };
    test("two users chat behind nginx, Rails broadcasts, and no WebSocket is Ruby's", async () => {
      const [ann, ben] = await Promise.all([login("ann"), login("ben")]);
      for (const { url } of [ann, ben]) assert.equal(url, proxy.url("/cable"));
      await say(ann.page, "hello Ben");
      await say(ben.page, "hello Ann");
      await rails.post("/messages", { text: "hello both", sender: "a controller" });
      for (const { page } of [ann, ben]) {
        await heard(page, `${kAnn}: hello Ben`);
        await heard(page, `${kBen}: hello Ann`);
        await heard(page, "a controller: hello both");
      }
      // Requests end by themselves; what stays would be WebSockets, as this one does.
      await until(() => rails.connections() === 0, "Ruby to hold no connection");
      const direct = await Wire.open(rails, await rails.login("ann"));
      assert.ok(rails.connections() > 0, "a WebSocket to Rails itself is seen");
      direct.socket.terminate();
      for (const { page } of [ann, ben]) assert.equal(await page.textContent("#state"), "connected");
      await Promise.all([ann, ben].map(({ context }) => context.close()));
    });

    test("logging out on one page disconnects the others of that user", async () => {
      const [ann, ben] = await Promise.all([login("ann"), login("ben")]);
      const other = await ann.context.newPage();
      await other.goto(proxy.origin);
      await other.locator("#state").getByText("connected", { exact: true }).waitFor();
      await ann.page.click("text=Log out");
      await other.locator("#state").getByText("disconnected", { exact: true }).waitFor();
      await rails.post("/messages", { text: "she has left", sender: "a controller" });
      await heard(ben.page, "a controller: she has left");
      assert.equal(await ben.page.textContent("#state"), "connected");
      assert.equal(await other.locator("#chat li").count(), 0);
      await Promise.all([ann, ben].map(({ context }) => context.close()));
    });

    test("a page that finds the cable at Ringcast's own address is logged in there, too", async () => {
      const { rails: site, first } = setups.get("staging");
      const { context, page, url } = await login("ann", site);
      assert.equal(url, first.url("/cable"));
      await say(page, "from another port");
      await heard(page, `${kAnn}: from another port`);
      await context.close();
    });

    test("others are turned away, in the browser as elsewhere", async () => {
      const good = await rails.login("ann");
      const [, signed] = /user_id=([^;]+)/.exec(good);
      const [, session] = /_board_session=([^;]+)/.exec(good); // Rails made that, too, but for another cookie
      const forged = signed.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
      for (const cookie of ["", `user_id=${forged}`, `user_id=${signed.slice(0, -1)}`, `user_id=${session}`, "user_id=1"]) {
        const consumer = actioncable.createConsumer(dial(server, cookie));
        const { events } = subscribe(consumer, "ChatChannel");
        assert.equal(await events.next(), "turned away", cookie);
        consumer.disconnect();
      }
      const context = await browser.newContext();
      await context.addCookies([{ name: "user_id", value: forged, domain: "127.0.0.1", path: "/" }]);
      const page = await context.newPage();
      await page.goto(`${proxy.origin}/session/new`);
      const frames = await page.evaluate((url) => new Promise((resolve) => {
        const seen = [];
        const socket = new WebSocket(url, ["actioncable-v1-json"]);
        socket.onmessage = ({ data }) => seen.push(data);
        socket.onclose = () => resolve(seen);
      }), proxy.url("/cable"));
      assert.deepEqual(frames, ['{"type":"disconnect","reason":"unauthorized","reconnect":false}']);
      await context.close();
    });

    test("the cable has another path where nginx gives it one", async (t) => {
      const [, location, pass] = /`config\.action_cable\.mount_path`.*`location (\S+) \{ (proxy_pass [^;]+;)/.exec(kReadme);
      const other = await Proxy.nginxRails(server, rails, [["location /cable {", `location ${location} {`], ["proxy_pass http://127.0.0.1:8080;", pass]]);
      t.after(() => other.stop());
      const wire = new Wire({ origin: other.origin, url: (path) => other.url(path.replace("/cable", location)) }, await rails.login("ann"));
      assert.equal(await wire.frames.next(), '{"type":"welcome"}');
      wire.socket.terminate();
    });

    test("the session cookie says it as well", async () => {
      const args = ["--identified-by", `current_user=${kUser}{cookies.encrypted._board_session/user_id}`, ...kSecrets];
      const other = await Server.start({ args });
      const session = /_board_session=[^;]+/.exec(await rails.login("ben"))[0];
      const consumer = actioncable.createConsumer(dial(other, session));
      const { events, received, say } = subscribe(consumer, "ChatChannel");
      assert.equal(await events.next(), "connected");
      say("by session");
      assert.deepEqual(await received.next(), { message: "by session", sender: kBen });
      consumer.disconnect();
      await other.stop();
    });

    test("a stream whose name Rails did not sign is rejected", async () => {
      const cookie = await rails.login("ann");
      const name = await rails.signedName("comments_channel_1", cookie);
      const consumer = actioncable.createConsumer(dial(server, cookie));
      for (const [signed, expected] of [[name, "connected"], [name.replace(/^./, "J"), "rejected"], ["comments_channel_1", "rejected"]]) {
        assert.equal(await subscribe(consumer, { channel: "$pubsub", signed_stream_name: signed }).events.next(), expected);
      }
      consumer.disconnect();
    });
  });

  describe("README", () => {
    test("is right about Rails", async (t) => {
      const { rails } = setups.get("production");
      await printing;
      assert.equal(readFileSync(join(board, "secret_key_base"), "utf8"), kSecretKeyBase);
      const [listen, address, ...args] = words(kServeRails);
      assert.deepEqual([listen, address], ["--listen", "127.0.0.1:8080"]); // here a free port
      const server = await Server.start({ args, env, cwd: board });
      t.after(() => server.stop());
      const cookie = await rails.login("ann");
      const consumer = actioncable.createConsumer(dial(server, cookie));
      t.after(() => consumer.disconnect());
      const { events, received } = subscribe(consumer, { channel: "$pubsub", signed_stream_name: await rails.signedName("comments_channel_1", cookie) });
      assert.equal(await events.next(), "connected");
      await rails.post("/comments", { post_id: 1, author: "ann", text: "as in README" });
      assert.deepEqual(await received.next(), { comment: "as in README", author: "ann" });
      assert.equal(await subscribe(consumer, "ChatChannel").events.next(), "rejected"); // the demo's
      const stranger = actioncable.createConsumer(dial(server, ""));
      t.after(() => stranger.disconnect());
      assert.equal(await subscribe(stranger, "ChatChannel").events.next(), "turned away");
    });

    test("is right about the streams of models in channels without code", async (t) => {
      const { rails } = setups.get("production");
      const [, declared] = /^```toml\n([^`]*^\[\[channel\]\][^`]*)^```/m.exec(kReadme);
      writeFileSync(join(board, "ringcast.toml"), declared);
      writeFileSync(join(board, "jwt_secret"), kTokenSecret);
      const args = ["--config", "ringcast.toml", "--cable-yml", "config/cable.yml", "--environment", "production"];
      const server = await Server.start({ args, env, cwd: board });
      t.after(() => server.stop());
      const visitors = [["ann", 1], ["ben", 2]].map(([name, id]) => {
        const url = server.url(`/cable?client=${name}`);
        handshakes.set(url, { headers: { "X-JID": token({ sub: String(id), symbols: [] }) } });
        const consumer = actioncable.createConsumer(url);
        t.after(() => consumer.disconnect());
        return { notifications: subscribe(consumer, "NotificationsChannel"), comments: subscribe(consumer, { channel: "CommentsChannel", post_id: 1 }) };
      });
      for (const { notifications, comments } of visitors) {
        for (const { events } of [notifications, comments]) assert.equal(await events.next(), "connected");
      }
      // A model's name in Rails is ours, and what is for one is not for the other.
      await rails.post("/notifications", { name: "ben", text: "for Ben" });
      await rails.post("/notifications", { name: "ann", text: "for Ann" });
      await rails.post("/remarks", { post_id: 1, text: "for both" });
      for (const [i, text] of ["for Ann", "for Ben"].entries()) {
        assert.deepEqual(await visitors[i].notifications.received.next(), { text });
        assert.deepEqual(await visitors[i].comments.received.next(), { text: "for both" });
        assert.equal(visitors[i].notifications.received.waiting, 0);
      }
      // Who may what is no part of who it is: Rails names the user alone.
      await rails.logout(await rails.login("ben"));
      assert.equal(await visitors[1].notifications.events.next(), "disconnected");
      await rails.post("/notifications", { name: "ann", text: "still here" });
      assert.deepEqual(await visitors[0].notifications.received.next(), { text: "still here" });
      assert.equal(visitors[0].notifications.events.waiting, 0);
    });

    test("is right about rooms", async (t) => {
      const here = (command, server) => {
        const moved = [["localhost:6379", `127.0.0.1:${redis.port}`], ["localhost:4567", sinatra.host], ["localhost:8080", server?.host]];
        return moved.reduce((text, [from, to]) => text.replaceAll(from, to), command);
      };
      const server = await Server.start({ args: words(here(kServeRooms)) });
      t.after(() => server.stop());
      const socket = new WebSocket(server.url("/websocket/general"));
      const received = new Inbox("the room");
      socket.on("message", (data) => received.put(JSON.parse(data)));
      await within(once(socket, "open"), "the room to open");
      for (const command of [kPostToSinatra, kPostHere]) {
        await shell(here(command, server));
        assert.deepEqual(await received.next(), { message: "hello", sender: "HTTP API" });
      }
      socket.terminate();
    });
  });
});
