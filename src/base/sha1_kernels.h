// Between sha1.cc and the files of its kernels; nobody else includes it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringcast::sha1_detail {

#if defined(__x86_64__)
// Whether this machine has the SHA extensions, and the kernel for those that do.
bool has_sha_ni();
void compress_sha_ni(uint32_t state[5], const std::byte* blocks, size_t count);
#endif

}  // namespace ringcast::sha1_detail
