// Action Cable: what a client may send, and the server's frames byte for byte as
// Rails sends them. tests/data/cable_rails.jsonl holds the text frames recorded
// from Rails 6.1 (remote_disconnect: 7.2), in order, by scenario.
#include "protocol/cable.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "auth/global_id.h"
#include "protocol/json.h"

namespace ringcast {
namespace {

using Kind = Command::Kind;

struct Frame {
  bool from_client;
  std::string text;
};

std::map<std::string, std::vector<Frame>> read_recorded() {
  std::map<std::string, std::vector<Frame>> scenarios;
  std::ifstream file("tests/data/cable_rails.jsonl");
  EXPECT_TRUE(file) << "run from the project's root";
  for (std::string line; std::getline(file, line);) {
    const std::optional<Json> json = Json::parse(line);
    EXPECT_TRUE(json) << line;
    if (!json) continue;
    scenarios[json->string("scenario")].push_back({(*json)["dir"].text() == "c2s", json->string("text")});
  }
  return scenarios;
}

const std::map<std::string, std::vector<Frame>>& recorded() {
  static const auto scenarios = read_recorded();
  return scenarios;
}

// --- Server to client --------------------------------------------------------

// Written again by our encoders from what the frame says.
std::string written_again(const Json& frame) {
  std::string out;
  const std::string type = frame.string("type");
  if (frame.has("message") && frame.has("identifier")) {
    append_message(out, encode_identifier(frame.string("identifier")), frame["message"].dump_rails());
  } else if (type == "welcome") {
    append_welcome(out);
  } else if (type == "ping") {
    append_ping(out, frame["message"].as_int64().value_or(-1));
  } else if (type == "confirm_subscription") {
    append_confirm(out, frame.string("identifier"));
  } else if (type == "reject_subscription") {
    append_reject(out, frame.string("identifier"));
  } else if (type == "disconnect") {
    append_disconnect(out, frame.string("reason"), frame["reconnect"].as_bool().value_or(false));
  }
  return out;
}

TEST(CableEncoders, WriteWhatRailsWroteByteForByte) {
  std::map<std::string, int> seen;
  for (const auto& [scenario, frames] : recorded()) {
    for (const Frame& frame : frames) {
      if (frame.from_client) continue;
      const std::optional<Json> json = Json::parse(frame.text);
      ASSERT_TRUE(json) << frame.text;
      EXPECT_EQ(written_again(*json), frame.text) << scenario;
      ++seen[json->has("type") ? json->string("type") : "message"];
    }
  }
  // Each kind of frame was met, so none was compared with nothing.
  for (const char* type :
       {"welcome", "ping", "confirm_subscription", "reject_subscription", "message", "disconnect"}) {
    EXPECT_GT(seen[type], 0) << type;
  }
}

TEST(CableEncoders, AppendToWhatIsThere) {
  std::string out = "before";
  append_welcome(out);
  append_ping(out, -1);
  EXPECT_EQ(out, R"(before{"type":"welcome"}{"type":"ping","message":-1})");
}

TEST(CableEncoders, AlwaysSayWhetherToReconnect) {
  std::string out;
  append_disconnect(out, "server_restart", true);
  append_disconnect(out, "unauthorized", false);
  append_disconnect(out, "", true);
  EXPECT_EQ(out, R"({"type":"disconnect","reason":"server_restart","reconnect":true})"
                 R"({"type":"disconnect","reason":"unauthorized","reconnect":false})"
                 R"({"type":"disconnect","reason":null,"reconnect":true})");
}

TEST(CableEncoders, PayloadsAreSplicedUntouched) {
  constexpr std::string_view kPayload = R"({"price": 1.10, "big":1e400})";
  std::string out;
  append_message(out, encode_identifier("a\"b"), kPayload);
  EXPECT_EQ(out, R"({"identifier":"a\"b","message":{"price": 1.10, "big":1e400}})");

