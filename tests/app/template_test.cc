// Placeholders: what may stand where, what becomes a name and what never does, and that a
// payload is JSON whatever clients send.
#include "app/template.h"

#include <gtest/gtest.h>

#include "ringcast/broadcast.h"

namespace ringcast {
namespace {

const TemplateContext kEverything{{TemplateRoot::data, TemplateRoot::params, TemplateRoot::identifiers,
                                   TemplateRoot::text, TemplateRoot::number},
                                  "board"};

class Templates : public testing::Test {
 protected:
  void data(std::string_view json) { data_ = *Json::parse(json); }
  void params(std::string_view json) { params_ = *Json::parse(json); }
  void identifiers(std::string_view json) { identifiers_ = *Json::parse(json); }

  TemplateValues values() const {
    TemplateValues values;
    values.set(TemplateRoot::data, data_).set(TemplateRoot::params, params_);
    values.set(TemplateRoot::identifiers, identifiers_);
    values.set(TemplateRoot::number, number_);
    return values;
  }

  // "refused: …" where there is none.
  std::string name(std::string_view text) {
    std::string error;
    const auto made = TextTemplate::parse_name(text, kEverything, error);
    if (!made) return "wrong: " + error;
    std::string why;
    const auto found = made->name(values(), &why);
    return found ? *found : "refused: " + why;
  }

  std::string payload(std::string_view shape, size_t bytes_max = 10'000) {
    std::string error;
    const auto made = PayloadTemplate::parse(*Json::parse(shape), kEverything, error);
    if (!made) return "wrong: " + error;
    std::string out;
    switch (made->render(values(), bytes_max, out)) {
      case PayloadTemplate::Rendering::too_large:
        return "too large";
      case PayloadTemplate::Rendering::too_deep:
        return "too deep";
      case PayloadTemplate::Rendering::ok:
        break;
    }
    EXPECT_TRUE(Json::parse(out)) << out;
    return out;
  }

