#include "wire.h"

#include <cstring>

namespace load {
namespace {

constexpr unsigned char kKey[8] = {0x1f, 0x6b, 0xd2, 0x55, 0x1f, 0x6b, 0xd2, 0x55};

}  // namespace

Frame first_frame(std::string_view bytes) {
  Frame frame;
  if (bytes.size() < 2) return frame;
  const auto* at = reinterpret_cast<const unsigned char*>(bytes.data());
  frame.opcode = at[0] & 0x0f;
  frame.valid = (at[0] & 0xf0) == 0x80 && (at[1] & 0x80) == 0;
  size_t header = 2;
  uint64_t size = at[1] & 0x7f;
  if (size >= 126) {
    const size_t length_bytes = size == 126 ? 2 : 8;
    header += length_bytes;
    if (bytes.size() < header) return frame;
    size = 0;
    for (size_t i = 0; i < length_bytes; ++i) size = size << 8 | at[2 + i];
  }
  if (bytes.size() - header < size) return frame;
  frame.payload = bytes.substr(header, size);
  frame.bytes = header + size;
  return frame;
}

size_t header_bytes(uint64_t payload_bytes) {
  if (payload_bytes < 126) return 6;
  return payload_bytes <= 0xffff ? 8 : 14;
}

char masked(char octet, size_t position) {
  return static_cast<char>(static_cast<unsigned char>(octet) ^ kKey[position & 3]);
}

void append_frame(std::string& out, uint8_t opcode, std::string_view payload) {
  const size_t size = payload.size();
  out.push_back(static_cast<char>(0x80 | opcode));
  if (size < 126) {
    out.push_back(static_cast<char>(0x80 | size));
  } else {
    out.push_back(static_cast<char>(0x80 | (size <= 0xffff ? 126 : 127)));
    for (int shift = size <= 0xffff ? 8 : 56; shift >= 0; shift -= 8)
      out.push_back(static_cast<char>(size >> shift));
  }
  out.append(reinterpret_cast<const char*>(kKey), 4);
  const size_t begin = out.size();
  out.append(payload);
  char* at = out.data() + begin;
  size_t i = 0;
  uint64_t key;
  std::memcpy(&key, kKey, sizeof key);
  for (; i + sizeof key <= size; i += sizeof key) {
    uint64_t word;
    std::memcpy(&word, at + i, sizeof word);
    word ^= key;
    std::memcpy(at + i, &word, sizeof word);
  }
  for (; i < size; ++i) at[i] = masked(at[i], i);
}

}  // namespace load