  const BroadcastEnvelope envelope("a\"b");
  EXPECT_EQ(envelope.prefix + std::string(kPayload) + std::string(BroadcastEnvelope::suffix), out);
}

// --- Client to server --------------------------------------------------------

TEST(CableCommands, TheThreeOfTheProtocol) {
  Command command = decode_command(R"({"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\"}"})");
  EXPECT_EQ(command.kind, Kind::subscribe);
  EXPECT_EQ(command.identifier, R"({"channel":"ChatChannel"})");
  EXPECT_EQ(command.problem, "");

  command = decode_command(R"({"command":"unsubscribe","identifier":"{\"channel\":\"ChatChannel\"}"})");
  EXPECT_EQ(command.kind, Kind::unsubscribe);

  command = decode_command(R"({"command":"message","identifier":"i","data":"{\"action\":\"speak\"}"})");
  EXPECT_EQ(command.kind, Kind::message);
  EXPECT_EQ(command.identifier, "i");
  EXPECT_EQ(command.data, R"({"action":"speak"})");
}

TEST(CableCommands, OrderSpaceAndOtherMembersDoNotMatter) {
  const Command command = decode_command(
      " {\n\"data\" : \"d\",\"extra\":[{\"command\":\"subscribe\"}], "
      "\"identifier\":\"i\",\t\"command\":\"message\" } ");
  EXPECT_EQ(command.kind, Kind::message);
  EXPECT_EQ(command.identifier, "i");
  EXPECT_EQ(command.data, "d");

  const Command twice =
      decode_command(R"({"command":"x","identifier":"a","command":"subscribe","identifier":"b"})");
  EXPECT_EQ(twice.kind, Kind::subscribe);
  EXPECT_EQ(twice.identifier, "b");
}

TEST(CableCommands, TheIdentifierIsTheDecodedString) {
  const Command command = decode_command(
      R"({"command":"subscribe","identifier":" {\u0022channel\u0022:\"\u00c9\ud83d\ude00\/\"} "})");
  EXPECT_EQ(command.identifier, " {\"channel\":\"\u00c9\U0001f600/\"} ");
}

TEST(CableCommands, Refusals) {
  const auto problem = [](std::string_view text) {
    const Command command = decode_command(text);
    EXPECT_EQ(command.kind, Kind::malformed) << text;
    return command.problem;
  };
  EXPECT_EQ(problem(""), "empty");
  EXPECT_EQ(problem("[]"), "not a JSON object");
  EXPECT_EQ(problem("null"), "not a JSON object");
  EXPECT_EQ(problem("{}"), "no command");
  EXPECT_EQ(problem(R"({"command":null})"), "no command");
  EXPECT_EQ(problem(R"({"command":7})"), "no command");
  EXPECT_EQ(problem(R"({"command":"subscribe"})"), "the identifier is not a string");
  EXPECT_EQ(problem(R"({"command":"subscribe","identifier":{"channel":"C"}})"),
            "the identifier is not a string");
  EXPECT_EQ(problem(R"({"command":"message","identifier":"i"})"), "the data is not a string");
  EXPECT_EQ(problem(R"({"command":"message","identifier":"i","data":{"action":"a"}})"),
            "the data is not a string");
  EXPECT_EQ(problem(R"({"command":"subscribe","identifier":"\ud800"})"),
            "half a surrogate pair in the identifier");
  EXPECT_NE(problem(R"({"command":"subscribe","identifier":"i",})"), "");
  EXPECT_NE(problem(R"({"command":"subscribe","identifier":"i"}x)"), "");
  EXPECT_NE(problem(R"({"command":"subscribe","identifier":"i","x":01})"), "");
}

TEST(CableCommands, OthersAreUnknownAndNeedNoIdentifier) {
  EXPECT_EQ(decode_command(R"({"command":"Subscribe","identifier":"i"})").kind, Kind::unknown);
  EXPECT_EQ(decode_command(R"({"command":""})").kind, Kind::unknown);
  EXPECT_EQ(decode_command(R"({"command":"history","identifier":"i"})").kind, Kind::unknown);
  EXPECT_EQ(decode_command(R"({"command":"pong"})").kind, Kind::pong);
  const Command refresh = decode_command(R"({"token":"a.b","data":"c","command":"refresh"})");
  EXPECT_EQ(refresh.kind, Kind::refresh);
  EXPECT_EQ(refresh.data, "a.b");
  EXPECT_EQ(decode_command(R"({"command":"refresh","data":"a.b"})").kind, Kind::malformed);
  EXPECT_EQ(decode_command(R"({"command":"refresh","token":7})").kind, Kind::malformed);
}

