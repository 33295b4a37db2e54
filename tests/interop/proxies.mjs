// Real proxies in front of a server under test: the configurations in proxies/, each put on a free port of loopback and
// run as a process of the test's own, with a folder of its own that goes with it.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, until, within } from "./server.mjs";

const kStreamModule = "/usr/lib/nginx/modules/ngx_stream_module.so";

// The program, also where only root's PATH has it; undefined if this machine lacks it.
export function program(name) {
  return [...process.env.PATH.split(":"), "/usr/sbin", "/usr/local/sbin"].map((folder) => path.join(folder, name)).find((file) => {
    try {
      accessSync(file, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

// nginx may be without its stream module, or have it built in.
export function nginxStreams() {
  return existsSync(kStreamModule) || (program("nginx") && /--with-stream( |$)/m.test(spawnSync(program("nginx"), ["-V"]).stderr));
}

// A file of proxies/ with the addresses of a test: [as the file has it, as the test needs it]…
function configuration(file, replacements) {
  let text = readFileSync(fileURLToPath(new URL(`proxies/${file}`, import.meta.url)), "utf8");
  for (const [from, to] of replacements) {
    if (!text.includes(from)) throw new Error(`${file} does not say ${from} any more`);
    text = text.replaceAll(from, to);
  }
  return text;
}

// One process instead of a master and its workers, so that no user is changed and one signal ends it.
const nginxMain = (folder, blocks) => `
${blocks.includes("stream {") && existsSync(kStreamModule) ? `load_module ${kStreamModule};` : ""}
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr warn;
events {}
${blocks}`;

export class Proxy {
  // In front of `server`, a Server.
  static nginx(server) {
    return Proxy.start_("nginx", server, (proxy) => {
      return proxy.nginxSite_(configuration("nginx.conf", [["listen 80;", `listen ${proxy.host};`], ["127.0.0.1:8080", server.host]]));
    });
  }

  // In front of an application, too: `server` has its /cable, `app` the rest. changes: to the file, before addresses.
  static nginxRails(server, app, changes = []) {
    const addresses = (proxy) => [...changes, ["listen 80;", `listen ${proxy.host};`], ["127.0.0.1:8080", server.host], ["127.0.0.1:3000", app.host]];
    return Proxy.start_("nginx", server, (proxy) => proxy.nginxSite_(configuration("rails.conf", addresses(proxy))), "/session/new");
  }

  static nginxStream(server) {
    return Proxy.start_("nginx", server, (proxy) => {
      const site = configuration("nginx-stream.conf", [["listen 80;", `listen ${proxy.host};`], ["127.0.0.1:8080", server.host]]);
      return proxy.nginxArguments_(`stream {\n${site}}\n`);
    });
  }

  static caddy(server) {
    return Proxy.start_("caddy", server, (proxy) => {
      // Without a name of its own there is no certificate to ask for, and nothing to administer.
      const site = configuration("Caddyfile", [["example.com", proxy.origin], ["127.0.0.1:8080", server.host]]);
      return ["run", "--adapter", "caddyfile", "--config", proxy.write_("Caddyfile", `{\n\tadmin off\n}\n${site}`)];
    });
  }

  // probe: a path that is answered well as soon as the proxy passes requests on.
  static async start_(name, server, configure, probe = "/ready") {
    const proxy = new Proxy(name, await freePort());
    try {
      proxy.process_ = spawn(program(name), configure(proxy), {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, HOME: proxy.folder, XDG_CONFIG_HOME: proxy.folder, XDG_DATA_HOME: proxy.folder },
      });
      proxy.exited_ = once(proxy.process_, "exit");
      proxy.exited_.catch(() => {}); // a failed spawn is reported by ready_
      for (const output of [proxy.process_.stdout, proxy.process_.stderr]) {
        output.setEncoding("utf8").on("data", (text) => (proxy.said += text));
      }
      await proxy.ready_(probe);
    } catch (error) {
      await proxy.stop();
      throw error;
    }
    return proxy;
  }

  constructor(name, port) {
    this.name = name;
    this.host = `127.0.0.1:${port}`;
    this.origin = `http://${this.host}`;
    this.folder = mkdtempSync(path.join(tmpdir(), `ringcast-${name}-`));
    this.said = "";
  }

  url(path) {
    return `ws://${this.host}${path}`;
  }

  async ready_(probe) {
    let answered = false;
    const answers = () => fetch(this.origin + probe).then((answer) => answer.ok, () => false);
    await Promise.race([
      until(async () => (answered = await answers()), () => `${this.name} to pass on what it is asked\n${this.said}`),
      this.exited_.then(([code, signal]) => {
        if (!answered) throw new Error(`${this.name} ended with ${code ?? signal} instead of starting\n${this.said}`);
      }),
    ]);
  }

  async stop() {
    if (this.process_ && this.process_.exitCode === null && this.process_.signalCode === null) {
      this.process_.kill("SIGKILL");
      await within(this.exited_, `${this.name} to end`);
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  nginxSite_(site) {
    const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${this.folder}/${kind};`);
    return this.nginxArguments_(`http {\naccess_log off;\n${folders.join("\n")}\n${site}}\n`);
  }

  nginxArguments_(blocks) {
    return ["-p", this.folder, "-e", "stderr", "-c", this.write_("nginx.conf", nginxMain(this.folder, blocks))];
  }

  write_(file, text) {
    const name = path.join(this.folder, file);
    writeFileSync(name, text);
    return name;
  }
}
