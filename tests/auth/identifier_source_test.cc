// NAME=SOURCE: what may be written, what is read of a request, and that no two users can
// get one name.
#include "auth/identifier_source.h"

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

#include "auth/global_id.h"
#include "support/rails_signer.h"

namespace ringcast {
namespace {

using Status = IdentifierValue::Status;

class Request : public CredentialSource {
 public:
  std::map<std::string, std::string, std::less<>> cookies, headers, parameters;
  std::optional<Json> token;

  std::optional<std::string> cookie(std::string_view name) const override { return look_up(cookies, name); }
  std::optional<std::string> header(std::string_view name) const override { return look_up(headers, name); }
  std::optional<std::string> query(std::string_view name) const override { return look_up(parameters, name); }
  const Json* claims() const override { return token ? &*token : nullptr; }
  const KeyRing& keys() const override {
    static const std::string secret = "secret";
    static const KeyRing ring = KeyRing::derive({&secret, 1}, {.derivation = KeyDerivation::sha256});
    return ring;
  }
  int64_t now_unix_ms() const override { return 1795375362000; }

  void sign_cookie(const std::string& name, std::string_view json) {
    cookies[name] = test::sign_message(keys().keys().front().signed_cookie, enveloped(name, json));
  }
  void encrypt_cookie(const std::string& name, std::string_view json) {
    cookies[name] = test::encrypt_message(
        derive_rails_key("secret", "authenticated encrypted cookie", 32, Digest::sha256),
        enveloped(name, json));
  }

