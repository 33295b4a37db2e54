// SHA-1 (FIPS 180-4) for the WebSocket handshake and nothing that must be
// secret: RFC 6455 needs it, cryptography gave it up. Pure function; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"

namespace ringcast {

using Sha1Digest = std::array<std::byte, 20>;

Sha1Digest sha1(Bytes message);

// What differs between machines: folding whole 64-byte blocks into the state.
struct Sha1Kernel {
  std::string_view name;
  void (*compress)(uint32_t state[5], const std::byte* blocks, size_t count);
};

// The kernels this machine can run, slowest first; sha1() uses the last. For
// tests and benchmarks, as is sha1_with.
std::span<const Sha1Kernel> sha1_kernels();
Sha1Digest sha1_with(const Sha1Kernel& kernel, Bytes message);

}  // namespace ringcast
