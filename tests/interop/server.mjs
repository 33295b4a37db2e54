// Starts and stops the real server for the tests of this folder, and waits for things with a deadline. Time never
// decides a test: a deadline only turns a wait without end into a failure that says what was missing.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import net from "node:net";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const kBinary = resolve(process.env.RINGCAST_BIN ?? fileURLToPath(new URL("../../build/ringcast", import.meta.url)));
export const kDeadlineMs = 60000;

export class Server {
  // args: further flags. port: to come back where another server was; else a free one. env: further variables.
  // cwd: the folder its files are looked for in.
  static async start({ args = [], port, env, cwd } = {}) {
    if (!existsSync(kBinary)) throw new Error(`no server at ${kBinary}: build it, or name it in RINGCAST_BIN`);
    const server = new Server(port ?? (await freePort()), args, env, cwd);
    await server.ready_();
    return server;
  }

  constructor(port, args, env, cwd) {
    this.port = port;
    this.host = `127.0.0.1:${port}`;
    this.origin = `http://${this.host}`;
    this.stderr = "";
    this.process_ = spawn(kBinary, ["--listen", this.host, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, ...env },
      cwd,
    });
    this.process_.stderr.setEncoding("utf8").on("data", (text) => (this.stderr += text));
    this.exited_ = once(this.process_, "exit");
    this.exited_.catch(() => {}); // a failed spawn is reported by ready_
  }

  url(path) {
    return `ws://${this.host}${path}`;
  }

  async ready_() {
    let answered = false;
    let ended = false; // nobody to ask any more, and a test's process would live as long as the asking
    await Promise.race([
      until(async () => ended || (answered = await this.answers_()), () => `readiness\n${this.stderr}`),
      this.exited_.then(([code, signal]) => {
        ended = true;
        if (!answered) throw new Error(`the server ended with ${code ?? signal} instead of starting\n${this.stderr}`);
      }),
    ]);
  }

  async answers_() {
    try {
      return (await fetch(`${this.origin}/ready`)).ok;
    } catch {
      return false; // not listening yet
    }
  }

  // Ends it as an operator would. Throws unless it drained and said that all was well.
  async stop() {
    if (this.process_.exitCode === null && this.process_.signalCode === null) this.process_.kill("SIGTERM");
    try {
      const [code, signal] = await within(this.exited_, "the server to end after SIGTERM");
      if (code !== 0) throw new Error(`the server ended with ${code ?? signal}\n${this.stderr}`);
    } finally {
      this.process_.kill("SIGKILL"); // nothing, when it has ended
    }
  }
}

// What the load generator found, if it is well. Whatever it checks is part of the test.
export async function load(...flags) {
  const program = join(dirname(kBinary), "ringcast-load");
  const all = [...flags, "--json", "--quiet", "--warmup", "0", "--patience", "30"];
  const { error, stdout, stderr } = await new Promise((resolve) =>
    execFile(program, all, (error, stdout, stderr) => resolve({ error, stdout, stderr })),
  );
  if (error) throw new Error(`ringcast-load: ${error.message}\n${stdout}${stderr}`);
  return JSON.parse(stdout);
}

export async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

// The promise's value, or an error that says what did not happen. `what` may be a function, asked when it is needed.
export function within(promise, what, ms = kDeadlineMs) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${typeof what === "function" ? what() : what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Until the condition holds, for what announces itself by no event.
export async function until(condition, what, ms = kDeadlineMs) {
  let over = false;
  const loop = async () => {
    while (!over) {
      const value = await condition();
      if (value) return value;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  try {
    return await within(loop(), what, ms);
  } finally {
    over = true;
  }
}

// What arrives is put in, what a test expects is taken out, in order.
export class Inbox {
  constructor(name) {
    this.name_ = name;
    this.items_ = [];
    this.wake_ = () => {};
  }

  get waiting() {
    return this.items_.length;
  }

  put(item) {
    this.items_.push(item);
    this.wake_();
  }

  // The next item, whatever it is: a test that expects another one must fail, not look further.
  async next() {
    if (this.items_.length === 0) {
      await within(new Promise((resolve) => (this.wake_ = resolve)), `something more for ${this.name_}`);
    }
    return this.items_.shift();
  }
}
