// Answers as HTTP servers write them, and as none should: whatever the cuts, one reading.
#include "protocol/http_response_parser.h"

#include <gtest/gtest.h>

#include "tests/support/http_answer_script.h"

namespace ringcast {
namespace {

constexpr HttpResponseLimits kSmallAnswers{
    .head_bytes_max = 256, .headers_max = 4, .body_bytes_max = 32, .chunk_line_bytes_max = 16};

std::string play_answer(std::string_view wire, bool closes = true) {
  const std::string whole = play_answers(wire, kSmallAnswers, {}, closes);
  for (size_t cut = 0; cut <= wire.size(); ++cut) {
    const size_t cuts[] = {cut};
    EXPECT_EQ(play_answers(wire, kSmallAnswers, cuts, closes), whole) << "cut at " << cut;
  }
  std::vector<size_t> each;
  for (size_t cut = 1; cut < wire.size(); ++cut) each.push_back(cut);
  EXPECT_EQ(play_answers(wire, kSmallAnswers, each, closes), whole) << "byte by byte";
  return whole;
}

TEST(HttpResponseParser, ReadsABodyOfKnownLengthAndTheNextAnswer) {
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"
                        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
                        false),
            "head 200\nbody hello\ncomplete keep-alive\nhead 503\ncomplete keep-alive\n");
}

TEST(HttpResponseParser, ReadsChunksExtensionsAndTrailers) {
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nDigest: x\r\n\r\n",
                        false),
            "head 200\nbody hello world\ncomplete keep-alive\n");
}

TEST(HttpResponseParser, TheEndOfTheConnectionEndsABodyWithoutLength) {
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\n\r\nall of it"), "head 200\nbody all of it\ncomplete close\n");
  EXPECT_EQ(play_answer("HTTP/1.0 200\r\n\r\n"), "head 200\ncomplete close\n");
}

TEST(HttpResponseParser, SaysWhetherTheConnectionStays) {
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n", false),
            "head 200\ncomplete close\n");
  EXPECT_EQ(play_answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false), "head 200\ncomplete close\n");
  EXPECT_EQ(play_answer("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", false),
            "head 200\ncomplete keep-alive\n");
}

TEST(HttpResponseParser, PassesOverInterimAnswersAndKnowsWhoHasNoBody) {
  EXPECT_EQ(play_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
                        "HTTP/1.1 204 No Content\r\n\r\n",
                        false),
            "head 204\ncomplete keep-alive\n");
  EXPECT_EQ(play_answer("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false),
            "head 304\ncomplete keep-alive\n");
}

TEST(HttpResponseParser, RefusesWhatTwoReadersCouldReadInTwoWays) {
  const struct {
    std::string_view wire;
    std::string_view says;
  } cases[] = {
      {"<html>\r\n", "error no HTTP/1 status line\n"},
      {"HTTP/2 200 OK\r\n", "error no HTTP/1 status line\n"},
      {"HTTP/1.1 99 OK\r\n", "error no HTTP/1 status line\n"},
      {"HTTP/1.1 2000\r\n", "error no HTTP/1 status line\n"},
      {"HTTP/1.1 200 OK\n", "error a line does not end in CRLF\n"},
      {"HTTP/1.1 200 OK\r\nA : b\r\n", "error a malformed header\n"},
      {"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n", "error a malformed header\n"},
      {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "error an upgrade that nobody asked for\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
       "error both Content-Length and Transfer-Encoding\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "error an unknown Transfer-Encoding\n"},
      {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "error an unknown Transfer-Encoding\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
       "error a malformed Content-Length\n"},
      {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "error a malformed Content-Length\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
       "head 200\nerror a malformed chunk size\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
       "head 200\nbody a\nerror a chunk does not end in CRLF\n"},
  };
  for (const auto& [wire, says] : cases) EXPECT_EQ(play_answer(wire, false), says) << wire;
}

TEST(HttpResponseParser, HasBounds) {
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\n", false),
            "error the body is too long\n");
  EXPECT_EQ(
      play_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123456789abcdef\r\n11\r\n",
                  false),
      "head 200\nbody 0123456789abcdef\nerror the body is too long\n");
  const std::string endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(40, '0');
  EXPECT_EQ(play_answer(endless, false), "head 200\nerror the head is too long\n");
  EXPECT_EQ(play_answer("HTTP/1.1 200 " + std::string(300, 'x'), false), "error the head is too long\n");
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 5; ++i) many += "A: b\r\n";
  EXPECT_EQ(play_answer(many, false), "error too many headers\n");
  std::string hints;
  for (int i = 0; i < 30; ++i) hints += "HTTP/1.1 103 Early Hints\r\n\r\n";
  EXPECT_EQ(play_answer(hints, false), "error the head is too long\n") << "interim answers without end";
  // A body that ends with the connection is judged as it comes, so the cuts say how much was seen.
  HttpResponseParser parser(kSmallAnswers);
  const std::string forever = "HTTP/1.1 200 OK\r\n\r\n" + std::string(33, 'x');
  Bytes input = as_bytes(forever);
  EXPECT_EQ(parser.next(input).kind, HttpResponseParser::Event::Kind::head);
  EXPECT_EQ(parser.next(input).reason, "the body is too long");
}

TEST(HttpResponseParser, AConnectionThatEndsTooEarlyIsAnError) {
  EXPECT_EQ(play_answer(""), "error the connection ended without an answer\n");
  EXPECT_EQ(play_answer("HTTP/1.1 2"), "error the connection ended within an answer\n");
  EXPECT_EQ(play_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
            "head 200\nbody hell\nerror the connection ended within an answer\n");
  EXPECT_EQ(play_answer("HTTP/1.1 100 Continue\r\n\r\n"), "error the connection ended within an answer\n");
}

}  // namespace
}  // namespace ringcast