 private:
  static std::string enveloped(const std::string& name, std::string_view json) {
    return test::enveloped(json, "null", "\"cookie." + name + "\"");
  }
  static std::optional<std::string> look_up(const std::map<std::string, std::string, std::less<>>& in,
                                            std::string_view name) {
    const auto found = in.find(name);
    return found == in.end() ? std::nullopt : std::optional(found->second);
  }
};

IdentifierSource parsed(std::string_view text) {
  std::string error;
  auto source = IdentifierSource::parse(text, &error);
  if (!source) throw std::runtime_error(std::string(text) + ": " + error);
  return *source;
}

IdentifierValue read(std::string_view source, const Request& request) {
  return parsed("user=" + std::string(source)).evaluate(request);
}

std::string error_of(std::string_view text) {
  std::string error;
  EXPECT_FALSE(IdentifierSource::parse(text, &error)) << text;
  EXPECT_NE(error, "") << text;
  return error;
}

TEST(IdentifierSource, ReadsEachKindOfCredential) {
  Request request;
  request.sign_cookie("user_id", "42");
  request.encrypt_cookie("_app_session", R"({"user":{"id":"a-7"},"x/y":["p",{"~":"q"}]})");
  request.headers["X-User"] = "ann";
  request.parameters["name"] = "bob";
  request.token =
      Json::parse(R"({"sub":"s1","org":{"id":9},"https://example.com/id":"e","ext":"{\"user_id\":5}"})");

  EXPECT_EQ(read("cookies.signed.user_id", request).value, Json(42));
  EXPECT_EQ(read("cookies.encrypted._app_session/user/id", request).value, Json("a-7"));
  EXPECT_EQ(read("cookies.encrypted._app_session/x~1y/0", request).value, Json("p"));
  EXPECT_EQ(read("cookies.encrypted._app_session/x~1y/1/~0", request).value, Json("q"));
  EXPECT_EQ(read("header.X-User", request).value, Json("ann"));
  EXPECT_EQ(read("query.name", request).value, Json("bob"));
  EXPECT_EQ(read("jwt.sub", request).value, Json("s1"));
  EXPECT_EQ(read("jwt.org/id", request).value, Json(9));
  EXPECT_EQ(read("jwt.https:~1~1example.com~1id", request).value, Json("e"));
  EXPECT_EQ(read("jwt.ext", request).value, Json(R"({"user_id":5})"));
  EXPECT_EQ(read("jwt.ext/user_id", request).value, Json(5));
}

TEST(IdentifierSource, FindsTheUserOfDevise) {
  Request request;
  request.encrypt_cookie("_app_session", R"({"session_id":"0","warden.user.user.key":[[7],"$2a$12$salt"],)"
                                         R"("warden.user.admin.key":[["u-1"],"salt"]})");
  EXPECT_EQ(read("devise._app_session", request).value, Json(7));
  EXPECT_EQ(read("devise._app_session/admin", request).value, Json("u-1"));
  EXPECT_EQ(read("gid://app/User/{devise._app_session}", request).value, Json("gid://app/User/7"));
  EXPECT_EQ(read("devise._app_session/guest", request).status, Status::missing);
  EXPECT_EQ(read("cookies.encrypted._app_session/warden.user.user.key/0/0", request).value, Json(7));
}

TEST(IdentifierSource, MakesGlobalIds) {
  Request request;
  request.sign_cookie("user_id", "42");
  const IdentifierValue value = read("gid://ref-chat/User/{cookies.signed.user_id}", request);
  ASSERT_TRUE(value) << value.reason;
  EXPECT_EQ(value.value, Json("gid://ref-chat/User/42"));

  request.sign_cookie("user_id", R"("a b/c")");
  EXPECT_EQ(read("gid://app/User/{cookies.signed.user_id}", request).value, Json("gid://app/User/a+b%2Fc"));
  request.sign_cookie("user_id", R"("../Admin/1?x#y")");
  EXPECT_EQ(read("gid://app/User/{cookies.signed.user_id}", request).value,
            Json("gid://app/User/..%2FAdmin%2F1%3Fx%23y"));
  for (const std::string_view number : {"1.0", "4e1", "1.5"}) {
    request.sign_cookie("user_id", number);
    EXPECT_EQ(read("gid://app/User/{cookies.signed.user_id}", request).status, Status::refused) << number;
  }
  request.token = Json::parse(R"({"shop":1,"order":"x"})");
  EXPECT_EQ(read("gid://app/Order/{jwt.shop}/{jwt.order}", request).value, Json("gid://app/Order/1/x"));
}

TEST(IdentifierSource, NobodyIsMissingAndAForgerIsRefused) {
  Request request;
  EXPECT_EQ(read("cookies.signed.user_id", request).status, Status::missing);
  EXPECT_EQ(read("cookies.encrypted.user_id", request).status, Status::missing);
  EXPECT_EQ(read("jwt.sub", request).status, Status::missing);
  EXPECT_EQ(read("header.X-User", request).status, Status::missing);
  EXPECT_EQ(read("query.user", request).status, Status::missing);
  EXPECT_EQ(read("gid://app/User/{cookies.signed.user_id}", request).status, Status::missing);

  request.sign_cookie("user_id", "42");
  request.sign_cookie("admin_id", "1");
  request.cookies["user_id"].back() ^= 1;
  IdentifierValue value = read("cookies.signed.user_id", request);
  EXPECT_EQ(value.status, Status::refused);
  EXPECT_EQ(value.cookie_error, RailsError::bad_signature);
  EXPECT_EQ(value.reason, "the signed cookie user_id was not made with our secret");
  EXPECT_TRUE(value.value.is_null());

  request.cookies["user_id"] = request.cookies["admin_id"];
  EXPECT_EQ(read("cookies.signed.user_id", request).cookie_error, RailsError::wrong_purpose);
  request.sign_cookie("user_id", "\x04\x08i/");
  EXPECT_EQ(read("gid://app/User/{cookies.signed.user_id}", request).cookie_error, RailsError::marshal);
  // A signed cookie says nothing as an encrypted one.
  request.sign_cookie("user_id", "42");
  EXPECT_EQ(read("cookies.encrypted.user_id", request).status, Status::refused);
}

TEST(IdentifierSource, OnlyNamesAreNames) {
  Request request;
  const auto status_of = [&](std::string_view json) {
    request.token = Json::object();
    request.token->set("sub", *Json::parse(json));
    return read("jwt.sub", request).status;
  };
  for (const std::string_view json : {"7", "0", "1.5", "\"a\"", "\" a\"", "\"\xc3\xbc\""}) {
    EXPECT_EQ(status_of(json), Status::ok) << json;
  }
  for (const std::string_view json : {"null", "false", "\"\"", "\"  \"", "\"\\n\\t\""}) {
    EXPECT_EQ(status_of(json), Status::missing) << json;
  }
  for (const std::string_view json :
       {"true", "[]", "[1]", "{}", "{\"id\":1}", "\"a\\u0000b\"", "\"a\\nb\"", "\"\\u007f\""}) {
    EXPECT_EQ(status_of(json), Status::refused) << json;
  }
  EXPECT_EQ(status_of("\"" + std::string(kIdentifierValueBytesMax, 'a') + "\""), Status::ok);
  EXPECT_EQ(status_of("\"" + std::string(kIdentifierValueBytesMax + 1, 'a') + "\""), Status::refused);
  EXPECT_EQ(status_of(std::string(kIdentifierValueBytesMax + 1, '7')), Status::refused);
  // A list of names, where one is asked for.
  const auto list = [&](std::string_view json) {
    request.token->set("may", *Json::parse(json));
    return read("jwt.may[]", request);
  };
  EXPECT_EQ(list(R"(["ACME",7])").value.dump(), R"(["ACME",7])");
  EXPECT_EQ(list("[]").status, Status::ok);
  for (const std::string_view json :
       {"\"ACME\"", "7", "{}", "[[]]", "[null]", "[\"\"]", "[true]", "[\"a\\nb\"]"}) {
    EXPECT_EQ(list(json).status, Status::refused) << json;
  }
  EXPECT_EQ(list("null").status, Status::missing);
  EXPECT_EQ(list("[" + std::string(kIdentifierListBytesMax + 1, '7') + "]").status, Status::refused);
  std::string error;
  EXPECT_FALSE(IdentifierSource::parse("a=query.b[]", &error));
  request.parameters["name"] = "\xff";
  EXPECT_EQ(read("query.name", request).status, Status::refused);
}

TEST(IdentifierSource, PointersMissWithoutHarm) {
  Request request;
  request.token = Json::parse(R"({"a":[{"b":1}],"s":"text","ext":"{"})");
  EXPECT_EQ(read("jwt.a/0/b", request).value, Json(1));
  for (const std::string_view source :
       {"jwt.a/1/b", "jwt.a/00/b", "jwt.a/-1/b", "jwt.a/-/b", "jwt.a/0x0/b",
        "jwt.a/99999999999999999999999/b", "jwt.a//b", "jwt.a/0/b/c", "jwt.s/0", "jwt.a/0/B"}) {
    EXPECT_EQ(read(source, request).status, Status::missing) << source;
  }
  EXPECT_EQ(read("jwt.ext/user", request).status, Status::refused);
}

// The text between two values never occurs in the first one, so names can be told apart.
TEST(IdentifierSource, TwoUsersNeverGetOneName) {
  Request request;
  const auto name_of = [&](const std::string& source, const std::string& a, const std::string& b) {
    request.token = Json{{"a", a}, {"b", b}};
    const IdentifierValue found = read(source, request);
    return found ? identifier_param(found.value) : std::string();
  };
  EXPECT_EQ(name_of("{jwt.a}:{jwt.b}", "x", "y:z"), "x:y:z");
  EXPECT_EQ(name_of("{jwt.a}:{jwt.b}", "x:y", "z"), "");
  EXPECT_EQ(name_of("{jwt.a}::{jwt.b}", "x", ":y"), "x:::y");
  EXPECT_EQ(name_of("{jwt.a}::{jwt.b}", "x:", "y"), "");
  EXPECT_EQ(name_of("gid://app/A/{jwt.a}-{jwt.b}", "x-y", "z"), "");
  EXPECT_EQ(name_of("gid://app/A/{jwt.a}/{jwt.b}", "x/y", "z"), global_id_param("gid://app/A/x%2Fy/z"));

  std::map<std::string, std::string> owners;
  const std::vector<std::string> words = {"x", "y",  ":",  "::", "x:", ":x", "x:y",
                                          "-", "--", "x-", "-x", "/",  "%2F"};
  for (const std::string source : {"{jwt.a}:{jwt.b}", "{jwt.a}::{jwt.b}", "n{jwt.a}--{jwt.b}-",
                                   "gid://app/A/{jwt.a}/{jwt.b}", "gid://app/A/{jwt.a}-{jwt.b}"}) {
    owners.clear();
    for (const std::string& a : words) {
      for (const std::string& b : words) {
        const std::string name = name_of(source, a, b);
        if (name.empty()) continue;
        const auto [owner, is_new] = owners.emplace(name, a + " and " + b);
        EXPECT_TRUE(is_new) << source << ": " << owner->second << " or " << a << " and " << b;
      }
    }
    EXPECT_GT(owners.size(), words.size());
  }
}

TEST(IdentifierSource, SaysWhatItNeeds) {
  EXPECT_TRUE(parsed("u=cookies.signed.a").needs_cookie_keys());
  EXPECT_TRUE(parsed("u=devise.a").needs_cookie_keys());
  EXPECT_FALSE(parsed("u=cookies.signed.a").needs_jwt());
  EXPECT_TRUE(parsed("u=x{jwt.a}:{header.b}").needs_jwt());
  EXPECT_TRUE(parsed("u=x{jwt.a}:{header.b}").needs_trusted_headers());
  EXPECT_FALSE(parsed("u=query.a").needs_trusted_headers());
  EXPECT_TRUE(parsed("u=gid://app/User/{jwt.sub}").is_global_id());
  EXPECT_FALSE(parsed("u=user-{jwt.sub}").is_global_id());
  const IdentifierSource source = parsed("current_user=query.a=b");
  EXPECT_EQ(source.name(), "current_user");
  EXPECT_EQ(source.text(), "query.a=b");
}

TEST(IdentifierSource, MistakesAreFoundAtStart) {
  for (const std::string_view text : {"",
                                      "user",
                                      "=jwt.sub",
                                      "user=",
                                      "1user=jwt.sub",
                                      "us er=jwt.sub",
                                      "user-id=jwt.sub",
                                      "user=sub",
                                      "user=jwt",
                                      "user=jwt.",
                                      "user=JWT.sub",
                                      "user=cookies.signed.",
                                      "user=cookies.signed./a",
                                      "user=cookies.signed.a b",
                                      "user=cookies.signed.a;b",
                                      "user=cookies.user_id",
                                      "user=devise",
                                      "user=devise.",
                                      "user=devise.a/",
                                      "user=devise.a/b/c",
                                      "user=header.",
                                      "user=header.a b",
                                      "user=header.A/b",
                                      "user=query.",
                                      "user=cookies.signed.a/~2",
                                      "user=cookies.signed.a/~",
                                      "user=jwt.a~",
                                      "user={jwt.sub",
                                      "user=jwt.sub}",
                                      "user={}",
                                      "user={jwt.sub}}",
                                      "user={{jwt.sub}}",
                                      "user={jwt.a}{jwt.b}",
                                      "user=a{sub}b",
                                      "user=gid://app/User/1",
                                      "user=gid://app/{jwt.sub}",
                                      "user=gid://{jwt.app}/User/{jwt.sub}",
                                      "user=gid://app/{jwt.type}/{jwt.sub}",
                                      "user=gid://app/user/{jwt.sub}",
                                      "user=gid://app/User/{jwt.sub}/",
                                      "user=gid://app/User/{jwt.sub}?a=b",
                                      "user=gid://app/User{jwt.sub}",
                                      "user=a\n{jwt.sub}",
                                      "user=\xff{jwt.sub}"}) {
    error_of(text);
  }
  error_of("user=query." + std::string(2000, 'a'));
  EXPECT_NE(error_of("user=cookies.user_id").find("anybody can write"), std::string::npos);
  EXPECT_NE(error_of("user=devise").find("session cookie"), std::string::npos);
}

}  // namespace
}  // namespace ringcast
