// Time, and what processes have used of CPU and memory, as /proc tells it. Any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace load {

// CLOCK_MONOTONIC, nanoseconds.
uint64_t now_ns();

// CPU time in nanoseconds: the scheduler's own count, of all tasks of these processes.
uint64_t cpu_ns(const std::vector<uint64_t>& pids);
uint64_t own_cpu_ns();

// Resident memory in bytes, added up.
uint64_t resident_bytes(const std::vector<uint64_t>& pids);
// The most that was ever resident.
uint64_t peak_resident_bytes(const std::vector<uint64_t>& pids);

// What the kernel's slabs hold that it cannot give back, in bytes: of the whole machine,
// both ends of every loopback connection.
uint64_t kernel_slab_bytes();

// Raises the limit of descriptors to the hard one; what holds afterwards.
uint64_t raise_descriptor_limit();

}  // namespace load
