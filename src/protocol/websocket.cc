// The message reader: fragment order, message limit, UTF-8 and close bodies on top of
// the frame parser, the one buffer that unfinished messages are gathered in, and the
// inflating of those that came compressed. Pure; owned by one connection, on its shard's
// thread.
#include "protocol/websocket.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "protocol/deflate.h"

namespace ringcast {

namespace {

// The least the buffer is made for: a peer sending octet by octet must not cost one
// reallocation for each of its first octets.
constexpr uint32_t kBufferBytesMin = 64;

// JSON deflates to a quarter, so that most messages inflate into a buffer made once.
constexpr uint64_t kInflationGuess = 4;

constexpr std::string_view kOutOfMemory = "no memory for the message";
constexpr std::string_view kTooBig = "the message is larger than the limit";
constexpr std::string_view kNotUtf8 = "the text is not valid UTF-8";
constexpr std::string_view kNotDeflate = "the compressed message does not inflate";

// What cannot be compressed grows a little, and more where its sender flushes often: a
// compressed message may be an eighth longer than the longest that comes as it is. It is
// bounded at all because empty blocks inflate to nothing forever.
constexpr uint64_t compressed_bytes_max(uint64_t message_bytes_max) {
  message_bytes_max = std::min(message_bytes_max, kFrameBytesMax);
  return std::min(message_bytes_max + message_bytes_max / 8 + 1024, kFrameBytesMax);
}

}  // namespace

struct WebSocketReader::Inflation {
  InflaterPool& pool;
  uint32_t message_bytes_max;
  uint32_t compressed_bytes = 0;    // of the message being received
  uint8_t window_bits;              // the client's
  bool takeover;                    // whether `inflater` is the connection's own and stays
  bool message_compressed = false;  // the message being received, whatever is unfinished
  // Takeover: from the first compressed message on. Else lent by the pool, and null
  // while no message is unfinished or none could be lent: then the buffer holds the
  // message as it came, compressed.
  InflaterPool::Lease inflater{};
};

WebSocketReader::WebSocketReader(uint64_t message_bytes_max) : parser_(message_bytes_max) {}

WebSocketReader::WebSocketReader(uint64_t message_bytes_max, InflaterPool& pool,
                                 const DeflateParameters& parameters)
    : parser_(compressed_bytes_max(message_bytes_max), Rsv1::marks_compressed),
      inflation_(new Inflation{
          .pool = pool,
          .message_bytes_max = static_cast<uint32_t>(std::min(message_bytes_max, kFrameBytesMax)),
          .window_bits = parameters.client_window_bits != 0 ? parameters.client_window_bits : kWindowBitsMax,
          .takeover = !parameters.client_no_context_takeover}) {}

WebSocketReader::~WebSocketReader() = default;

void WebSocketReader::start_over(uint64_t message_bytes_max) {
  RC_ASSERT(remembers_nothing());
  parser_.set_frame_bytes_max(message_bytes_max);
}

std::unique_ptr<WebSocketReader> ReaderPool::acquire(uint64_t message_bytes_max) {
  std::unique_ptr<WebSocketReader> reader = spares_.acquire(message_bytes_max);
  reader->start_over(message_bytes_max);
  return reader;
}

void ReaderPool::release(std::unique_ptr<WebSocketReader> reader) {
  RC_ASSERT(reader->remembers_nothing());
  spares_.release(std::move(reader));
}

uint32_t WebSocketReader::message_bytes_max() const {
  return inflation_ ? inflation_->message_bytes_max : parser_.frame_bytes_max();
}

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
      if (inflation_) inflation_->message_compressed = frame.compressed;
    }
  }
  if (inflation_ && inflation_->message_compressed) return compressed_data(event, frame);

  if (frame.frame_begin) {
    // The parser has judged the frame by itself; size_ <= the limit holds from the
    // fragments before. An interleaved control frame does not count.
    const uint64_t payload_bytes = frame.payload.size() + frame.rest_bytes;
    if (payload_bytes > message_bytes_max() - size_) return fail(event, CloseCode::message_too_big, kTooBig);
  }
  if (message_ == Opcode::text && !utf8_.push(frame.payload)) {
    return fail(event, CloseCode::invalid_payload, kNotUtf8);
  }

  const bool message_end = frame.frame_end() && frame.fin;
  MutableBytes message = frame.payload;
  if (!message_end || size_ > 0) {
    // Where further fragments may follow, the limit is what the buffer may double up to.
    const uint64_t ceiling =
        frame.fin ? size_ + frame.payload.size() + frame.rest_bytes : message_bytes_max();
    if (!store(size_, frame.payload, ceiling)) return fail(event, CloseCode::try_again_later, kOutOfMemory);
    size_ += static_cast<uint32_t>(frame.payload.size());
    message = {buffer_.get(), size_};
  }
  if (message_end) deliver(event, message);
}

