// Clients that prove who they are: tokens of every algorithm; unmodified, @rails/actioncable with the cookie of a Rails
// application, @anycable/core with tokens it renews, and in Chromium a page's cookie and the stream elements of @hotwired/turbo-rails.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { createCable } from "@anycable/core";
import { chromium } from "playwright-core";
import WebSocket from "ws";
import { Inbox, Server, freePort, within } from "./server.mjs";
import { inSeconds, kStreamsSecret, kTokenSecret, signedName, token } from "./tokens.mjs";

globalThis.self = globalThis;
globalThis.addEventListener = () => {};
globalThis.removeEventListener = () => {};
globalThis.document = { visibilityState: "visible", addEventListener() {}, removeEventListener() {} };

const require = createRequire(import.meta.url);
const actioncable = require("@rails/actioncable");

// What Rails 7.2 wrote for the user 1, and the secret it had.
const recorded = JSON.parse(readFileSync(new URL("../data/cookies_rails72.json", import.meta.url)));
const kCookie = recorded.signed.find(({ key, value, digest }) => key === "hex128" && value === 1 && digest === "default").cookie_value;
const kForged = kCookie.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
// Signed by ActiveSupport for "chat:room", with that secret_key_base.
const kTurboSecret = "0123456789abcdef".repeat(8);
const kTurboName = "ImNoYXQ6cm9vbSI=--11d564e54154ef3b510f793bf52815c746c9d03e2a5e57d7f3551b7813e42834";

let folder;
const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, `${content}\n`);
  return path;
};
before(() => (folder = mkdtempSync(join(tmpdir(), "ringcast-identity-"))));
after(() => rmSync(folder, { recursive: true }));

const broadcast = async (server, stream, value) => {
  const answer = await fetch(`${server.origin}/_broadcast`, {
    method: "POST",
    body: JSON.stringify({ stream, data: JSON.stringify(value) }),
  });
  assert.ok(answer.ok, `status ${answer.status}`);
};

describe("tokens", () => {
  const spki = ({ publicKey }) => publicKey.export({ type: "spki", format: "pem" });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const another = { HS: "another secret", RS: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey, ES: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey };
  // Whoever holds the public half must not be able to sign with it, as with a secret.
  const kinds = [
    { name: "a secret", args: () => ["--jwt-secret-file", file("hmac", kTokenSecret)], key: kTokenSecret, algorithms: ["HS256", "HS384", "HS512"], others: [["RS256", rsa.privateKey]] },
    { name: "RSA", args: () => ["--jwt-public-key-file", file("rsa.pem", spki(rsa))], key: rsa.privateKey, algorithms: ["RS256", "RS384", "RS512"], others: [["HS256", spki(rsa)], ["HS256", ""]] },
    { name: "ECDSA", args: () => ["--jwt-public-key-file", file("ec.pem", spki(ec))], key: ec.privateKey, algorithms: ["ES256"], others: [["HS256", spki(ec)], ["HS256", ""]] },
  ];
  const good = () => ({ sub: "ann", aud: "chat", iss: "app", exp: inSeconds(60) });

  // The first that the server says to who comes with this token.
  const answer = async (server, jid) => {
    const socket = new WebSocket(server.url("/cable"), ["actioncable-v1-json"], { headers: { "X-JID": jid } });
    const [data] = await within(once(socket, "message"), "the server's answer");
    socket.terminate();
    const { type, reason, reconnect } = JSON.parse(data);
    return type === "disconnect" ? `${reason}, ${reconnect}` : type;
  };

  for (const { name, args, key, algorithms, others } of kinds) {
    test(`signed with ${name} are believed, and nothing else is`, async (t) => {
      const server = await Server.start({
        args: ["--identified-by", "user=jwt.sub", "--jwt-audience", "chat", "--jwt-audience", "mobile", "--jwt-issuer", "app", ...args()],
      });
      t.after(() => server.stop());
      for (const alg of algorithms) {
        for (const more of [{}, { aud: ["other", "mobile"] }, { nbf: inSeconds(-60) }, { exp: undefined }]) {
          assert.equal(await answer(server, token({ ...good(), ...more }, key, alg)), "welcome", `${alg} ${JSON.stringify(more)}`);
        }
        for (const more of [{ sub: undefined }, { sub: "" }, { aud: "shop" }, { aud: undefined }, { iss: "elsewhere" }, { iss: undefined }, { nbf: inSeconds(3600) }, { exp: "soon" }]) {
          assert.equal(await answer(server, token({ ...good(), ...more }, key, alg)), "unauthorized, false", `${alg} ${JSON.stringify(more)}`);
        }
        assert.equal(await answer(server, token({ ...good(), exp: inSeconds(-3600) }, key, alg)), "token_expired, false", alg);
        const forged = token({ ...good(), exp: inSeconds(-3600) }, another[alg.slice(0, 2)], alg);
        assert.equal(await answer(server, forged), "unauthorized, false", "a stranger does not learn that it has expired");
        assert.equal(await answer(server, token(good(), another[alg.slice(0, 2)], alg)), "unauthorized, false", alg);
      }
      for (const [alg, with_] of [...others, ["none", ""]]) {
        assert.equal(await answer(server, token(good(), with_, alg)), "unauthorized, false", alg);
      }
      const [head, claims, signature] = token(good(), key, algorithms[0]).split(".");
      for (const spoiled of [`${head}.${claims}`, `${head}.${claims}.`, `${head}..${signature}`, `${claims}.${head}.${signature}`, `${head}.${claims}.${signature}.`, "x", ""]) {
        assert.equal(await answer(server, spoiled), "unauthorized, false", spoiled);
      }
    });
  }
});

