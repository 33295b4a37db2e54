#include "protocol/upgrade.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/base64.h"
#include "base/sha1.h"
#include "protocol/http_response.h"
#include "protocol/http_syntax.h"

namespace ringcast {
namespace {

using http::append;

constexpr std::string_view kWebSocketGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr size_t kKeyBytes = 24;

Upgrade refuse(int status, std::string_view reason) {
  return {.kind = Upgrade::Kind::refused, .status = status, .reason = reason};
}

// 22 characters of base64 and "==": 16 bytes. They are not decoded: RFC 6455 4.2.2 needs
// them only hashed, and spare bits some clients leave in the last character harm nobody.
bool is_key(std::string_view key) {
  const auto is_base64 = [](char c) { return is_letter(c) || is_digit(c) || c == '+' || c == '/'; };
  return key.size() == kKeyBytes && key.ends_with("==") && std::all_of(key.begin(), key.end() - 2, is_base64);
}

}  // namespace

Upgrade check_upgrade(const HttpRequest& request) {
  if (!request.has_token("upgrade", "websocket") || !request.has_token("connection", "upgrade")) return {};
  if (request.method() != "GET") return refuse(405, "upgrade with a method other than GET");
  if (request.version_minor() == 0) return refuse(400, "upgrade in HTTP/1.0");
  if (request.has_body()) return refuse(400, "upgrade with a body");
  // RFC 6455 4.4: the client may try again with the version we name.
  if (request.count("sec-websocket-version") != 1 || request.header("sec-websocket-version") != "13") {
    return refuse(426, "WebSocket version is not 13");
  }
  const std::string_view key = request.header("sec-websocket-key");
  if (request.count("sec-websocket-key") != 1 || !is_key(key))
    return refuse(400, "malformed Sec-WebSocket-Key");
  return {.kind = Upgrade::Kind::accepted, .key = key};
}

Upgrade upgrade_required() {
  return refuse(426, "not an upgrade on a WebSocket route");
}

std::string_view choose_subprotocol(const HttpRequest& request, std::span<const std::string_view> known) {
  std::string_view chosen;
  const auto choose = [&](std::string_view offered) {
    const auto found = std::ranges::find(known, offered);
    if (found == known.end()) return false;
    chosen = *found;
    return true;
  };
  for (const HttpHeader& header : request.headers()) {
    if (!equals_ignoring_case(header.name, "sec-websocket-protocol")) continue;
    if (http::any_list_member(header.value, choose)) break;
  }
  return chosen;
}

void append_switching_protocols(std::vector<std::byte>& out, std::string_view key,
                                std::string_view subprotocol, std::string_view extensions) {
  std::array<char, kKeyBytes + kWebSocketGuid.size()> text;
  key = key.substr(0, kKeyBytes);
  const auto end = std::ranges::copy(kWebSocketGuid, std::ranges::copy(key, text.begin()).out).out;
  const auto digest = sha1(as_bytes({text.begin(), end}));

  append(out,
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Accept: ");
  append(out, base64_encode(digest));
  append(out, "\r\n");
  if (!subprotocol.empty()) {
    append(out, "Sec-WebSocket-Protocol: ");
    append(out, subprotocol);
    append(out, "\r\n");
  }
  if (!extensions.empty()) {
    append(out, "Sec-WebSocket-Extensions: ");
    append(out, extensions);
    append(out, "\r\n");
  }
  append(out, "\r\n");
}

void append_refusal(std::vector<std::byte>& out, const Upgrade& upgrade, bool head_only) {
  static constexpr HttpHeader kVersion[] = {{"Sec-WebSocket-Version", "13"}};
  static constexpr HttpHeader kAllow[] = {{"Allow", "GET"}};
  HttpReply reply = error_reply(upgrade.status);
  reply.head_only = head_only;
  if (upgrade.status == 426) {
    reply.headers = kVersion;
    reply.offers_upgrade = true;
  } else if (upgrade.status == 405) {
    reply.headers = kAllow;
  }
  append_response(out, reply);
}

}  // namespace ringcast
