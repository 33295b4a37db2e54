# thin with faye-websocket: rooms by path, /echo.
require "faye/websocket"
Faye::WebSocket.load_adapter("thin")

ROOMS = Hash.new { |rooms, path| rooms[path] = {} }

run lambda { |env|
  next [400, {}, ["no upgrade"]] unless Faye::WebSocket.websocket?(env)
  socket = Faye::WebSocket.new(env)
  path = env["PATH_INFO"]
  if path == "/echo"
    socket.on(:message) { |event| socket.send(event.data) }
  else
    room = ROOMS[path]
    room[socket] = true
    socket.on(:message) { |event| room.each_key { |member| member.send(event.data) } }
    socket.on(:close) { room.delete(socket) }
  end
  socket.rack_response
}
