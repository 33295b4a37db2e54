// Runs the JavaScript that `ringcast generate channel` wrote, with the client of Rails, against a server of the class
// that it wrote. Only the page around it is made up. Usage: use_channel.mjs FOLDER URL MODULE ACTION…

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, url, module, ...actions] = process.argv.slice(2);
const require = createRequire(new URL("../interop/package.json", import.meta.url));

globalThis.self = globalThis;
globalThis.WebSocket = require("ws");
globalThis.addEventListener = globalThis.removeEventListener = () => {};
globalThis.document = {
  visibilityState: "visible",
  addEventListener() {},
  removeEventListener() {},
  head: { querySelector: () => ({ getAttribute: () => url }) },
};

const late = setTimeout(() => assert.fail("the channel neither connected nor answered in 30 s"), 30000);
const load = (path) => import(pathToFileURL(resolve(join(folder, path))));
await load("javascript/channels/index.js"); // all of them, as a page does
const { default: channel } = await load(`javascript/channels/${module}_channel.js`);
const { default: consumer } = await load("javascript/channels/consumer.js");
await new Promise((connected) => (channel.connected = connected));
for (const action of actions) {
  const answer = new Promise((received) => (channel.received = received));
  channel[action]({ text: action });
  assert.deepEqual(await answer, { text: action, action });
}
consumer.disconnect();
clearTimeout(late);
