// Requests, and what an upgrade makes of them. The bytes are played whole and cut in a
// way that depends on them; both must give the same script. Limits are small, so that a
// fuzzer reaches them. Every accepted or refused upgrade must give one well-formed head.
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "protocol/http_response.h"
#include "protocol/upgrade.h"
#include "support/http_script.h"

namespace {

using namespace ringcast;

constexpr HttpLimits kLimits{.request_line_bytes_max = 512,
                             .header_line_bytes_max = 512,
                             .head_bytes_max = 1024,
                             .headers_max = 20,
                             .body_bytes_max = 256,
                             .chunk_line_bytes_max = 32,
                             .chunk_extension_bytes_max = 64,
                             .trailer_bytes_max = 64};

// One head: lines ending in CRLF, printable, and one empty line right before the body.
void require_one_head(std::string_view text) {
  const size_t end = text.find("\r\n\r\n");
  require(end != std::string_view::npos);
  for (size_t at = 0; at < end; ++at) {
    if (text[at] == '\r') {
      require(text[at + 1] == '\n');
    } else if (text[at] == '\n') {
      require(text[at - 1] == '\r');
    } else {
      require(text[at] >= 0x20 && text[at] < 0x7f);
    }
  }
}

void answer(const HttpRequest& request) {
  static constexpr std::string_view kKnown[] = {"actioncable-v1-json", "actioncable-unsupported"};
  const Upgrade upgrade = check_upgrade(request);
  const std::string_view subprotocol = choose_subprotocol(request, kKnown);
  require(subprotocol.empty() || std::ranges::find(kKnown, subprotocol) != std::end(kKnown));
  std::vector<std::byte> out;
  switch (upgrade.kind) {
    case Upgrade::Kind::not_upgrade: {
      // Not even an echoing route could split the response.
      append_response(out, {.status = 200, .headers = request.headers(), .close = !request.keep_alive()});
      const std::string_view text = as_text(out);
      require(text.find("\r\n\r\n") == text.size() - 4);
      return;
    }
    case Upgrade::Kind::accepted:
      require(request.method() == "GET" && upgrade.key.size() == 24 && !request.has_body());
      append_switching_protocols(out, upgrade.key, subprotocol);
      require(as_text(out).starts_with("HTTP/1.1 101 ") && as_text(out).ends_with("\r\n\r\n"));
      break;
    case Upgrade::Kind::refused:
      require(upgrade.status == 400 || upgrade.status == 405 || upgrade.status == 426);
      append_refusal(out, upgrade);
      break;
  }
  require_one_head(as_text(out));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view wire(reinterpret_cast<const char*>(data), size);
  const auto whole = play_http<HeapBytes>(wire, kLimits, {}, answer);
  const auto cut = play_http<HeapBytes>(wire, kLimits, cuts_of(wire));
  require(whole.text == cut.text);
  require(std::max(whole.held_bytes_peak, cut.held_bytes_peak) <=
          kLimits.head_bytes_max + kLimits.trailer_bytes_max + 2);
  return 0;
}
