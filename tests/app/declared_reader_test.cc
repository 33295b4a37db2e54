// The file's channels and routes: what is understood, and every mistake with its line.
#include "app/declared_reader.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

class DeclaredFile : public testing::Test {
 protected:
  std::string read(std::string_view text) { return read_declarations(text, "f.toml", context_, declared_); }

  DeclarationContext context_{.global_id_app = "board", .identifiers = {"user", "symbols", "plan"}};
  Declarations declared_;
};

constexpr std::string_view kWhole = R"(
shards = 2

[[channel]]
name = "ChatChannel"
stream = "chat_{params.room_id}"
params.room_id = { characters = "0-9", max-bytes = 8 }
allow = [{ value = "{identifiers.plan}", in = ["pro", "desk"] },
         { any = [{ value = "{identifiers.user}", matches = ["a*", "b*"] }, [{ value = "{params.x}", present = false }]] }]
  [channel.action.receive]
  broadcast = { message = "{data.message}", list = [1, 1.5, true, { a = "x" }] }
  to = "chat_{params.room_id}"
  allow = { value = "{data.message}", max-bytes = "2KiB" }
  max-bytes = 4096
  max-payload-bytes = "1MiB"
  rate = "30/m"

[[channel]]
name = "Posts::CommentsChannel"
stream-for = "{gid:Post:params.post_id}"

[[route]]
path = "/rooms/:room"
stream = "room_{path.room}"
welcome = { message = "Welcome, {sender}", sender = "Server" }
sender = "{identifiers.user}"
message = { text = "{text}", from = "{sender}", at = "{query.at|here}" }
publish = [{ value = "{identifiers.plan}", equals = "pro" }]
rate = 5

[[route]]
path = "/open"
stream = "open"
anonymous = true
publish = false
)";

TEST_F(DeclaredFile, IsUnderstood) {
  ASSERT_EQ(read(kWhole), "");
  const ChannelRules* const chat = declared_.channel("ChatChannel");
  ASSERT_NE(chat, nullptr);
  EXPECT_EQ(chat->line, 4u);
  EXPECT_EQ(chat->allow.size(), 3u);
  const ActionRules* const receive = chat->action("receive");
  ASSERT_NE(receive, nullptr);
  EXPECT_EQ(receive->limits.rate.count, 30u);
  EXPECT_EQ(receive->limits.rate.period, std::chrono::minutes(1));
  EXPECT_EQ(receive->limits.bytes, 4096u);
  EXPECT_EQ(receive->limits.payload_bytes, 1u << 20);
  EXPECT_EQ(chat->action("speak"), nullptr);
  EXPECT_EQ(declared_.channel("Posts::CommentsChannel")->streams[0].text(),
            "posts:comments:{gid:Post:params.post_id}");
  const RouteRules* const room = declared_.route("/rooms/:room");
  ASSERT_NE(room, nullptr);
  EXPECT_EQ(room->path_names, std::vector<std::string>{"room"});
  EXPECT_EQ(room->query_names, std::vector<std::string>{"at"});
  EXPECT_TRUE(room->reads_text);
  EXPECT_FALSE(room->reads_data);
  EXPECT_FALSE(declared_.route("/open")->publishing);
  std::string out;
  const Json data = {{"message", "hi"}};
  EXPECT_EQ(receive->broadcast.render(TemplateValues().set(TemplateRoot::data, data), 1000, out),
            PayloadTemplate::Rendering::ok);
  EXPECT_EQ(out, R"({"message":"hi","list":[1,1.5,true,{"a":"x"}]})") << "in the order of the file";
}