  Json data_, params_, identifiers_;
  const Json number_ = 17;
};

TEST_F(Templates, ANameIsSpelledWithSingleValuesOnly) {
  params(
      R"({"room":7,"s":"7","yes":true,"nil":null,"blank":"","list":[1],"deep":{"a":["x","y"]},"tab":"a\tb"})");
  EXPECT_EQ(name("chat_{params.room}"), "chat_7");
  EXPECT_EQ(name("chat_{params.s}"), "chat_7");
  EXPECT_EQ(name("chat_{params.yes}_{number}"), "chat_true_17");
  EXPECT_EQ(name("{params.deep.a.1}"), "y");
  EXPECT_EQ(name("a{{b}}c"), "a{b}c");
  EXPECT_EQ(name("chat_{params.nil}"), "refused: {params.nil} is not there");
  EXPECT_EQ(name("chat_{params.none}"), "refused: {params.none} is not there");
  EXPECT_EQ(name("chat_{params.deep.a.2}"), "refused: {params.deep.a.2} is not there");
  EXPECT_EQ(name("chat_{params.room.x}"), "refused: {params.room.x} is not there");
  EXPECT_EQ(name("chat_{params.blank}"), "refused: {params.blank} is empty");
  EXPECT_EQ(name("chat_{params.list}"), "refused: {params.list} is not a single value");
  EXPECT_EQ(name("chat_{params.tab}"), "refused: {params.tab} holds a control character");
  EXPECT_EQ(name("chat_{identifiers.user}"), "refused: {identifiers.user} is not there");
}

TEST_F(Templates, ADefaultStandsForWhatIsNotThereAndForNothingElse) {
  params(R"({"list":[1],"nil":null})");
  EXPECT_EQ(name("chat_{params.room|channel}"), "chat_channel");
  EXPECT_EQ(name("chat_{params.nil|channel}"), "chat_channel");
  EXPECT_EQ(name("chat_{params.list|channel}"), "refused: {params.list|channel} is not a single value");
  EXPECT_EQ(payload(R"("{params.room|a \" quote}")"), R"("a \" quote")");
}

TEST_F(Templates, TwoSetsOfValuesNeverSpellOneName) {
  const auto both = [&](std::string_view a, std::string_view b) {
    params(Json({{"a", a}, {"b", b}}).dump());
    return name("x:{params.a}::{params.b}");
  };
  EXPECT_EQ(both("1", "2::3"), "x:1::2::3");
  EXPECT_TRUE(both("1::2", "3").starts_with("refused"));
  EXPECT_EQ(both("1:2", "3"), "x:1:2::3");
  EXPECT_TRUE(both("1:", "2").starts_with("refused")) << "it could be 1 and :2 as well";
}

TEST_F(Templates, GlobalIdsAreSpelledAsRailsSpellsThem) {
  params(R"({"id":1,"odd":"a b/c","none":[]})");
  identifiers(R"({"current_user":"gid://app/User/1","plain":"ann"})");
  EXPECT_EQ(name("users:{gid:identifiers.current_user}"), "users:Z2lkOi8vYXBwL1VzZXIvMQ");
  EXPECT_EQ(name("posts:{gid:Post:params.id}"), "posts:Z2lkOi8vYm9hcmQvUG9zdC8x");
  EXPECT_EQ(name("{gid:Admin::Post:params.odd}"), global_id_param("gid://board/Admin::Post/a+b%2Fc"));
  EXPECT_TRUE(name("{gid:identifiers.plain}").starts_with("refused"));
  EXPECT_TRUE(name("{gid:Post:params.none}").starts_with("refused"));
  EXPECT_EQ(name("{gid:post:params.id}"), "wrong: {gid:post:params.id}: 'post' is not the name of a model");
  EXPECT_EQ(payload(R"(["{gid:Post:params.id}"])"), R"(["Z2lkOi8vYm9hcmQvUG9zdC8x"])");
  std::string error;
  EXPECT_FALSE(TextTemplate::parse("{gid:Post:params.id}", {{TemplateRoot::params}, ""}, error));
  EXPECT_NE(error.find("global-id-app"), std::string::npos) << error;
}

TEST_F(Templates, WhatIsNoTemplateIsSaid) {
  EXPECT_EQ(name("{parms.x}"), "wrong: {parms.x}: here there are data, params, identifiers, text, number");
  EXPECT_EQ(name("{path.x}"), "wrong: {path.x}: here there are data, params, identifiers, text, number");
  EXPECT_EQ(name("{params.}"), "wrong: {params.}: a name is missing beside a dot");
  EXPECT_EQ(name("{params}"), "wrong: {params} is not a single value; name one of its members");
  EXPECT_TRUE(name("a{params.x").starts_with("wrong: '{params.x': a { has no }"));
  EXPECT_TRUE(name("a}").starts_with("wrong: 'a}': a } has no {"));
  EXPECT_TRUE(name("{params.a}{params.b}").starts_with("wrong: between {params.a} and {params.b}"));
  EXPECT_EQ(name(""), "wrong: it is empty");
}

TEST_F(Templates, APayloadKeepsWhatAClientSentAndItsKind) {
  data(
      R"({"message":"hi","price":1.10,"big":123456789012345678901234567890,"on":false,"list":[1,{"a":null}]})");
  EXPECT_EQ(
      payload(R"({"message":"{data.message}","z":{"price":"{data.price}"},"a":["{data.big}","{data.on}"]})"),
      R"({"message":"hi","z":{"price":1.10},"a":[123456789012345678901234567890,false]})");
  EXPECT_EQ(payload(R"("{data.list}")"), R"([1,{"a":null}])");
  EXPECT_EQ(payload(R"({"text":"{data.message}, {data.price}: {data.list}{data.none}.","n":3})"),
            R"({"text":"hi, 1.10: [1,{\"a\":null}].","n":3})");
  EXPECT_EQ(payload(R"({"none":"{data.none}","t":true,"f":1.5,"nil":null})"),
            R"({"none":null,"t":true,"f":1.5,"nil":null})");
}

TEST_F(Templates, NothingAClientSendsBreaksOutOfItsPlace) {
  data(
      Json({{"x", "\",\"admin\":true,\"y\":\"</script>\xE2\x80\xA8\\ \n {data.y} &"}, {"y", "not looked up"}})
          .dump());
  const std::string inside = R"(\",\"admin\":true,\"y\":\"\u003c/script\u003e\u2028\\ \n {data.y} \u0026)";
  EXPECT_EQ(payload(R"({"x":"{data.x}"})"), R"({"x":")" + inside + R"("})");
  EXPECT_EQ(payload(R"({"x":"<b>{data.x}</b>"})"), R"({"x":"\u003cb\u003e)" + inside + R"(\u003c/b\u003e"})");
  EXPECT_EQ(payload(R"({"<{{\"":"}}"})"), R"({"\u003c{{\"":"}"})");
}

TEST_F(Templates, APayloadIsBoundedInSizeAndDepth) {
  data(Json({{"x", std::string(1000, '<')}}).dump());
  EXPECT_EQ(payload(R"("{data.x}{data.x}")"), "too large");
  EXPECT_NE(payload(R"("{data.x}")"), "too large");
  std::string deep;
  for (int i = 0; i < 98; ++i) deep += "[";
  for (int i = 0; i < 98; ++i) deep += "]";
  data("{\"x\":" + deep + "}");
  EXPECT_NE(payload(R"([["{data.x}"]])"), "too deep");
  EXPECT_EQ(payload(R"([[["{data.x}"]]])"), "too deep");
  EXPECT_NE(payload(R"([[["{data.x}!"]]])"), "too deep") << "as text it has no depth";
}

}  // namespace
}  // namespace ringcast