// A part of a compressed message. Which inflater it goes through: the connection's own,
// the one lent for this message, the one everybody uses within a call if the message ends
// here, or none for now.
void WebSocketReader::compressed_data(Event& event, const FrameParser::Event& frame) {
  Inflation& inflation = *inflation_;
  if (frame.frame_begin) {
    if (frame.opcode != Opcode::continuation) inflation.compressed_bytes = 0;
    const uint64_t payload_bytes = frame.payload.size() + frame.rest_bytes;
    if (payload_bytes > parser_.frame_bytes_max() - inflation.compressed_bytes) {
      return fail(event, CloseCode::message_too_big, kTooBig);
    }
    inflation.compressed_bytes += static_cast<uint32_t>(payload_bytes);
  }
  const bool message_end = frame.frame_end() && frame.fin;
  if (frame.payload.empty() && !message_end) return;

  Inflater* inflater = inflation.inflater.get();
  if (inflater == nullptr) {
    if (inflation.takeover) {
      inflation.inflater.reset(new Inflater(inflation.window_bits));
    } else if (!message_end) {
      inflation.inflater = inflation.pool.borrow();
    }
    const bool momentary = message_end && !inflation.takeover;
    inflater = momentary ? &inflation.pool.momentary() : inflation.inflater.get();
    if (inflater == nullptr) {
      if (!store(size_, frame.payload, parser_.frame_bytes_max())) {
        return fail(event, CloseCode::try_again_later, kOutOfMemory);
      }
      size_ += static_cast<uint32_t>(frame.payload.size());
      return;
    }
    if (size_ > 0) {
      const auto gathered = std::move(buffer_);
      const Bytes compressed(gathered.get(), size_);
      release();
      if (!inflate(event, *inflater, compressed)) return;
    }
  }

  if (!inflate(event, *inflater, frame.payload)) return;
  if (!message_end) return;
  if (!inflater->at_end()) {
    if (!inflate(event, *inflater, Inflater::kTail)) return;
    if (!inflater->at_end()) return fail(event, CloseCode::invalid_payload, kNotDeflate);
  }
  if (!inflation.takeover) inflation.inflater.reset();
  deliver(event, {buffer_.get(), size_});
}

// The buffer may hold one byte beyond the limit: the proof that the message exceeds it.
bool WebSocketReader::inflate(Event& event, Inflater& inflater, Bytes compressed) {
  const uint64_t limit = message_bytes_max();
  bool may_have_more = !compressed.empty();
  while (may_have_more) {
    if (size_ == capacity_) {
      const uint64_t guess = size_ + std::max<uint64_t>(kInflationGuess * compressed.size(), kBufferBytesMin);
      if (!reserve(std::min(guess, limit + 1), limit + 1)) {
        fail(event, CloseCode::try_again_later, kOutOfMemory);
        return false;
      }
    }
    const uint64_t room_bytes = std::min<uint64_t>(capacity_, limit + 1) - size_;
    MutableBytes room(buffer_.get() + size_, static_cast<size_t>(room_bytes));
    const Inflater::Outcome outcome = inflater.inflate(compressed, room);
    // In the order of the octets, so that the verdict is that of any other chunking:
    // UTF-8 as far as the limit, the limit, and what could not be inflated behind it.
    const MutableBytes inflated(buffer_.get() + size_, static_cast<size_t>(room_bytes - room.size()));
    const MutableBytes within = inflated.first(std::min<size_t>(inflated.size(), limit - size_));
    size_ += static_cast<uint32_t>(inflated.size());
    if (message_ == Opcode::text && !utf8_.push(within)) {
      fail(event, CloseCode::invalid_payload, kNotUtf8);
    } else if (size_ > limit) {
      fail(event, CloseCode::message_too_big, kTooBig);
    } else if (outcome == Inflater::Outcome::corrupt) {
      fail(event, CloseCode::invalid_payload, kNotDeflate);
    } else if (outcome == Inflater::Outcome::no_memory) {
      fail(event, CloseCode::try_again_later, kOutOfMemory);
    }
    if (ended_) return false;
    may_have_more = room.empty();
  }
  return true;
}

void WebSocketReader::deliver(Event& event, MutableBytes message) {
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
  inflation_.reset();
  event.kind = Event::Kind::close;
  event.code = code;
  event.payload = body;
}

void WebSocketReader::fail(Event& event, CloseCode code, std::string_view problem) {
  ended_ = true;
  release();
  inflation_.reset();
  event.kind = Event::Kind::error;
  event.code = code;
  event.problem = problem;
}

bool WebSocketReader::store(uint32_t at, Bytes bytes, uint64_t ceiling) {
  if (bytes.empty()) return true;
  if (!reserve(uint64_t{at} + bytes.size(), ceiling)) return false;
  std::memcpy(buffer_.get() + at, bytes.data(), bytes.size());
  return true;
}

bool WebSocketReader::reserve(uint64_t needed, uint64_t ceiling) {
  if (needed <= capacity_) return true;
  uint64_t grown = std::max<uint64_t>({needed, 2 * uint64_t{capacity_}, kBufferBytesMin});
  grown = std::max(needed, std::min(grown, ceiling));
  // realloc, because pages of a large buffer are then moved, not copied, and none is
  // touched before bytes arrive for it.
  void* moved = std::realloc(buffer_.get(), grown);
  if (moved == nullptr) return false;
  static_cast<void>(buffer_.release());
  buffer_.reset(static_cast<std::byte*>(moved));
  capacity_ = static_cast<uint32_t>(grown);
  return true;
}

void WebSocketReader::release() {
  buffer_.reset();
  capacity_ = 0;
  size_ = 0;
  control_size_ = 0;
}

}  // namespace ringcast