TEST_F(DeclaredFile, EveryMistakeIsSaidWithItsLine) {
  const struct {
    std::string_view text, mistake;
  } kMistakes[] = {
      {"[channel]\nname = 'X'", "f.toml:1: channel: write [[channel]]"},
      {"channel = [1]", "f.toml:1: channel: each has to be a table"},
      {"[[channel]]\nstream = 'x'", "f.toml:1: channel: it has no name"},
      {"[[channel]]\nname = 7\nstream = 'x'", "f.toml:1: channel: it has no name"},
      {"[[channel]]\nname = 'X'", "f.toml:1: channel X: it has no stream"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[[channel]]\nname = 'X'\nstream = 'y'",
       "f.toml:4: channel X: there are two of that name"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nstrem = 'y'",
       "f.toml:4: channel X: 'strem' is not known; there are name, stream, streams, stream-for, params, "
       "allow, action"},
      {"[[channel]]\nname = 'X'\nstream = '{parms.x}'",
       "f.toml:3: channel X: stream: {parms.x}: here there are params, identifiers"},
      {"[[channel]]\nname = 'X'\nstream = '{data.x}'",
       "f.toml:3: channel X: stream: {data.x}: here there are params, identifiers"},
      {"[[channel]]\nname = 'X'\nstreams = []", "f.toml:3: channel X: streams: expected a list of texts"},
      {"[[channel]]\nname = 'X'\nstream = 'x{identifiers.admin}'",
       "f.toml:3: channel X: stream: {identifiers.admin}: no identified-by is called admin"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = 'everybody'",
       "f.toml:4: channel X: allow: expected a list of conditions"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = [\n 'a']",
       "f.toml:5: channel X: allow: expected conditions such as { value = \"…\", in = [\"…\"] }"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = [{ in = ['a'] }]",
       "f.toml:4: channel X: allow: a condition has no value"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = [{ value = '{params.a}' }]",
       "f.toml:4: channel X: allow: a condition asks for nothing: say present, equals, in, in-list, matches, "
       "characters or max-bytes"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = [{ value = '{params.a}', like = 'b' }]",
       "f.toml:4: channel X: allow: 'like' is not known; there are any, value, optional, present, equals, "
       "in, "
       "in-list, matches, characters, max-bytes"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nparams.a = { characters = 'z-a' }",
       "f.toml:4: channel X: params.a: characters: the range z-a is empty"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\nallow = { value = '{params.a}', in-list = 'symbols' }",
       "f.toml:4: channel X: allow: in-list: expected one placeholder, as in \"{identifiers.symbols}\""},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[channel.action.receive]\nto = 'x'",
       "f.toml:4: channel X: action receive: it has no broadcast"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[channel.action.subscribed]\nbroadcast = 'x'",
       "f.toml:4: channel X: action subscribed: nobody can call an action of that name"},
      {"[[channel]]\nname = 'X'\nstreams = ['x', 'y']\n[channel.action.receive]\nbroadcast = 'x'",
       "f.toml:4: channel X: action receive: the channel has several streams: say `to` which"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[channel.action.receive]\nbroadcast = { at = 2026-01-01 }",
       "f.toml:5: channel X: action receive: broadcast: JSON has no dates, no infinity and no NaN"},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[channel.action.receive]\nbroadcast = 'x'\nrate = 'often'",
       "f.toml:6: channel X: action receive: rate: expected messages a second, such as 10, or \"30/m\", "
       "\"100/h\""},
      {"[[channel]]\nname = 'X'\nstream = 'x'\n[channel.action.receive]\nbroadcast = 'x'\nmax-bytes = -1",
       "f.toml:6: channel X: action receive: max-bytes: expected a number of bytes, such as 4096 or "
       "\"64KiB\", of "
       "1 GiB at most"},
      {"[[route]]\nstream = 'x'", "f.toml:1: route: it has no path"},
      {"[[route]]\npath = 'rooms'\nstream = 'x'",
       "f.toml:1: route rooms: its path is no pattern such as /rooms/:room"},
      {"[[route]]\npath = '/cable'\nstream = 'x'", "f.toml:1: route /cable: that path is the server's own"},
      {"[[route]]\npath = '/a'", "f.toml:1: route /a: it has no stream"},
      {"[[route]]\npath = '/a/:room'\nstream = 'r_{path.roo}'",
       "f.toml:3: route /a/:room: stream: {path.roo}: the path has no :roo"},
      {"[[route]]\npath = '/a'\nstream = 'x'\nanonymous = 'yes'",
       "f.toml:4: route /a: anonymous: expected true or false"},
      {"[[route]]\npath = '/a'\nanonymous = true\nstream = '{identifiers.user}'",
       "f.toml:4: route /a: stream: {identifiers.user}: here there are path, query"},
      {"[[route]]\npath = '/a'\nstream = 'x'\nmessage = '{sender}'",
       "f.toml:4: route /a: message: {sender}: here there are path, query, identifiers, number, data, text"},
      {"[[channel]]\nname = 'X\nstream = 'x'", "f.toml:2: "},
  };
  for (const auto& [text, mistake] : kMistakes) {
    const std::string said = read(text);
    EXPECT_TRUE(mistake.ends_with(": ") ? said.starts_with(mistake) : said == mistake) << text << "\n"
                                                                                       << said;
  }
}

TEST_F(DeclaredFile, TheFirstMistakeIsTheOneThatIsSaid) {
  EXPECT_TRUE(
      read("[[route]]\npath = 'a'\nstream = 'x'\n[[channel]]\nstream = 'x'").starts_with("f.toml:1: route"));
}

TEST_F(DeclaredFile, ARouteThatAsksNobodyHasToSaySo) {
  context_.identifiers.clear();
  EXPECT_EQ(read("[[route]]\npath = '/a'\nstream = 'x'"),
            "f.toml:1: route /a: nobody would be asked who they are: say identified-by, or anonymous = true");
  EXPECT_EQ(read("[[route]]\npath = '/a'\nstream = 'x'\nanonymous = true"), "");
}

// --- Whose streams clients can spell ---------------------------------------------------

