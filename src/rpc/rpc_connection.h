// One connection to the application: requests out, one at a time, and their answers in, kept
// open between them. Owned by the pool; its thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapter/client_stream.h"
#include "base/bytes.h"
#include "base/time.h"
#include "io/backend.h"
#include "protocol/http_response_parser.h"

namespace ringcast {

class RpcConnection {
 public:
  using Stage = ClientStream::Stage;

  // `lane`, below 65536, sets its tokens apart from those of others on the same backend.
  // `tls`: null for plain HTTP; `host` is whom the certificate must name.
  RpcConnection(uint16_t lane, std::string host, std::shared_ptr<const ClientTlsContext> tls,
                const HttpResponseLimits& limits);
  RpcConnection(const RpcConnection&) = delete;
  RpcConnection& operator=(const RpcConnection&) = delete;

  Stage stage() const { return stream_.stage(); }
  // Why it closed, in words.
  const std::string& failure() const { return failure_; }

  // REQUIRES: closed. A request may be given at once.
  void open(const EngineAddress& address, std::vector<Submission>& submissions);
  void close(std::string why, std::vector<Submission>& submissions);

  // --- A request and its answer ----------------------------------------------------------
  // REQUIRES: none is under way.
  void request(std::string_view head, std::string_view body);
  bool answered() const { return answered_; }
  int status() const { return parser_.status(); }
  const std::string& body() const { return body_; }
  // How long an idle connection may be trusted to be there; zero if it is over already.
  Duration keep_alive_for(Duration at_most) const;
  // REQUIRES: answered. The next request may come.
  void forget_answer();

  // Of the request under way, also after the close: nobody can have seen any of it.
  bool unseen() const { return !seen_; }
  // And whether anything of an answer has come.
  bool answer_begun() const { return parser_.begun(); }

  // --- A turn ----------------------------------------------------------------------------
  void flush(std::vector<Submission>& submissions) { stream_.flush(submissions); }
  bool owns(Token token) const { return stream_.owns(token); }
  void short_send(const Completion& completion, std::vector<Submission>& submissions);
  // After the short sends, before all else: what was submitted and is not short is gone.
  void settle_send();
  void completed(const Completion& completion, std::vector<Submission>& submissions);

 private:
  void note_sent(uint64_t taken_before);
  void take_bytes(Bytes bytes, std::vector<Submission>& submissions);
  void peer_closed(std::string why, std::vector<Submission>& submissions);

  ClientStream stream_;
  std::string failure_;
  std::vector<std::byte> inbound_;
  HttpResponseParser parser_;
  std::string body_;
  uint64_t request_at_ = 0;  // where it begins, as the stream counts
  bool asked_ = false;
  bool seen_ = false;  // some of the request has left
  bool answered_ = false;
};

}  // namespace ringcast
