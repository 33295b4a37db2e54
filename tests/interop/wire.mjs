// A TCP proxy between a server and its engine that can be made to fail as networks do: cut, half-closed, slow, or deaf
// without a word. What was well before stays well for connections that come later, unless it says otherwise.

import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class Wire {
  static async to(port) {
    const wire = new Wire(port);
    wire.listener.listen(0, "127.0.0.1");
    await once(wire.listener, "listening");
    return wire;
  }

  constructor(port) {
    this.pairs = new Set();
    this.delay = 0; // ms, for whatever comes from now on
    this.listener = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const server = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      const pair = { client, server, deaf: false };
      this.pairs.add(pair);
      this.pass_(pair, client, server);
      this.pass_(pair, server, client);
    });
  }

  get port() {
    return this.listener.address().port;
  }

  pass_(pair, from, to) {
    let passed = Promise.resolve(); // whatever came before
    const behind = (pass) => {
      const due = performance.now() + this.delay;
      passed = passed.then(async () => {
        if (due > performance.now()) await sleep(due - performance.now());
        if (to.writable) pass();
      });
    };
    from.on("data", (bytes) => pair.deaf || behind(() => to.write(bytes)));
    from.on("end", () => behind(() => to.end()));
    from.on("error", () => to.destroy());
    from.on("close", () => {
      to.destroy();
      this.pairs.delete(pair);
    });
  }

  // Each of these is for the connections that there are. By a reset.
  cut() {
    for (const { client, server } of this.pairs) {
      // Node.js closes a socket that it is shutting down and must reset never, not even when the process exits.
      if (client.writableEnded) client.destroy();
      else client.resetAndDestroy();
      server.destroy();
    }
  }

  // The server reads the end; what it writes still arrives.
  halfClose() {
    for (const { client } of this.pairs) client.end();
  }

  // Open, and nothing passes any more in either direction.
  deafen() {
    for (const pair of this.pairs) pair.deaf = true;
  }

  close() {
    this.cut();
    this.listener.close();
  }
}
