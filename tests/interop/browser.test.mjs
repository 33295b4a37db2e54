// A real Chromium: the demo page as it is compiled into the server, and a page of another origin with the npm package
// @rails/actioncable. Leaves screenshots in build/.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { after, before, beforeEach, afterEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Server, freePort, until, within } from "./server.mjs";

const kChromium = process.env.CHROMIUM ?? "/usr/bin/chromium";
const kFlags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const kBuild = fileURLToPath(new URL("../../build/", import.meta.url));

// What a browser itself writes to the console when a server is away. Nothing else may stand there, and this only then.
const kAway = /net::ERR_|WebSocket connection to '.*' failed/;

let browser;
before(async () => {
  mkdirSync(kBuild, { recursive: true });
  browser = await chromium.launch({ executablePath: kChromium, args: kFlags });
});
after(() => browser?.close());

// Pages, each with a profile of its own, and everything they complained about.
class Visitors {
  constructor(server) {
    this.server_ = server;
    this.contexts_ = [];
    this.complaints = [];
    this.requests = new Set(); // origins asked for anything
    this.mayBeAway = false;
  }

  async page(options = {}) {
    const context = await browser.newContext({ locale: "en-US", viewport: { width: 1280, height: 900 }, ...options });
    this.contexts_.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    page.on("console", (message) => {
      if (!["error", "warning"].includes(message.type()) || (this.mayBeAway && kAway.test(message.text()))) return;
      this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.complaints.push(error.stack));
    page.on("request", (request) => this.requests.add(new URL(request.url()).origin));
    return page;
  }

  async open(options, path = "/") {
    const page = await this.page(options);
    await page.goto(this.server_.origin + path);
    await page.locator('#state[data-state="open"]').waitFor();
    await page.locator('#cable-where[data-on="true"]').waitFor();
    await page.locator('#raw-where[data-on="true"]').waitFor();
    return page;
  }

  async leave() {
    await Promise.all(this.contexts_.map((context) => context.close()));
  }
}

const say = async (page, chat, text) => {
  await page.fill(`#${chat}-text`, text);
  await page.press(`#${chat}-text`, "Enter");
};
const heard = (page, chat, text) => page.locator(`#${chat}-log .entry .text`).getByText(text, { exact: true }).first().waitFor();
const join = async (page, chat, room) => {
  await page.fill(`#${chat}-room`, room);
  await page.press(`#${chat}-room`, "Enter");
  await page.locator(`#${chat}-where[data-on="true"]`).waitFor();
};
// Shown while a price is another than it was.
const moved = async (page, symbol) => {
  const price = page.locator(`[data-symbol="${symbol}"] .price`);
  await until(async () => /\d/.test(await price.textContent()), "a first price");
  const first = await price.textContent();
  await until(async () => (await price.textContent()) !== first, "the price to move");
};
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

describe("the demo page", () => {
  let server;
  let visitors;
  // Chromium on a busy machine may not read for a while; the page's slow reader never does. All that
  // the page publishes meanwhile is queued.
  const patient = ["--lap-grace-ms", "3000", "--queued-bytes", "134217728"];
  before(async () => (server = await Server.start({ args: patient })));
  after(() => server.stop());
  beforeEach(() => (visitors = new Visitors(server)));
  afterEach(async () => {
    await visitors.leave();
    assert.deepEqual(visitors.complaints, []);
    for (const origin of visitors.requests) assert.ok(["null", server.origin].includes(origin), `asked ${origin} for something`);
  });

  test("two pages chat over Action Cable", async () => {
    const [alice, bob] = [await visitors.open(), await visitors.open()];
    await say(alice, "cable", "hello from Alice");
    await heard(bob, "cable", "hello from Alice");
    await say(bob, "cable", "hello from Bob");
    await heard(alice, "cable", "hello from Bob");
    assert.equal(await alice.inputValue("#cable-text"), "");
    const names = await alice.locator("#cable-log .who").evaluateAll((all) => all.map((who) => who.firstChild.textContent));
    assert.equal(new Set(names).size, 2);
  });

  test("an Action Cable room is joined and left", async () => {
    const [alice, bob] = [await visitors.open(), await visitors.open()];
    await join(alice, "cable", "42");
    await say(bob, "cable", "to everybody");
    await heard(bob, "cable", "to everybody");
    await join(bob, "cable", "42");
    await say(bob, "cable", "to the room");
    await heard(alice, "cable", "to the room");
    assert.equal(await alice.locator("#cable-log .entry .text").count(), 1);
    await join(alice, "cable", "");
    await say(alice, "cable", "back again");
    await heard(alice, "cable", "back again");
  });

  test("two pages and an HTTP client chat in a raw room", async () => {
    const [alice, bob] = [await visitors.open(), await visitors.open()];
    for (const page of [alice, bob]) await join(page, "raw", "café 7");
    await say(alice, "raw", "raw hello");
    await heard(bob, "raw", "raw hello");
    const line = await alice.textContent("#curl");
    const [, form, sender, url] = /^curl -d '(.*?)' -d (\S+) '(.*)'$/.exec(line);
    const answer = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      body: `${form}&${sender}`,
    });
    assert.equal(answer.status, 200);
    await heard(alice, "raw", "Hello from curl");
    await heard(bob, "raw", "Hello from curl");
  });

