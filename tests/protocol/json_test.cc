// JSON: the grammar and nothing else, numbers untouched, every byte of a string
// accounted for; and ringcast::Json as an embedder uses it.
#include "protocol/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "ringcast/json.h"
#include "support/json_cases.h"
#include "support/json_reference.h"

namespace ringcast {
namespace {

using test::JsonCase;
using test::JsonReference;
using test::kJsonCases;

// In a heap block of just this size, so that AddressSanitizer sees a read past it.
bool valid(std::string_view text) {
  const std::vector<char> exact(text.begin(), text.end());
  return valid_json(as_bytes(std::string_view(exact.data(), exact.size())));
}

std::string repeated(size_t times, std::string_view part) {
  std::string text;
  while (times-- > 0) text += part;
  return text;
}

Json parsed(std::string_view text) {
  std::string_view problem;
  std::optional<Json> json = Json::parse(text, &problem);
  EXPECT_TRUE(json) << text << ": " << problem;
  return json ? *json : Json();
}

std::string read_data(const std::string& name) {
  std::ifstream file("tests/data/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name << ": run from the project's root";
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class Conformance : public testing::TestWithParam<JsonCase> {};

TEST_P(Conformance, CheckAndParseAgreeWithTheGrammar) {
  const JsonCase& document = GetParam();
  std::string_view problem;
  EXPECT_EQ(valid(document.text), document.valid);
  EXPECT_EQ(Json::parse(document.text, &problem).has_value(), document.valid);
  EXPECT_EQ(problem.empty(), document.valid) << problem;
  // The reference itself is held to the list, since it judges random texts below.
  EXPECT_EQ(JsonReference::valid(document.text, Json::kDepthMax), document.valid);
}

// simdjson works in blocks of 64 bytes: each case must fare the same at each
// place in a block and at each distance from the end.
TEST_P(Conformance, PlaceDoesNotMatter) {
  const JsonCase& document = GetParam();
  if (document.text.starts_with("\xef\xbb\xbf")) return;  // no longer a mark behind a space
  for (size_t shift = 1; shift <= 130; ++shift) {
    const std::string space(shift, ' ');
    ASSERT_EQ(valid(space + std::string(document.text)), document.valid) << shift;
  }
  // As an element it may not lean on the end of the document.
  const std::string inside = "[0," + std::string(document.text) + "]";
  EXPECT_EQ(valid(inside), JsonReference::valid(inside, Json::kDepthMax)) << inside;
}

INSTANTIATE_TEST_SUITE_P(Rfc8259, Conformance, testing::ValuesIn(kJsonCases),
                         [](const auto& info) { return std::string(info.param.name); });

// Texts one or two changed bytes away from JSON, judged by a second reading of
// the RFC that shares no code with the first.
TEST(JsonCheck, AgreesWithTheReferenceOnDamagedDocuments) {
  constexpr std::string_view kSeed =
      R"({"a":[1,-0.5e+10,true,false,null,"x\u00e9\n\ud83d\ude00"],"b":{"c":[[],{}],"":"\\\"é"},"d":1e400} )";
  constexpr std::string_view kBytes = "{}[]:,\"\\ \t\n0123456789-+.eEtrufalsn/\x01\x80\xc3\xa9\f";
  std::mt19937_64 random(20261122);
  size_t taken = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(kSeed);
    for (uint64_t damage = 1 + random() % 3; damage > 0; --damage) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          text.erase(at, 1 + random() % 3);
          break;
        default:
          text.insert(at, 1, kBytes[random() % kBytes.size()]);
      }
      if (text.empty()) text = "[";
    }
    const bool expected = JsonReference::valid(text, Json::kDepthMax);
    taken += expected;
    ASSERT_EQ(valid(text), expected) << text;
    ASSERT_EQ(Json::parse(text).has_value(), expected) << text;
  }
  EXPECT_GT(taken, 1000u);  // the damage must leave both kinds
  EXPECT_LT(taken, 19000u);
}

