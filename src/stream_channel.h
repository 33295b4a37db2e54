// Subscriptions to streams by name, without a channel of the application's: the name is
// signed by the application, or streams are public. A client that names a stream it
// was not given gets reject_subscription. Any shard.
#pragma once

#include <memory>
#include <string_view>

#include "identity.h"
#include "ringcast/json.h"
#include "shard/session.h"

namespace ringcast::internal {

// Whether a subscription is to such a stream, and of a kind that is switched on.
bool is_stream_channel(const Identity& identity, std::string_view channel, const Json& params);

// Turbo::StreamsChannel or $pubsub for that subscription; null for any other channel.
std::unique_ptr<SessionChannel> make_stream_channel(const Identity& identity, Session& session,
                                                    ChannelIdentifierRef identifier);

}  // namespace ringcast::internal
