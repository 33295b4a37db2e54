#include "adapter/cable_yml.h"

#include <gtest/gtest.h>

#include <map>

namespace ringcast {
namespace {

using Variables = std::map<std::string, std::string>;

EnvironmentLookup lookup(const Variables& variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

CableYml read(std::string_view text, const Variables& variables = {},
              std::string_view environment = "production") {
  std::string error;
  const std::optional<CableYml> cable = read_cable_yml(text, environment, lookup(variables), &error);
  EXPECT_TRUE(cable) << error;
  return cable.value_or(CableYml());
}

std::string refusal(std::string_view text, const Variables& variables = {},
                    std::string_view environment = "production") {
  std::string error;
  EXPECT_FALSE(read_cable_yml(text, environment, lookup(variables), &error)) << text;
  EXPECT_FALSE(error.empty());
  return error;
}

constexpr std::string_view kAsGenerated = R"(development:
  adapter: async

test:
  adapter: test

production:
  adapter: redis
  url: <%= ENV.fetch("REDIS_URL") { "redis://localhost:6379/1" } %>
  channel_prefix: my_app_production
)";

TEST(CableYml, ReadsTheFileThatRailsGenerates) {
  const CableYml cable = read(kAsGenerated);
  EXPECT_EQ(cable.engine, CableYml::Engine::redis);
  EXPECT_EQ(cable.url, "redis://localhost:6379/1");
  EXPECT_EQ(cable.channel_prefix, "my_app_production");
  EXPECT_TRUE(cable.ignored.empty());
  EXPECT_EQ(read(kAsGenerated, {{"REDIS_URL", "rediss://h"}}).url, "rediss://h");
  EXPECT_EQ(read(kAsGenerated, {}, "development").engine, CableYml::Engine::async);
  EXPECT_EQ(read(kAsGenerated, {}, "test").engine, CableYml::Engine::test);
  EXPECT_NE(refusal(kAsGenerated, {}, "staging").find("staging"), std::string::npos);
}

TEST(CableYml, CarriesOutAnchorsAndMerges) {
  constexpr std::string_view kText = R"(
redis: &redis
  adapter: redis
  url: redis://shared
  channel_prefix: shared
prefixed: &prefixed { channel_prefix: other, id: name }
production:
  <<: *redis
  url: redis://own
above:
  url: redis://own
  <<: *redis
staging:
  <<: [*prefixed, *redis]
review: *redis
)";
  EXPECT_EQ(read(kText).url, "redis://own");
  EXPECT_EQ(read(kText).channel_prefix, "shared");
  EXPECT_EQ(read(kText, {}, "above").url, "redis://shared");  // Ruby's Psych says so
  EXPECT_EQ(read(kText, {}, "staging").channel_prefix, "other");
  EXPECT_EQ(read(kText, {}, "staging").url, "redis://shared");
  EXPECT_EQ(read(kText, {}, "staging").client_name, "name");
  EXPECT_EQ(read(kText, {}, "review").url, "redis://shared");
}

TEST(CableYml, UnderstandsTheErbThatSuchFilesHold) {
  const auto expanded = [](std::string_view text, const Variables& variables = {}) {
    std::string error;
    return expand_erb(text, lookup(variables), &error).value_or("refused: " + error);
  };
  const Variables set = {{"X", "value"}, {"EMPTY", ""}};
  EXPECT_EQ(expanded(R"(a<%= ENV.fetch("X") { "d" } %>b)", set), "avalueb");
  EXPECT_EQ(expanded(R"(a<%=ENV.fetch('Y'){'d'}%>b)", set), "adb");
  EXPECT_EQ(expanded(R"(<%= ENV.fetch("Y", "d") -%>)"
                     "\nnext",
                     set),
            "dnext");
  EXPECT_EQ(expanded(R"(<%= ENV.fetch("Y", 6379) %>)", set), "6379");
  EXPECT_EQ(expanded(R"(<%= ENV.fetch("EMPTY", "d") %>)", set), "");
  EXPECT_EQ(expanded(R"([<%= ENV["X"] %>|<%= ENV['Y'] %>|<%= ENV["Y"] || "d" %>])", set), "[value||d]");
  EXPECT_EQ(expanded(R"(<%= ENV.fetch("Y") { ENV.fetch("Z", "inner") } %>)", set), "inner");
  EXPECT_EQ(expanded(R"(<%= ENV.fetch("X") { ENV.fetch("Z") } %>)", set), "value");
  EXPECT_EQ(expanded("<%# system('rm') %>a <%% b", set), "a <% b");
  EXPECT_NE(expanded("a\n<%= ENV.fetch('Y') %>", set).find("line 2: <%= ENV.fetch('Y') %> needs"),
            std::string::npos);
}

TEST(CableYml, RefusesOtherRubyByItsText) {
  for (const char* ruby : {"<%= Rails.application.credentials.redis_url %>", "<% if true %>", "<%= `id` %>",
                           "<%= ENV.fetch %>", R"(<%= "#{ENV['X']}" %>)", R"(<%= ENV.fetch("X") + "1" %>)",
                           R"(<%= ENV.fetch("X", "d") { "e" } %>)"}) {
    const std::string error = refusal("production:\n  adapter: redis\n  url: " + std::string(ruby) + "\n");
    EXPECT_NE(error.find("line 3"), std::string::npos) << error;
    EXPECT_NE(error.find(ruby), std::string::npos) << error;
  }
  EXPECT_NE(refusal("production:\n  url: <%= ENV").find("line 2"), std::string::npos);
}

TEST(CableYml, MakesAUrlOfRedisRbsOptions) {
  EXPECT_EQ(read("production: {adapter: redis}").url, "redis://localhost");
  EXPECT_EQ(
      read(
          R"(production: {adapter: redis, host: h, port: 7000, db: 3, username: u, password: "p@:/ w", ssl: true})")
          .url,
      "rediss://u:p%40%3A%2F%20w@h:7000/3");
  EXPECT_EQ(read("production: {adapter: redis, path: /run/r.sock, db: 2, password: s}").url,
            "unix://:s@/run/r.sock?db=2");
  const CableYml cable = read(R"(
production:
  adapter: redis
  url: rediss://h
  id: ~
  reconnect_attempts: [0, 1]
  timeout: 1
  ssl_params:
    verify_mode: <%= ENV["VERIFY"] || "none" %>
    ca_file: /etc/ca.pem
)");
  EXPECT_FALSE(cable.tls_verify);
  EXPECT_EQ(cable.tls_ca_file, "/etc/ca.pem");
  EXPECT_EQ(cable.client_name, "");
  EXPECT_EQ(cable.ignored, (std::vector<std::string>{"reconnect_attempts.", "timeout"}));
  EXPECT_TRUE(read("production: {adapter: redis, ssl_params: {verify_mode: peer}}").tls_verify);
}

TEST(CableYml, NamesWhatItDoesNotSupport) {
  EXPECT_EQ(read("production: {adapter: postgresql}").engine, CableYml::Engine::postgresql);
  EXPECT_NE(refusal("production: {adapter: solid_cable, polling_interval: 0.1.seconds}").find("solid_cable"),
            std::string::npos);
  EXPECT_NE(refusal("production: {adapter: nats}").find("nats"), std::string::npos);
  EXPECT_NE(refusal("production: {url: redis://h}").find("no adapter"), std::string::npos);
  EXPECT_NE(refusal("production: {adapter: redis, sentinels: [{host: a}]}").find("Sentinel"),
            std::string::npos);
}

TEST(CableYml, RefusesWhatIsNoYamlAndWhatHasNoEnd) {
  EXPECT_NE(refusal("production:\n  adapter: [redis\n").find("line"), std::string::npos);
  refusal("");
  refusal("production");
  refusal("production: 7");
  refusal("production:\n  <<: 7\n");
  refusal("production: &p\n  <<: *p\n  adapter: redis\n");
  std::string laughs = "a0: &a0 {adapter: redis}\n";
  for (int i = 1; i < 8; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " {<<: [";
    for (int j = 0; j < 20; ++j) laughs += before + (j < 19 ? ", " : "");
    laughs += "]}\n";
  }
  refusal(laughs + "production: {<<: *a7}\n");
}

}  // namespace
}  // namespace ringcast
