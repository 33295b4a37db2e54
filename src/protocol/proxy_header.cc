// Version 2 begins with bytes no HTTP client can send, version 1 with a word no HTTP
// method is, so the first byte tells them apart and from everything else. What is held
// back is one line or one address block; TLVs are counted down, never kept.
#include "protocol/proxy_header.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/number.h"

namespace ringcast {
namespace {

using Event = ProxyHeaderParser::Event;
using Family = ProxyHeader::Family;

constexpr std::string_view kLineStart = "PROXY ";
constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kFixedBytes = 16;  // signature, version and command, family, length
constexpr size_t kInetBytes = 4 + 4 + 2 + 2;
constexpr size_t kInet6Bytes = 16 + 16 + 2 + 2;
constexpr size_t kUnixBytes = 108 + 108;
static_assert(kUnixBytes == ProxyHeaderParser::kAddressBytesMax);

// The high half says the family, the low half the transport: 1 is a stream.
constexpr uint8_t kUnspecified = 0x00;
constexpr uint8_t kTcp4 = 0x11;
constexpr uint8_t kTcp6 = 0x21;
constexpr uint8_t kUnixStream = 0x31;

uint16_t read_u16(const char* at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(at[0]) << 8 | static_cast<uint8_t>(at[1]));
}

// Up to the next space, which must be there unless this is the last word.
std::optional<std::string_view> take_word(std::string_view& line, bool last) {
  const size_t space = line.find(' ');
  if ((space == std::string_view::npos) != last) return std::nullopt;
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(last ? line.size() : space + 1);
  return word;
}

std::optional<IpAddress> parse_address(std::optional<std::string_view> word, bool v4) {
  if (!word || (word->find(':') == std::string_view::npos) != v4) return std::nullopt;
  return IpAddress::parse(*word);
}

std::optional<uint16_t> parse_port(std::optional<std::string_view> word) {
  if (!word || (word->size() > 1 && word->front() == '0')) return std::nullopt;
  return parse_number<uint16_t>(*word);
}

// Version 1's line without its CRLF. The destination is checked and dropped.
std::optional<ProxyHeader> parse_line(std::string_view line) {
  line.remove_prefix(kLineStart.size());
  // Whatever follows UNKNOWN is to be ignored (section 2.1).
  if (line == "UNKNOWN" || line.starts_with("UNKNOWN ")) return ProxyHeader{};
  const auto protocol = take_word(line, false);
  if (protocol != "TCP4" && protocol != "TCP6") return std::nullopt;
  const bool v4 = protocol == "TCP4";
  const auto source = parse_address(take_word(line, false), v4);
  const auto destination = parse_address(take_word(line, false), v4);
  const auto source_port = parse_port(take_word(line, false));
  const auto destination_port = parse_port(take_word(line, true));
  if (!source || !destination || !source_port || !destination_port) return std::nullopt;
  return ProxyHeader{.family = Family::inet, .source = *source, .source_port = *source_port};
}

}  // namespace

// One byte at a time: some fifty of them once a connection, and where they were cut
// cannot matter.
Event ProxyHeaderParser::next(MutableBytes& input) {
  while (state_ != State::skipping && state_ != State::failed) {
    if (input.empty()) return {};
    bytes_[held_++] = static_cast<char>(input.front());
    input = input.subspan(1);
    on_byte();
  }
  if (state_ == State::failed) return {.kind = Event::Kind::error, .reason = reason_};
  const size_t skipped = std::min<size_t>(left_, input.size());
  input = input.subspan(skipped);
  left_ = static_cast<uint16_t>(left_ - skipped);
  if (left_ > 0) return {};
  return {.kind = Event::Kind::header, .header = header_};
}

void ProxyHeaderParser::on_byte() {
  const std::string_view held(bytes_.data(), held_);
  switch (state_) {
    case State::start:
      if (held == kSignature) {
        state_ = State::fixed_part;
      } else if (held == kLineStart) {
        state_ = State::line;
      } else if (!kSignature.starts_with(held) && !kLineStart.starts_with(held)) {
        fail("no PROXY header");
      }
      break;
    case State::line:
      if (held.back() == '\n') {
        on_line(held);
      } else if (held.size() == kLineBytesMax) {
        fail("PROXY line too long");
      }
      break;
    case State::fixed_part:
      if (held.size() == kFixedBytes) on_fixed_part();
      break;
    case State::addresses:
      if (held.size() == kFixedBytes + address_bytes_) on_addresses();
      break;
    case State::skipping:
    case State::failed:
      RC_ASSERT(false);
  }
}

void ProxyHeaderParser::on_line(std::string_view line) {
  if (!line.ends_with("\r\n")) return fail("PROXY line does not end in CRLF");
  line.remove_suffix(2);
  const auto header = parse_line(line);
  if (!header) return fail("malformed PROXY line");
  header_ = *header;
  state_ = State::skipping;
}

void ProxyHeaderParser::on_fixed_part() {
  const auto command = static_cast<uint8_t>(bytes_[12]);
  const auto family = static_cast<uint8_t>(bytes_[13]);
  const size_t length = read_u16(&bytes_[14]);
  if (command >> 4 != 2) return fail("unknown PROXY version");
  if ((command & 0xf) > 1) return fail("unknown PROXY command");
  if (length > kAddressBytesMax + kTlvBytesMax) return fail("PROXY header too long");

  size_t address_bytes = 0;
  // Section 2.2: with LOCAL the block is discarded whatever it says of itself.
  header_.local = (command & 0xf) == 0;
  if (!header_.local) {
    switch (family) {
      case kUnspecified:
        break;
      case kTcp4:
      case kTcp6:
        header_.family = Family::inet;
        address_bytes = family == kTcp4 ? kInetBytes : kInet6Bytes;
        break;
      case kUnixStream:
        header_.family = Family::unix_socket;
        address_bytes = kUnixBytes;
        break;
      default:
        return fail("unknown PROXY address family");  // datagrams, too: this is a stream
    }
  }
  if (length < address_bytes) return fail("PROXY header shorter than its addresses");
  // A path names nobody we could count or trust: it is skipped like TLVs.
  address_bytes_ = header_.family == Family::inet ? static_cast<uint8_t>(address_bytes) : 0;
  left_ = static_cast<uint16_t>(length - address_bytes_);
  state_ = address_bytes_ > 0 ? State::addresses : State::skipping;
}

void ProxyHeaderParser::on_addresses() {
  const char* const block = &bytes_[kFixedBytes];
  if (address_bytes_ == kInetBytes) {
    const auto octet = [&](size_t at) { return static_cast<uint8_t>(block[at]); };
    header_.source = IpAddress::v4(octet(0), octet(1), octet(2), octet(3));
    header_.source_port = read_u16(block + 8);
  } else {
    std::copy_n(block, header_.source.bytes.size(), header_.source.bytes.begin());
    header_.source_port = read_u16(block + 32);
  }
  state_ = State::skipping;
}

void ProxyHeaderParser::fail(std::string_view reason) {
  reason_ = reason;
  state_ = State::failed;
}

}  // namespace ringcast
