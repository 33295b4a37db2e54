// What Rails' MessageVerifier and MessageEncryptor have in common, and cookies and Turbo
// stream names are made of: text in base64 with a MAC behind it, and inside an envelope
// that says what the message is for and until when. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "auth/crypto.h"
#include "base/bytes.h"
#include "ringcast/json.h"

namespace ringcast {

// Nothing that Rails signs for a browser is longer (a cookie ends at 4096 bytes), so
// longer texts are not even hashed.
constexpr size_t kRailsMessageBytesMax = 8 * 1024;

// Between the parts of a message.
constexpr std::string_view kRailsSeparator = "--";

enum class RailsError : uint8_t {
  none,
  missing,        // no value at all, or an empty one
  malformed,      // not the layout, not base64, or signed content that is not JSON
  bad_signature,  // of another secret, or forged
  expired,
  wrong_purpose,  // made for another cookie
  marshal,        // Ruby's own serialization, which is never loaded: it can run code
  too_large,
};

// What a log says of it: "is expired".
std::string_view describe(RailsError error);

struct RailsMessage {
  RailsError error = RailsError::missing;
  Json value;                              // null unless error is none (and may be null then)
  std::optional<int64_t> expires_unix_ms;  // of a message that says so

  static RailsMessage failed(RailsError error) { return {error, {}, {}}; }
  explicit operator bool() const { return error == RailsError::none; }
};

// The text in front of "--" and a hexadecimal MAC, once `key` has made that MAC. The
// separator is where the MAC's length puts it: URL-safe base64 may hold "--" itself.
struct SignedText {
  RailsError error = RailsError::malformed;
  std::string_view text;
};
SignedText verify_rails_signature(std::string_view message, const HmacKey& key);

// Base64 as Rails 7.1 and later read it: either alphabet, padded or not, otherwise
// strict. Below a MAC over the text a second spelling of the same bytes gains nobody anything.
std::optional<std::vector<std::byte>> decode_rails_base64(std::string_view text);

// Which metadata envelopes are looked for, {"_rails":{…,"exp":…,"pur":…}}:
//   cookie    {"message":"<base64 of JSON>"}, in all versions since 5.2; the form below is
//             a plain value in a cookie, as it is for Rails
//   verifier  also {"data":<JSON>}, which MessageVerifiers with a JSON serializer write
//             since 7.1
enum class RailsEnvelope : uint8_t { cookie, verifier };

// Whether a message without a purpose passes where one is expected. Rails reads cookies
// so, since those written before 6.0 have none.
enum class RailsPurpose : uint8_t { required, optional };

// The value in the payload of a message whose authenticity is proven. An empty `purpose`
// expects none; a message with another purpose passes in no case.
RailsMessage read_rails_payload(Bytes payload, RailsEnvelope envelope, std::string_view purpose,
                                RailsPurpose need, int64_t now_unix_ms);

// "2099-12-31T23:59:59.000Z", any number of decimals (parts of a millisecond round up),
// Z or ±HH:MM. Nothing for anything else.
std::optional<int64_t> parse_iso8601_unix_ms(std::string_view text);

}  // namespace ringcast
