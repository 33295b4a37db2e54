// @anycable/web, AnyCable's client for browsers, unmodified in a real Chromium: it finds the cable and its token in the
// page, asks the page for another when that has expired, and comes back when the server does or somebody looks again.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Inbox, Server, freePort, until, within } from "./server.mjs";
import { inSeconds, kStreamsSecret, kTokenSecret, signedName, token } from "./tokens.mjs";

const kFlags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"];
const kPackages = fileURLToPath(new URL("node_modules/", import.meta.url));
const kImports = { "@anycable/web": "/@anycable/web/index.js", "@anycable/core": "/@anycable/core/index.js", nanoevents: "/nanoevents/index.js" };
const kHour = 3600;
const kNever = kHour * 1000; // a pause before the next attempt that no test lives to see

// As AnyCable signs it: the identifiers are a text in JSON.
const identity = (user, exp = inSeconds(kHour), secret = kTokenSecret) => token({ ext: JSON.stringify({ user }), exp }, secret);

let folder;
let browser;
let page; // one after the other: they share what the browser has loaded
let site; // the application, on another port than the cable
let origin;
let metas = () => ({}); // what is in the head of its page, each time it is asked for
let refreshes = 0; // how often the client has asked for the page because of its token
let visits = 0;

function html() {
  const tags = Object.entries(metas()).map(([name, content]) => `<meta name="${name}" content="${content}">`);
  return `<!doctype html><link rel="icon" href="data:,">${tags.join("")}
    <script type="importmap">${JSON.stringify({ imports: kImports })}</script>`;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "ringcast-web-"));
  site = http.createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://site").pathname);
    if (path.endsWith(".js")) {
      response.writeHead(200, { "Content-Type": "text/javascript", "Cache-Control": "max-age=3600" }).end(readFileSync(join(kPackages, path)));
      return;
    }
    if (request.headers["x-anycable-operation"] === "token-refresh") ++refreshes;
    response.writeHead(200, { "Content-Type": "text/html" }).end(html());
  });
  site.listen(await freePort(), "127.0.0.1");
  await once(site, "listening");
  origin = `http://127.0.0.1:${site.address().port}`;
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: kFlags });
  page = await browser.newPage();
  page.setDefaultTimeout(30000);
  await page.exposeFunction("tell", (visit, inbox, event) => visit === visits && visitor[inbox].put(event));
});
after(async () => {
  await browser?.close();
  site?.close();
  rmSync(folder, { recursive: true });
});

const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, `${content}\n`);
  return path;
};
const identified = () => ["--allowed-origins", origin, "--ping-interval-s", "1", "--identified-by", "current_user=jwt.ext/user",
  "--jwt-secret-file", file("jwt", kTokenSecret), "--streams-secret-file", file("streams", kStreamsSecret)];

// Somebody who has opened the page with these in its head, and window.cable there with these options, a pause between
// attempts to connect, and the page itself to take new tokens from. What happens to the cable is put into `events`.
let visitor;
class Visitor {
  static async open(head, { pause, refresh, ...options } = {}) {
    metas = typeof head === "function" ? head : () => head;
    refreshes = 0;
    ++visits;
    visitor = new Visitor();
    await page.goto(`${origin}/`);
    await page.evaluate(async ({ visit, options, pause, refresh }) => {
      const { createCable, fetchTokenFromHTML } = await import("@anycable/web");
      if (pause !== undefined) options.reconnectStrategy = () => pause;
      if (refresh) options.tokenRefresher = fetchTokenFromHTML();
      window.put = (inbox, what) => tell(visit, inbox, what);
      window.cable = createCable(options);
      cable.on("connect", ({ reconnect }) => put("events", reconnect ? "back" : "connected"));
      for (const event of ["disconnect", "close"]) cable.on(event, (error) => put("events", `${event}: ${error?.reason}`));
    }, { visit: visits, options, pause, refresh });
    return visitor;
  }

  constructor() {
    this.events = new Inbox("the events of the cable");
    this.messages = new Inbox("the messages of its streams");
  }

  // "connected", or why not. How: streamFrom or streamFromSigned.
  stream(how, name) {
    return page.evaluate(async ([how, name]) => {
      const channel = cable[how](name);
      channel.on("message", (message) => put("messages", message));
      channel.on("connect", ({ reconnect }) => reconnect && put("messages", "subscribed again"));
      return channel.ensureSubscribed().then(() => "connected", (error) => error.name);
    }, [how, name]);
  }

  connect() {
    return page.evaluate(() => cable.connect().then(() => "connected", (error) => error.reason));
  }

  happens(event, target = "window") {
    return page.evaluate(([event, target]) => window[target].dispatchEvent(new Event(event)), [event, target]);
  }
}

const post = async (server, body) => {
  const answer = await fetch(`${server.origin}/_broadcast`, { method: "POST", body: JSON.stringify(body) });
  assert.ok(answer.ok, `status ${answer.status}`);
};
const broadcast = (server, stream, value) => post(server, { stream, data: JSON.stringify(value) });
const disconnect = (server, user, reconnect) =>
  post(server, { command: "disconnect", payload: { identifiers: { current_user: user }, reconnect } });