  test("the address chooses the room, and everybody is welcomed", async () => {
    const everybody = await visitors.open({}, "/websocket");
    await everybody.locator("#raw-log .who").getByText("Server").waitFor();
    const room = await visitors.open({}, "/websocket?room=by-address");
    assert.equal(await room.inputValue("#raw-room"), "by-address");
    assert.equal(await room.textContent("#raw-path"), "/websocket/by-address");
  });

  test("prices move and charts are drawn", async () => {
    const page = await visitors.open();
    assert.equal(await page.locator(".quote").count(), 8);
    for (const symbol of ["ACME", "KITE"]) await moved(page, symbol);
    await until(() => page.evaluate(() =>
      [...document.querySelectorAll(".quote polyline")].every((line) => (line.getAttribute("points") ?? "").includes(" "))), "eight charts");
  });

  test("the server's figures are shown", async () => {
    const page = await visitors.open();
    const figure = (name) => page.locator(`[data-figure="${name}"]`).textContent();
    await until(async () => Number(await figure("connections")) >= 2, "the connections");
    await until(async () => Number(await figure("subscriptions")) >= 9, "the subscriptions");
    await until(async () => Number(await figure("publish_rate")) > 0, "the rate of publishing");
    await until(async () => Number(await figure("delivery_rate")) > 0, "the rate of delivery");
  });

  test("10,000 messages arrive, in order, without loss", async () => {
    const page = await visitors.open();
    await page.click("#bench-start");
    await until(() => page.isEnabled("#bench-start"), async () => `the run: ${await page.textContent("#bench-hint")}`, 120000);
    const result = async (name) => page.locator(`[data-result="${name}"]`).textContent();
    assert.equal(await result("delivered"), "10,000", await page.textContent("#bench-hint"));
    assert.equal(await result("lost"), "0");
    assert.equal(await result("order"), "kept");
    for (const name of ["p50", "p99"]) assert.match(await result(name), /^[\d,]+\.\d ms$/);
    assert.ok((await page.locator("#bench-histogram rect").count()) > 0);
  });

  test("a reader that stops is closed with 1013, the one beside it misses nothing", async () => {
    const page = await visitors.open();
    await page.click("#slow-switch");
    await page.locator("#slow-verdict[data-good]").waitFor({ timeout: 120000 });
    const verdict = await page.textContent("#slow-verdict");
    assert.match(verdict, /closed with code 1013/);
    assert.match(verdict, /beside it received 2,048 of 2,048/);
    assert.equal(await page.getAttribute("#slow-switch", "aria-checked"), "false");
    assert.equal(await page.getAttribute("#state", "data-state"), "open");
  });