TEST(JsonCheck, EveryPrefixOfADocumentIsRefused) {
  constexpr std::string_view kText = R"({"a":[1,{"b":"c\u0041"},true],"d":{"e":[[]]}})";
  for (size_t size = 0; size < kText.size(); ++size) {
    EXPECT_FALSE(valid(kText.substr(0, size))) << size;
  }
  EXPECT_TRUE(valid(kText));
}

TEST(JsonCheck, DepthHasOneLimitForEveryNesting) {
  const auto arrays = [](size_t depth) { return repeated(depth, "[") + repeated(depth, "]"); };
  const auto objects = [](size_t depth) { return repeated(depth, R"({"a":)") + "0" + repeated(depth, "}"); };
  const auto mixed = [](size_t pairs) { return repeated(pairs, R"([{"a":)") + "0" + repeated(pairs, "}]"); };
  for (const std::string& text : {arrays(100), objects(100), mixed(50), "[0," + arrays(99) + "]"}) {
    EXPECT_TRUE(valid(text)) << text;
    EXPECT_TRUE(Json::parse(text)) << text;
  }
  for (const std::string& text :
       {arrays(101), objects(101), mixed(51), "[0," + arrays(100) + "]", arrays(100000)}) {
    std::string_view problem;
    EXPECT_FALSE(Json::parse(text, &problem));
    EXPECT_EQ(problem, "nested deeper than 100 levels");
    EXPECT_EQ(json_problem(as_bytes(text)), "nested deeper than 100 levels");
  }
  EXPECT_FALSE(valid(repeated(100000, "[")));
}

TEST(JsonCheck, NamesTheReason) {
  const auto problem = [](std::string_view text) { return json_problem(as_bytes(text)); };
  EXPECT_EQ(problem("[1]"), "");
  EXPECT_EQ(problem(""), "empty");
  EXPECT_EQ(problem("\"\xff\""), "not valid UTF-8");
  EXPECT_EQ(problem("\"a"), "a string that does not end");
  EXPECT_EQ(problem("\"\n\""), "a control character in a string");
  EXPECT_EQ(problem(R"("\x")"), "a bad escape in a string");
  EXPECT_EQ(problem("[01]"), "a number that JSON does not know");
  EXPECT_EQ(problem("[1"), "an array or object that does not end where the text does");
  EXPECT_EQ(problem("[1] []"), "something follows the JSON value");
  EXPECT_EQ(problem("1 2"), "something follows the JSON value");
  EXPECT_EQ(problem("{a:1}"), "not JSON");
}