TEST_F(DeclaredFile, NobodyCanSpellAStreamThatIsNamedByWhoIsConnected) {
  const std::string notes = "[[channel]]\nname = 'Notes'\nstream = 'chat_for_{identifiers.user}'\n";
  const auto with = [&](std::string_view chat) {
    return read(notes + "[[channel]]\nname = 'Chat'\n" + std::string(chat));
  };
  const std::string mistake = with("stream = 'chat_{params.room}'");
  EXPECT_TRUE(
      mistake.starts_with("f.toml:4: whoever chooses in 'chat_{params.room}' (channel Chat) can spell "
                          "'chat_for_{identifiers.user}' (channel Notes)"))
      << mistake;
  EXPECT_EQ(with("stream = 'talk_{params.room}'"), "");
  EXPECT_EQ(with("stream = 'chat_{params.room}'\nparams.room = { characters = '0-9' }"), "");
  EXPECT_EQ(with("stream = 'chat_{params.room}'\nallow = { value = '{params.room}', in-list = "
                 "'{identifiers.symbols}' }"),
            "");
  EXPECT_NE(with("stream = 'chat_{params.room|for_1}'\nparams.room = { characters = '0-9' }"), "");
  EXPECT_NE(with("stream = '{params.a}:x'\nparams.a = { max-bytes = 3 }\n[channel.action.say]\nto = "
                 "'chat_{data.whom}'\nbroadcast = 'x'"),
            "")
      << "publishing counts, too";
  EXPECT_NE(read(notes + "[[route]]\npath = '/r/:room'\nstream = '{path.room}'"), "");
  EXPECT_EQ(read(notes + "[[route]]\npath = '/r/:room'\nstream = 'room_{path.room}'"), "");
}

// --- Conditions ------------------------------------------------------------------------

TEST_F(DeclaredFile, ConditionsHoldForWhatIsKnownAndForNobodyElse) {
  const auto holds = [&](std::string_view conditions, std::string_view params) {
    const std::string mistake =
        read("[[channel]]\nname = 'X'\nstream = 'x'\nallow = [" + std::string(conditions) + "]");
    EXPECT_EQ(mistake, "") << conditions;
    const Json identifiers =
        *Json::parse(R"({"user":"ann","plan":"pro","symbols":["ACME",7,["NESTED"],null]})");
    const Json given = *Json::parse(params);
    TemplateValues values;
    values.set(TemplateRoot::identifiers, identifiers).set(TemplateRoot::params, given);
    return first_unmet(declared_.channels[0].allow, values) == nullptr;
  };
  const std::string_view nobody = "{}";
  EXPECT_TRUE(holds("{ value = '{identifiers.plan}', in = ['desk', 'pro'] }", nobody));
  EXPECT_FALSE(holds("{ value = '{identifiers.plan}', in = ['desk', 'PRO'] }", nobody));
  EXPECT_TRUE(holds("{ value = '{params.u}', equals = '{identifiers.user}' }", R"({"u":"ann"})"));
  EXPECT_FALSE(holds("{ value = '{params.u}', equals = '{identifiers.user}' }", R"({"u":"bob"})"));
  EXPECT_FALSE(holds("{ value = '{params.u}', equals = '{params.w}' }", nobody))
      << "two that are missing are not equal";
  const std::string_view entitled = "{ value = '{params.s}', in-list = '{identifiers.symbols}' }";
  EXPECT_TRUE(holds(entitled, R"({"s":"ACME"})"));
  EXPECT_TRUE(holds(entitled, R"({"s":"7"})"));
  for (const char* bad : {R"({"s":"OTHER"})", R"({"s":""})", R"({"s":null})", R"({"s":["NESTED"]})", "{}"}) {
    EXPECT_FALSE(holds(entitled, bad)) << bad;
  }
  EXPECT_FALSE(holds("{ value = '{params.s}', in-list = '{identifiers.user}' }", R"({"s":"ann"})"))
      << "no list";
  EXPECT_TRUE(holds("{ value = '{params.s}', matches = 'a*c' }", R"({"s":"abc"})"));
  EXPECT_FALSE(holds("{ value = '{params.s}', matches = 'a*c' }", R"({"s":"abcd"})"));
  EXPECT_TRUE(holds("{ value = '{params.s}', characters = 'a-c_-', max-bytes = 3 }", R"({"s":"a-_"})"));
  EXPECT_FALSE(holds("{ value = '{params.s}', characters = 'a-c_-', max-bytes = 3 }", R"({"s":"a-_b"})"));
  EXPECT_FALSE(holds("{ value = '{params.s}', characters = 'a-c' }", R"({"s":"abd"})"));
  EXPECT_TRUE(holds("{ value = '{params.s}', present = true }", R"({"s":[]})"));
  EXPECT_FALSE(holds("{ value = '{params.s}', present = true }", R"({"s":null})"));
  EXPECT_TRUE(holds("{ value = '{params.s}', present = false }", nobody));
  EXPECT_TRUE(holds("{ value = '{params.s}', characters = '0-9', optional = true }", nobody));
  EXPECT_FALSE(holds("{ value = '{params.s}', characters = '0-9', optional = true }", R"({"s":"x"})"));
  const std::string_view any =
      "{ any = [{ value = '{params.s}', equals = 'x' }, [{ value = '{identifiers.plan}', equals = 'pro' }, "
      "{ value = '{params.t}', present = true }]] }";
  EXPECT_TRUE(holds(any, R"({"s":"x"})"));
  EXPECT_TRUE(holds(any, R"({"t":1})"));
  EXPECT_FALSE(holds(any, nobody));
}

}  // namespace
}  // namespace ringcast
