// `ringcast publish`: through a server, and straight into a real Redis or PostgreSQL, as a shell would use it.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import WebSocket from "ws";
import { Postgres, Redis } from "./engines.mjs";
import { freePort, kBinary, Server, within } from "./server.mjs";

async function publish(args, input = "") {
  const process = spawn(kBinary, ["publish", ...args], { stdio: ["pipe", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) process[name].setEncoding("utf8").on("data", (text) => (said[name] += text));
  process.stdin.on("error", () => {}); // it may end before it has read everything
  process.stdin.end(input);
  const [code] = await within(once(process, "close"), () => `publish to end\n${said.stderr}`, 60000);
  return { code, ...said };
}

// What reaches a subscriber of the demo's chat in that room, whole and in order: so many messages.
class Reader {
  static async on(server, room) {
    const reader = new Reader();
    reader.socket = new WebSocket(server.url("/cable"), ["actioncable-v1-json"]);
    const confirmed = new Promise((resolve) => (reader.confirmed = resolve));
    reader.socket.on("message", (data) => {
      const message = JSON.parse(data);
      if (message.type === "confirm_subscription") reader.confirmed();
      if (!message.type) reader.take(message.message);
    });
    const identifier = JSON.stringify({ channel: "ChatChannel", room_id: room });
    reader.socket.on("open", () => reader.socket.send(JSON.stringify({ command: "subscribe", identifier })));
    reader.socket.on("close", (code) => (reader.closed = code));
    await within(confirmed, "the subscription");
    return reader;
  }

  heard = [];
  enough = () => {};

  take(message) {
    this.heard.push(message);
    if (this.heard.length === this.wanted) this.enough();
  }

  async first(count) {
    this.wanted = count;
    if (this.heard.length < count) {
      await within(new Promise((resolve) => (this.enough = resolve)), () => `${count} messages: ${this.heard.length} came, closed: ${this.closed}`, 60000);
    }
    return this.heard.splice(0, count);
  }

  close() {
    this.socket.terminate();
  }
}

// A reader on a busy machine may be slow to be scheduled; it is not what is tested here.
const kPatient = ["--lap-grace-ms", "30000"];

// Publishes so many by `way` and has them read.
async function expectInOrder(t, many, way, server, room) {
  const lines = Array.from({ length: many }, (_, i) => `{"n":${i}}\n`).join("");
  const reader = await Reader.on(server, room);
  const begin = performance.now();
  const done = await publish([`chat_${room}`, "-", ...way], lines);
  const seconds = (performance.now() - begin) / 1000;
  assert.deepEqual(done, { code: 0, stdout: `${many} accepted\n`, stderr: "" });
  const heard = await reader.first(many);
  assert.ok(heard.every(({ n }, i) => n === i), "all of them in order");
  t.diagnostic(`${many} lines in ${seconds.toFixed(2)} s: ${Math.round(many / seconds)} a second`);
  reader.close();
}

describe("ringcast publish", () => {
  let folder, server, key, way;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ringcast-publish-"));
    key = join(folder, "key");
    writeFileSync(key, "the key of this test\n".replaceAll(" ", "-"));
    server = await Server.start({ args: ["--broadcast-key-file", key, ...kPatient] });
    way = ["--url", server.origin, "--broadcast-key-file", key];
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  test("one message, as it is written", async () => {
    const reader = await Reader.on(server, "one");
    assert.deepEqual(await publish(["chat_one", '{"price":1.10,"text":"<ü>"}', ...way]), { code: 0, stdout: "1 accepted\n", stderr: "" });
    assert.deepEqual(await reader.first(1), [{ price: 1.1, text: "<ü>" }]);
    assert.deepEqual(await publish([...way, "chat_one", "-5"]), { code: 0, stdout: "1 accepted\n", stderr: "" });
    assert.deepEqual(await reader.first(1), [-5]);
    reader.close();
  });

  test("a hundred thousand lines arrive in order through a server", (t) => expectInOrder(t, 100000, way, server, "many"));

  test("a line that is no JSON ends it, by its number; what came before is published", async () => {
    const reader = await Reader.on(server, "bad");
    const { code, stdout, stderr } = await publish(["chat_bad", ...way], '1\n\n"two"\r\n{three\n4\n');
    assert.equal(code, 1);
    assert.equal(stdout, "2 accepted\n");
    assert.match(stderr, /^ringcast publish: line 4: this is not JSON/);
    assert.deepEqual(await reader.first(2), [1, "two"]);
    reader.close();
  });

  test("what goes wrong is said in a sentence", async () => {
    const dead = `http://127.0.0.1:${await freePort()}`;
    for (const [args, code, stderr] of [
      [["s", "1", "--url", server.origin], 1, /the server answered 401: /],
      [["s".repeat(2000), "1", ...way], 1, /the server answered 413: /],
      [["s", "1", "--url", dead], 1, /refused/],
      [["s", "{", ...way], 1, /not JSON/],
      [[], 2, /a stream is wanted/],
      [["s", "1", "2"], 2, /a stream is wanted/],
      [["s", "1", "--url", "ftp://x"], 2, /no address/],
      [["s", "1", "--nonsense"], 2, /--nonsense/],
      [["s", "1", ...way, "--redis-url", "redis://x"], 2, /one of them is enough/],
      [["s", "1", "--adapter", "test"], 2, /no engine/],
      [["s", "1", ...way, "--insecure"], 2, /go with --url https/],
      [["s", "1", "--url", "https://127.0.0.1", "--tls-ca", join(folder, "none.pem")], 2, /none\.pem/],
      [["s", "1", "--url", server.origin.replace("http", "https"), "--insecure"], 1, /127\.0\.0\.1:\d+: /],
    ]) {
      const done = await publish(args);
      assert.equal(done.code, code, `${args}: ${done.stderr}`);
      assert.match(done.stderr, stderr);
    }
  });

  test("a message that is too large is named by its line, and the others around it are not", async () => {
    const large = JSON.stringify("x".repeat(1100000));
    const { code, stdout, stderr } = await publish(["chat_large", ...way], `1\n2\n${large}\n`);
    assert.equal(code, 1);
    assert.equal(stdout, "2 accepted\n");
    assert.match(stderr, /line 3: the server answered 413/);
  });
});

describe("ringcast publish, over TLS", () => {
  let folder, certificate, server, url;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "ringcast-publish-"));
    certificate = join(folder, "certificate.pem");
    const key = join(folder, "key.pem");
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
      "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate], { stdio: "ignore" });
    const port = await freePort();
    server = await Server.start({
      args: ["--tls-listen", `127.0.0.1:${port}`, "--tls-cert", certificate, "--tls-key", key, "--keep-alive-timeout-s", "1", ...kPatient],
    });
    url = `https://127.0.0.1:${port}`;
  });
  after(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true });
  });

  test("many lines arrive in order", (t) => expectInOrder(t, 20000, ["--url", url, "--tls-ca", certificate], server, "secure"));

  test("whoever is not who the certificate's authority says is not published to, unless that is wanted", async () => {
    const reader = await Reader.on(server, "who");
    const unknown = await publish(["chat_who", "1", "--url", url]);
    assert.equal(unknown.code, 1);
    assert.equal(unknown.stdout, "0 accepted\n");
    assert.match(unknown.stderr, /certificate refused: self/);
    const misnamed = await publish(["chat_who", "2", "--url", url.replace("127.0.0.1", "127.0.0.2"), "--tls-ca", certificate]);
    assert.match(misnamed.stderr, /127\.0\.0\.2/);
    assert.equal(misnamed.code, 1);
    assert.equal((await publish(["chat_who", "3", "--url", url.replace("127.0.0.1", "localhost"), "--tls-ca", certificate])).code, 0);
    assert.equal((await publish(["chat_who", "4", "--url", url, "--insecure"])).code, 0);
    assert.deepEqual(await reader.first(2), [3, 4]);
    reader.close();
  });

  test("lines that come seldom find the server's connection closed, and are published once", async () => {
    for (const way of [["--url", url, "--insecure"], ["--url", server.origin]]) {
      const reader = await Reader.on(server, "seldom");
      const process = spawn(kBinary, ["publish", "chat_seldom", "-", ...way], { stdio: ["pipe", "ignore", "inherit"] });
      process.stdin.write("1\n");
      assert.deepEqual(await reader.first(1), [1]);
      await new Promise((resolve) => setTimeout(resolve, 2000)); // the server ends it after one
      process.stdin.end("2\n");
      const [code] = await within(once(process, "close"), "publish to end");
      assert.equal(code, 0);
      assert.deepEqual(await reader.first(1), [2]);
      reader.close();
    }
  });
});