// The copy of one document must not show through in the next, shorter one.
TEST(JsonCheck, OneDocumentLeavesNothingForTheNext) {
  EXPECT_TRUE(valid("[[[[1]]],2,3]"));
  EXPECT_FALSE(valid("[[[[1]"));
  EXPECT_FALSE(valid("[[[[1]]]"));
  EXPECT_FALSE(valid("[[[[1]]],"));
  EXPECT_TRUE(valid("{\"a\":{\"b\":1}}"));
  EXPECT_FALSE(valid("{\"a\":{\"b\":1}"));
  EXPECT_TRUE(valid(R"("\u0041")"));
  EXPECT_FALSE(valid(R"("\u00)"));
}

TEST(JsonCheck, AnySizeAndBackAgain) {
  for (const size_t size : {size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{1} << 20,
                            (size_t{1} << 20) + 1, size_t{5} << 20, size_t{10}}) {
    std::string text = "\"" + std::string(size, 'x') + "\"";
    EXPECT_TRUE(valid(text)) << size;
    text.back() = 'x';
    EXPECT_FALSE(valid(text)) << size;
  }
}

TEST(JsonCheck, ThreadsDoNotShareAParser) {
  std::vector<std::thread> threads;
  std::array<int, 4> wrong{};
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&wrong, t] {
      const std::string text = "[" + std::string(t * 1000, ' ') + std::to_string(t) + "]";
      for (int i = 0; i < 500; ++i) {
        const std::optional<Json> json = Json::parse(text);
        if (!json || (*json)[size_t{0}].as_int64() != static_cast<int64_t>(t)) ++wrong[t];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

// --- Strings ---------------------------------------------------------------

TEST(JsonStrings, EscapesAreResolved) {
  EXPECT_EQ(parsed(R"("\"\\\/\b\f\n\r\t")").text(), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(parsed(R"("\u0041\u00e9\u20ac\ud83d\uDE00")").text(), "A\u00e9\u20ac\U0001f600");
  EXPECT_EQ(parsed(R"("a\u0000b")").text(), std::string_view("a\0b", 3));
  EXPECT_EQ(parsed(R"("\\u0041")").text(), "\\u0041");
  EXPECT_EQ(parsed("\"caf\u00e9 \U0001f600\"").text(), "caf\u00e9 \U0001f600");
}

TEST(JsonStrings, HalfASurrogatePairIsTheReplacementCharacter) {
  EXPECT_EQ(parsed(R"("\ud83d")").text(), "\ufffd");
  EXPECT_EQ(parsed(R"("\ude00x")").text(), "\ufffdx");
  EXPECT_EQ(parsed(R"("\ude00\ud83d")").text(), "\ufffd\ufffd");
  EXPECT_EQ(parsed(R"("\ud83d\u0041")").text(), "\ufffdA");
  EXPECT_EQ(parsed(R"("\ud83d\ud83d\ude00")").text(), "\ufffd\U0001f600");
  EXPECT_EQ(parsed(R"({"\udfff":1})").members()[0].key, "\ufffd");
}

// Quotes and backslashes are looked for eight bytes at a time.
TEST(JsonStrings, EveryLengthAndEveryPlaceOfAnEscape) {
  for (size_t length = 0; length < 40; ++length) {
    for (size_t place = 0; place <= length; ++place) {
      std::string content(length, 'a');
      content.insert(place, "\\\"");
      std::string expected(length, 'a');
      expected.insert(place, "\"");
      ASSERT_EQ(parsed("\"" + content + "\"").text(), expected);
    }
  }
}

TEST(JsonStrings, WhatIsWrittenReadsBackTheSame) {
  std::string every;
  for (char c = 0; c < 0x7f; ++c) every += c;
  every += "\x7f\u0080\u07ff\u0800\u2027\u2028\u2029\u202a\uffff\U00010000\U0010ffff";
  for (const JsonEscape escape : {JsonEscape::minimal, JsonEscape::rails}) {
    std::string out;
    append_json_string(out, every, escape);
    EXPECT_EQ(parsed(out).text(), every);
  }
}

TEST(JsonStrings, WritesOnlyTheEscapesAskedFor) {
  constexpr std::string_view kText = "<b>&\"\\/\u2028\u2029\u20ac\x1f\n\x7f";
  std::string minimal;
  append_json_string(minimal, kText);
  EXPECT_EQ(minimal, "\"<b>&\\\"\\\\/\u2028\u2029\u20ac\\u001f\\n\x7f\"");
  std::string rails;
  append_json_string(rails, kText, JsonEscape::rails);
  EXPECT_EQ(rails, "\"\\u003cb\\u003e\\u0026\\\"\\\\/\\u2028\\u2029\u20ac\\u001f\\n\x7f\"");
}

// An embedder's string may hold anything; a text frame may not.
TEST(JsonStrings, IllFormedUtf8IsReplacedAsBrowsersDo) {
  const auto written = [](std::string_view text) {
    std::string out;
    append_json_string(out, text);
    return out;
  };
  EXPECT_EQ(written("a\xff"
                    "b"),
            "\"a\ufffdb\"");
  EXPECT_EQ(written("\xe2\x82"), "\"\ufffd\"");  // one maximal part
  EXPECT_EQ(written("\xe2\x82"
                    "a"),
            "\"\ufffda\"");
  EXPECT_EQ(written("\xe2\x82\xe2\x82\xac"), "\"\ufffd\u20ac\"");
  EXPECT_EQ(written("\xed\xa0\x80"), "\"\ufffd\ufffd\ufffd\"");  // no part of a surrogate is well formed
  EXPECT_EQ(written("\xf0\x9f\x98\""), "\"\ufffd\\\"\"");
  EXPECT_EQ(written("\xc0\xaf\n"), "\"\ufffd\ufffd\\n\"");
}

// --- Rails' own vectors ------------------------------------------------------

// What Rails 6.1 and 7.2 take we take, and what they refuse we refuse, but for:
bool rails_differs(const std::string& input) {
  return input.find("//") == 0 || input.find("/*") == 0 ||  // comments are not JSON
         input == R"("\x41")" ||                            // an escape Ruby's parser waves through
         input == R"("\ud83d")";                            // grammar; Ruby wants a character
}

TEST(RailsVectors, VerdictsAndEncodings) {
  for (const char* file : {"json_rails61.json", "json_rails72.json"}) {
    const Json vectors = parsed(read_data(file))["vectors"];
    ASSERT_GT(vectors.size(), 60u);
    for (const Json& vector : vectors.elements()) {
      const std::string input = vector.string("input");
      if (rails_differs(input)) continue;
      const std::optional<Json> ours = Json::parse(input);
      EXPECT_EQ(ours.has_value(), vector.has("encoded")) << file << ": " << input;
      EXPECT_EQ(valid(input), vector.has("encoded")) << file << ": " << input;
      if (!ours || !vector.has("encoded")) continue;
      if (ours->is_number()) {
        EXPECT_EQ(ours->dump_rails(), input.substr(input.find_first_not_of(" \n\t"), ours->text().size()));
      } else {
        EXPECT_EQ(ours->dump_rails(), vector.string("encoded")) << file << ": " << input;
      }
    }
  }
}

// --- Picking members -----------------------------------------------------------

TEST(StringMembers, AnyOrderAndTheLastOfItsName) {
  std::string a = "stale", b = "stale", c = "stale";
  std::vector<StringMember> wanted = {
      {.key = "a", .value = &a}, {.key = "b", .value = &b}, {.key = "c", .value = &c}};
  EXPECT_EQ(read_string_members(R"( {"x":{"a":"inner"},"b":"1","a":"2","y":["c"],"b":"\u0033"} )", wanted),
            "");
  EXPECT_EQ(a, "2");
  EXPECT_EQ(b, "3");
  EXPECT_EQ(c, "");
  EXPECT_EQ(wanted[2].found, StringMember::Found::absent);

  EXPECT_EQ(read_string_members(R"({"a":null,"b":[{"b":"in"}],"\u0063":"\ud800"})", wanted), "");
  EXPECT_EQ(wanted[0].found, StringMember::Found::null);
  EXPECT_EQ(wanted[1].found, StringMember::Found::other);
  EXPECT_EQ(wanted[2].found, StringMember::Found::string);
  EXPECT_TRUE(wanted[2].lone_surrogate);
  EXPECT_EQ(c, "\ufffd");

  EXPECT_EQ(read_string_members(R"({"a":"x","a":1})", wanted), "");
  EXPECT_EQ(wanted[0].found, StringMember::Found::other);
  EXPECT_EQ(a, "");
}

TEST(StringMembers, TheWholeTextIsChecked) {
  std::string a;
  std::vector<StringMember> wanted = {{.key = "a", .value = &a}};
  EXPECT_EQ(read_string_members(R"({"a":"x","b":01})", wanted), "a number that JSON does not know");
  EXPECT_EQ(read_string_members(R"({"a":"x"} {})", wanted), "something follows the JSON value");
  EXPECT_EQ(read_string_members(R"([{"a":"x"}])", wanted), "not a JSON object");
  EXPECT_EQ(read_string_members(R"("a")", wanted), "not a JSON object");
  EXPECT_EQ(read_string_members("", wanted), "empty");
}

// --- Json, the value ---------------------------------------------------------

TEST(JsonValue, IsWrittenDownWhereItIsNeeded) {
  const Json data = parsed(R"({"message":{"b":[1.10]},"other":1})");
  const std::string user = "alice";
  const Json message = {
      {"message", data["message"]}, {"sender", user}, {"seen", false}, {"id", 7u}, {"next", nullptr}};
  EXPECT_EQ(message.dump(), R"({"message":{"b":[1.10]},"sender":"alice","seen":false,"id":7,"next":null})");
  EXPECT_EQ(Json({{"a", "b"}}).dump(), R"({"a":"b"})");
  EXPECT_EQ(Json({{"a", 1}, {"b", 2}, {"a", 3}}).dump(), R"({"a":3,"b":2})");
  EXPECT_EQ(Json::array({1, "x", true, {{"k", Json::array()}}, nullptr}).dump(),
            R"([1,"x",true,{"k":[]},null])");
  EXPECT_EQ(Json::object().dump(), "{}");
  EXPECT_EQ(Json().dump(), "null");
  EXPECT_EQ(Json{}.dump(), "null");
  const Json copy{message};
  EXPECT_EQ(copy, message);
}

TEST(JsonValue, OnlyBooleansAreBooleans) {
  const char* text = "x";
  const char* nothing = nullptr;
  EXPECT_TRUE(Json(text).is_string());
  EXPECT_TRUE(Json(nothing).is_null());
  EXPECT_TRUE(Json(true).is_bool());
  EXPECT_TRUE(Json(1).is_number());
  EXPECT_TRUE(Json(std::string_view("v")).is_string());
  static_assert(!std::is_constructible_v<Json, void*>);
  static_assert(!std::is_constructible_v<Json, char>);
}

TEST(JsonValue, NumbersKeepTheirText) {
  for (const char* token : {"1.10", "1e400", "-0", "-0.0", "123456789012345678901234567890", "1E+05"}) {
    EXPECT_EQ(parsed(token).dump(), token);
    EXPECT_EQ(Json::number(token).dump(), token);
    EXPECT_EQ(parsed(std::string("[ ") + token + " ]").dump(), std::string("[") + token + "]");
  }
  EXPECT_TRUE(Json::number("01").is_null());
  EXPECT_TRUE(Json::number("1 ").is_null());
  EXPECT_TRUE(Json::number("").is_null());
  EXPECT_TRUE(Json::number("NaN").is_null());
}

TEST(JsonValue, CppNumbersBecomeJsonNumbers) {
  EXPECT_EQ(Json(std::numeric_limits<int64_t>::min()).text(), "-9223372036854775808");
  EXPECT_EQ(Json(std::numeric_limits<uint64_t>::max()).text(), "18446744073709551615");
  EXPECT_EQ(Json(int8_t{-5}).text(), "-5");
  EXPECT_TRUE(Json(std::nan("")).is_null());
  EXPECT_TRUE(Json(std::numeric_limits<double>::infinity()).is_null());
  EXPECT_EQ(Json(100000.0).text(), "100000");
  EXPECT_EQ(Json(0.1).text(), "0.1");
  for (const double value :
       {0.0, -0.0, 1.5, 1e21, 1e20, 123456789.123456789, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308,
        -2.5e-300, 999999999999999999999.0, 1.2345678901234567e-6, -1.2345678901234567e-6}) {
    const Json json = value;
    EXPECT_TRUE(is_json_number(json.text())) << json.text();
    EXPECT_EQ(json.as_double(), value);
    EXPECT_EQ(std::signbit(*json.as_double()), std::signbit(value));
  }
}

TEST(JsonValue, IntegersAreExactOrNothing) {
  const auto integer = [](const char* token) { return Json::number(token).as_int64(); };
  EXPECT_EQ(integer("7"), 7);
  EXPECT_EQ(integer("-0"), 0);
  EXPECT_EQ(integer("7.0"), 7);
  EXPECT_EQ(integer("7e2"), 700);
  EXPECT_EQ(integer("-7.25e2"), -725);
  EXPECT_EQ(integer("700e-2"), 7);
  EXPECT_EQ(integer("0.007e3"), 7);
  EXPECT_EQ(integer("0e99999999999999999999"), 0);
  EXPECT_EQ(integer("9223372036854775807"), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(integer("-9223372036854775808"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(integer("-9.223372036854775808e18"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(integer("9223372036854775808"), std::nullopt);
  EXPECT_EQ(integer("9.223372036854775808e18"), std::nullopt);
  EXPECT_EQ(integer("7.5"), std::nullopt);
  EXPECT_EQ(integer("75e-1"), std::nullopt);
  EXPECT_EQ(integer("1e400"), std::nullopt);
  EXPECT_EQ(integer("1e99999999999999999999"), std::nullopt);
  EXPECT_EQ(integer("1e-99999999999999999999"), std::nullopt);
  EXPECT_EQ(Json("7").as_int64(), std::nullopt);
  EXPECT_EQ(Json(true).as_int64(), std::nullopt);
}

TEST(JsonValue, DoublesAreRoundedOrNothing) {
  const auto real = [](const char* token) { return Json::number(token).as_double(); };
  EXPECT_EQ(real("1.10"), 1.1);
  EXPECT_EQ(real("123456789012345678901234567890"), 123456789012345678901234567890.0);
  EXPECT_EQ(real("1e400"), std::nullopt);
  EXPECT_EQ(real("-1e400"), std::nullopt);
  EXPECT_EQ(real("1e-400"), 0.0);
  EXPECT_EQ(real("5e-324"), 5e-324);
  EXPECT_TRUE(std::signbit(*real("-1e-400")));
  EXPECT_TRUE(std::signbit(*real("-0")));
  EXPECT_EQ(Json("1.5").as_double(), std::nullopt);
}

TEST(JsonValue, IdsReadAlikeAsNumberAndString) {
  const Json params = parsed(R"({"room_id":7,"name":"7","flag":true,"list":[7],"none":null})");
  EXPECT_EQ("chat_" + params.string("room_id"), "chat_7");
  EXPECT_EQ("chat_" + params.string("name"), "chat_7");
  EXPECT_EQ(params.string("flag"), "true");
  EXPECT_EQ(params.string("list"), "");
  EXPECT_EQ(params.string("none"), "");
  EXPECT_EQ(params.string("absent"), "");
  EXPECT_TRUE(params.has("none"));
  EXPECT_FALSE(params.has("absent"));
  EXPECT_EQ(params["room_id"].as_string(), std::nullopt);
  EXPECT_EQ(params["name"].as_string(), "7");
  EXPECT_EQ(params["flag"].as_bool(), true);
  EXPECT_EQ(params["name"].as_bool(), std::nullopt);
}

TEST(JsonValue, WhatIsNotThereIsNull) {
  const Json json = parsed(R"({"a":[1,2]})");
  EXPECT_TRUE(json["b"]["c"][5]["d"].is_null());
  EXPECT_TRUE(json["a"][2].is_null());
  EXPECT_EQ(json["a"][1].as_int64(), 2);
  EXPECT_TRUE(json[0].is_null());
  EXPECT_EQ(json["a"]["key"].size(), 0u);
  EXPECT_TRUE(Json("text").members().empty());
  EXPECT_TRUE(Json("text").elements().empty());
}

TEST(JsonValue, MembersKeepTheirOrder) {
  const Json json = parsed(R"({"z":1,"a":2,"m":3,"a":4,"":5})");
  std::string seen;
  for (const auto& [key, value] : json.members()) seen += key + "=" + std::string(value.text()) + ";";
  EXPECT_EQ(seen, "z=1;a=4;m=3;=5;");
  EXPECT_EQ(json.size(), 4u);
}

// Past some members duplicates are found by another method.
TEST(JsonValue, DuplicatesAmongManyMembers) {
  std::string text = "{";
  for (int round = 0; round < 3; ++round) {
    for (int key = 0; key < 1000; ++key) {
      text += "\"k" + std::to_string(key * 7919 % 1000) + "\":" + std::to_string(round * 1000 + key) + ",";
    }
  }
  text += "\"last\":0}";
  const Json json = parsed(text);
  ASSERT_EQ(json.size(), 1001u);
  for (size_t key = 0; key < 1000; ++key) {
    EXPECT_EQ(json.members()[key].key, "k" + std::to_string(key * 7919 % 1000));
    EXPECT_EQ(json.members()[key].value.as_int64(), static_cast<int64_t>(2000 + key));
  }
  EXPECT_EQ(json.members()[1000].key, "last");
}

// Quadratic time would not end: a megabyte of a peer's keys is 100,000 of them.
TEST(JsonValue, ManyDistinctKeysAreNoTrap) {
  std::string text = "{";
  for (int key = 0; key < 200000; ++key) text += "\"" + std::to_string(key) + "\":0,";
  text += "\"\":0}";
  EXPECT_EQ(parsed(text).size(), 200001u);
}

TEST(JsonValue, Changes) {
  Json json;
  json.set("a", 1).set("b", "two").set("a", Json::array({1}));
  EXPECT_EQ(json.dump(), R"({"a":[1],"b":"two"})");
  EXPECT_TRUE(json.erase("a"));
  EXPECT_FALSE(json.erase("a"));
  EXPECT_EQ(json.dump(), R"({"b":"two"})");
  json.push_back(3);
  EXPECT_EQ(json.dump(), "[3]");
  json.push_back(json);
  EXPECT_EQ(json.dump(), "[3,[3]]");
  json = json[1];  // an element takes its own array's place
  EXPECT_EQ(json.dump(), "[3]");
  json = Json("key");
  json.set(json.text(), 1);  // the key is a view of what is replaced
  EXPECT_EQ(json.dump(), R"({"key":1})");
  Json moved = std::move(json);
  EXPECT_TRUE(json.is_null());  // NOLINT(bugprone-use-after-move): that is promised
  EXPECT_EQ(moved.size(), 1u);
  Json& self = moved;
  moved = self;
  EXPECT_EQ(moved.dump(), R"({"key":1})");
}

TEST(JsonValue, Equality) {
  EXPECT_EQ(parsed(R"({"a":1,"b":[true,null]})"), parsed(R"( { "b" : [ true , null ] , "a" : 1 } )"));
  EXPECT_NE(parsed(R"({"a":1})"), parsed(R"({"a":1,"b":null})"));
  EXPECT_NE(parsed(R"({"a":1})"), parsed(R"({"b":1})"));
  EXPECT_NE(parsed("[1,2]"), parsed("[2,1]"));
  EXPECT_NE(parsed("1"), parsed("1.0"));
  EXPECT_NE(Json("1"), Json(1));
  EXPECT_NE(Json::array(), Json::object());
  EXPECT_NE(Json(), Json(false));
  EXPECT_EQ(parsed("\"\\u0041\""), "A");
}

TEST(JsonValue, DumpsReadBackEqual) {
  for (const JsonCase& document : kJsonCases) {
    if (!document.valid) continue;
    const Json json = parsed(document.text);
    EXPECT_EQ(parsed(json.dump()), json) << document.name;
    EXPECT_EQ(parsed(json.dump_rails()), json) << document.name;
  }
}

}  // namespace
}  // namespace ringcast
