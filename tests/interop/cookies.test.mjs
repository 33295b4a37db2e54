// Cookies that Rails writes while the test runs, in every way an application can be told to, and what the server makes
// of them: who it is, or nobody. What a bare cookie does not say comes by another one.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { rubyInstalled } from "./apps.mjs";
import { Server, until, within } from "./server.mjs";

const kToday = "the secret of today, as long as Rails would make it: 0123456789abcdef";
const kRotated = "the secret that was rotated, likewise: fedcba9876543210";
const kWriter = fileURLToPath(new URL("../apps/cookies/write.rb", import.meta.url));

const folder = mkdtempSync(join(tmpdir(), "ringcast-cookies-"));
after(() => rmSync(folder, { recursive: true }));
const file = (name, content) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

// NAME=VALUE of each, as a browser sends them back.
function written(cookies) {
  const { status, stdout, stderr } = spawnSync("ruby", [kWriter], { encoding: "utf8", input: JSON.stringify(cookies), maxBuffer: 1 << 26 });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}
const one = (cookie) => written([{ secret: kToday, kind: "signed", name: "user_id", value: 1, ...cookie }])[0];

// A server whose channel Who says what it knows of who asks.
const identified = (sources, ...more) =>
  Server.start({
    args: ["--config", file("who.toml", `[[channel]]
        name = "Who"
        stream = "who_{params.asked}"
        [channel.action.receive]
        broadcast = { ${Object.keys(sources).map((name) => `${name} = "{identifiers.${name}}"`).join(", ")} }`),
      ...Object.entries(sources).flatMap(([name, source]) => ["--identified-by", `${name}=${source}`]),
      "--secret-key-base-file", file("today", kToday), "--old-secret-key-base-file", file("rotated", kRotated), ...more],
  });

let questions = 0;
// What it knows, or "nobody".
async function who(server, cookie) {
  const socket = new WebSocket(server.url("/cable"), ["actioncable-v1-json"], { headers: { Cookie: cookie } });
  const identifier = JSON.stringify({ channel: "Who", asked: ++questions });
  try {
    return await within(new Promise((resolve, reject) => {
      socket.on("error", reject);
      socket.on("close", () => reject(new Error(`closed without a word: ${cookie}`)));
      socket.on("message", (data) => {
        const { type, reason, reconnect, message } = JSON.parse(data);
        if (type === "welcome") socket.send(JSON.stringify({ command: "subscribe", identifier }));
        if (type === "confirm_subscription") socket.send(JSON.stringify({ command: "message", identifier, data: "{}" }));
        if (type === "disconnect") resolve(reason === "unauthorized" && reconnect === false ? "nobody" : `${reason} ${reconnect}`);
        if (type === undefined) resolve(message);
      });
    }), `an answer to ${cookie}`);
  } finally {
    socket.terminate();
  }
}

// Every way of writing a cookie of that kind that says who somebody is.
const kValues = [1, "7", "gid://app/User/3", 'a "b" <ü> +/=;%'];
const ways = (kind) =>
  kValues.flatMap((value) => [kToday, kRotated].flatMap((secret) => ["json", "hybrid"].flatMap((serializer) =>
    [{}, { bare: true }, { expires: "2099-12-31T23:59:59Z" }, { permanent: true }].map((more) =>
      ({ name: "user_id", kind, value, secret, serializer, ...more })))));

describe("cookies of Rails", { skip: !rubyInstalled() && "Ruby or a gem is missing" }, () => {
  for (const [name, kind, digest, ...more] of [
    ["signed", "signed", undefined],
    ["signed with SHA-256", "signed", "SHA256", "--signed-cookie-digest", "sha256"],
    ["encrypted", "encrypted", undefined],
  ]) {
    describe(`${name}`, () => {
      let server;
      before(async () => (server = await identified({ user: `cookies.${kind}.user_id` }, ...more)));
      after(() => server?.stop());

      test("say who it is, however they are written", async () => {
        const all = ways(kind).map((way) => ({ ...way, digest }));
        const cookies = written(all);
        for (let begin = 0; begin < all.length; begin += 32) {
          await Promise.all(all.slice(begin, begin + 32).map(async (way, i) =>
            assert.deepEqual(await who(server, `theme=dark; ${cookies[begin + i]}`), { user: way.value }, JSON.stringify(way))));
        }
      });

      test("say nothing when they are expired, another's, or hold nobody's name", async () => {
        const bad = [
          { expires: "2020-01-01T00:00:00Z" },
          { secret: "a secret that was never ours" },
          { kind: kind === "signed" ? "encrypted" : "signed" },
          { name: "admin_id" },
          { value: null },
          { value: true },
          { value: { id: 1 } },
          { value: "" },
          ...(kind === "signed" ? [{ digest: digest ? "SHA1" : "SHA256" }, { digest: "SHA512" }] : []),
        ];
        const cookies = written(bad.map((more) => ({ secret: kToday, kind, digest, name: "user_id", value: 1, ...more })));
        for (const [i, cookie] of cookies.entries()) {
          assert.equal(await who(server, cookie.replace("admin_id", "user_id")), "nobody", JSON.stringify(bad[i]));
        }
        assert.equal(await who(server, cookies[0].replace(/=.*/, "=1")), "nobody", "plain");
      });

      test("are not loaded from Ruby's own format, and one line says why", async () => {
        assert.equal(await who(server, one({ kind, digest, serializer: "marshal" })), "nobody");
        const lines = () => server.stderr.split("\n").filter((line) => line.includes("event=cookie_not_json"));
        await until(() => lines().length > 0, "the log to say so");
        assert.equal(lines().length, 1);
        assert.match(lines()[0], /cookie=cookies\.\w+\.user_id .*Marshal.*cookies_serializer has to be :json/);
      });
    });
  }

  test("the session, where Devise keeps its user", async () => {
    const server = await identified({ user: "gid://app/User/{devise._app_session}" });
    try {
      const session = (user) => one({
        kind: "encrypted", name: "_app_session",
        value: { session_id: "8f0b", _csrf_token: "x".repeat(43), ...(user && { "warden.user.user.key": [[user], "$2a$12$abcdefghijklmnopqrstuv"] }) },
      });
      assert.deepEqual(await who(server, session(7)), { user: "gid://app/User/7" });
      assert.equal(await who(server, session()), "nobody");
    } finally {
      await server.stop();
    }
  });

  test("what the one with the id does not say comes by another one", async () => {
    const server = await identified({ user: "gid://app/User/{cookies.signed.user_id}", email: "cookies.encrypted.profile/email" });
    try {
      // The login of Rails 8 knows a row of a table alone, and sets the other two beside it.
      const [login, id, profile, others] = written([
        { kind: "signed", name: "session_id", value: 42 },
        { kind: "signed", name: "user_id", value: 7 },
        { kind: "encrypted", name: "profile", value: { email: "ann@example.com" } },
        { kind: "encrypted", name: "profile", value: { email: "eve@example.com" }, secret: "a secret that was never ours" },
      ].map((cookie) => ({ secret: kToday, permanent: true, ...cookie })));
      assert.deepEqual(await who(server, `${login}; ${id}; ${profile}`), { user: "gid://app/User/7", email: "ann@example.com" });
      for (const cookie of [login, `${login}; ${id}`, `${login}; ${profile}`, `${login}; ${id}; ${others}`, `${login.replace("session", "user")}; ${profile}`]) {
        assert.equal(await who(server, cookie), "nobody", cookie);
      }
    } finally {
      await server.stop();
    }
  });
});
