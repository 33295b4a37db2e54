#include "app/stream_reach.h"

#include <algorithm>
#include <bitset>
#include <vector>

namespace ringcast {
namespace {

using Bytes256 = std::bitset<256>;

// One byte of these; repeated: one or more.
struct Element {
  Bytes256 bytes;
  bool repeated = false;
};

// A template and everything that has to hold before it becomes a name.
struct Spelled {
  std::string where;
  size_t line = 0;
  std::string text;
  std::vector<Element> pattern;
  bool chosen = false;  // a client chooses a part freely
  bool bound = false;   // a part is who is connected, or is compared with something
  bool read = true;     // streams are subscribed to by it; else only published to
};

Bytes256 without_controls(Bytes256 bytes) {
  for (size_t byte = 0; byte < 0x20; ++byte) bytes.reset(byte);
  return bytes.reset(0x7f);
}

Bytes256 base64url() {
  std::string ignored;
  return CharacterSet::parse("A-Za-z0-9_-", ignored)->bytes();
}

class Speller {
 public:
  Speller(std::string where, size_t line, std::vector<const Conditions*> conditions)
      : where_(std::move(where)), line_(line), conditions_(std::move(conditions)) {}

  Spelled spell(const TextTemplate& name, bool read) const {
    Spelled spelled{.where = where_, .line = line_, .text = name.text(), .pattern = {}, .read = read};
    for (const TextTemplate::Part& part : name.parts()) {
      for (const char c : part.text) {
        spelled.pattern.push_back({Bytes256().set(static_cast<unsigned char>(c)), false});
      }
      if (part.placeholder) add(spelled, *part.placeholder);
    }
    return spelled;
  }

 private:
  void add(Spelled& spelled, const Placeholder& placeholder) const {
    Bytes256 bytes = CharacterSet::all().bytes();
    bool bound = placeholder.root() == TemplateRoot::identifiers;
    for (const Conditions* conditions : conditions_) {
      for (const Condition& condition : *conditions) {
        const Placeholder* const about = condition.any.empty() ? condition.value.bare() : nullptr;
        if (about == nullptr || about->root() != placeholder.root() ||
            !std::ranges::equal(about->steps(), placeholder.steps()) || about->is_global_id()) {
          continue;
        }
        if (condition.equals || condition.in_list || !condition.in.empty()) bound = true;
        if (condition.characters) bytes &= condition.characters->bytes();
      }
    }
    if (placeholder.is_global_id()) bytes = base64url();
    if (placeholder.has_default()) bytes.set();  // the text in its place is bound by nothing
    spelled.pattern.push_back({without_controls(bytes), true});
    (bound ? spelled.bound : spelled.chosen) = true;
  }

  const std::string where_;
  const size_t line_;
  const std::vector<const Conditions*> conditions_;
};

// Whether some text matches both: a walk over the pairs of places that can be reached.
bool intersect(const std::vector<Element>& a, const std::vector<Element>& b) {
  std::vector<char> reached((a.size() + 1) * (b.size() + 1), 0);
  const auto at = [&](size_t i, size_t j) -> char& { return reached[i * (b.size() + 1) + j]; };
  at(0, 0) = 1;
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) {
      if (at(i, j) == 0 || (a[i].bytes & b[j].bytes).none()) continue;
      at(i + 1, j + 1) = 1;
      if (a[i].repeated) at(i, j + 1) = 1;
      if (b[j].repeated) at(i + 1, j) = 1;
    }
  }
  return at(a.size(), b.size()) != 0;
}

std::vector<Spelled> all_spelled(const Declarations& declarations) {
  std::vector<Spelled> all;
  for (const ChannelRules& channel : declarations.channels) {
    const Speller speller("channel " + channel.name, channel.line, {&channel.allow});
    for (const TextTemplate& stream : channel.streams) all.push_back(speller.spell(stream, true));
    for (const ActionRules& action : channel.actions) {
      if (!action.to) continue;
      const Speller target("action " + action.name + " of channel " + channel.name, channel.line,
                           {&channel.allow, &action.allow});
      all.push_back(target.spell(*action.to, false));
    }
  }
  for (const RouteRules& route : declarations.routes) {
    all.push_back(Speller("route " + route.path, route.line, {&route.join}).spell(route.stream, true));
  }
  return all;
}

}  // namespace

std::optional<StreamConflict> find_stream_conflict(const Declarations& declarations) {
  const std::vector<Spelled> all = all_spelled(declarations);
  for (const Spelled& reach : all) {
    if (!reach.chosen) continue;
    for (const Spelled& target : all) {
      if (!target.bound || !target.read || target.text == reach.text) continue;
      if (!intersect(reach.pattern, target.pattern)) continue;
      return StreamConflict{
          reach.line, "whoever chooses in '" + reach.text + "' (" + reach.where + ") can spell '" +
                          target.text + "' (" + target.where +
                          "), which is for those it names: give it a beginning of its own, or limit the "
                          "`characters` of what is chosen"};
    }
  }
  return std::nullopt;
}

}  // namespace ringcast