// Over all shards.
const figure = async (server, name, label = "") => {
  const text = await (await fetch(`${server.origin}/metrics`)).text();
  const values = [...text.matchAll(new RegExp(`^${name}\\{.*${label}.*\\} (\\d+)$`, "gm"))];
  assert.notEqual(values.length, 0, `there is no ${name}`);
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
};

describe("@anycable/web in a page with a token", () => {
  let server;
  before(async () => (server = await Server.start({ args: identified() })));
  after(() => server?.stop());

  const cases = {
    "as Rails and AnyCable write it": { head: (jid) => ({ "action-cable-url": server.url("/cable"), "action-cable-token": jid }), at: "jid" },
    "in short": { head: (jid) => ({ "cable-url": server.url("/cable"), "cable-token": jid }), at: "jid" },
    "with a parameter of its own": {
      head: (jid) => ({ "cable-url": server.url("/cable"), "cable-token": jid, "cable-token-param": "token" }), at: "token",
    },
    "to be offered as a subprotocol": {
      head: (jid) => ({ "cable-url": server.url("/cable"), "cable-token": jid }), options: { websocketAuthStrategy: "sub-protocol" },
    },
  };
  for (const [name, { head, options, at }] of Object.entries(cases)) {
    test(`finds the cable and the token in it, ${name}`, async () => {
      const jid = identity("ann");
      const visitor = await Visitor.open(head(jid), options);
      const handshake = page.waitForEvent("websocket");
      assert.equal(await visitor.connect(), "connected");
      const { searchParams } = new URL((await handshake).url());
      assert.deepEqual([...searchParams], at ? [[at, jid]] : []);
      assert.equal(await page.evaluate(() => cable.transport.ws.protocol), "actioncable-v1-json");

      assert.equal(await visitor.stream("streamFromSigned", signedName(`news/${name}`)), "connected");
      await broadcast(server, `news/${name}`, { text: "hello" });
      assert.deepEqual(await visitor.messages.next(), { text: "hello" });
    });
  }

  const head = (jid = identity("ann")) => ({ "cable-url": server.url("/cable"), "cable-token": jid });

  test("its consumer takes the place of Rails', and the user is the token's", async () => {
    const visitor = await Visitor.open(head());
    await page.evaluate(async () => {
      const { createConsumer } = await import("@anycable/web");
      window.chat = createConsumer().subscriptions.create({ channel: "ChatChannel", room_id: "web" }, {
        connected() { chat.perform("receive", { message: "from a page" }); },
        received(message) { put("messages", message); },
      });
    });
    assert.deepEqual(await visitor.messages.next(), { message: "from a page", sender: "ann" });
  });

  test("names that nobody signed are rejected, signed by somebody else or public", async () => {
    const visitor = await Visitor.open(head());
    const refused = "SubscriptionRejectedError";
    assert.equal(await visitor.stream("streamFromSigned", `${signedName("news")}0`), refused);
    assert.equal(await visitor.stream("streamFromSigned", signedName("news").replace(/^../, (two) => (two === "In" ? "Im" : "In"))), refused);
    assert.equal(await visitor.stream("streamFrom", "news"), refused);
    assert.equal(await visitor.stream("streamFromSigned", signedName("news")), "connected");
  });

  for (const [name, jid] of [["no token", undefined], ["a forged one", () => identity("ann", inSeconds(kHour), "another secret, as long as the server's")]]) {
    test(`with ${name} it is turned away, and does not come again`, async () => {
      const visitor = await Visitor.open(jid ? head(jid()) : { "cable-url": server.url("/cable") }, { pause: 0, refresh: true });
      const upgrades = await figure(server, "ringcast_upgrades_total");
      assert.equal(await visitor.connect(), "unauthorized");
      assert.equal(await visitor.events.next(), "close: unauthorized");
      assert.equal(await page.evaluate(() => cable.monitor.state), "closed");
      assert.equal(await figure(server, "ringcast_upgrades_total"), upgrades + 1);
      assert.equal(refreshes, 0);
    });
  }

  test("a token that expires on the way is replaced by the page's next, and the stream goes on", async () => {
    // A machine may need longer than that to show the page.
    for (let lifetime = 2; ; lifetime *= 2) {
      let asked = 0;
      const visitor = await Visitor.open(() => head(identity("ann", inSeconds(++asked === 1 ? lifetime : kHour))), { refresh: true, pause: 0 });
      const streams = await visitor.stream("streamFromSigned", signedName("renewed"));
      if (await visitor.events.next() !== "connected" || streams !== "connected") continue;
      // It tries the old one once more, and is told that this one will never do.
      assert.equal(await visitor.events.next(), "disconnect: token_expired");
      assert.equal(await visitor.events.next(), "close: token_expired");
      assert.equal(await visitor.messages.next(), "subscribed again");
      break;
    }
    assert.equal(refreshes, 1);
    await broadcast(server, "renewed", "still here");
    assert.equal(await visitor.messages.next(), "still here");
  });

  test("so is one that had expired before it was shown", async () => {
    let asked = 0;
    const visitor = await Visitor.open(() => head(identity("ann", inSeconds(++asked === 1 ? -kHour : kHour))), { refresh: true, pause: kNever });
    assert.equal(await visitor.connect(), "token_expired");
    assert.equal(await visitor.events.next(), "close: token_expired");
    assert.equal(await visitor.events.next(), "connected");
    assert.equal(refreshes, 1);
  });

  test("a page that has none but expired tokens is asked for one more, and no further", async () => {
    const visitor = await Visitor.open(() => head(identity("ann", inSeconds(-kHour))), { refresh: true, pause: 0 });
    const givenUp = page.waitForEvent("console", (message) => message.text().includes("Token auto-refresh is disabled"));
    assert.equal(await visitor.connect(), "token_expired");
    await givenUp;
    assert.equal(refreshes, 1);
  });

  test("a user who is disconnected from afar comes back, unless told not to", async () => {
    const visitor = await Visitor.open(head(identity("bob")), { pause: 0 });
    assert.equal(await visitor.connect(), "connected");
    assert.equal(await visitor.events.next(), "connected");
    await disconnect(server, "bob", true);
    assert.equal(await visitor.events.next(), "disconnect: remote");
    assert.equal(await visitor.events.next(), "back");
    await disconnect(server, "bob", false);
    assert.equal(await visitor.events.next(), "close: remote");
  });

  test("it comes back before its time when somebody looks, or the network is there again", async () => {
    const visitor = await Visitor.open(head(identity("eve")), { pause: kNever });
    assert.equal(await visitor.stream("streamFromSigned", signedName("looked at")), "connected");
    assert.equal(await visitor.events.next(), "connected");
    for (const [event, target] of [["visibilitychange", "document"], ["focus"], ["online"]]) {
      await disconnect(server, "eve", true);
      assert.equal(await visitor.events.next(), "disconnect: remote");
      await visitor.happens(event, target);
      assert.equal(await visitor.events.next(), "back");
      assert.equal(await visitor.messages.next(), "subscribed again");
    }
  });

  test("a page that is frozen lets go of its connection, and takes another when it is resumed", async () => {
    const visitor = await Visitor.open(head(), { pause: kNever });
    assert.equal(await visitor.connect(), "connected");
    assert.equal(await visitor.events.next(), "connected");
    await visitor.happens("freeze");
    assert.equal(await visitor.events.next(), "disconnect: page_frozen");
    await until(async () => (await figure(server, "ringcast_conversations", 'transport="cable"')) === 0, "the server to notice");
    await visitor.happens("resume");
    assert.equal(await visitor.events.next(), "back");
  });

  test("a server without a sign of life is left, and found again", async () => {
    const visitor = await Visitor.open(head(), { pingInterval: 1000, pause: 0 });
    assert.equal(await visitor.stream("streamFromSigned", signedName("found")), "connected");
    server.process_.kill("SIGSTOP");
    try {
      assert.equal(await visitor.events.next(), "connected");
      assert.equal(await visitor.events.next(), "disconnect: stale_connection");
    } finally {
      server.process_.kill("SIGCONT");
    }
    assert.equal(await visitor.events.next(), "back");
    assert.equal(await visitor.messages.next(), "subscribed again");
  });

  test("AnyCable's extended protocol is not spoken: the browser itself breaks it off", async () => {
    const visitor = await Visitor.open(head(), { protocol: "actioncable-v1-ext-json", pause: kNever });
    const said = page.waitForEvent("console", (message) => message.text().includes("Sec-WebSocket-Protocol"));
    assert.equal(await visitor.connect(), "transport_closed");
    await within(said, "the browser to say why");
  });
});

