// The npm package ws on Node.js: rooms by path, /echo. One encoded frame for each message,
// shared by its receivers, which is the fastest form ws has. PORT names the port.
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.NODE_MODULES, "x.js"));
const { WebSocketServer, Sender } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.env.PORT),
  perMessageDeflate: false,
  maxPayload: 16 << 20,
  backlog: 4096,
});

server.on("connection", (socket, request) => {
  socket.on("error", () => {});
  if (request.url === "/echo") return socket.on("message", (data, binary) => socket.send(data, { binary }));
  if (!rooms.has(request.url)) rooms.set(request.url, new Set());
  const room = rooms.get(request.url);
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("message", (data) => {
    const frame = Sender.frame(data, { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true });
    for (const member of room) {
      for (const part of frame) member._socket.write(part);
    }
  });
});