for (const [name, Engine] of [["Redis", Redis], ["PostgreSQL", Postgres]]) {
  describe(`ringcast publish, straight into ${name}`, { skip: name === "PostgreSQL" && !Postgres.installed }, () => {
    let engine, server, way, folder;

    before(async () => {
      engine = await Engine.start();
      server = await Server.start({ args: [...engine.flags, "--channel-prefix", "app", ...kPatient] });
      way = [...engine.flags.slice(2), "--channel-prefix", "app"]; // which adapter, the URL says
      folder = mkdtempSync(join(tmpdir(), "ringcast-publish-"));
    });
    after(async () => {
      await server?.stop();
      await engine?.stop();
      rmSync(folder, { recursive: true });
    });

    // PostgreSQL takes each as a statement of its own.
    const many = name === "PostgreSQL" ? 10000 : 100000;
    test(`${many} lines arrive in order`, (t) => expectInOrder(t, many, way, server, "many"));

    test("config/cable.yml says where, too", async () => {
      const yml = join(folder, "cable.yml");
      const url = engine.flags.at(-1);
      writeFileSync(yml, `production:\n  adapter: ${engine.flags[1]}\n  url: ${url}\n  channel_prefix: app\n`);
      const reader = await Reader.on(server, "yml");
      assert.equal((await publish(["chat_yml", '{"from":"yml"}', "--cable-yml", yml])).code, 0);
      assert.deepEqual(await reader.first(1), [{ from: "yml" }]);
      reader.close();
    });

    if (name === "PostgreSQL") {
      test("a payload beyond what it carries is named", async () => {
        const { code, stdout, stderr } = await publish(["s", "-", ...way], `1\n"${"x".repeat(8000)}"\n`);
        assert.equal(code, 1);
        assert.equal(stdout, "1 accepted\n");
        assert.match(stderr, /line 2: the message is larger/);
      });
    }
  });
}
