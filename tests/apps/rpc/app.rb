# An application that is asked by AnyCable's HTTP RPC: a chat whose people are named by a cookie. It tells what it was
# asked (GET /log), and can be told to be slow, or to answer nonsense (POST /mode).

require "json"
require "net/http"
require "rack"

class Chat
  ERROR, SUCCESS, FAILURE = 0, 1, 2
  SECRET = ENV.fetch("RPC_SECRET")
  BROADCAST = URI(ENV.fetch("BROADCAST_URL"))

  def initialize
    @lock = Mutex.new
    @log = []
    @mode = { "name" => "well" }
    @running = @most = 0
  end

  def call(env)
    request = Rack::Request.new(env)
    return told(request) unless request.path_info.match?(%r{\A/_anycable/(connect|command|disconnect)\z}) && request.post?
    return [401, {}, []] unless env["HTTP_AUTHORIZATION"] == "Bearer #{SECRET}"

    method = request.path_info.split("/").last
    asked = JSON.parse(request.body.read)
    @lock.synchronize { @most = [@most, @running += 1].max }
    begin
      note(method, asked)
      misbehave(method, asked) || json(send("on_#{method}", asked, env["HTTP_X_ANYCABLE_META_SID"]))
    ensure
      @lock.synchronize { @running -= 1 }
    end
  end

  private

  def told(request)
    case request.path_info
    when "/log" then json(@lock.synchronize { { log: @log, most: @most } })
    when "/mode" then @mode = JSON.parse(request.body.read).tap { @lock.synchronize { @log.clear; @most = 0 } }
                      json({})
    else [404, {}, []]
    end
  end

  def note(method, asked) = @lock.synchronize { @log << { method: method }.merge(asked) }

  def json(value, status = 200) = [status, { "Content-Type" => "application/json" }, [JSON.generate(value)]]

  # Nothing when it behaves. Of a mode with a command, only that is answered so.
  def misbehave(method, asked)
    return if @mode["only"] && ![method, asked["command"]].include?(@mode["only"])
    case @mode["name"]
    when "slow" then sleep(@mode["seconds"]) && nil
    when "html" then [200, { "Content-Type" => "text/html" }, ["<html><body>It works!</body></html>"]]
    when "truncated" then [200, {}, ['{"status":1,"transmissions":["{\"type\":']]
    when "types" then json({ status: 1, transmissions: "welcome", streams: { a: 1 } })
    when "status" then json({ status: "SUCCESS" })
    when "error" then json({ status: ERROR, error_msg: "the database is away" })
    when "raise" then raise "a bug"
    when "500", "401", "404", "503" then [@mode["name"].to_i, {}, ["no"]]
    when "endless" then [200, {}, Enumerator.new { |out| loop { out << "x" * 65_536 } }]
    when "trickle" then [200, {}, Enumerator.new { |out| loop { out << " "; sleep 0.05 } }]
    end
  end

  def on_connect(asked, sid)
    env = asked.fetch("env")
    user = Rack::Utils.parse_cookies_header(env.fetch("headers")["cookie"])["user"]
    unless user
      return { status: FAILURE, transmissions: [{ type: "disconnect", reason: "unauthorized", reconnect: false }.to_json] }
    end
    { status: SUCCESS, identifiers: { user: user }.to_json, transmissions: [{ type: "welcome", sid: sid }.to_json],
      env: { cstate: { "name" => user, "url" => env["url"] } } }
  end

  def on_command(asked, _sid)
    env = asked.fetch("env")
    identifier = asked.fetch("identifier")
    params = JSON.parse(identifier)
    state = env.fetch("istate", {})
    transmit = ->(message) { { identifier: identifier, message: message }.to_json }
    case asked["command"]
    when "subscribe"
      return { status: ERROR, error_msg: "no such channel" } unless params["channel"] == "ChatChannel"
      if params["room"] == "forbidden"
        return { status: FAILURE, transmissions: [{ identifier: identifier, type: "reject_subscription" }.to_json] }
      end
      # Spelt as only this application would, so that one sees whose it is.
      { status: SUCCESS, streams: ["chat_#{params["room"]}"], env: { istate: { "count" => "0" } },
        transmissions: [transmit.({ hello: env.dig("cstate", "name") || "nobody" }), { type: "confirm_subscription", identifier: identifier }.to_json] }
    when "unsubscribe" then { status: SUCCESS, stop_streams: true }
    when "message"
      data = JSON.parse(asked.fetch("data"))
      count = state.fetch("count", "0").to_i + 1
      answer = { status: SUCCESS, env: { istate: { "count" => count.to_s } } }
      case data["action"]
      when "speak"
        broadcast("chat_#{params["room"]}", { text: data["text"], from: JSON.parse(asked["connection_identifiers"])["user"] })
        answer
      when "count" then answer.merge(transmissions: [transmit.({ n: data["n"], count: count })])
      when "rename" then answer.merge(env: { cstate: { "name" => data["name"] } })
      when "tell" then answer.merge(transmissions: [transmit.({ cstate: env["cstate"], istate: state, headers: env["headers"] })])
      when "follow" then answer.merge(streams: ["chat_#{data["room"]}"])
      when "unfollow" then answer.merge(stopped_streams: ["chat_#{data["room"]}"], transmissions: [transmit.("unfollowed")])
      when "quit" then answer.merge(disconnect: true, transmissions: [{ type: "disconnect", reason: "bye", reconnect: false }.to_json])
      else { status: ERROR, error_msg: "no such action" }
      end
    end
  end

  def on_disconnect(_asked, _sid) = { status: SUCCESS }

  def broadcast(stream, message)
    answer = Net::HTTP.post(BROADCAST, { stream: stream, data: message.to_json }.to_json,
                            "Content-Type" => "application/json", "Authorization" => "Bearer #{ENV.fetch("BROADCAST_KEY")}")
    raise "not broadcast: #{answer.code}" unless answer.is_a?(Net::HTTPSuccess)
  end
end
