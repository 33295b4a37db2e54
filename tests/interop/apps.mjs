// The applications of tests/apps as processes of a test: puma on a free port of loopback, with nothing of it left behind.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, until, within } from "./server.mjs";

// One connection for each request: what stays open is not HTTP.
const ask = (url, { headers, ...options } = {}) => fetch(url, { ...options, headers: { ...headers, Connection: "close" } });

const kApps = fileURLToPath(new URL("../apps/", import.meta.url));
// To compute a few seconds for, and no time at all on a machine that has nothing else to do.
const kBootDeadlineMs = 180000;
const kEstablished = "01"; // a state in /proc/net/tcp

// Whether this machine has Ruby and the gems of both applications.
export function rubyInstalled() {
  const gems = ["railties", "actioncable", "activerecord", "activejob", "pg", "redis", "sqlite3", "sinatra", "faye-websocket", "puma"];
  return spawnSync("ruby", ["-e", "ARGV.each { |name| gem name }", ...gems]).status === 0;
}

class App {
  constructor(name, port, env) {
    this.folder = mkdtempSync(join(tmpdir(), `ringcast-${name}-`));
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.origin = `http://${this.host}`;
    this.said = "";
    const args = ["-C", "-", "-q", "-t", "5:5", "-b", `tcp://${this.host}`, "--dir", join(kApps, name), "config.ru"];
    this.process_ = spawn("puma", args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env(this.folder) } });
    for (const output of [this.process_.stdout, this.process_.stderr]) output.setEncoding("utf8").on("data", (text) => (this.said += text));
    this.exited_ = once(this.process_, "exit");
    this.exited_.catch(() => {}); // a failed spawn is reported by ready_
  }

  url(path) {
    return `ws://${this.host}${path}`;
  }

  // Until it answers at all, be it with 404.
  async ready_() {
    let answered = false;
    const answers = () => ask(this.origin, { redirect: "manual" }).then(() => true, () => false);
    try {
      await Promise.race([
        until(async () => (answered = await answers()), () => `the application to answer\n${this.said}`, kBootDeadlineMs),
        this.exited_.then(([code, signal]) => {
          if (!answered) throw new Error(`the application ended with ${code ?? signal} instead of starting\n${this.said}`);
        }),
      ]);
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this;
  }

  async post(path, fields) {
    const answer = await ask(this.origin + path, { method: "POST", body: new URLSearchParams(fields) });
    if (!answer.ok) throw new Error(`${path}: ${answer.status}\n${this.said}`);
    return answer;
  }

  // How many connections the process holds that others opened to its port.
  connections() {
    const fds = `/proc/${this.process_.pid}/fd`;
    const held = new Set(readdirSync(fds).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`${fds}/${fd}`))?.[1] ?? [];
      } catch {
        return []; // closed meanwhile
      }
    }));
    const rows = readFileSync("/proc/net/tcp", "latin1").trim().split("\n").slice(1).map((row) => row.trim().split(/\s+/));
    return rows.filter(([, local, , state, , , , , , inode]) =>
      parseInt(local.split(":")[1], 16) === this.port && state === kEstablished && held.has(inode)).length;
  }

  async stop() {
    if (this.process_.exitCode === null && this.process_.signalCode === null) {
      this.process_.kill("SIGKILL");
      await within(this.exited_, "the application to end");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export class Rails extends App {
  static kRoot = join(kApps, "rails");
  static kCableYml = join(kApps, "rails/config/cable.yml");

  // environment: whose part of config/cable.yml. env: further variables, DATABASE_URL if it is not to be a file of SQLite.
  static async start({ environment, port, env }) {
    const app = new Rails("rails", port ?? (await freePort()), (folder) => ({
      RAILS_ENV: environment, DATABASE_URL: `sqlite3:${folder}/board.sqlite3`, ...env,
    }));
    return app.ready_();
  }

  // The cookies of somebody who has filled in the form, as a browser sends them.
  async login(name) {
    const form = await ask(`${this.origin}/session/new`);
    const token = /name="authenticity_token" value="([^"]+)"/.exec(await form.text())[1];
    const answer = await ask(`${this.origin}/session`, {
      method: "POST",
      redirect: "manual",
      headers: { Cookie: cookies(form) },
      body: new URLSearchParams({ authenticity_token: token, name }),
    });
    if (answer.status !== 302) throw new Error(`${name} could not log in: ${answer.status}\n${this.said}`);
    return cookies(answer);
  }

  // As the button on the page does it.
  async logout(cookie) {
    const page = await ask(this.origin, { headers: { Cookie: cookie } });
    const token = /name="csrf-token" content="([^"]+)"/.exec(await page.text())[1];
    const answer = await ask(`${this.origin}/session`, {
      method: "POST",
      redirect: "manual",
      headers: { Cookie: `${cookies(page)}; ${cookie}` }, // of two with one name the first counts
      body: new URLSearchParams({ authenticity_token: token, _method: "delete" }),
    });
    if (answer.status !== 302) throw new Error(`nobody could log out: ${answer.status}\n${this.said}`);
  }

  // A stream's name as Ringcast's $pubsub takes it.
  async signedName(stream, cookie) {
    return (await ask(`${this.origin}/stream_names/${stream}`, { headers: { Cookie: cookie } })).text();
  }
}

// The chat that is asked by AnyCable's HTTP RPC.
export class Rpc extends App {
  static kSecret = "what calls carry";
  static kBroadcastKey = "what-broadcasts-carry";

  // broadcasts: the server's address for them.
  static async start({ port, broadcasts }) {
    return new Rpc("rpc", port ?? (await freePort()), () => ({
      RACK_ENV: "production", RPC_SECRET: Rpc.kSecret, BROADCAST_URL: broadcasts, BROADCAST_KEY: Rpc.kBroadcastKey,
    })).ready_();
  }

  get rpcUrl() {
    return `${this.origin}/_anycable`;
  }

  // How it behaves from now on, with an empty log.
  async mode(name, more = {}) {
    await ask(`${this.origin}/mode`, { method: "POST", body: JSON.stringify({ name, ...more }) });
  }

  async asked() {
    return (await ask(`${this.origin}/log`)).json();
  }

  // As by kill -9.
  async kill() {
    this.process_.kill("SIGKILL");
    await within(this.exited_, "the application to end");
  }
}

export class Sinatra extends App {
  static async start(redis) {
    return new Sinatra("sinatra", await freePort(), () => ({ RACK_ENV: "production", REDIS_URL: redis.url })).ready_();
  }
}

function cookies(answer) {
  return answer.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
}
