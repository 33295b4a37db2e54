// The frame parser. A header lying whole in the input is read where it lies; one cut in
// two is gathered octet by octet. Pure; owned and called by one WebSocketReader.
#include "protocol/frame_parser.h"

#include <algorithm>

namespace ringcast {

struct FrameParser::Violation {
  CloseCode code;
  std::string_view problem;
};

namespace {

constexpr uint8_t kRsv2And3 = 0x30;
constexpr uint8_t kOpcode = 0x0f;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kLength = 0x7f;

bool is_known(Opcode opcode) {
  switch (opcode) {
    case Opcode::continuation:
    case Opcode::text:
    case Opcode::binary:
    case Opcode::close:
    case Opcode::ping:
    case Opcode::pong:
      return true;
  }
  return false;
}

// Octets of header before the masking key, by its second octet.
size_t unmasked_header_bytes(std::byte second) {
  switch (static_cast<uint8_t>(second) & kLength) {
    case kLength16:
      return 4;
    case kLength64:
      return 10;
    default:
      return 2;
  }
}

// Of the header at `header`, of which everything before the masking key is known.
uint64_t declared_bytes(const std::byte* header) {
  switch (const uint8_t length = static_cast<uint8_t>(header[1]) & kLength) {
    case kLength16:
      return load_be16(header + 2);
    case kLength64:
      return load_be64(header + 2);
    default:
      return length;
  }
}

}  // namespace

FrameParser::FrameParser(uint64_t frame_bytes_max, Rsv1 rsv1) : rsv1_(rsv1) {
  set_frame_bytes_max(frame_bytes_max);
}

void FrameParser::set_frame_bytes_max(uint64_t bytes) {
  frame_bytes_max_ = static_cast<uint32_t>(std::min(bytes, kFrameBytesMax));
}

FrameParser::Event FrameParser::next(MutableBytes& input) {
  bool frame_begin = false;
  if (state_ == State::header) {
    const Violation* violation = nullptr;
    frame_begin = take_header(input, violation);
    if (violation != nullptr) {
      state_ = State::failed;
      input = input.last(0);
      return {.kind = Event::Kind::error, .error = violation->code, .problem = violation->problem};
    }
    if (!frame_begin) return {};
  }
  if (state_ == State::failed) {
    input = input.last(0);
    return {};
  }

  const uint32_t remaining = payload_bytes_ - consumed_;
  const MutableBytes chunk = input.first(std::min<size_t>(remaining, input.size()));
  if (chunk.empty() && remaining > 0 && !frame_begin) return {};
  xor_mask(chunk, key_, consumed_);
  input = input.subspan(chunk.size());
  consumed_ += static_cast<uint32_t>(chunk.size());

  const uint32_t rest = payload_bytes_ - consumed_;
  if (rest == 0) state_ = State::header;
  const auto start = static_cast<uint8_t>(start_);
  return {.kind = Event::Kind::payload,
          .opcode = static_cast<Opcode>(start & kOpcode),
          .fin = (start & kFin) != 0,
          .compressed = (start & kRsv1) != 0,
          .frame_begin = frame_begin,
          .rest_bytes = rest,
          .payload = chunk};
}

// Consumes the header, or as much of it as there is. True once it is whole and good;
// `violation` is set as soon as it cannot become good.
bool FrameParser::take_header(MutableBytes& input, const Violation*& violation) {
  if (header_size_ == 0 && input.size() >= 2) {
    const std::byte* header = input.data();
    const size_t before_key = unmasked_header_bytes(header[1]);
    if (input.size() >= before_key + sizeof(MaskKey)) {
      violation = check_start(header);
      if (violation == nullptr) violation = check_length(header);
      if (violation != nullptr) return false;
      begin_payload(header);
      input = input.subspan(before_key + sizeof(MaskKey));
      return true;
    }
  }
  while (!input.empty()) {
    header_[header_size_++] = input.front();
    input = input.subspan(1);
    if (header_size_ < 2) continue;
    const size_t before_key = unmasked_header_bytes(header_[1]);
    if (header_size_ == 2) violation = check_start(header_.data());
    if (violation == nullptr && header_size_ == before_key) violation = check_length(header_.data());
    if (violation != nullptr) return false;
    if (header_size_ == before_key + sizeof(MaskKey)) {
      header_size_ = 0;
      begin_payload(header_.data());
      return true;
    }
  }
  return false;
}

// Section 5.2, as far as the first two octets go.
const FrameParser::Violation* FrameParser::check_start(const std::byte* header) const {
  static constexpr Violation kUnmasked{CloseCode::protocol_error, "client frames must be masked"};
  static constexpr Violation kReservedBits{CloseCode::protocol_error, "a reserved bit is set"};
  static constexpr Violation kReservedOpcode{CloseCode::protocol_error, "the opcode is reserved"};
  static constexpr Violation kFragmentedControl{CloseCode::protocol_error, "a control frame is fragmented"};
  static constexpr Violation kLongControl{CloseCode::protocol_error, "a control frame exceeds 125 bytes"};

  const auto start = static_cast<uint8_t>(header[0]);
  const auto second = static_cast<uint8_t>(header[1]);
  const auto opcode = static_cast<Opcode>(start & kOpcode);
  const bool rsv1_allowed =
      rsv1_ == Rsv1::marks_compressed && (opcode == Opcode::text || opcode == Opcode::binary);
  if ((start & kRsv2And3) != 0) return &kReservedBits;
  if ((start & kRsv1) != 0 && !rsv1_allowed) return &kReservedBits;
  if (!is_known(opcode)) return &kReservedOpcode;
  if (is_control(opcode)) {
    if ((start & kFin) == 0) return &kFragmentedControl;
    if ((second & kLength) > kControlPayloadBytesMax) return &kLongControl;
  }
  if ((second & kMasked) == 0) return &kUnmasked;
  return nullptr;
}

// Section 5.2, "the minimal number of bytes MUST be used", and the limit. Control frames
// have a limit of their own, checked above: a ping passes however small messages are kept.
const FrameParser::Violation* FrameParser::check_length(const std::byte* header) const {
  static constexpr Violation kTopBit{CloseCode::protocol_error, "the payload length has its top bit set"};
  static constexpr Violation kNotMinimal{CloseCode::protocol_error,
                                         "the payload length is not in its shortest form"};
  static constexpr Violation kTooBig{CloseCode::message_too_big, "the frame is larger than the limit"};

  const uint64_t bytes = declared_bytes(header);
  if (bytes >> 63 != 0) return &kTopBit;
  if (unmasked_header_bytes(header[1]) != frame_header_bytes(bytes)) return &kNotMinimal;
  if (is_control(static_cast<Opcode>(static_cast<uint8_t>(header[0]) & kOpcode))) return nullptr;
  if (bytes > frame_bytes_max_) return &kTooBig;
  return nullptr;
}

void FrameParser::begin_payload(const std::byte* header) {
  start_ = header[0];
  std::memcpy(key_.data(), header + unmasked_header_bytes(header[1]), sizeof key_);
  payload_bytes_ = static_cast<uint32_t>(declared_bytes(header));
  consumed_ = 0;
  state_ = State::payload;
}

}  // namespace ringcast
