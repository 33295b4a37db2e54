// Making the ring: which features this kernel has, whether they work (an operation of
// each kind is tried out on sockets of our own), and if not, why and what to do. Runs
// once per shard at start, a few milliseconds; any thread.
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "io/uring_backend.h"
#include "io/uring_self_test.h"

namespace ringcast {
namespace {

// What is used of io_uring without asking again. All of it is older than multishot
// receive (Linux 6.0), for which there is no such flag: the self-test finds that out.
constexpr unsigned kFeaturesNeeded = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;

int sysctl_io_uring_disabled() {
  int value = 0;
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> value;
  return value;
}

std::string why_refused(int error) {
  switch (error) {
    case -ENOSYS:
      return "this kernel has no io_uring or a seccomp filter hides it: Linux 6.0 or newer is needed, and in "
             "a "
             "container a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register";
    case -EPERM:
    case -EACCES:
      if (const int disabled = sysctl_io_uring_disabled(); disabled != 0) {
        return "the sysctl kernel.io_uring_disabled is " + std::to_string(disabled) +
               ": `sysctl kernel.io_uring_disabled=0` allows io_uring to everybody" +
               (disabled == 1 ? ", and kernel.io_uring_group to the members of one group" : "");
      }
      return "a seccomp filter or security module forbids io_uring: run with a seccomp profile that allows "
             "io_uring_setup, io_uring_enter and io_uring_register (in Docker --security-opt seccomp=FILE)";
    case -ENOMEM:
      return "there is no memory for its rings: raise the locked-memory limit (ulimit -l) or the container's "
             "memory";
    case -EMFILE:
    case -ENFILE:
      return "the process is out of file descriptors: raise the limit (ulimit -n)";
    case -EINVAL:
      return "this kernel's io_uring is too old: Linux 6.0 or newer is needed";
    default:
      return "the kernel refuses io_uring: " + std::system_category().message(-error);
  }
}

// Whether a ring may be made, and entered: seccomp filters decide on each system call
// by itself. 0 or -errno.
int try_a_ring() {
  io_uring ring;
  int result = io_uring_queue_init(2, &ring, 0);
  if (result < 0) return result;
  io_uring_prep_nop(io_uring_get_sqe(&ring));
  result = io_uring_submit_and_wait(&ring, 1);
  io_uring_queue_exit(&ring);
  return std::min(result, 0);
}

}  // namespace

int UringBackend::open(const BackendOptions& options, UringFeatures features) {
  features_ = features;
  io_uring_params params{};
  // Disabled: the ring's only submitter is who enables it, in the first turn.
  // SUBMIT_ALL: a submission the kernel finds wrong fails alone, and those behind it go in.
  // TASKRUN_FLAG: the ring's memory shows whether there is anything to fetch, so a turn
  // that must not sleep costs no system call while there is nothing.
  params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG |
                 (features.deferred_task_work
                      ? IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
                      : IORING_SETUP_R_DISABLED | IORING_SETUP_COOP_TASKRUN);
  params.cq_entries = std::max(options.uring_completions, kBatchMax);
  int result = io_uring_queue_init_params(kBatchMax, &ring_, &params);
  if (result < 0) return result;
  ring_open_ = true;
  queue_entries_ = params.cq_entries;
  if ((params.features & kFeaturesNeeded) != kFeaturesNeeded) return -EINVAL;

  buffers_ = RecvRing::create(ring_, options.recv_buffers_bytes, features.incremental_buffers, &result);
  if (!buffers_) return result;
  // Blocking: a read that finds nothing must wait in the ring, not fail.
  wake_.reset(eventfd(0, EFD_CLOEXEC));
  return wake_ ? 0 : -errno;
}

std::unique_ptr<UringBackend> UringBackend::create(const BackendOptions& options, std::string* why_not) {
  if (const int result = try_a_ring(); result < 0) {
    *why_not = "io_uring cannot be used: " + why_refused(result);
    return nullptr;
  }
  // From the best to the floor; each is tried whole, since what a kernel announces and
  // what works on it have differed.
  const UringFeatures asked = options.uring_features;
  std::vector<UringFeatures> candidates{asked};
  const auto also = [&](UringFeatures features) {
    if (std::find(candidates.begin(), candidates.end(), features) == candidates.end()) {
      candidates.push_back(features);
    }
  };
  also({.deferred_task_work = asked.deferred_task_work, .incremental_buffers = false});
  also(UringFeatures::floor());

  for (const UringFeatures features : candidates) {
    std::unique_ptr<UringBackend> tested(new UringBackend);
    if (const int result = tested->open(options, features); result < 0) {
      *why_not = "io_uring cannot be used: " + why_refused(result);
      continue;
    }
    if (std::string failed; !passes_self_test(*tested, &failed)) {
      *why_not = "io_uring cannot be used: on this kernel it fails its self-test (" + failed +
                 "); Linux 6.1 or newer is known to work";
      continue;
    }
    // A second ring, because the first belongs to this thread now.
    std::unique_ptr<UringBackend> backend(new UringBackend);
    if (const int result = backend->open(options, features); result < 0) {
      *why_not = "io_uring cannot be used: " + why_refused(result);
      continue;
    }
    why_not->clear();
    return backend;
  }
  return nullptr;
}

UringBackend::~UringBackend() {
  if (!ring_open_) return;
  // The kernel ends what is still armed some time after the ring is closed. Until then
  // it must not find memory to receive into that is no longer ours.
  if (buffers_) buffers_->unregister(ring_);
  io_uring_queue_exit(&ring_);
}

}  // namespace ringcast
