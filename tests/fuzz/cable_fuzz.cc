// Any bytes as a client's frame. A reused Command must fare as a fresh one, the
// picking reader must agree with the tree, and an identifier that was taken must
// be echoed so that the client reads back its own string.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "protocol/cable.h"
#include "protocol/json.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringcast;
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  static Command reused;
  decode_command(text, reused);
  const Command command = decode_command(text);
  require(command.kind == reused.kind && command.identifier == reused.identifier &&
          command.data == reused.data && command.problem == reused.problem);
  require((command.kind == Command::Kind::malformed) == !command.problem.empty());

  if (command.kind != Command::Kind::malformed) {
    const std::optional<Json> tree = Json::parse(text);
    require(tree && tree->is_object());
    require((*tree)["command"].is_string());
    require((*tree)["identifier"].as_string().value_or("") == command.identifier);
    require((*tree)["data"].as_string().value_or("") == command.data);

    std::string confirm;
    append_confirm(confirm, command.identifier);
    const std::optional<Json> echoed = Json::parse(confirm);
    require(echoed && echoed->string("identifier") == command.identifier);
    require(BroadcastEnvelope(command.identifier)
                .prefix.starts_with(R"({"identifier":)" + encode_identifier(command.identifier)));
  }

  if (const std::optional<Identifier> identifier = decode_identifier(text)) {
    require(identifier->params["channel"].as_string() == identifier->channel);
    require(!channel_short_name(identifier->channel).starts_with('_') ||
            identifier->channel.starts_with('_') || identifier->channel.starts_with('-'));
  }
  if (const std::optional<Action> action = decode_action(text)) {
    require(!action->action.empty() && action->data.is_object());
    (void)is_dispatchable_action(action->action);
  }
  return 0;
}
