// Bun's own server (uWebSockets): rooms by path, /echo, and as much of Action Cable on
// /cable as the load needs. Publishes natively: a topic for each room, and on the cable
// one for each identifier, since deliveries repeat it. PORT names the port.
const rooms = new Map(); // cable: room -> identifier -> how many

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT),
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    return server.upgrade(request, { data: { path } }) ? undefined : new Response("no upgrade", { status: 400 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    maxPayloadLength: 16 << 20,
    backpressureLimit: 256 << 20,
    open(socket) {
      const { path } = socket.data;
      if (path === "/cable") socket.send('{"type":"welcome"}');
      else if (path !== "/echo") socket.subscribe(path);
    },
    message(socket, message) {
      const { path } = socket.data;
      if (path === "/echo") return void socket.send(message);
      if (path !== "/cable") {
        socket.publish(path, message);
        return void socket.send(message); // publish leaves the publisher out
      }
      const { command, identifier, data } = JSON.parse(message);
      const room = JSON.parse(identifier).room_id;
      if (command === "subscribe") {
        socket.subscribe(identifier);
        if (!rooms.has(room)) rooms.set(room, new Map());
        rooms.get(room).set(identifier, (rooms.get(room).get(identifier) ?? 0) + 1);
        (socket.data.identifiers ??= []).push([room, identifier]);
        return void socket.send(JSON.stringify({ identifier, type: "confirm_subscription" }));
      }
      const said = { message: JSON.parse(data).message };
      for (const each of rooms.get(room)?.keys() ?? []) {
        const text = JSON.stringify({ identifier: each, message: said });
        socket.publish(each, text);
        if (each === identifier) socket.send(text);
      }
    },
    close(socket) {
      for (const [room, identifier] of socket.data.identifiers ?? []) {
        const count = rooms.get(room).get(identifier) - 1;
        if (count > 0) rooms.get(room).set(identifier, count);
        else rooms.get(room).delete(identifier);
      }
    },
  },
});
