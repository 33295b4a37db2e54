// Which Origin may open a WebSocket. Browsers send cookies along with a foreign
// page's handshake and no preflight guards it, so this check is what stands
// between another site's script and a signed-in user (RFC 6455 10.2). Pure; any
// thread.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ringcast {

// Whether `origin` is the server's own (http or https by `tls`, and the request's
// Host; host without case, default ports may be left out) or one of `allowed`:
//   "https://example.com[:port]"    exactly that origin
//   "https://*.example.com[:port]"  any host below it, not example.com itself
//   "null"                          sandboxed frames and file: pages
//   "file://", "some-extension://id"  likewise exactly that
//   "*"                             everybody, whatever they call themselves
// An empty origin is refused in any case: whether a missing one (a native client) is
// let in is the caller's decision.
bool origin_allowed(std::string_view origin, std::string_view host, bool tls,
                    std::span<const std::string> allowed);

// Whether an entry has one of the forms above: configuration is refused, not ignored.
bool valid_origin_entry(std::string_view entry);

}  // namespace ringcast
