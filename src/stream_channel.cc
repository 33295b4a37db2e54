// A stream's name from what the client brought, verified before anything else is done with it.
#include "stream_channel.h"

#include <string>
#include <utility>

#include "auth/signed_stream.h"
#include "shard/session.h"
#include "shard/shard.h"

namespace ringcast::internal {
namespace {

// A name to stream from, or why there is none.
struct Grant {
  std::string stream;
  std::string refusal;  // empty: granted
};

Grant granted(SignedStream signed_stream) {
  if (signed_stream) return {std::move(signed_stream.name), {}};
  return {{}, "the signed name " + std::string(describe(signed_stream.error))};
}

// Why nobody streams by names of that kind here; null: they do.
const char* switched_off(const Identity& identity, StreamRequest::Kind kind) {
  using Kind = StreamRequest::Kind;
  switch (kind) {
    case Kind::turbo:
      return identity.turbo_streams ? nullptr : "turbo-streams is off";
    case Kind::pubsub:
      return identity.signed_streams ? nullptr : "there is no streams-secret-file";
    case Kind::public_name:
      return identity.public_streams ? nullptr : "public-streams is off";
    case Kind::cable_ready:
    case Kind::none:
      break;
  }
  return "there is no such channel";
}

Grant grant(const Identity& identity, const StreamRequest& request, int64_t now_unix_ms) {
  using Kind = StreamRequest::Kind;
  if (const char* const why = switched_off(identity, request.kind)) return {{}, why};
  if (request.kind == Kind::turbo) {
    return granted(verify_turbo_stream(identity.cookies, request.text, now_unix_ms));
  }
  if (request.kind == Kind::pubsub) {
    return granted(verify_signed_stream(*identity.signed_streams, request.text));
  }
  return {std::string(request.text), {}};
}

class StreamChannel final : public SessionChannel {
 public:
  StreamChannel(Session& session, ChannelIdentifierRef identifier, Grant grant)
      : SessionChannel(session, std::move(identifier)), grant_(std::move(grant)) {}

 private:
  CallResult subscribed() override {
    // Too long a name, or an empty one, is refused like one that is not signed.
    if (grant_.refusal.empty() && !stream_from(grant_.stream)) {
      grant_.refusal = "the name is empty, too long, or one too many";
    }
    if (!grant_.refusal.empty()) {
      Shard& shard = session().shard();
      shard.log().log(shard.now(), LogLevel::info, "stream_refused",
                      {{"connection", session().number()},
                       {"tags", session().tags()},
                       {"why", std::string_view(grant_.refusal)}});
      reject();
    }
    grant_ = {};
    return CallResult::ok;
  }
  void unsubscribed() override {}
  bool perform(std::string_view, const Json&, CallResult&) override { return false; }
  CallResult timer(uint32_t) override { return CallResult::ok; }

  Grant grant_;  // until subscribed()
};

}  // namespace

bool is_stream_channel(const Identity& identity, std::string_view channel, const Json& params) {
  return switched_off(identity, stream_request(channel, params).kind) == nullptr;
}

std::unique_ptr<SessionChannel> make_stream_channel(const Identity& identity, Session& session,
                                                    ChannelIdentifierRef identifier) {
  const StreamRequest request = stream_request(identifier->channel(), identifier->params());
  if (request.kind == StreamRequest::Kind::none || request.kind == StreamRequest::Kind::cable_ready) {
    return nullptr;
  }
  Grant made = grant(identity, request, session.shard().unix_ms());
  return std::make_unique<StreamChannel>(session, std::move(identifier), std::move(made));
}

}  // namespace ringcast::internal