  test("what is written stays text", async () => {
    const [alice, bob] = [await visitors.open(), await visitors.open()];
    const attack = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>';
    for (const chat of ["cable", "raw"]) {
      await say(alice, chat, attack);
      await heard(bob, chat, attack);
    }
    // A sender is chosen by whoever posts, and so is the whole message in a raw room.
    const answer = await fetch(`${server.origin}/send_message_to_room/general`, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ message: attack, sender: attack }),
    });
    assert.equal(answer.status, 200);
    await bob.locator("#raw-log .who").getByText(attack).waitFor();
    await join(bob, "cable", attack);
    for (const page of [alice, bob]) {
      assert.equal(await page.evaluate(() => window.hurt), undefined);
      assert.equal(await page.locator("main img, main script").count(), 0);
    }
  });

  test("speaks English and Chinese, by the browser and by the switch", async () => {
    const page = await visitors.open({ locale: "zh-CN" });
    assert.equal(await page.getAttribute("html", "lang"), "zh");
    assert.equal(await page.textContent("#ticker-title"), "实时行情");
    assert.equal(await page.textContent("#state-text"), "已连接");
    assert.equal(await page.getAttribute("#cable-text", "placeholder"), "输入消息");
    await page.click("#language");
    assert.equal(await page.getAttribute("html", "lang"), "en");
    assert.equal(await page.textContent("#state-text"), "Connected");
    await page.reload();
    assert.equal(await page.textContent("#ticker-title"), "Live ticker"); // remembered
    const english = await visitors.open({ locale: "de-DE" });
    assert.equal(await english.getAttribute("html", "lang"), "en");
  });

  test("works by keyboard alone, with the focus to be seen", async () => {
    const page = await visitors.open();
    const reached = new Set();
    for (let step = 0; step < 30; ++step) {
      await page.keyboard.press("Tab");
      const { id, outline } = await page.evaluate(() => ({
        id: document.activeElement.id,
        outline: getComputedStyle(document.activeElement).outlineStyle,
      }));
      if (id) assert.notEqual(outline, "none", `#${id} shows its focus`);
      reached.add(id);
    }
    for (const id of ["language", "cable-room", "cable-text", "raw-text", "curl-copy", "bench-start", "slow-switch"]) {
      assert.ok(reached.has(id), `#${id} is reached`);
    }
    await page.focus("#cable-text");
    await page.keyboard.type("typed");
    await page.keyboard.press("Enter");
    await heard(page, "cable", "typed");
  });

  for (const locale of ["en-US", "zh-CN"]) {
    test(`fits 380 px (${locale})`, async () => {
      const page = await visitors.open({ locale, viewport: { width: 380, height: 800 } });
      await moved(page, "ACME");
      await say(page, "cable", "w".repeat(400));
      await heard(page, "cable", "w".repeat(400));
      await join(page, "raw", "r".repeat(60));
      assert.equal(await overflow(page), 0);
      if (locale !== "en-US") return;
      await page.reload();
      await moved(page, "ACME");
      await page.screenshot({ path: `${kBuild}screenshot-380.png`, fullPage: true });
    });
  }

  test("is worth a picture, by day and by night", async () => {
    for (const [colorScheme, name] of [["light", "screenshot"], ["dark", "screenshot-dark"]]) {
      const room = "desk";
      const page = await visitors.open({ colorScheme });
      const other = await visitors.open();
      for (const visitor of [page, other]) for (const chat of ["cable", "raw"]) await join(visitor, chat, room);
      for (const [speaker, chat, text] of [
        [other, "cable", "Is this the stock Rails client's protocol?"],
        [page, "cable", "Yes: welcome, ping, confirm, the lot."],
        [other, "cable", "And the tab next door?"],
        [page, "cable", "Reads the same stream, in the same order."],
        [page, "raw", "Plain JSON in, plain JSON out."],
        [other, "raw", "<b>And markup stays text.</b>"],
      ]) {
        await say(speaker, chat, text);
        await heard(page, chat, text);
      }
      const path = `${server.origin}/send_message_to_room/${room}`;
      assert.equal((await fetch(`${path}?message=Hello%20from%20curl&sender=curl`, { method: "POST" })).status, 200);
      await heard(page, "raw", "Hello from curl");
      await page.click("#bench-start");
      await page.locator('[data-result="p99"]').getByText("ms").waitFor({ timeout: 120000 });
      await until(() => page.evaluate(() =>
        document.querySelector(".quote polyline").getAttribute("points").split(" ").length >= 30), "some history");
      await page.evaluate(() => {
        document.activeElement.blur();
        scrollTo(0, 0);
      });
      await page.screenshot({ path: `${kBuild}${name}.png`, fullPage: true });
      await page.context().close();
    }
  });
});

