// What is agreed for every kind of offer, RFC 7692 section 7.1.
#include "protocol/deflate_offer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/http_script.h"

namespace ringcast {
namespace {

constexpr DeflatePolicy kFrugal{};
constexpr DeflatePolicy kTakeover{.client_takeover = true};
constexpr std::string_view kDeclined;

// The answer's header value; empty when the offers are declined.
std::string answer(const std::vector<std::string>& lines, const DeflatePolicy& policy = kFrugal) {
  std::string wire = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (const std::string& line : lines) wire += "Sec-WebSocket-Extensions: " + line + "\r\n";
  wire += "\r\n";
  HttpRequestParser parser({});
  GuardedBytes bytes(wire);
  MutableBytes input = bytes.bytes();
  EXPECT_EQ(parser.next(input).kind, HttpRequestParser::Event::Kind::head) << wire;
  const HttpRequest request = parser.release_request();
  const auto parameters = negotiate_deflate(request, policy);
  return parameters ? deflate_response(*parameters) : std::string();
}

struct Row {
  std::string offers;
  // Of the answer, what is behind the name and the server_no_context_takeover that every
  // answer has; nullopt: declined.
  std::optional<std::string> frugal;
  std::optional<std::string> takeover;
};

const std::string kNo = "; client_no_context_takeover";

const Row kRows[] = {
    {"permessage-deflate", kNo, ""},
    // Browsers.
    {"permessage-deflate; client_max_window_bits", kNo, ""},
    // Section 7.1.3, "the client prefers 10 bits, or else takes what it gets".
    {"permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate; "
     "client_max_window_bits",
     kNo + "; server_max_window_bits=9", "; server_max_window_bits=9"},

    // Each parameter.
    {"permessage-deflate; server_no_context_takeover", kNo, ""},
    {"permessage-deflate; client_no_context_takeover", kNo, kNo},
    {"permessage-deflate; server_max_window_bits=15", kNo + "; server_max_window_bits=15",
     "; server_max_window_bits=15"},
    {"permessage-deflate; server_max_window_bits=14", kNo + "; server_max_window_bits=9",
     "; server_max_window_bits=9"},
    {"permessage-deflate; server_max_window_bits=9", kNo + "; server_max_window_bits=9",
     "; server_max_window_bits=9"},
    {"permessage-deflate; client_max_window_bits=8", kNo + "; client_max_window_bits=8",
     "; client_max_window_bits=8"},
    {"permessage-deflate; client_max_window_bits=15", kNo + "; client_max_window_bits=15",
     "; client_max_window_bits=15"},
    {"permessage-deflate; client_max_window_bits=10; server_max_window_bits=12; client_no_context_takeover; "
     "server_no_context_takeover",
     kNo + "; server_max_window_bits=9; client_max_window_bits=10",
     kNo + "; server_max_window_bits=9; client_max_window_bits=10"},

    // Bad values, and values where none may be.
    {"permessage-deflate; server_max_window_bits", {}, {}},
    {"permessage-deflate; server_max_window_bits=8", {}, {}},  // legal, and beyond zlib
    {"permessage-deflate; server_max_window_bits=7", {}, {}},
    {"permessage-deflate; server_max_window_bits=16", {}, {}},
    {"permessage-deflate; server_max_window_bits=09", {}, {}},
    {"permessage-deflate; server_max_window_bits=010", {}, {}},
    {"permessage-deflate; server_max_window_bits=1", {}, {}},
    {"permessage-deflate; server_max_window_bits=+9", {}, {}},
    {"permessage-deflate; server_max_window_bits=1a", {}, {}},
    {"permessage-deflate; server_max_window_bits=150", {}, {}},
    {"permessage-deflate; client_max_window_bits=7", {}, {}},
    {"permessage-deflate; client_max_window_bits=16", {}, {}},
    {"permessage-deflate; client_max_window_bits=08", {}, {}},
    {"permessage-deflate; client_max_window_bits=0", {}, {}},
    {"permessage-deflate; server_no_context_takeover=1", {}, {}},
    {"permessage-deflate; client_no_context_takeover=true", {}, {}},

    // Unknown and repeated parameters.
    {"permessage-deflate; x", {}, {}},
    {"permessage-deflate; server_max_window_bits=10; level=9", {}, {}},
    {"permessage-deflate; Server_No_Context_Takeover", {}, {}},
    {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", {}, {}},
    {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", {}, {}},
    {"permessage-deflate; server_max_window_bits=10; server_max_window_bits=10", {}, {}},
    {"permessage-deflate; client_max_window_bits; client_max_window_bits=10", {}, {}},

    // Other extensions, and the first acceptable of several.
    {"x-webkit-deflate-frame", {}, {}},
    {"permessage-bzip2; a=b; c", {}, {}},
    {"Permessage-Deflate", {}, {}},
    {"permessage-deflate2", {}, {}},
    {"foo; bar=\"baz\", permessage-deflate", kNo, ""},
    {"permessage-deflate; x, permessage-deflate; server_max_window_bits=8, permessage-deflate; "
     "client_no_context_takeover, permessage-deflate",
     kNo, kNo},
    {"permessage-deflate; client_max_window_bits=9, permessage-deflate; client_max_window_bits=10",
     kNo + "; client_max_window_bits=9", "; client_max_window_bits=9"},
    // Autobahn's 13.7: (no takeover, 9), (no takeover, 0), (takeover, 0).
    {"permessage-deflate; server_no_context_takeover; server_max_window_bits=9, permessage-deflate; "
     "server_no_context_takeover, permessage-deflate",
     kNo + "; server_max_window_bits=9", "; server_max_window_bits=9"},

    // The list's grammar.
    {"permessage-deflate;server_max_window_bits=10", kNo + "; server_max_window_bits=9",
     "; server_max_window_bits=9"},
    {" \t permessage-deflate\t;  client_max_window_bits \t=\t 12 \t", kNo + "; client_max_window_bits=12",
     "; client_max_window_bits=12"},
    {"permessage-deflate; client_max_window_bits=\"12\"", kNo + "; client_max_window_bits=12",
     "; client_max_window_bits=12"},
    {"permessage-deflate; client_max_window_bits=\"1\\2\" , foo", kNo + "; client_max_window_bits=12",
     "; client_max_window_bits=12"},
    {",, ,permessage-deflate,,foo,", kNo, ""},
    {"", {}, {}},
    {",", {}, {}},
    // Malformed, whatever is acceptable before or behind it.
    {"permessage-deflate;", {}, {}},
    {"permessage-deflate;;client_max_window_bits", {}, {}},
    {"permessage-deflate, foo;", {}, {}},
    {";permessage-deflate", {}, {}},
    {"permessage-deflate, =", {}, {}},
    {"permessage-deflate, foo; =1", {}, {}},
    {"permessage-deflate, foo; a=", {}, {}},
    {"permessage-deflate, foo; a=\"", {}, {}},
    {"permessage-deflate, foo; a=\"b", {}, {}},
    {"permessage-deflate, foo; a=\"b\\", {}, {}},
    {"permessage-deflate, foo; a=\"b\\\"", {}, {}},
    {"permessage-deflate, foo; a=\"\"", {}, {}},         // unquoted, it must be a token
    {"permessage-deflate, foo; a=\"b c\"", {}, {}},      // likewise
    {"permessage-deflate, foo; a=\"b,c;d=e\"", {}, {}},  // likewise: quotes do not hide separators
    {"permessage-deflate, foo; a=b c", {}, {}},
    {"permessage-deflate, foo bar", {}, {}},
    {"permessage-deflate, f\xc3\xb6o", {}, {}},
    {"permessage-deflate, foo; a=b=c", {}, {}},
    {"permessage-deflate, \"foo\"", {}, {}},
};

TEST(DeflateOffer, IsAnsweredAsTheTableHasIt) {
  const auto expected = [](const std::optional<std::string>& rest) {
    return rest ? "permessage-deflate; server_no_context_takeover" + *rest : std::string(kDeclined);
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(answer({row.offers}), expected(row.frugal)) << row.offers;
    EXPECT_EQ(answer({row.offers}, kTakeover), expected(row.takeover)) << row.offers;
  }
}

TEST(DeflateOffer, NoHeaderIsNoOffer) {
  EXPECT_EQ(answer({}), kDeclined);
}

TEST(DeflateOffer, LinesAreOneListInTheirOrder) {
  EXPECT_EQ(answer({"foo", "permessage-deflate; x", "permessage-deflate; client_max_window_bits=11",
                    "permessage-deflate"},
                   kTakeover),
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=11");
  EXPECT_EQ(answer({"permessage-deflate", "foo;"}), kDeclined) << "one malformed line spoils the list";
  EXPECT_EQ(answer({"foo;", "permessage-deflate"}), kDeclined);
}

TEST(DeflateOffer, EveryWindowHasItsSender) {
  for (int bits = 8; bits <= 15; ++bits) {
    const std::string text = std::to_string(bits);
    const std::string answered = answer({"permessage-deflate; server_max_window_bits=" + text});
    const std::string_view window = bits == 15 ? "15" : "9";
    if (bits == 8) {
      EXPECT_EQ(answered, kDeclined);
    } else {
      EXPECT_TRUE(answered.ends_with("; server_max_window_bits=" + std::string(window))) << answered;
    }
    const DeflateParameters parameters{.server_window_bits_cap = static_cast<uint8_t>(bits)};
    EXPECT_EQ(std::to_string(parameters.sender_window_bits()), window);
  }
  EXPECT_EQ(DeflateParameters{}.sender_window_bits(), 15);
}

// A header at its largest is read in one pass.
TEST(DeflateOffer, ManyOffersAreJudgedOneByOne) {
  std::string offers;
  while (offers.size() < 7900) offers += "permessage-deflate; x=\"\\y\",";
  EXPECT_EQ(answer({offers}), kDeclined);
  EXPECT_NE(answer({offers + "permessage-deflate"}), kDeclined);
}

}  // namespace
}  // namespace ringcast
