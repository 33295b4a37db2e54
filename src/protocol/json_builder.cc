// Json::parse: text into a tree that its holder owns. Any thread; the parser is
// the calling thread's own.
#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "protocol/json_document.h"
#include "ringcast/json.h"

namespace ringcast {

// Builds the tree. Open containers are a stack of pointers: an element never
// moves while it is being filled, since its siblings come only after it.
class JsonBuilder {
 public:
  Json take() { return std::move(root_); }

  void null() { add(Json()); }
  void boolean(bool value) { add(Json(value)); }
  void number(std::string_view token) {
    Json json;
    json.value_ = Json::Number{std::string(token)};
    add(std::move(json));
  }
  void string(const char* content) { add(Json(read(content))); }
  void key(const char* content) { open_members().push_back({read(content), Json()}); }
  void begin_array() { open(Json::array()); }
  void end_array() { --depth_; }
  void begin_object() { open(Json::object()); }
  void end_object() {
    drop_duplicates(open_members());
    --depth_;
  }

 private:
  static std::string read(const char* content) {
    std::string out;
    append_unescaped(out, content);
    return out;
  }

  std::vector<Json::Member>& open_members() {
    return std::get<std::vector<Json::Member>>(open_[depth_ - 1]->value_);
  }

  Json& add(Json&& value) {
    if (depth_ == 0) return root_ = std::move(value);
    Json& parent = *open_[depth_ - 1];
    if (auto* const elements = std::get_if<std::vector<Json>>(&parent.value_)) {
      return elements->emplace_back(std::move(value));
    }
    return open_members().back().value = std::move(value);
  }

  void open(Json&& container) {
    RC_ASSERT(depth_ < open_.size());
    Json& placed = add(std::move(container));
    open_[depth_++] = &placed;
  }

  // Each key keeps its first place and its last value.
  static void drop_duplicates(std::vector<Json::Member>& members) {
    constexpr size_t kFew = 16;
    if (members.size() <= kFew) {
      for (size_t at = 1; at < members.size();) {
        const auto end = members.begin() + static_cast<std::ptrdiff_t>(at);
        const auto first = std::find_if(
            members.begin(), end, [&](const Json::Member& member) { return member.key == members[at].key; });
        if (first == end) {
          ++at;
        } else {
          first->value = std::move(members[at].value);
          members.erase(end);
        }
      }
      return;
    }

    // Sorting rather than hashing or comparing all pairs: keys are the peer's
    // choice, and a megabyte of them must not cost quadratic time.
    std::vector<uint32_t> order(members.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](uint32_t left, uint32_t right) {
      const int compared = members[left].key.compare(members[right].key);
      return compared != 0 ? compared < 0 : left < right;
    });
    std::vector<bool> dropped(members.size());
    size_t first = 0;  // in `order`, of a run of equal keys
    for (size_t at = 1; at < order.size(); ++at) {
      if (members[order[at]].key != members[order[first]].key) {
        first = at;
      } else {
        members[order[first]].value = std::move(members[order[at]].value);
        dropped[order[at]] = true;
      }
    }
    size_t kept = 0;
    for (size_t at = 0; at < members.size(); ++at) {
      if (dropped[at]) continue;
      if (kept != at) members[kept] = std::move(members[at]);
      ++kept;
    }
    members.resize(kept);
  }

  Json root_;
  std::array<Json*, Json::kDepthMax> open_{};
  size_t depth_ = 0;
};

std::optional<Json> Json::parse(std::string_view text, std::string_view* problem) {
  JsonDocument document;
  JsonBuilder builder;
  const std::string_view refusal = document.read(text, builder);
  if (problem != nullptr) *problem = refusal;
  if (!refusal.empty()) return std::nullopt;
  return builder.take();
}

}  // namespace ringcast