// A session keeps one Command: nothing of the last may be left in the next.
TEST(CableCommands, AUsedCommandIsAsGoodAsNew) {
  Command command;
  decode_command(R"({"command":"message","identifier":"first","data":"d"})", command);
  decode_command(R"({"command":"subscribe","identifier":"second"})", command);
  EXPECT_EQ(command.kind, Kind::subscribe);
  EXPECT_EQ(command.identifier, "second");
  EXPECT_EQ(command.data, "");
  decode_command("nonsense", command);
  EXPECT_EQ(command.kind, Kind::malformed);
  EXPECT_EQ(command.identifier, "");
  decode_command(R"({"command":"unsubscribe","identifier":"third"})", command);
  EXPECT_EQ(command.kind, Kind::unsubscribe);
  EXPECT_EQ(command.problem, "");
}

TEST(CableCommands, TheEchoedIdentifierComparesEqual) {
  // As JSON.stringify(JSON.stringify(params)) writes it, with whatever Rails escapes.
  for (const char* identifier : {R"({"channel":"C","html":"<a href=\"x\">&</a>"})",
                                 "{\"channel\":\"C\",\"s\":\"\u2028\u00e9\U0001f600\"}",
                                 R"( { "channel" : "C" } )", R"({"channel":"C","tab":"\t\u0000"})", ""}) {
    std::string text = R"({"command":"subscribe","identifier":)";
    append_json_string(text, identifier);
    text += "}";
    const Command command = decode_command(text);
    ASSERT_EQ(command.kind, Kind::subscribe) << text;
    EXPECT_EQ(command.identifier, identifier);
    std::string confirm;
    append_confirm(confirm, command.identifier);
    EXPECT_EQ(Json::parse(confirm)->string("identifier"), identifier);
  }
}

// --- Identifiers and actions ---------------------------------------------------

TEST(CableIdentifier, ChannelAndAllParameters) {
  const std::optional<Identifier> identifier =
      decode_identifier(R"({"channel":"ChatChannel","room_id":7,"x":{}})");
  ASSERT_TRUE(identifier);
  EXPECT_EQ(identifier->channel, "ChatChannel");
  EXPECT_EQ(identifier->params.string("room_id"), "7");
  EXPECT_TRUE(identifier->params.has("channel"));

  EXPECT_EQ(decode_identifier(R"({"channel":"A","channel":"B"})")->channel, "B");
  for (const char* text : {"", "ChatChannel", "{", "[]", "null", "{}", R"({"channel":7})",
                           R"({"channel":null})", R"("channel")", R"({"channel":"C"} x)"}) {
    EXPECT_FALSE(decode_identifier(text)) << text;
  }
}

TEST(CableAction, NamesAndTheDefault) {
  const auto action = [](std::string_view data) {
    const std::optional<Action> decoded = decode_action(data);
    return decoded ? decoded->action : "(malformed)";
  };
  EXPECT_EQ(action(R"({"action":"speak","text":"hi"})"), "speak");
  for (const char* text : {"{}", R"({"message":"m"})", R"({"action":null})", R"({"action":""})",
                           R"({"action":" \t"})", R"({"action":false})"}) {
    EXPECT_EQ(action(text), "receive") << text;
  }
  for (const char* text : {R"({"action":5})", R"({"action":["speak"]})", R"({"action":{"a":1}})",
                           R"({"action":true})", "[]", "null", "42", "\"s\"", "", "{"}) {
    EXPECT_EQ(action(text), "(malformed)") << text;
  }
  // The data is handed on whole, as Rails hands it on.
  EXPECT_EQ(decode_action(R"({"message":1.10,"action":"echo"})")->data.dump(),
            R"({"message":1.10,"action":"echo"})");
}

