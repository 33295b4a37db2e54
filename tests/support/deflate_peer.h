// The other side of permessage-deflate, for tests: a client's compressor and
// decompressor straight over zlib, as RFC 7692 section 7.2 describes them. Knows nothing
// of src/. One thread.
#pragma once

#include <zlib.h>

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace ringcast {

class DeflatingPeer {
 public:
  explicit DeflatingPeer(int window_bits = 15, bool takeover = false, int level = 6, int memory_level = 8)
      : takeover_(takeover) {
    if (deflateInit2(&stream_, level, Z_DEFLATED, -window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
      std::abort();
    }
  }
  ~DeflatingPeer() { deflateEnd(&stream_); }
  DeflatingPeer(const DeflatingPeer&) = delete;
  DeflatingPeer& operator=(const DeflatingPeer&) = delete;

  // A message's payload.
  std::string compress(std::string_view message) {
    std::string out = flush(message, Z_SYNC_FLUSH);
    // zlib says nothing when it is flushed twice with nothing between: then nothing is cut.
    if (out.size() >= 4) out.resize(out.size() - 4);
    if (!takeover_) deflateReset(&stream_);
    return out;
  }

  // With a final block, and the empty one behind it that section 7.2.3.4 asks for.
  std::string compress_finally(std::string_view message) {
    std::string out = flush(message, Z_FINISH);
    deflateReset(&stream_);
    return out + '\0';
  }

  // What zlib makes of `bytes`, tail and all; the stream goes on.
  std::string flush(std::string_view bytes, int mode) {
    std::string out;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      char some[4096];
      stream_.next_out = reinterpret_cast<Bytef*>(some);
      stream_.avail_out = sizeof some;
      deflate(&stream_, mode);
      out.append(some, sizeof some - stream_.avail_out);
    } while (stream_.avail_out == 0);
    return out;
  }

 private:
  z_stream stream_{};
  bool takeover_;
};

// A message's payload inflated with a window of so many bits and no memory of others;
// nothing if it is no such payload.
inline std::optional<std::string> inflated(std::string_view payload, int window_bits = 15) {
  std::string in(payload);
  in.append("\0\0\xff\xff", 4);
  z_stream stream{};
  if (inflateInit2(&stream, -window_bits) != Z_OK) std::abort();
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  std::string out;
  int status = Z_OK;
  do {
    // Small, so that distances are held to the window and not to what `out` still has.
    char some[256];
    stream.next_out = reinterpret_cast<Bytef*>(some);
    stream.avail_out = sizeof some;
    status = inflate(&stream, Z_SYNC_FLUSH);
    out.append(some, sizeof some - stream.avail_out);
  } while (status == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0));
  inflateEnd(&stream);
  if ((status != Z_OK && status != Z_BUF_ERROR) || stream.avail_in > 0) return std::nullopt;
  return out;
}

}  // namespace ringcast