test("@anycable/web finds a restarted server, and its streams are there again", async () => {
  const first = await Server.start({ args: identified() });
  const visitor = await Visitor.open({ "cable-url": first.url("/cable"), "cable-token": identity("ann") }, { pause: 20 });
  assert.equal(await visitor.stream("streamFromSigned", signedName("restarted")), "connected");
  assert.equal(await visitor.events.next(), "connected");
  await first.stop();
  assert.equal(await visitor.events.next(), "disconnect: server_restart");
  const second = await Server.start({ args: identified(), port: first.port });
  try {
    assert.equal(await visitor.messages.next(), "subscribed again");
    await broadcast(second, "restarted", "as before");
    assert.equal(await visitor.messages.next(), "as before");
  } finally {
    await second.stop();
  }
});

test("@anycable/web reads streams by their bare names where they are public", async () => {
  const server = await Server.start({ args: ["--allowed-origins", origin, "--public-streams", "on"] });
  try {
    const visitor = await Visitor.open({ "action-cable-url": server.url("/cable") });
    assert.equal(await visitor.stream("streamFrom", "news"), "connected");
    await broadcast(server, "news", { text: "for everybody" });
    assert.deepEqual(await visitor.messages.next(), { text: "for everybody" });
    // Nobody has a secret to sign names with.
    assert.equal(await visitor.stream("streamFromSigned", signedName("news")), "SubscriptionRejectedError");
  } finally {
    await server.stop();
  }
});
