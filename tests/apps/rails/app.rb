# A Rails application as it stands behind Ringcast: people log in, chat, and comment on posts. Three kinds of code
# broadcast: a controller, a model's callback, a job. Its own Action Cable works, too, so that both can be compared.
# One file, and no Gemfile: Debian's packages are where `require` finds them.

require "rails"
require "active_record/railtie"
require "action_controller/railtie"
require "action_view/railtie"
require "active_job/railtie"
require "action_cable/engine"

module Board
  class Application < Rails::Application
    config.root = __dir__
    config.load_defaults 6.1
    config.eager_load = true
    config.logger = ActiveSupport::Logger.new($stderr)
    config.log_level = :warn
    config.secret_key_base = ENV.fetch("SECRET_KEY_BASE")
    config.session_store :cookie_store, key: "_board_session"
    config.action_dispatch.cookies_serializer = :json # as in every application generated since Rails 4.1
    config.active_job.queue_adapter = :async
    # The only static file is the gem's own client, action_cable.js.
    config.paths["public"] = ActionCable::Engine.root.join("app/assets/javascripts").to_s
    # Where pages find the cable. Unset it is /cable of their own host.
    config.action_cable.url = ENV["CABLE_URL"] if ENV["CABLE_URL"]
  end
end

# Before anything is defined: what stands above takes hold here.
Rails.application.initialize!

# ── Models ───────────────────────────────────────────────────────────────────

class ApplicationRecord < ActiveRecord::Base
  self.abstract_class = true
end

class User < ApplicationRecord
end

class Post < ApplicationRecord
end

class Comment < ApplicationRecord
  belongs_to :post
  belongs_to :author, class_name: "User"
  after_create_commit { ActionCable.server.broadcast("comments_channel_#{post_id}", { comment: text, author: author.name }) }
end

class AnnouncementJob < ActiveJob::Base
  def perform(text) = ActionCable.server.broadcast("chat_channel", { message: text, sender: "the house" })
end

# ── Action Cable ─────────────────────────────────────────────────────────────

module ApplicationCable
  class Connection < ActionCable::Connection::Base
    identified_by :current_user

    def connect
      self.current_user = User.find_by(id: cookies.signed[:user_id]) || reject_unauthorized_connection
    end
  end

  class Channel < ActionCable::Channel::Base
  end
end

class ChatChannel < ApplicationCable::Channel
  def subscribed = stream_from(stream)

  def receive(data)
    ActionCable.server.broadcast(stream, { message: data["message"], sender: current_user.to_gid.to_s })
  end

  private def stream = params[:room_id] ? "chat_#{params[:room_id]}" : "chat_channel"
end

class CommentsChannel < ApplicationCable::Channel
  def subscribed = stream_from("comments_channel_#{params[:post_id]}")
end

class NotificationsChannel < ApplicationCable::Channel
  def subscribed = stream_for(current_user)
end

# ── Pages ────────────────────────────────────────────────────────────────────

class ApplicationController < ActionController::Base
  helper_method def current_user = @current_user ||= User.find_by(id: cookies.signed[:user_id])
end

class SessionsController < ApplicationController
  def new = render(inline: <<~ERB)
    <!doctype html><title>Log in</title><link rel="icon" href="data:,">
    <%= form_with url: "/session", local: true do |form| %>
      <%= form.text_field :name, autofocus: true %> <%= form.submit "Log in" %>
    <% end %>
  ERB

  # Twice, as applications differ: a signed cookie for the cable, and the encrypted session.
  def create
    user = User.find_by!(name: params[:name])
    reset_session
    session[:user_id] = user.id
    cookies.signed[:user_id] = { value: user.id, httponly: true, same_site: :lax }
    redirect_to "/"
  end

  def destroy
    ActionCable.server.remote_connections.where(current_user: current_user).disconnect
    cookies.delete(:user_id)
    reset_session
    redirect_to "/session/new"
  end
end

class BoardController < ApplicationController
  def show
    return redirect_to("/session/new") unless current_user
    render inline: <<~ERB
      <!doctype html><title>Board</title><link rel="icon" href="data:,">
      <%= csrf_meta_tags %> <%= action_cable_meta_tag %>
      <p id="state">waiting</p> <ul id="chat"></ul> <input id="text">
      <%= button_to "Log out", "/session", method: :delete %>
      <script src="/action_cable.js"></script>
      <script>
        const state = document.getElementById("state"), chat = document.getElementById("chat"), text = document.getElementById("text");
        const subscription = ActionCable.createConsumer().subscriptions.create("ChatChannel", {
          connected() { state.textContent = "connected"; },
          disconnected({ willAttemptReconnect }) { state.textContent = willAttemptReconnect ? "disconnected" : "turned away"; },
          received({ message, sender }) {
            const line = document.createElement("li");
            line.textContent = `${sender}: ${message}`;
            chat.append(line);
          },
        });
        text.addEventListener("change", () => subscription.perform("receive", { message: text.value }));
      </script>
    ERB
  end
end

# ── What broadcasts: for scripts, which have no page to take a token from ────

class ProducersController < ApplicationController
  skip_forgery_protection

  def message
    ActionCable.server.broadcast("chat_channel", { message: params[:text], sender: params[:sender] })
    head :created
  end

  def comment
    Comment.create!(post_id: params[:post_id], author: User.find_by!(name: params[:author]), text: params[:text])
    head :created
  end

  def notification
    NotificationsChannel.broadcast_to(User.find_by!(name: params[:name]), { text: params[:text] })
    head :created
  end

  def remark
    CommentsChannel.broadcast_to(Post.find(params[:post_id]), { text: params[:text] })
    head :created
  end

  def announcement
    AnnouncementJob.perform_later(params[:text])
    head :accepted
  end
end

# The name of a stream, signed: whoever has it may read the stream.
class StreamNamesController < ApplicationController
  STREAMS = ActiveSupport::MessageVerifier.new(ENV["STREAMS_SECRET"], digest: "SHA256", serializer: JSON)

  def show
    current_user ? render(plain: STREAMS.generate(params[:name])) : head(:forbidden)
  end
end

Rails.application.routes.draw do
  mount ActionCable.server => "/cable"
  root to: "board#show"
  resource :session, only: %i[new create destroy]
  get "/stream_names/:name", to: "stream_names#show"
  post "/messages", to: "producers#message"
  post "/comments", to: "producers#comment"
  post "/notifications", to: "producers#notification"
  post "/remarks", to: "producers#remark"
  post "/announcements", to: "producers#announcement"
end

unless ActiveRecord::Base.connection.table_exists?(:users)
  ActiveRecord::Schema.verbose = false
  ActiveRecord::Schema.define do
    create_table(:users) { |t| t.string :name }
    create_table(:posts) { |t| t.string :title }
    create_table(:comments) { |t| t.references :post; t.references :author; t.text :text }
  end
  %w[ann ben].each { |name| User.create!(name: name) }
  Post.create!(title: "Open")
end
