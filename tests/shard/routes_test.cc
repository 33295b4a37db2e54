// Which route a request finds, and what it is told when there is none.
#include "shard/routes.h"

#include <gtest/gtest.h>

namespace ringcast {
namespace {

Routes sample() {
  Routes routes;
  routes.add(Route::for_http("GET", "/websocket", nullptr));
  routes.add(Route::for_websocket("/websocket", nullptr));
  routes.add(Route::for_websocket("/websocket/:room", nullptr));
  routes.add(Route::for_cable("/cable", nullptr));
  routes.add(Route::for_http("POST", "/send/:room", nullptr));
  routes.add(Route::for_http("GET", "/both", nullptr));
  routes.add(Route::for_http("POST", "/both", nullptr));
  routes.add(Route::for_http("GET", "/first/:any", nullptr));
  routes.add(Route::for_http("GET", "/first/second", nullptr));
  return routes;
}

Routes::Match match(const Routes& routes, std::string_view path, std::string_view method, bool upgrade) {
  const auto parsed = UrlPath::parse(path);
  EXPECT_TRUE(parsed.has_value());
  return routes.match(*parsed, method, upgrade);
}

TEST(Routes, APathMayCarryAPageAndASocket) {
  const Routes routes = sample();
  auto page = match(routes, "/websocket", "GET", false);
  ASSERT_NE(page.route, nullptr);
  EXPECT_EQ(page.route->kind, Route::Kind::http);
  auto socket = match(routes, "/websocket", "GET", true);
  ASSERT_NE(socket.route, nullptr);
  EXPECT_EQ(socket.route->kind, Route::Kind::websocket);
  EXPECT_EQ(match(routes, "/websocket", "HEAD", false).route, page.route);
}

TEST(Routes, ParametersComeDecoded) {
  const Routes routes = sample();
  const auto room = match(routes, "/websocket/caf%C3%A9", "GET", true);
  ASSERT_NE(room.route, nullptr);
  ASSERT_EQ(room.parameters.size(), 1u);
  EXPECT_EQ(room.parameters[0].name, "room");
  EXPECT_EQ(room.parameters[0].value, "caf\xC3\xA9");
  EXPECT_EQ(match(routes, "/websocket/a%2Fb", "GET", true).route, nullptr);
}

TEST(Routes, AnUpgradeOnAPageGetsThePage) {
  const Routes routes = sample();
  const auto page = match(routes, "/both", "GET", true);
  ASSERT_NE(page.route, nullptr);
  EXPECT_EQ(page.route->kind, Route::Kind::http);
}

TEST(Routes, TheFirstRegisteredWins) {
  const Routes routes = sample();
  EXPECT_EQ(match(routes, "/first/second", "GET", false).route->name, "/first/:any");
}

TEST(Routes, RefusalsSayWhatWouldDo) {
  const Routes routes = sample();
  EXPECT_EQ(match(routes, "/nowhere", "GET", false).status, 404);
  EXPECT_EQ(match(routes, "/nowhere", "GET", true).status, 404);

  const auto wrong_method = match(routes, "/both", "DELETE", false);
  EXPECT_EQ(wrong_method.route, nullptr);
  EXPECT_EQ(wrong_method.status, 405);
  EXPECT_EQ(wrong_method.allow, "GET, HEAD, POST");

  const auto plain = match(routes, "/websocket/7", "GET", false);
  EXPECT_EQ(plain.route, nullptr);
  EXPECT_EQ(plain.status, 426);
  EXPECT_FALSE(plain.cable);

  const auto cable = match(routes, "/cable/", "GET", false);
  EXPECT_EQ(cable.route, nullptr);
  EXPECT_TRUE(cable.cable);
  EXPECT_NE(match(routes, "/cable/", "GET", true).route, nullptr);
}

}  // namespace
}  // namespace ringcast
