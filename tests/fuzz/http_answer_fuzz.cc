// What an application answers, byte for byte: the parser gives one script whatever the cuts
// and holds no more than its limits, and whatever body it yields is decoded to an answer or
// refused with a reason.
#include <cstdint>
#include <string>

#include "rpc/rpc_messages.h"
#include "support/http_answer_script.h"

namespace {

using namespace ringcast;

constexpr HttpResponseLimits kLimits{
    .head_bytes_max = 512, .headers_max = 10, .body_bytes_max = 1024, .chunk_line_bytes_max = 32};

void decode(std::string_view body) {
  std::string_view problem;
  const auto answer = decode_rpc_answer(body, &problem);
  require(answer.has_value() == problem.empty());
  if (!answer) return;
  RpcState state = {{"kept", "1"}};
  merge_rpc_state(state, answer->connection_state);
  for (const auto& [name, value] : state) require(!value.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view wire(reinterpret_cast<const char*>(data), size);
  for (const bool closes : {false, true}) {
    const std::string whole = play_answers(wire, kLimits, {}, closes);
    // A body that ends with the connection is judged by how much of it is there.
    if (whole.find("the body is too long") != whole.npos) continue;
    require(whole == play_answers(wire, kLimits, cuts_of(wire), closes));
  }
  decode(wire);
  if (const size_t end = wire.find("\r\n\r\n"); end != wire.npos) decode(wire.substr(end + 4));
  return 0;
}
