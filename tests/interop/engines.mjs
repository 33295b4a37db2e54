// A real Redis and a real PostgreSQL for a test, each on a free port of loopback and in a folder that goes with it.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
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

  query(statement) {
    return run(`${this.bin}/psql`, [this.url, "-qc", statement]);
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