describe("@rails/actioncable with a cookie that Rails signed", () => {
  let server;
  const cookies = new Map(); // what the "browser" holds, by URL
  before(async () => {
    actioncable.adapters.WebSocket = class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { headers: { Cookie: `theme=dark; user_id=${encodeURIComponent(cookies.get(url))}` } });
      }
    };
    server = await Server.start({
      args: ["--identified-by", "current_user=cookies.signed.user_id", "--secret-key-base-file",
        file("rails", recorded.keys.find(({ name }) => name === "hex128").secret_key_base)],
    });
  });
  after(() => server?.stop());

  const subscribe = (cookie, who) => {
    const url = server.url(`/cable?${who}`);
    cookies.set(url, cookie);
    const consumer = actioncable.createConsumer(url);
    const events = new Inbox(`the events of ${who}`);
    const subscription = consumer.subscriptions.create("ChatChannel", {
      connected() { events.put("connected"); },
      disconnected(details) { events.put({ disconnected: details }); },
      received(data) { events.put(data); },
    });
    return { consumer, events, subscription };
  };

  test("chats as the user of that cookie", async () => {
    const { consumer, events, subscription } = subscribe(kCookie, "good");
    assert.equal(await events.next(), "connected");
    subscription.perform("receive", { message: "it is me" });
    assert.deepEqual(await events.next(), { message: "it is me", sender: 1 });
    consumer.disconnect();
  });

  test("is turned away for good with a forged one", async () => {
    const { consumer, events } = subscribe(kForged, "forged");
    assert.deepEqual(await events.next(), { disconnected: { willAttemptReconnect: false } });
    assert.equal(events.waiting, 0);
    consumer.disconnect();
  });
});