TEST(CableAction, LifecycleNamesAreNotActions) {
  for (const char* name :
       {"subscribed", "unsubscribed", "connect", "disconnect", "_private", "$state", "_", "$", ""}) {
    EXPECT_FALSE(is_dispatchable_action(name)) << name;
  }
  for (const char* name :
       {"receive", "speak", "subscribe", "Subscribed", "connected", "a_b", "subscribed2"}) {
    EXPECT_TRUE(is_dispatchable_action(name)) << name;
  }
}

// --- Clients' frames as recorded ----------------------------------------------

bool is_ping(const std::string& text) {
  return text.starts_with(R"({"type":"ping")");
}

// Whether `text` is something a session would act on.
bool acted_on(const std::string& text) {
  const Command command = decode_command(text);
  switch (command.kind) {
    case Kind::subscribe:
    case Kind::unsubscribe:
      return decode_identifier(command.identifier).has_value();
    case Kind::message: {
      const std::optional<Action> action = decode_action(command.data);
      return action && is_dispatchable_action(action->action);
    }
    default:
      return false;
  }
}

// In these scenarios each frame that Rails can read is answered, so its silence
// is a verdict. We differ where the grammar differs: no comments, and half a
// surrogate pair is not an error.
TEST(CableRecorded, WeUnderstandWhatRailsAnswered) {
  const std::set<std::string> differing = {
      R"({"command":"message","identifier":"{\"channel\":\"ChatChannel\"}","data":"{\"action\":\"echo\", /* c */ \"v\":1}","extra":[1]})",
      R"({"command":"message","identifier":"{\"channel\":\"ChatChannel\"}","data":"{\"action\":\"echo\",\"v\":\"\\ud83d lone\"}","extra":[1]})",
  };
  size_t answered = 0, silent = 0, differences = 0;
  for (const char* scenario : {"malformed_json", "json_details", "message_receive"}) {
    ASSERT_TRUE(recorded().contains(scenario));
    const std::vector<Frame>& frames = recorded().at(scenario);
    for (size_t at = 0; at < frames.size(); ++at) {
      if (!frames[at].from_client) continue;
      size_t next = at + 1;
      while (next < frames.size() && is_ping(frames[next].text)) ++next;
      const bool expected = next < frames.size() && !frames[next].from_client;
      ++(expected ? answered : silent);
      if (differing.contains(frames[at].text)) {
        EXPECT_NE(acted_on(frames[at].text), expected) << frames[at].text;
        ++differences;
      } else {
        EXPECT_EQ(acted_on(frames[at].text), expected) << scenario << ": " << frames[at].text;
      }
    }
  }
  EXPECT_GT(answered, 15u);
  EXPECT_GT(silent, 25u);
  EXPECT_EQ(differences, differing.size());
}

TEST(CableRecorded, ActionsOfEveryTypeAndTheLifecycle) {
  std::vector<std::string> dispatched;
  size_t refused = 0;
  for (const Frame& frame : recorded().at("action_names")) {
    if (!frame.from_client || decode_command(frame.text).kind != Kind::message) continue;
    const std::optional<Action> action = decode_action(decode_command(frame.text).data);
    if (action && is_dispatchable_action(action->action)) {
      dispatched.push_back(action->action);
    } else {
      ++refused;
    }
  }
  const std::vector<std::string> expected = {"nope",           "secret_action", "stream_from",
                                             "perform_action", "transmit",      "inspect",
                                             "instance_eval",  "boom",          "whoami"};
  EXPECT_EQ(dispatched, expected);  // which of these a channel has is the registry's question
  EXPECT_EQ(refused, 6u);           // subscribed, unsubscribed, 5, an array, an object, true
}

TEST(CableRecorded, UnknownCommandsAreNotActedOn) {
  size_t met = 0;
  for (const Frame& frame : recorded().at("unknown_command")) {
    if (!frame.from_client) continue;
    const Kind kind = decode_command(frame.text).kind;
    met += kind == Kind::unknown || kind == Kind::malformed;
  }
  EXPECT_GT(met, 3u);
}

// --- Names -------------------------------------------------------------------

std::string join(std::string_view channel, std::vector<std::string_view> parts) {
  return broadcasting_for(channel, parts);
}

