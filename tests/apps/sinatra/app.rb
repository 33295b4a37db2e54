# Chat rooms over raw WebSockets, with Sinatra and faye-websocket: everybody in a room hears what is published to the
# Redis channel room_NAME, by a member of the room or by a POST.

require "faye/websocket"
require "json"
require "redis"
require "sinatra/base"

class Rooms < Sinatra::Base
  URL = ENV.fetch("REDIS_URL")
  PUBLISHER = Redis.new(url: URL)

  get "/websocket/:room" do |room|
    halt 426 unless Faye::WebSocket.websocket?(env)
    socket = Faye::WebSocket.new(env)
    listener = Redis.new(url: URL) # one that listens can do nothing else
    socket.on(:open) do
      Thread.new { listener.subscribe("room_#{room}") { |on| on.message { |_, text| EM.next_tick { socket.send(text) } } } }
    end
    socket.on(:message) do |event|
      PUBLISHER.publish("room_#{room}", JSON.parse(event.data).merge("sender" => "member").to_json)
    end
    socket.on(:close) { listener.close }
    socket.rack_response
  end

  post "/send_message_to_room/:room" do |room|
    heard = PUBLISHER.publish("room_#{room}", { message: params[:message], sender: params.fetch(:sender, "HTTP API") }.to_json)
    content_type :json
    { status: "ok", heard: heard }.to_json
  end
end
