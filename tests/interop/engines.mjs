// A real Redis and a real PostgreSQL for a test, each on a free port of loopback and in a folder that goes with it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { freePort, until } from "./server.mjs";

const run = promisify(execFile);

export class Redis {
  static async start() {
    const redis = new Redis(await freePort());
    await redis.launch();
    return redis;
  }

  constructor(port) {
    this.port = port;
    this.folder = mkdtempSync(join(tmpdir(), "ringcast-redis-"));
    this.url = `redis://127.0.0.1:${port}/1`;
    this.flags = ["--adapter", "redis", "--redis-url", this.url];
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

  async publishMany(channel, payload, count) {
    const cli = spawn("redis-cli", ["-p", this.port], { stdio: ["pipe", "ignore", "ignore"] });
    cli.stdin.end(`publish ${channel} ${payload}\n`.repeat(count));
    await once(cli, "exit");
  }

  async listenedTo() {
    return (await this.cli("pubsub", "channels")).split("\n").filter((name) => name && !name.includes("_canary"));
  }

  hang() {
    this.process_.kill("SIGSTOP");
  }

  wake() {
    this.process_.kill("SIGCONT");
  }

  throwOutListeners() {
    return this.cli("client", "kill", "type", "pubsub");
  }

  throwOutPublishers() {
    return this.cli("client", "kill", "type", "normal");
  }

  lockedOut = "NOAUTH";

  async lockOut() {
    await this.cli("config", "set", "requirepass", "secret");
    for (const type of ["pubsub", "normal"]) await this.cli("-a", "secret", "client", "kill", "type", type);
  }

  letIn() {
    return this.cli("-a", "secret", "config", "set", "requirepass", "");
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

// Sessions of ours, as pg_stat_activity shows them.
const kOurs = "application_name like 'Ringcast-PID-%'";
const kListeners = `${kOurs} and query ~ '^(UN)?LISTEN '`;

export class Postgres {
  static get installed() {
    return existsSync("/usr/lib/postgresql");
  }

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

  async query(statement, user = "ringcast") {
    const url = this.url.replace("ringcast@", `${user}@`);
    return (await run(`${this.bin}/psql`, [url, "-qAtc", statement])).stdout.trim();
  }

  // What sessions listen to only they know; what they said last everybody does. Names of servers that have said
  // something else since are not found.
  async listenedTo() {
    const said = await this.query(`select query from pg_stat_activity where ${kListeners}`);
    return said.split("\n").filter((query) => !/^UNLISTEN|^LISTEN "[^"]*_canary[^"]*";$/.test(query));
  }

  // The postmaster and all that it has started.
  async signal_(name) {
    const postmaster = readFileSync(`${this.folder}/data/postmaster.pid`, "utf8").split("\n")[0];
    const { stdout } = await run("ps", ["-o", "pid=", "--ppid", postmaster]);
    for (const pid of [postmaster, ...stdout.split("\n").filter(Boolean)]) process.kill(Number(pid), name);
  }

  hang() {
    return this.signal_("SIGSTOP");
  }

  wake() {
    return this.signal_("SIGCONT");
  }

  throwOutListeners() {
    return this.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${kListeners}`);
  }

  throwOutPublishers() {
    return this.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${kOurs} and not (${kListeners})`);
  }

  lockedOut = "not permitted to log in";

  async lockOut() {
    await this.query("create role keeper superuser login");
    await this.query("alter role ringcast nologin", "keeper");
    await this.query(`select pg_terminate_backend(pid) from pg_stat_activity where ${kOurs}`, "keeper");
  }

  letIn() {
    return this.query("alter role ringcast login", "keeper");
  }

  publish(channel, payload) {
    return this.query(`select pg_notify('${channel}', '${payload}')`);
  }

  kill() {
    return this.as_user(`${this.bin}/pg_ctl -D ${this.folder}/data -m immediate stop`);
  }

  async stop() {
    await this.kill();
    rmSync(this.folder, { recursive: true });
  }
}
