// The choice between io_uring and epoll. Any thread.
#include "io/make_backend.h"

#include "io/epoll_backend.h"
#include "io/uring_backend.h"

namespace ringcast {

std::unique_ptr<Backend> make_backend(BackendKind kind, const BackendOptions& options, std::string* why_not) {
  std::string unread;
  if (why_not == nullptr) why_not = &unread;
  why_not->clear();
  if (kind != BackendKind::epoll) {
    std::unique_ptr<Backend> uring = UringBackend::create(options, why_not);
    if (uring != nullptr || kind == BackendKind::io_uring) return uring;
  }
  std::string error;
  std::unique_ptr<Backend> epoll = EpollBackend::create(options, &error);
  if (epoll == nullptr) *why_not += (why_not->empty() ? "" : "; ") + error;
  return epoll;
}

}  // namespace ringcast