TEST(CableNames, AsRailsMakesThem) {
  std::ifstream file("tests/data/stream_names_rails61.json");
  ASSERT_TRUE(file) << "run from the project's root";
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const std::optional<Json> data = Json::parse(text);
  ASSERT_TRUE(data);

  const std::string user = global_id_param((*data)["global_id"].string("uri"));
  EXPECT_EQ(user, (*data)["global_id"].string("param"));

  // What each model of the vectors comes down to as parts.
  const std::map<std::string, std::vector<std::string_view>> parts_of = {
      {"nil", {""}},
      {"string", {"news"}},
      {"symbol", {"news"}},
      {"integer", {"7"}},
      {"user 1", {user}},
      {"[user 1, 'inbox', 7]", {user, "inbox", "7"}},
      {"[]", {}},
      {"['a', nil, 'b']", {"a", "", "b"}},
      {"[['a','b'],'c']", {"a", "b", "c"}},
      {"true", {"true"}},
      {"1.5", {"1.5"}},
  };
  ASSERT_GT((*data)["vectors"].size(), 50u);
  for (const Json& vector : (*data)["vectors"].elements()) {
    const std::string channel = vector.string("channel");
    EXPECT_EQ(channel_short_name(channel), vector.string("channel_name"));
    ASSERT_TRUE(parts_of.contains(vector.string("model"))) << vector.string("model");
    EXPECT_EQ(join(channel, parts_of.at(vector.string("model"))), vector.string("broadcasting"));
  }
  for (const Json& vector : (*data)["internal_channel"].elements()) {
    const std::string param = global_id_param("gid://ref-chat/User/" + vector.string("user"));
    const std::array<std::string_view, 1> identifiers = {param};
    EXPECT_EQ(internal_channel(connection_identifier(identifiers)), vector.string("channel"));
  }
}

TEST(CableNames, ShortNames) {
  EXPECT_EQ(channel_short_name("Chats::AppearancesChannel"), "chats:appearances");
  EXPECT_EQ(channel_short_name("ChannelChannel"), "channel");
  EXPECT_EQ(channel_short_name("RoomChannelV2"), "room_channel_v2");
  EXPECT_EQ(channel_short_name("Api2FeedChannel"), "api2_feed");
  EXPECT_EQ(channel_short_name("A::B::CDChannel"), "a:b:cd");
  EXPECT_EQ(channel_short_name("already_snakeChannel"), "already_snake");
  EXPECT_EQ(channel_short_name("Channel"), "");
  EXPECT_EQ(channel_short_name(""), "");
}

TEST(Cable, RemoteDisconnectsAreThoseOfRails) {
  EXPECT_EQ(decode_remote_disconnect(R"({"type":"disconnect"})"), true);  // up to 7.0
  EXPECT_EQ(decode_remote_disconnect(R"({"type":"disconnect","reconnect":true})"), true);
  EXPECT_EQ(decode_remote_disconnect(R"({"reconnect":false,"type":"disconnect","more":1})"), false);
  EXPECT_EQ(decode_remote_disconnect(R"({"type":"disconnect","reconnect":null})"), false);
  EXPECT_EQ(decode_remote_disconnect(R"({"type":"disconnect","reconnect":0})"), true) << "as in Ruby";
  for (const char* other : {"", "disconnect", R"("disconnect")", R"({"type":"ping"})", "[]", "{}", "null",
                            R"({"type":["disconnect"]})", R"({"type":"disconnect")"}) {
    EXPECT_EQ(decode_remote_disconnect(other), std::nullopt) << other;
  }
  for (const bool reconnect : {true, false}) {
    std::string text;
    append_remote_disconnect(text, reconnect);
    EXPECT_EQ(decode_remote_disconnect(text), reconnect);
  }
}

TEST(CableNames, ConnectionIdentifierIsSorted) {
  const std::array<std::string_view, 3> identifiers = {"tenant", "Zoe", "7"};
  EXPECT_EQ(connection_identifier(identifiers), "7:Zoe:tenant");
  EXPECT_EQ(connection_identifier({}), "");
}

}  // namespace
}  // namespace ringcast
