// A client's side of a WebSocket conversation, RFC 6455 sections 5.4-5.6 and 7: bytes
// in, whole messages and control frames out, pulled by the connection that owns it, on
// its shard's thread. Judges everything a server must judge of what it receives:
//
//   masking, reserved bits and opcodes, lengths, control frames, fragment order    1002
//   text that is not UTF-8, at its first impossible octet, also mid-frame          1007
//   a message over the limit, at the header that takes it there                    1009
//
// Memory: an idle reader is 64 bytes, and those that remember nothing are as good as new: see
// ReaderPool. A message lying in one frame within one
// input is delivered where it lies, unmasked in place. Any other is gathered in one
// buffer, which grows with the bytes that came and never by what a header promised,
// never beyond the message limit (plus one control frame's payload), and is released
// with the message.
//
// Where permessage-deflate (RFC 7692) was negotiated, a message that comes compressed is
// inflated into that buffer as its octets come, and the limit and UTF-8 are those of
// what they inflate to, judged while inflating:
//
//   what does not inflate                                                          1007
//   a message over the limit, at the first octet beyond it                         1009
//
// See InflaterPool for when its octets are gathered compressed instead, which delays
// these verdicts to the message's end and holds the compressed form, too. Without the
// negotiation RSV1 is a violation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/spares.h"
#include "base/utf8.h"
#include "protocol/frame.h"
#include "protocol/frame_parser.h"

namespace ringcast {

class Inflater;
class InflaterPool;
struct DeflateParameters;

class WebSocketReader {
 public:
  struct Event {
    enum class Kind : uint8_t { need_more, text, binary, ping, pong, close, error };

    Kind kind = Kind::need_more;
    // close: the peer's code, none if its body was empty. error: what to close with.
    CloseCode code = CloseCode::none;
    // The message, the control frame's body, or a close's reason (valid UTF-8). It
    // aliases the input or the reader's buffer: good until the next call, writable.
    MutableBytes payload{};
    std::string_view problem{};  // error: a constant sentence, short enough for a Close reason
  };

  // Limits of 2 GiB and more are taken as one octet less than that.
  explicit WebSocketReader(uint64_t message_bytes_max);
  // With permessage-deflate as it was negotiated. `pool` outlives the reader.
  WebSocketReader(uint64_t message_bytes_max, InflaterPool& pool, const DeflateParameters& parameters);
  ~WebSocketReader();
  WebSocketReader(const WebSocketReader&) = delete;
  WebSocketReader& operator=(const WebSocketReader&) = delete;

  // Consumes a prefix of `input` up to the end of the next message or control frame.
  // need_more: all of it is consumed. After a close or an error, everything more is
  // discarded: need_more for good. Pull until need_more, if only to let go of the
  // buffer of an assembled message.
  Event next(MutableBytes& input);

  // Whether it remembers nothing of what it has read: another connection's could be read by it.
  bool remembers_nothing() const {
    return parser_.between_frames() && !message_open() && control_size_ == 0 && buffer_ == nullptr &&
           !ended_ && inflation_ == nullptr;
  }

  void start_over(uint64_t message_bytes_max);

  // Bytes on the heap for an unfinished (or just delivered) message or control frame;
  // zlib's are not counted.
  size_t held_bytes() const { return capacity_; }

 private:
  struct FreeBytes {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };

  struct Inflation;  // what permessage-deflate adds

  // Each fills `event` in if the frame's part completes something, and leaves it be if not.
  void data(Event& event, const FrameParser::Event& frame);
  void compressed_data(Event& event, const FrameParser::Event& frame);
  void control(Event& event, const FrameParser::Event& frame);
  void close(Event& event, MutableBytes body);
  void fail(Event& event, CloseCode code, std::string_view problem);
  void deliver(Event& event, MutableBytes message);

  // Appends to the message what `compressed` inflates to. False after fail().
  bool inflate(Event& event, Inflater& inflater, Bytes compressed);

  // Puts `bytes` at `at` in the buffer, which reserve() makes large enough for `needed`
  // bytes, at most doubling it and towards `ceiling`. False when the system is out of
  // memory.
  bool store(uint32_t at, Bytes bytes, uint64_t ceiling);
  bool reserve(uint64_t needed, uint64_t ceiling);
  void release();

  bool message_open() const { return message_ != Opcode::continuation; }
  uint32_t message_bytes_max() const;

  [[no_unique_address]] FrameParser parser_;  // its padding holds the next five octets
  Utf8Validator utf8_;                        // of the text message being received
  Opcode message_ = Opcode::continuation;     // text or binary while a message is unfinished
  uint8_t control_size_ = 0;                  // bytes of an unfinished control frame, behind the message's
  bool ended_ = false;                        // a Close or an error has been said
  uint32_t size_ = 0;                         // message bytes in the buffer
  uint32_t capacity_ = 0;                     // buffer's; >= size_ + control_size_
  std::unique_ptr<std::byte[], FreeBytes> buffer_;  // malloc'd, so that a large one grows by mremap
  std::unique_ptr<Inflation> inflation_;            // null unless negotiated, and after the end
};

// One per message under way: a cache line.
static_assert(sizeof(WebSocketReader) <= 64);

// Readers for connections in the middle of a message, which few are at a time: the others
// need none. One per shard; its thread only.
class ReaderPool {
 public:
  std::unique_ptr<WebSocketReader> acquire(uint64_t message_bytes_max);
  // One that remembers nothing.
  void release(std::unique_ptr<WebSocketReader> reader);

 private:
  Spares<WebSocketReader> spares_;
};

}  // namespace ringcast
