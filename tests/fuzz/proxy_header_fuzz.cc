// The PROXY header: whole and byte by byte it is the same one, no more than it is taken
// off the connection's own bytes, and the bounds hold for whatever it claims of itself.
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "support/http_script.h"
#include "support/proxy_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringcast;
  const std::string_view wire(reinterpret_cast<const char*>(data), size);
  std::vector<size_t> each_byte(size);
  std::iota(each_byte.begin(), each_byte.end(), size_t{0});
  const std::string whole = play_proxy<HeapBytes>(wire, {});
  require(play_proxy<HeapBytes>(wire, each_byte) == whole);

  // A header's own length, seen from outside: what is behind it came back untouched.
  constexpr size_t kBytesMax = 16 + ProxyHeaderParser::kAddressBytesMax + ProxyHeaderParser::kTlvBytesMax;
  if (whole.starts_with("header ")) {
    const size_t then = whole.find(" then ");
    const std::string_view rest =
        then == std::string::npos ? std::string_view() : std::string_view(whole).substr(then + 6);
    require(wire.ends_with(rest));
    require(size - rest.size() <= kBytesMax);
  } else if (whole == "need_more") {
    require(size < kBytesMax);
  }
  return 0;
}
