# Action Cable on puma with its async adapter: the least Rails that has a ChatChannel.
require "logger"
require "rails"
require "action_controller/railtie"
require "action_cable/engine"

class Bench < Rails::Application
  config.root = __dir__
  config.eager_load = true
  config.secret_key_base = "0" * 128
  config.logger = Logger.new(nil)
  config.hosts.clear
  config.action_cable.disable_request_forgery_protection = true
end

module ApplicationCable
  class Connection < ActionCable::Connection::Base; end
  class Channel < ActionCable::Channel::Base; end
end

class ChatChannel < ApplicationCable::Channel
  def subscribed
    stream_from "chat_#{params[:room_id]}"
  end

  def receive(data)
    ActionCable.server.broadcast("chat_#{params[:room_id]}", { message: data["message"] })
  end
end

ActionCable.server.config.cable = { "adapter" => "async" }
ActionCable.server.config.connection_class = -> { ApplicationCable::Connection }
ActionCable.server.config.logger = Logger.new(nil)
Bench.initialize!
Bench.routes.draw { mount ActionCable.server => "/cable" }
run Bench
