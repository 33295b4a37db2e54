// What liburing 2.3 (Debian 12) does not know yet of the kernel's interface, under
// names of our own so that newer headers do not clash. Constants only; any thread.
#pragma once

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace ringcast::uring {

// Linux 6.12, IOU_PBUF_RING_INC: receives fill one provided buffer back to back.
inline constexpr uint16_t kBufferRingIncremental = 2;
// Linux 6.12, IORING_CQE_F_BUF_MORE: the buffer named stays at the ring's head.
inline constexpr uint32_t kCqeBufferMore = 1U << 4;

// struct io_uring_buf_reg with the flags that were padding in 2.3's header.
struct BufferRingRegistration {
  uint64_t ring_address;
  uint32_t entries;
  uint16_t group;
  uint16_t flags;
  uint64_t reserved[3];
};
static_assert(sizeof(BufferRingRegistration) == sizeof(io_uring_buf_reg));

// By hand because 2.3's io_uring_register_buf_ring drops its flags argument.
// 0 or -errno; unknown flags are -EINVAL.
inline int register_buffer_ring(int ring_fd, const BufferRingRegistration& registration) {
  const long result = syscall(__NR_io_uring_register, ring_fd, IORING_REGISTER_PBUF_RING, &registration, 1);
  return result < 0 ? -errno : 0;
}

// Starts a ring made disabled; the caller becomes its only submitter. By hand because
// 2.3's header declares io_uring_enable_rings and its library does not export it.
inline int enable_ring(int ring_fd) {
  const long result = syscall(__NR_io_uring_register, ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
  return result < 0 ? -errno : 0;
}

}  // namespace ringcast::uring