test("the demo page survives a restart of the server", async () => {
  const first = await Server.start();
  const visitors = new Visitors(first);
  const page = await visitors.open();
  visitors.mayBeAway = true;
  await first.stop();
  await page.locator('#state[data-state="waiting"]').waitFor();
  await until(async () => /^\d+\.\d s$/.test(await page.textContent("#state-countdown")), "a countdown");
  await say(page, "cable", "kept");
  assert.equal(await page.inputValue("#cable-text"), "kept"); // not lost, and the page says so
  assert.notEqual(await page.textContent("#cable-hint"), "");
  const second = await Server.start({ port: first.port });
  try {
    await page.locator('#state[data-state="open"]').waitFor();
    for (const chat of ["cable", "raw"]) {
      await page.locator(`#${chat}-where[data-on="true"]`).waitFor();
      await say(page, chat, `${chat} again`);
      await heard(page, chat, `${chat} again`);
    }
    await moved(page, "ACME");
    assert.deepEqual(visitors.complaints, []);
  } finally {
    await visitors.leave();
    await second.stop();
  }
});

describe("a page of another origin, with @rails/actioncable itself", () => {
  const require = createRequire(import.meta.url);
  const kFiles = {
    "/": ["text/html", fileURLToPath(new URL("pages/actioncable.html", import.meta.url))],
    "/actioncable.esm.js": ["text/javascript", require.resolve("@rails/actioncable/app/assets/javascripts/actioncable.esm.js")],
  };
  let site; // the other origin
  let origin;
  let server;

  before(async () => {
    site = http.createServer((request, response) => {
      const [type, file] = kFiles[new URL(request.url, "http://site").pathname] ?? [];
      response.writeHead(file ? 200 : 404, { "Content-Type": type ?? "text/plain" }).end(file && readFileSync(file));
    });
    site.listen(await freePort(), "127.0.0.1");
    await once(site, "listening");
    origin = `http://127.0.0.1:${site.address().port}`;
    server = await Server.start({ args: ["--allowed-origins", origin] });
  });
  after(async () => {
    site?.close();
    await server?.stop();
  });

  const open = async (visitors, host) => {
    const page = await visitors.page();
    const cable = page.waitForEvent("websocket");
    await page.goto(`http://${host}:${site.address().port}/?cable=${encodeURIComponent(server.url("/cable"))}`);
    return { page, cable: await cable };
  };

  test("chats when its origin is allowed", async () => {
    const visitors = new Visitors(server);
    const pages = [];
    for (let n = 0; n < 2; ++n) pages.push((await open(visitors, "127.0.0.1")).page);
    for (const page of pages) {
      await page.locator("#events li").getByText("connected", { exact: true }).waitFor();
      await page.locator("#events li").getByText("no such channel").waitFor();
    }
    await pages[0].fill("#text", "from elsewhere");
    await pages[0].press("#text", "Enter");
    const lines = [];
    for (const page of pages) {
      const line = page.locator("#messages li");
      await line.waitFor();
      lines.push(await line.textContent());
    }
    assert.match(lines[0], /^Client \d+: from elsewhere$/);
    assert.equal(lines[1], lines[0]);
    assert.deepEqual(visitors.complaints, []);
    await visitors.leave();
  });

  test("is refused when it is not", async () => {
    const visitors = new Visitors(server);
    // The same site under another name is another origin.
    const { page, cable } = await open(visitors, "localhost");
    const frames = [];
    cable.on("framereceived", (frame) => frames.push(frame));
    if (!cable.isClosed()) await within(Promise.race([cable.waitForEvent("close"), cable.waitForEvent("socketerror")]), "the refusal");
    assert.deepEqual(frames, []);
    assert.equal(await page.locator("#events li").getByText("connected", { exact: true }).count(), 0);
    assert.ok(visitors.complaints.some((line) => /WebSocket connection to '.*' failed/.test(line)), "the browser says so too");
    await visitors.leave();
  });
});
