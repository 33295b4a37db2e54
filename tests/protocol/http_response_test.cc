// Responses byte for byte, and what can never get into their heads.
#include "protocol/http_response.h"

#include <gtest/gtest.h>

#include <string>

namespace ringcast {
namespace {

std::string encoded(const HttpReply& reply) {
  std::vector<std::byte> out;
  append_response(out, reply);
  return std::string(as_text(out));
}

using namespace std::string_literals;

TEST(HttpResponse, IsStatusLengthAndBody) {
  EXPECT_EQ(encoded({.status = 200, .content_type = "application/json", .body = "{}"}),
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(encoded({}), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST(HttpResponse, IsAppendedBehindWhatIsThere) {
  std::vector<std::byte> out;
  append_continue(out);
  append_response(out, {.status = 204, .close = true});
  EXPECT_EQ(as_text(out),
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
}

TEST(HttpResponse, ToHeadTellsTheLengthAndLeavesTheBodyOut) {
  EXPECT_EQ(encoded({.body = "12345", .head_only = true}), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
}

TEST(HttpResponse, StatusesWithoutBodyHaveNoneAndNoLength) {
  EXPECT_EQ(encoded({.status = 204, .content_type = "text/plain", .body = "x"}),
            "HTTP/1.1 204 No Content\r\n\r\n");
  EXPECT_EQ(encoded({.status = 304, .body = "x"}), "HTTP/1.1 304 Not Modified\r\n\r\n");
}

TEST(HttpResponse, CarriesFurtherHeadersInOrder) {
  const HttpHeader headers[] = {{"Location", "/websocket"}, {"Retry-After", "5"}};
  EXPECT_EQ(encoded({.status = 302, .headers = headers, .close = true}),
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /websocket\r\nRetry-After: "
            "5\r\nConnection: close\r\n\r\n");
}

TEST(HttpResponse, CannotBeSplitByAHeader) {
  for (const auto& value : {"a\r\nSet-Cookie: b"s, "a\nb"s, "a\rb"s, "a\0b"s, "\x7f"s}) {
    const HttpHeader headers[] = {{"X", value}};
    EXPECT_EQ(encoded({.headers = headers}), encoded({})) << value;
    EXPECT_EQ(encoded({.content_type = value}), encoded({})) << value;
  }
  for (const auto& name : {""s, "X:"s, "X Y"s, "X\r\n"s}) {
    const HttpHeader headers[] = {{name, "v"}};
    EXPECT_EQ(encoded({.headers = headers}), encoded({})) << name;
  }
}

TEST(HttpResponse, FramingIsNotLeftToFurtherHeaders) {
  for (const auto name :
       {"Content-Length", "content-length", "Transfer-Encoding", "Connection", "Upgrade", "Content-Type"}) {
    const HttpHeader headers[] = {{name, "5"}};
    EXPECT_FALSE(sendable_header(headers[0])) << name;
    EXPECT_EQ(encoded({.headers = headers}), encoded({})) << name;
  }
  EXPECT_TRUE(sendable_header({"Set-Cookie", "a=b; Path=/"}));
}

TEST(HttpResponse, ImpossibleStatusIsAServerError) {
  for (const int status : {-1, 0, 101, 199, 600, 1000}) {
    EXPECT_TRUE(encoded({.status = status}).starts_with("HTTP/1.1 500 Internal Server Error\r\n")) << status;
  }
  EXPECT_TRUE(encoded({.status = 299}).starts_with("HTTP/1.1 299 Unknown\r\n"));
}

TEST(HttpErrorReply, IsConstantTextAndCloses) {
  EXPECT_EQ(encoded(error_reply(431)),
            "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Content-Length: 32\r\nConnection: close\r\n\r\nRequest Header Fields Too Large\n");
  EXPECT_EQ(encoded(error_reply(404, false)),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
            "10\r\n\r\nNot Found\n");
}

TEST(ReasonPhrase, IsKnownForEveryStatusThatIsAnswered) {
  for (const int status :
       {400, 401, 403, 404, 405, 413, 414, 417, 421, 422, 426, 429, 431, 500, 501, 503, 505}) {
    EXPECT_NE(reason_phrase(status), "Unknown") << status;
  }
  EXPECT_EQ(reason_phrase(505), "HTTP Version Not Supported");
  EXPECT_EQ(reason_phrase(299), "Unknown");
}

TEST(HttpDate, IsFixedLengthGmt) {
  EXPECT_EQ(http_date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");  // RFC 9110 5.6.7
  EXPECT_EQ(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(http_date(951782399), "Mon, 28 Feb 2000 23:59:59 GMT");
  EXPECT_EQ(http_date(951782400), "Tue, 29 Feb 2000 00:00:00 GMT");
  EXPECT_EQ(http_date(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
}

}  // namespace
}  // namespace ringcast
