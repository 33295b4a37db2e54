// The table itself, category by category. Numbers and expectations are the suite's; where
// it allows more than one behaviour, what is written here is the strict one.
#include "support/autobahn_cases.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "support/client_frames.h"

namespace ringcast {

namespace {

using namespace std::string_literals;
using Case = AutobahnCase;
using Step = AutobahnCase::Step;
using Ending = AutobahnCase::Ending;
using Entries = std::vector<AutobahnEntry>;

constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;
constexpr unsigned kClose = 8;
constexpr unsigned kPing = 9;
constexpr unsigned kPong = 10;

constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

const std::string kHello = "Hello, world!";
const std::string kNotUtf8 = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff"s;
const std::string kGreek = "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
const std::string kGreekSurrogateEdited = kGreek + "\xed\xa0\x80" + "edited";
const std::string kUmlauts = "Hello-\u00b5@\u00df\u00f6\u00e4\u00fc\u00e0\u00e1-UTF-8!!";

std::string repeated(std::string_view pattern, size_t bytes) {
  std::string whole;
  whole.reserve(bytes);
  while (whole.size() < bytes) whole.append(pattern.substr(0, bytes - whole.size()));
  return whole;
}

// A message in frames of `fragment_bytes` payload each, the last one shorter.
std::string fragmented(unsigned opcode, std::string_view payload, size_t fragment_bytes) {
  std::string wire;
  bool first = true;
  do {
    const std::string_view part = payload.substr(0, fragment_bytes);
    payload.remove_prefix(part.size());
    wire += encode({.opcode = first ? opcode : 0, .payload = part, .fin = payload.empty()});
    first = false;
  } while (!payload.empty());
  return wire;
}

Case echo(unsigned opcode, std::string payload, size_t chop_bytes = 0) {
  return {.steps = {{encode({.opcode = opcode, .payload = payload}), chop_bytes}},
          .replies = {{opcode, std::move(payload)}}};
}

Case echo_fragmented(unsigned opcode, std::string payload, size_t fragment_bytes) {
  return {.steps = {{fragmented(opcode, payload, fragment_bytes)}},
          .replies = {{opcode, std::move(payload)}}};
}

Case fails(unsigned code, std::vector<Step> steps, std::vector<Case::Reply> replies = {}) {
  return {.steps = std::move(steps),
          .replies = std::move(replies),
          .ending = Ending::server_fails,
          .close_codes = {code}};
}

Case closes(std::vector<unsigned> codes, std::vector<Step> steps, std::vector<Case::Reply> replies = {}) {
  return {.steps = std::move(steps),
          .replies = std::move(replies),
          .ending = Ending::close_sent,
          .close_codes = std::move(codes)};
}

// 1: sizes around every form of the length.
void add_framing(Entries& entries) {
  struct Size {
    size_t payload_bytes;
    size_t chop_bytes;
  };
  constexpr Size kSizes[] = {{0, 0},   {125, 0},   {126, 0},   {127, 0},
                             {128, 0}, {65535, 0}, {65536, 0}, {65536, 997}};
  for (const unsigned opcode : {kText, kBinary}) {
    int number = 0;
    for (const Size size : kSizes) {
      entries.push_back({"1." + std::to_string(opcode) + "." + std::to_string(++number),
                         "a message of " + std::to_string(size.payload_bytes) + " bytes", [opcode, size] {
                           return echo(opcode, repeated(opcode == kText ? "*" : "\xfe", size.payload_bytes),
                                       size.chop_bytes);
                         }});
    }
  }
}

// 2: pings and pongs.
void add_pings(Entries& entries) {
  const auto ponged = [](std::string payload, size_t chop_bytes = 0) {
    return Case{.steps = {{encode({.opcode = kPing, .payload = payload}), chop_bytes}},
                .replies = {{kPong, std::move(payload)}}};
  };
  const auto ten = [](size_t chop_bytes) {
    Case ten_pings;
    for (int i = 0; i < 10; ++i) {
      const std::string payload = "payload-" + std::to_string(i);
      ten_pings.steps.push_back({encode({.opcode = kPing, .payload = payload}), chop_bytes});
      ten_pings.replies.push_back({kPong, payload});
    }
    return ten_pings;
  };
  const std::string long_ping = repeated("\xfe", 125);
  entries.push_back({"2.1", "an empty ping", [=] { return ponged(""); }});
  entries.push_back({"2.2", "a ping with text", [=] { return ponged(kHello); }});
  entries.push_back({"2.3", "a ping with what is not UTF-8", [=] { return ponged(kNotUtf8); }});
  entries.push_back({"2.4", "a ping of 125 bytes", [=] { return ponged(long_ping); }});
  entries.push_back({"2.5", "a ping of 126 bytes", [=] {
                       return fails(1002, {{encode({.opcode = kPing, .payload = long_ping + "\xfe"})}});
                     }});
  entries.push_back({"2.6", "a ping of 125 bytes, octet by octet", [=] { return ponged(long_ping, 1); }});
  entries.push_back(
      {"2.7", "an unasked empty pong", [] { return Case{.steps = {{encode({.opcode = kPong})}}}; }});
  entries.push_back({"2.8", "an unasked pong with payload",
                     [] { return Case{.steps = {{encode({.opcode = kPong, .payload = "unsolicited"})}}}; }});
  entries.push_back({"2.9", "an unasked pong, then a ping", [] {
                       return Case{.steps = {{encode({.opcode = kPong, .payload = "unsolicited"})},
                                             {encode({.opcode = kPing, .payload = "ping payload"})}},
                                   .replies = {{kPong, "ping payload"}}};
                     }});
  entries.push_back({"2.10", "ten pings", [=] { return ten(0); }});
  entries.push_back({"2.11", "ten pings, octet by octet", [=] { return ten(1); }});
}

// A good message, a frame that must fail the connection, and a ping that must not be
// answered; all at once, frame by frame, or octet by octet.
enum class Sent { at_once, by_frame, by_octet };

Case good_bad_ping(const std::string& bad, Sent sent) {
  const std::string good = encode({.payload = kHello});
  const std::string ping = encode({.opcode = kPing});
  switch (sent) {
    case Sent::at_once:
      return fails(1002, {{good + bad + ping}}, {{kText, kHello}});
    case Sent::by_frame:
      return fails(1002, {{good}, {bad}, {ping}}, {{kText, kHello}});
    case Sent::by_octet:
      break;
  }
  return fails(1002, {{good + bad + ping, 1}}, {{kText, kHello}});
}

// 3: reserved bits.
void add_reserved_bits(Entries& entries) {
  const auto alone = [](unsigned opcode, unsigned rsv, const std::string& payload) {
    return fails(1002, {{encode({.opcode = opcode, .payload = payload, .rsv = rsv})}});
  };
  const auto amid = [](unsigned rsv, Sent sent) {
    return good_bad_ping(encode({.payload = kHello, .rsv = rsv}), sent);
  };
  entries.push_back({"3.1", "text with RSV 1", [=] { return alone(kText, 1, kHello); }});
  entries.push_back({"3.2", "text with RSV 2 amid others", [=] { return amid(2, Sent::at_once); }});
  entries.push_back({"3.3", "text with RSV 3, by frame", [=] { return amid(3, Sent::by_frame); }});
  entries.push_back({"3.4", "text with RSV 4, by octet", [=] { return amid(4, Sent::by_octet); }});
  entries.push_back({"3.5", "binary with RSV 5", [=] { return alone(kBinary, 5, kNotUtf8); }});
  entries.push_back({"3.6", "a ping with RSV 6", [=] { return alone(kPing, 6, kHello); }});
  entries.push_back({"3.7", "a close with RSV 7", [=] { return alone(kClose, 7, ""); }});
}

// 4: reserved opcodes, five of data and five of control.
void add_reserved_opcodes(Entries& entries) {
  for (const unsigned first : {3u, 11u}) {
    const std::string prefix = first == 3 ? "4.1." : "4.2.";
    const auto add = [&](unsigned number, std::string about, std::function<Case()> make) {
      entries.push_back({prefix + std::to_string(number), std::move(about), std::move(make)});
    };
    const auto bad = [first](unsigned number, std::string_view payload) {
      return encode({.opcode = first + number - 1, .payload = payload});
    };
    add(1, "a reserved opcode", [=] { return fails(1002, {{bad(1, "")}}); });
    add(2, "a reserved opcode with payload", [=] { return fails(1002, {{bad(2, "payload")}}); });
    add(3, "a reserved opcode amid others", [=] { return good_bad_ping(bad(3, ""), Sent::at_once); });
    add(4, "one with payload amid others", [=] { return good_bad_ping(bad(4, kHello), Sent::at_once); });
    add(5, "one amid others, by octet", [=] { return good_bad_ping(bad(5, kHello), Sent::by_octet); });
  }
}

// The same frames at once, in a step each, or octet by octet.
std::vector<Step> steps_of(const std::vector<std::string>& frames, Sent sent) {
  std::vector<Step> steps;
  if (sent == Sent::by_frame) {
    for (const std::string& frame : frames) steps.push_back({frame});
    return steps;
  }
  std::string whole;
  for (const std::string& frame : frames) whole += frame;
  steps.push_back({whole, sent == Sent::by_octet ? size_t{1} : 0});
  return steps;
}

// 5: fragments.
void add_fragments(Entries& entries) {
  const auto add = [&](unsigned number, std::string about, std::function<Case()> make) {
    entries.push_back({"5." + std::to_string(number), std::move(about), std::move(make)});
  };
  const std::string first = encode({.payload = "fragment1", .fin = false});
  const std::string last = encode({.opcode = 0, .payload = "fragment2"});
  const Case::Reply whole{kText, "fragment1fragment2"};
  constexpr Sent kSent[] = {Sent::at_once, Sent::by_frame, Sent::by_octet};

  for (const unsigned opcode : {kPing, kPong}) {
    add(opcode == kPing ? 1 : 2, "a fragmented control frame", [=] {
      return fails(1002, {{encode({.opcode = opcode, .payload = "fragment1", .fin = false}) + last}});
    });
  }
  unsigned number = 3;
  for (const Sent sent : kSent) {
    add(number++, "text in two fragments", [=] {
      return Case{.steps = steps_of({first, last}, sent), .replies = {whole}};
    });
  }
  for (const Sent sent : kSent) {
    add(number++, "a ping between two fragments", [=] {
      const std::string ping = encode({.opcode = kPing, .payload = "ping payload"});
      return Case{.steps = steps_of({first, ping, last}, sent), .replies = {{kPong, "ping payload"}, whole}};
    });
  }
  for (const bool fin : {true, false}) {
    for (const Sent sent : kSent) {
      add(number++, "a continuation of nothing, then text", [=] {
        const std::string stray = encode({.opcode = 0, .payload = "non-continuation payload", .fin = fin});
        return fails(1002, steps_of({stray, encode({.payload = kHello})}, sent));
      });
    }
  }
  add(15, "a continuation after the message has ended", [=] {
    const std::string stray = encode({.opcode = 0, .payload = "fragment3", .fin = false});
    return fails(1002, {{first + last + stray + encode({.payload = "fragment4"})}}, {whole});
  });
  for (const bool fin : {false, true}) {
    add(fin ? 17 : 16, "a continuation of nothing, then fragments, twice", [=] {
      const std::string round = encode({.opcode = 0, .payload = "fragment1", .fin = fin}) +
                                encode({.payload = "fragment2", .fin = false}) +
                                encode({.opcode = 0, .payload = "fragment3"});
      return fails(1002, {{round + round}});
    });
  }
  add(18, "text begun inside a text message",
      [=] { return fails(1002, {{first + encode({.payload = "fragment2"})}}); });
  for (const Sent sent : {Sent::at_once, Sent::by_frame}) {
    add(sent == Sent::at_once ? 19 : 20, "five fragments and two pings, the pongs before the message", [=] {
      const auto part = [](const char* text, bool fin = false) {
        return encode({.opcode = 0, .payload = text, .fin = fin});
      };
      const auto ping = [](const char* text) { return encode({.opcode = kPing, .payload = text}); };
      Case five{.steps = steps_of({first, part("fragment2"), ping("pongme 1!")}, sent)};
      // What follows is sent only once the first pong is there.
      five.steps.back().replies_due = 1;
      const auto rest =
          steps_of({part("fragment3"), part("fragment4"), ping("pongme 2!"), part("fragment5", true)}, sent);
      five.steps.insert(five.steps.end(), rest.begin(), rest.end());
      five.replies = {{kPong, "pongme 1!"},
                      {kPong, "pongme 2!"},
                      {kText, "fragment1fragment2fragment3fragment4fragment5"}};
      return five;
    });
  }
}

// 6.1-6.4: UTF-8 over fragments, and failing at the first impossible octet.
void add_utf8_handling(Entries& entries) {
  const auto add = [&](std::string id, std::string about, std::function<Case()> make) {
    entries.push_back({std::move(id), std::move(about), std::move(make)});
  };
  const std::string empty_first = encode({.fin = false});
  const std::string empty_last = encode({.opcode = 0});
  add("6.1.1", "empty text", [] { return echo(kText, ""); });
  add("6.1.2", "three empty fragments", [=] {
    return Case{.steps = {{empty_first + encode({.opcode = 0, .fin = false}) + empty_last}},
                .replies = {{kText, ""}}};
  });
  add("6.1.3", "text between empty fragments", [=] {
    const std::string middle = encode({.opcode = 0, .payload = "middle", .fin = false});
    return Case{.steps = {{empty_first + middle + empty_last}}, .replies = {{kText, "middle"}}};
  });
  add("6.2.1", "valid text", [] { return echo(kText, kUmlauts); });
  add("6.2.2", "valid text cut between characters",
      [] { return echo_fragmented(kText, kUmlauts, kUmlauts.find("\u00fc")); });
  add("6.2.3", "valid text in fragments of one octet", [] { return echo_fragmented(kText, kUmlauts, 1); });
  add("6.2.4", "valid text in fragments of one octet", [] { return echo_fragmented(kText, kGreek, 1); });
  add("6.3.1", "a surrogate in the text",
      [] { return fails(1007, {{encode({.payload = kGreekSurrogateEdited})}}); });
  add("6.3.2", "a surrogate in fragments of one octet",
      [] { return fails(1007, {{fragmented(kText, kGreekSurrogateEdited, 1)}}); });

  // F4 90 is beyond U+10FFFF: the twelfth octet is possible, the thirteenth is not. The
  // last part is never sent: the server has to fail at the second.
  const std::string beyond = kGreek + "\xf4\x90\x80\x80" + "edited";
  struct Cut {
    bool whole_characters;
    size_t first_bytes;
    size_t second_bytes;
  };
  for (const Cut cut : {Cut{true, kGreek.size(), 4}, Cut{false, kGreek.size() + 1, 1}}) {
    const std::string first = beyond.substr(0, cut.first_bytes);
    const std::string second = beyond.substr(cut.first_bytes, cut.second_bytes);
    add(cut.whole_characters ? "6.4.1" : "6.4.2", "fail-fast at the second of three fragments", [=] {
      // The ping between them shows that the first fragment alone is no offence.
      const std::string ping = encode({.opcode = kPing, .payload = "still there?"});
      return fails(1007,
                   {{encode({.payload = first, .fin = false}) + ping, 0, 1},
                    {encode({.opcode = 0, .payload = second, .fin = false})}},
                   {{kPong, "still there?"}});
    });
    add(cut.whole_characters ? "6.4.3" : "6.4.4", "fail-fast in the middle of a frame", [=] {
      const std::string wire = encode({.payload = beyond});
      const size_t first_end = wire.size() - beyond.size() + cut.first_bytes;
      return fails(1007, {{wire.substr(0, first_end)}, {wire.substr(first_end, cut.second_bytes)}});
    });
  }
}

// 6.5-6.23: single texts, valid or not, by Markus Kuhn's groups.
struct Utf8Group {
  const char* about;
  std::vector<std::pair<bool, std::string>> texts;
};

std::vector<Utf8Group> utf8_groups() {
  const auto all = [](bool valid, std::vector<std::string> texts) {
    std::vector<std::pair<bool, std::string>> marked;
    for (std::string& text : texts) marked.emplace_back(valid, std::move(text));
    return marked;
  };
  const auto range = [](unsigned from, unsigned to, std::string_view after) {
    std::string octets;
    for (unsigned octet = from; octet <= to; ++octet)
      octets.append(1, static_cast<char>(octet)).append(after);
    return octets;
  };

  Utf8Group prefixes{"prefixes of a valid text", {}};
  for (size_t bytes = 1; bytes <= kGreek.size(); ++bytes) {
    // Its characters end after 2, 5, 7, 9 and 11 octets.
    const bool ends = bytes == 2 || bytes == 5 || bytes == 7 || bytes == 9 || bytes == 11;
    prefixes.texts.emplace_back(ends, kGreek.substr(0, bytes));
  }

  const std::vector<std::string> unfinished = {
      "\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
      "\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf"};
  std::string unfinished_row;
  for (const std::string& text : unfinished) unfinished_row += text;

  // U+nFFFE and U+nFFFF of all 17 planes.
  Utf8Group non_characters{"non-characters, which are valid", {}};
  for (unsigned plane = 0; plane <= 16; ++plane) {
    for (const char last : {'\xbe', '\xbf'}) {
      std::string text = "\xef\xbf";
      if (plane > 0) {
        text = {static_cast<char>(0xf0 | plane >> 2), static_cast<char>(0x8f | (plane & 3) << 4), '\xbf'};
      }
      non_characters.texts.emplace_back(true, text + last);
    }
  }

  return {
      {"valid texts", all(true, {"hello$world", "hello\xc2\xa2world", "hello\xe2\x82\xacworld",
                                 "hello\xf0\xa4\xad\xa2world", kGreek})},
      prefixes,
      {"the first of a length", all(true, {"\0"s, "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80"})},
      {"the first of five and six octets", all(false, {"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"})},
      {"the last of a length", all(true, {"\x7f", "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf"})},
      {"the last of four to six octets",
       all(false, {"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"})},
      {"other boundaries",
       {{true, "\xed\x9f\xbf"},
        {true, "\xee\x80\x80"},
        {true, "\xef\xbf\xbd"},
        {true, "\xf4\x8f\xbf\xbf"},
        {false, "\xf4\x90\x80\x80"}}},
      {"continuation octets alone",
       all(false, {"\x80", "\xbf", "\x80\xbf", "\x80\xbf\x80", "\x80\xbf\x80\xbf", "\x80\xbf\x80\xbf\x80",
                   "\x80\xbf\x80\xbf\x80\xbf", range(0x80, 0xbf, "")})},
      {"start octets alone",
       all(false, {range(0xc0, 0xdf, " "), range(0xe0, 0xef, " "), range(0xf0, 0xf7, " "),
                   range(0xf8, 0xfb, " "), range(0xfc, 0xfd, " ")})},
      {"the last continuation missing", all(false, unfinished)},
      {"unfinished characters in a row", all(false, {unfinished_row})},
      {"impossible octets", all(false, {"\xfe", "\xff", "\xfe\xfe\xff\xff"})},
      {"overlong ASCII", all(false, {"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf",
                                     "\xfc\x80\x80\x80\x80\xaf"})},
      {"the longest overlong", all(false, {"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",
                                           "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"})},
      {"overlong NUL", all(false, {"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80",
                                   "\xfc\x80\x80\x80\x80\x80"})},
      {"single surrogates", all(false, {"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf",
                                        "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf"})},
      {"paired surrogates",
       all(false, {"\xed\xa0\x80\xed\xb0\x80", "\xed\xa0\x80\xed\xbf\xbf", "\xed\xad\xbf\xed\xb0\x80",
                   "\xed\xad\xbf\xed\xbf\xbf", "\xed\xae\x80\xed\xb0\x80", "\xed\xae\x80\xed\xbf\xbf",
                   "\xed\xaf\xbf\xed\xb0\x80", "\xed\xaf\xbf\xed\xbf\xbf"})},
      non_characters,
      {"specials", all(true, {"\xef\xbf\xb9", "\xef\xbf\xba", "\xef\xbf\xbb", "\xef\xbf\xbc", "\xef\xbf\xbd",
                              "\xef\xbf\xbe", "\xef\xbf\xbf"})},
  };
}

void add_utf8_texts(Entries& entries) {
  int group_number = 5;
  for (const Utf8Group& group : utf8_groups()) {
    int number = 0;
    for (const auto& [valid, text] : group.texts) {
      entries.push_back({"6." + std::to_string(group_number) + "." + std::to_string(++number), group.about,
                         [valid = valid, text = text] {
                           if (valid) return echo(kText, text);
                           return fails(1007, {{encode({.payload = text})}});
                         }});
    }
    ++group_number;
  }
}

// 7: closing.
void add_closing(Entries& entries) {
  const auto add = [&](std::string id, std::string about, std::function<Case()> make) {
    entries.push_back({std::move(id), std::move(about), std::move(make)});
  };
  const std::string normal = encode_close(1000);
  const std::string hello = encode({.payload = kHello});
  add("7.1.1", "a message, then a close", [=] {
    return closes({1000}, {{hello}, {normal}}, {{kText, kHello}});
  });
  add("7.1.2", "two closes", [=] { return closes({1000}, {{normal + encode({.opcode = kClose})}}); });
  add("7.1.3", "a ping after the close",
      [=] { return closes({1000}, {{normal + encode({.opcode = kPing})}}); });
  add("7.1.4", "text after the close", [=] { return closes({1000}, {{normal + hello}}); });
  add("7.1.5", "a close inside a fragmented message", [=] {
    return closes({1000}, {{encode({.payload = "fragment1", .fin = false}) + normal +
                            encode({.opcode = 0, .payload = "fragment2"})}});
  });
  add("7.1.6", "256 KiB, text, a close and a ping, back to back", [=] {
    const std::string large = repeated("BAsd7&jh23", 256 * kKiB);
    return closes({1000}, {{encode({.payload = large}) + hello + normal + encode({.opcode = kPing})}},
                  {{kText, large}, {kText, kHello}});
  });
  add("7.3.1", "an empty close", [] { return closes({0, 1000}, {{encode({.opcode = kClose})}}); });
  add("7.3.2", "a close of one byte",
      [] { return closes({1002}, {{encode({.opcode = kClose, .payload = "a"})}}); });
  add("7.3.3", "a close with a code", [=] { return closes({1000}, {{normal}}); });
  add("7.3.4", "a close with a reason", [] { return closes({1000}, {{encode_close(1000, kHello)}}); });
  add("7.3.5", "a close with the longest reason",
      [] { return closes({1000}, {{encode_close(1000, std::string(123, '*'))}}); });
  add("7.3.6", "a close of 126 bytes",
      [] { return closes({1002}, {{encode_close(1000, std::string(124, '*'))}}); });
  add("7.5.1", "a close reason that is not UTF-8",
      [] { return closes({1007}, {{encode_close(1000, kGreekSurrogateEdited)}}); });
  int number = 0;
  for (const unsigned code : {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999}) {
    add("7.7." + std::to_string(++number), "close code " + std::to_string(code),
        [code] { return closes({code}, {{encode_close(code)}}); });
  }
  number = 0;
  for (const unsigned code : {0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999}) {
    add("7.9." + std::to_string(++number), "invalid close code " + std::to_string(code),
        [code] { return closes({1002}, {{encode_close(code)}}); });
  }
  add("7.13.1", "close code 5000", [] { return closes({1002}, {{encode_close(5000)}}); });
  add("7.13.2", "close code 65535", [] { return closes({1002}, {{encode_close(65535)}}); });
}

// 9: large messages, many fragments, small chops, many round trips. 10: automatic
// fragmentation.
void add_volume(Entries& entries) {
  const auto add = [&](unsigned group, unsigned number, std::string about, std::function<Case()> make) {
    entries.push_back(
        {"9." + std::to_string(group) + "." + std::to_string(number), std::move(about), std::move(make)});
  };
  for (const unsigned opcode : {kText, kBinary}) {
    const auto pattern = opcode == kText ? "BAsd7&jh23"s : "\x00\xfe\x23\xfa\xf0"s;
    unsigned number = 0;
    for (const size_t bytes : {64 * kKiB, 256 * kKiB, kMiB, 4 * kMiB, 8 * kMiB, 16 * kMiB}) {
      add(opcode, ++number, std::to_string(bytes) + " bytes",
          [=] { return echo(opcode, repeated(pattern, bytes)); });
    }
    number = 0;
    for (size_t fragment_bytes = 64; fragment_bytes <= 4 * kMiB; fragment_bytes *= 4) {
      add(2 + opcode, ++number, "4 MiB in fragments of " + std::to_string(fragment_bytes),
          [=] { return echo_fragmented(opcode, repeated(pattern, 4 * kMiB), fragment_bytes); });
    }
    number = 0;
    for (size_t chop_bytes = 64; chop_bytes <= 2 * kKiB; chop_bytes *= 2) {
      add(4 + opcode, ++number, "1 MiB in chops of " + std::to_string(chop_bytes),
          [=] { return echo(opcode, repeated(pattern, kMiB), chop_bytes); });
    }
    number = 0;
    for (const size_t bytes : {size_t{0}, size_t{16}, size_t{64}, size_t{256}, kKiB, 4 * kKiB}) {
      add(6 + opcode, ++number, "1000 round trips of " + std::to_string(bytes) + " bytes", [=] {
        Case trips;
        const std::string payload = repeated(opcode == kText ? "*" : "\xfe", bytes);
        for (size_t trip = 1; trip <= 1000; ++trip) {
          trips.steps.push_back({encode({.opcode = opcode, .payload = payload}), 0, trip});
          trips.replies.push_back({opcode, payload});
        }
        return trips;
      });
    }
  }
  entries.push_back({"10.1.1", "65536 bytes in fragments of 1300",
                     [] { return echo_fragmented(kText, repeated("*", 65536), 1300); }});
}

}  // namespace

const std::vector<AutobahnEntry>& autobahn_entries() {
  static const Entries kEntries = [] {
    Entries entries;
    add_framing(entries);
    add_pings(entries);
    add_reserved_bits(entries);
    add_reserved_opcodes(entries);
    add_fragments(entries);
    add_utf8_handling(entries);
    add_utf8_texts(entries);
    add_closing(entries);
    add_volume(entries);
    return entries;
  }();
  return kEntries;
}

std::string autobahn_test_name(const AutobahnEntry& entry) {
  std::string name = entry.id;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace ringcast
