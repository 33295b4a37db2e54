// The message reader: fragment order, message limit, UTF-8 and close bodies on top of
// the frame parser, and the one buffer that unfinished messages are gathered in. Pure;
// owned by one connection, on its shard's thread.
#include "protocol/websocket.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace ringcast {

namespace {

// The least the buffer is made for: a peer sending octet by octet must not cost one
// reallocation for each of its first octets.
constexpr uint32_t kBufferBytesMin = 64;

constexpr std::string_view kOutOfMemory = "no memory for the message";

}  // namespace

WebSocketReader::WebSocketReader(uint64_t message_bytes_max) : parser_(message_bytes_max) {}

WebSocketReader::Event WebSocketReader::next(MutableBytes& input) {
  Event event;  // filled in place by the step that completes something, never copied
  if (ended_) {
    release();
    input = input.last(0);
    return event;
  }
  // Nothing is unfinished, so the buffer held what the last call delivered.
  if (buffer_ != nullptr && !message_open() && control_size_ == 0) release();

  while (event.kind == Event::Kind::need_more) {
    const FrameParser::Event frame = parser_.next(input);
    if (frame.kind == FrameParser::Event::Kind::need_more) break;
    if (frame.kind == FrameParser::Event::Kind::error) {
      fail(event, frame.error, frame.problem);
    } else if (is_control(frame.opcode)) {
      control(event, frame);
    } else {
      data(event, frame);
    }
  }
  if (event.kind == Event::Kind::error) input = input.last(0);
  return event;
}

// A part of a text, binary or continuation frame.
void WebSocketReader::data(Event& event, const FrameParser::Event& frame) {
  if (frame.frame_begin) {
    if (frame.opcode == Opcode::continuation) {
      if (!message_open()) return fail(event, CloseCode::protocol_error, "a continuation without a message");
    } else {
      if (message_open())
        return fail(event, CloseCode::protocol_error, "a new message inside an unfinished one");
      message_ = frame.opcode;
      utf8_.reset();
    }
    // The parser has judged the frame by itself; size_ <= the limit holds from the
    // fragments before. An interleaved control frame does not count.
    const uint64_t payload_bytes = frame.payload.size() + frame.rest_bytes;
    if (payload_bytes > parser_.frame_bytes_max() - size_) {
      return fail(event, CloseCode::message_too_big, "the message is larger than the limit");
    }
  }
  if (message_ == Opcode::text && !utf8_.push(frame.payload)) {
    return fail(event, CloseCode::invalid_payload, "the text is not valid UTF-8");
  }

  const bool message_end = frame.frame_end() && frame.fin;
  MutableBytes message = frame.payload;
  if (!message_end || size_ > 0) {
    // Where further fragments may follow, the limit is what the buffer may double up to.
    const uint64_t ceiling =
        frame.fin ? size_ + frame.payload.size() + frame.rest_bytes : parser_.frame_bytes_max();
    if (!store(size_, frame.payload, ceiling)) return fail(event, CloseCode::try_again_later, kOutOfMemory);
    size_ += static_cast<uint32_t>(frame.payload.size());
    message = {buffer_.get(), size_};
  }
  if (!message_end) return;

  if (message_ == Opcode::text && !utf8_.complete()) {
    return fail(event, CloseCode::invalid_payload, "the text ends inside a UTF-8 character");
  }
  event.kind = message_ == Opcode::text ? Event::Kind::text : Event::Kind::binary;
  event.payload = message;
  message_ = Opcode::continuation;
  size_ = 0;
}

// A part of a control frame. What input cut in two is gathered behind the bytes of the
// message it interrupts: one buffer serves both, and a control frame is over before the
// message goes on.
void WebSocketReader::control(Event& event, const FrameParser::Event& frame) {
  MutableBytes body = frame.payload;
  if (!frame.frame_end() || control_size_ > 0) {
    if (!store(size_ + control_size_, body, size_ + kControlPayloadBytesMax)) {
      return fail(event, CloseCode::try_again_later, kOutOfMemory);
    }
    control_size_ += static_cast<uint8_t>(body.size());
    body = {buffer_.get() + size_, control_size_};
  }
  if (!frame.frame_end()) return;

  control_size_ = 0;
  if (frame.opcode == Opcode::close) return close(event, body);
  RC_ASSERT(frame.opcode == Opcode::ping ||
            frame.opcode == Opcode::pong);  // the parser lets no other through
  event.kind = frame.opcode == Opcode::ping ? Event::Kind::ping : Event::Kind::pong;
  event.payload = body;
}

// Section 5.5.1: an empty body, or a code and a reason in UTF-8.
void WebSocketReader::close(Event& event, MutableBytes body) {
  if (body.size() == 1) return fail(event, CloseCode::protocol_error, "a Close body of one byte");
  auto code = CloseCode::none;
  if (!body.empty()) {
    code = static_cast<CloseCode>(load_be16(body.data()));
    if (!is_wire_close_code(code)) return fail(event, CloseCode::protocol_error, "an invalid close code");
    body = body.subspan(2);
    if (!valid_utf8(body))
      return fail(event, CloseCode::invalid_payload, "the close reason is not valid UTF-8");
  }
  ended_ = true;
  event.kind = Event::Kind::close;
  event.code = code;
  event.payload = body;
}

void WebSocketReader::fail(Event& event, CloseCode code, std::string_view problem) {
  ended_ = true;
  release();
  event.kind = Event::Kind::error;
  event.code = code;
  event.problem = problem;
}

bool WebSocketReader::store(uint32_t at, Bytes bytes, uint64_t ceiling) {
  if (bytes.empty()) return true;
  const uint64_t needed = uint64_t{at} + bytes.size();
  if (needed > capacity_) {
    uint64_t grown = std::max<uint64_t>({needed, 2 * uint64_t{capacity_}, kBufferBytesMin});
    grown = std::max(needed, std::min(grown, ceiling));
    // realloc, because pages of a large buffer are then moved, not copied, and none is
    // touched before bytes arrive for it.
    void* moved = std::realloc(buffer_.get(), grown);
    if (moved == nullptr) return false;
    static_cast<void>(buffer_.release());
    buffer_.reset(static_cast<std::byte*>(moved));
    capacity_ = static_cast<uint32_t>(grown);
  }
  std::memcpy(buffer_.get() + at, bytes.data(), bytes.size());
  return true;
}

void WebSocketReader::release() {
  buffer_.reset();
  capacity_ = 0;
  size_ = 0;
  control_size_ = 0;
}

}  // namespace ringcast
