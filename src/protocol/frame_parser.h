// Takes a client's bytes apart into WebSocket frames, RFC 6455 section 5: pulled, with
// no buffer but the few octets of a header that input cut in two. What needs one frame
// only is judged here; what needs the frames before it (fragmentation, the size of a
// whole message, UTF-8) belongs to protocol/websocket.h. Owned by a WebSocketReader.
//
// Invariant: consumed_ <= payload_bytes_ <= frame_bytes_max_ <= kFrameBytesMax.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.h"
#include "base/xor_mask.h"
#include "protocol/frame.h"

namespace ringcast {

// No frame of 2 GiB or more is ever taken, whatever the limits say: sizes fit 31 bits.
inline constexpr uint64_t kFrameBytesMax = 0x7fff'ffff;

// Whether RSV1 may be set on the first frame of a data message. Only a negotiated
// permessage-deflate (RFC 7692 section 6) gives the bit a meaning; RSV2 and RSV3 have
// none, and no extension gives RSV1 one on control and continuation frames.
enum class Rsv1 : uint8_t { refused, marks_compressed };

class FrameParser {
 public:
  struct Event {
    enum class Kind : uint8_t { need_more, payload, error };

    Kind kind = Kind::need_more;
    Opcode opcode = Opcode::continuation;
    bool fin = false;
    bool compressed = false;   // RSV1, with Rsv1::marks_compressed
    bool frame_begin = false;  // the frame's first event; comes with the header, even without payload
    CloseCode error = CloseCode::none;  // error: what to close with
    uint32_t rest_bytes = 0;            // of the frame's payload, still to come behind this part
    MutableBytes payload{};             // a part of it, unmasked in place: aliases the input
    std::string_view problem{};         // error: a constant sentence, short enough for a Close reason

    // The frame's last event; its first, too, if the frame lies in one input.
    bool frame_end() const { return rest_bytes == 0; }
  };

  explicit FrameParser(uint64_t frame_bytes_max, Rsv1 rsv1 = Rsv1::refused);

  // Consumes a prefix of `input` and says what it held. need_more: all of it is
  // consumed. After an error, which is said once, everything more is discarded.
  // A violation is reported at the first octets that prove it: after two, or after
  // the extended length, never waiting for the rest of the header.
  Event next(MutableBytes& input);

  uint32_t frame_bytes_max() const { return frame_bytes_max_; }
  void set_frame_bytes_max(uint64_t bytes);
  // Whether the next octet begins a frame.
  bool between_frames() const { return state_ == State::header && header_size_ == 0; }

 private:
  enum class State : uint8_t { header, payload, failed };

  struct Violation;  // a close code and a sentence, constant

  bool take_header(MutableBytes& input, const Violation*& violation);
  const Violation* check_start(const std::byte* header) const;
  const Violation* check_length(const std::byte* header) const;
  void begin_payload(const std::byte* header);

  uint32_t frame_bytes_max_;
  uint32_t payload_bytes_ = 0;
  uint32_t consumed_ = 0;
  MaskKey key_{};
  std::array<std::byte, kClientHeaderBytesMax> header_{};  // only of a header cut in two
  uint8_t header_size_ = 0;
  State state_ = State::header;
  std::byte start_{};  // the present frame's first octet: FIN, RSV, opcode
  Rsv1 rsv1_;
};

// One per open connection, most of them idle.
static_assert(sizeof(FrameParser) <= 36);

}  // namespace ringcast