describe("@anycable/core", () => {
  let server;
  before(async () => {
    server = await Server.start({
      args: ["--identified-by", "current_user=jwt.ext/user", "--jwt-secret-file", file("jwt", kTokenSecret),
        "--streams-secret-file", file("streams", kStreamsSecret)],
    });
  });
  after(() => server?.stop());

  const claims = (more) => ({ ext: JSON.stringify({ user: "ann" }), ...more });
  const connect = (options) =>
    createCable(server.url("/cable"), { websocketImplementation: WebSocket, logLevel: "error", reconnectStrategy: () => 50, ...options });

  for (const websocketAuthStrategy of ["param", "header", "sub-protocol"]) {
    test(`brings its token as ${websocketAuthStrategy}, and streams by a signed name`, async () => {
      const cable = connect({ websocketAuthStrategy, auth: { token: token(claims()) } });
      const name = `news/${websocketAuthStrategy}`;
      const channel = cable.streamFromSigned(signedName(name));
      const received = new Inbox(`the messages of ${name}`);
      channel.on("message", (message) => received.put(message));
      await channel.ensureSubscribed();
      await broadcast(server, name, { text: "hello" });
      assert.deepEqual(await received.next(), { text: "hello" });

      await assert.rejects(cable.streamFromSigned(`${signedName(name)}0`).ensureSubscribed(), { name: "SubscriptionRejectedError" });
      cable.disconnect();
    });
  }

  test("is turned away without one", async () => {
    const cable = connect({});
    await assert.rejects(cable.connect(), { reason: "unauthorized" });
  });

  test("renews a token that expires while it is connected, and keeps its subscription", async () => {
    let renewals = 0;
    const cable = connect({
      auth: { token: token(claims({ exp: inSeconds(3) })) },
      tokenRefresher: async (transport) => {
        ++renewals;
        transport.setToken(token(claims({ exp: inSeconds(3600) })));
      },
    });
    const channel = cable.streamFromSigned(signedName("renewed"));
    const events = new Inbox("what happens to the subscription");
    channel.on("connect", ({ reconnect }) => events.put(reconnect ? "back" : "connected"));
    channel.on("message", (message) => events.put(message));
    assert.equal(await events.next(), "connected");
    assert.equal(await events.next(), "back");
    assert.equal(renewals, 1);
    await broadcast(server, "renewed", "still here");
    assert.equal(await events.next(), "still here");
    cable.disconnect();
  });
});

describe("Chromium with @hotwired/turbo-rails", () => {
  // The file that Rails' asset pipeline serves; the package exports only its parts.
  const kBundle = fileURLToPath(new URL("node_modules/@hotwired/turbo-rails/app/assets/javascripts/turbo.js", import.meta.url));
  const kFlags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
  let browser;
  let site;
  let server;
  before(async () => {
    site = http.createServer((request, response) => {
      const script = request.url === "/turbo.js";
      response.writeHead(200, { "Content-Type": script ? "text/javascript" : "text/html" }).end(
        script
          ? readFileSync(kBundle)
          : `<!doctype html><meta name="action-cable-url" content="${server.url("/cable")}">
             <link rel="icon" href="data:,"><script type="module" src="/turbo.js"></script>
             <turbo-cable-stream-source channel="Turbo::StreamsChannel" signed-stream-name="${kTurboName}"></turbo-cable-stream-source>
             <ul id="messages"></ul>`,
      );
    });
    site.listen(await freePort(), "127.0.0.1");
    await once(site, "listening");
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: kFlags });
    server = await Server.start({
      args: ["--allowed-origins", `http://127.0.0.1:${site.address().port}`, "--turbo-streams", "on",
        "--identified-by", "current_user=cookies.signed.user_id",
        "--secret-key-base-file", file("turbo", kTurboSecret),
        "--old-secret-key-base-file", file("rails", recorded.keys.find(({ name }) => name === "hex128").secret_key_base)],
    });
  });
  after(async () => {
    await browser?.close();
    site?.close();
    await server?.stop();
  });

  // A page in a browser that is logged in with that cookie. Cookies go to all ports of a host.
  const open = async (cookie) => {
    const context = await browser.newContext();
    await context.addCookies([{ name: "user_id", value: encodeURIComponent(cookie), domain: "127.0.0.1", path: "/" }]);
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    const cable = page.waitForEvent("websocket");
    await page.goto(`http://127.0.0.1:${site.address().port}/`);
    return { context, page, cable: await cable };
  };

  test("a logged-in page is changed by a stream element broadcast to its signed stream", async () => {
    const { context, page } = await open(kCookie);
    await page.locator("turbo-cable-stream-source[connected]").waitFor({ state: "attached" });
    await broadcast(server, "chat:room", '<turbo-stream action="append" target="messages"><template><li>from Rails &amp; beyond</li></template></turbo-stream>');
    const item = page.locator("#messages li");
    await item.waitFor();
    assert.equal(await item.textContent(), "from Rails & beyond");
    await context.close();
  });

  test("a page with a forged cookie gets nothing", async () => {
    const { context, page, cable } = await open(kForged);
    if (!cable.isClosed()) await cable.waitForEvent("close");
    assert.equal(await page.locator("turbo-cable-stream-source[connected]").count(), 0);
    await context.close();
  });
});
