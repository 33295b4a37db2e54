// WebSocket masking (RFC 6455, 5.3): exclusive-or with a repeating 4-byte key,
// in place. Pure function; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace ringcast {

using MaskKey = std::array<std::byte, 4>;

// `offset` is the position of bytes[0] in the frame's payload: byte i is masked
// with key[(offset + i) & 3], so a payload may be unmasked piece by piece.
// Touches no byte outside `bytes`.
void xor_mask(MutableBytes bytes, MaskKey key, size_t offset);

struct XorMaskKernel {
  std::string_view name;
  void (*run)(MutableBytes bytes, MaskKey key, size_t offset);
};

// The kernels this machine can run, slowest first; xor_mask uses the last. For
// tests and benchmarks.
std::span<const XorMaskKernel> xor_mask_kernels();

}  // namespace ringcast
