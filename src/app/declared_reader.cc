#include "app/declared_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <optional>
#include <utility>

#include "app/stream_reach.h"
#include "ringcast/server.h"

// As in option_table.cc: errors are values.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ASSERT(expression) static_cast<void>(0)
#include <toml++/toml.h>

namespace ringcast {
namespace {

// Those of the binary itself: a route there would never be reached.
constexpr std::string_view kOwnPaths[] = {
    "/", "/cable", "/health", "/ready", "/metrics", "/_broadcast", "/echo", "/send_message_to_room/:room"};
constexpr uint64_t kBytesMax = 1 << 30;
constexpr uint64_t kRateMax = 1'000'000;

std::string in_quotes(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::vector<const std::pair<std::string_view, const toml::node*>*> in_file_order(
    const std::vector<std::pair<std::string_view, const toml::node*>>& members) {
  std::vector<const std::pair<std::string_view, const toml::node*>*> order;
  order.reserve(members.size());
  for (const auto& member : members) order.push_back(&member);
  std::ranges::stable_sort(order, [](const auto* a, const auto* b) {
    const auto place = [](const toml::node& node) {
      return std::pair(node.source().begin.line, node.source().begin.column);
    };
    return place(*a->second) < place(*b->second);
  });
  return order;
}

void note_name(std::vector<std::string>& names, const std::string& name) {
  if (std::ranges::find(names, name) == names.end()) names.push_back(name);
}

// Goes on after a mistake, and keeps the one that stands first in the file.
class DeclarationReader {
 public:
  DeclarationReader(const std::string& file, const DeclarationContext& context)
      : file_(file), context_(context) {}

  void read(const toml::table& root, Declarations& declarations) {
    for_each_table(root, "channel", [&](const toml::table& table) { read_channel(table, declarations); });
    for_each_table(root, "route", [&](const toml::table& table) { read_route(table, declarations); });
    if (!mistake_.empty()) return;
    if (const auto conflict = find_stream_conflict(declarations)) complain(conflict->line, conflict->reason);
  }

  const std::string& mistake() const { return mistake_; }

 private:
  class Keys;
  using Roots = std::vector<TemplateRoot>;

  void complain(size_t line, std::string_view why) {
    if (!mistake_.empty() && line_ <= line) return;
    line_ = line;
    mistake_ = file_ + ":" + std::to_string(line) + ": " + std::string(why);
  }

  void for_each_table(const toml::table& root, std::string_view name,
                      const std::function<void(const toml::table&)>& read_one) {
    const toml::node* const node = root.get(name);
    if (node == nullptr) return;
    const toml::array* const array = node->as_array();
    if (array == nullptr) {
      return complain(node->source().begin.line, std::string(name) + ": write [[" + std::string(name) + "]]");
    }
    for (const toml::node& one : *array) {
      if (const toml::table* const table = one.as_table()) {
        read_one(*table);
      } else {
        complain(one.source().begin.line, std::string(name) + ": each has to be a table");
      }
    }
  }

  void read_channel(const toml::table& table, Declarations& declarations);
  void read_action(std::string_view name, const toml::node& node, ChannelRules& channel);
  void read_route(const toml::table& table, Declarations& declarations);
  void read_streams(Keys& keys, ChannelRules& channel);
  void read_limits(Keys& keys, MessageLimits& limits);
  void read_param_limits(Keys& keys, ChannelRules& channel);
  // A list of conditions, or one.
  void read_conditions(Keys& keys, std::string_view key, const Roots& roots, Conditions& conditions);
  void read_condition_list(const toml::node& node, const std::string& what, const Roots& roots,
                           Conditions& conditions);
  void read_condition(const toml::table& table, const std::string& what, const Roots& roots,
                      Conditions& conditions, std::optional<TextTemplate> about = {});

  std::optional<TextTemplate> read_name(const toml::node& node, const std::string& what, const Roots& roots,
                                        std::string_view prefix = {});
  std::optional<Placeholder> read_placeholder(const toml::node& node, const std::string& what,
                                              const Roots& roots);
  std::optional<PayloadTemplate> read_payload(const toml::node& node, const std::string& what,
                                              const Roots& roots);
  std::optional<Json> to_json(const toml::node& node, const std::string& what);
  std::optional<uint64_t> read_bytes(const toml::node& node, const std::string& what);
  std::optional<RateLimit> read_rate(const toml::node& node, const std::string& what);

  TemplateContext context(const Roots& roots) const { return {roots, context_.global_id_app}; }
  bool check_placeholder(const Placeholder& placeholder, size_t line, const std::string& what);

  const std::string& file_;
  const DeclarationContext& context_;
  RouteRules* route_ = nullptr;  // that is being read
  std::string mistake_;
  size_t line_ = 0;
};

// A table's keys; those nobody asked for are mistakes.
class DeclarationReader::Keys {
 public:
  Keys(DeclarationReader& reader, const toml::table& table, std::string what)
      : reader_(reader), table_(table), what_(std::move(what)) {}
  ~Keys() { check(); }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;

  const toml::node* find(std::string_view key) {
    if (std::ranges::find(asked_, key) == asked_.end()) asked_.emplace_back(key);
    return table_.get(key);
  }

  // Once all have been asked for.
  void check() {
    for (const auto& [key, node] : table_) {
      if (std::ranges::find(asked_, key.str()) != asked_.end()) continue;
      std::string names;
      for (const std::string& name : asked_) names += (names.empty() ? "" : ", ") + name;
      reader_.complain(node.source().begin.line,
                       what_ + ": " + in_quotes(key.str()) + " is not known; there are " + names);
    }
  }

  std::optional<std::string> text(std::string_view key) {
    const toml::node* const node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* text = node->as_string()) return text->get();
    reader_.complain(line(*node), about(key) + "expected a text");
    return std::nullopt;
  }

  std::optional<bool> toggle(std::string_view key) {
    const toml::node* const node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto* value = node->as_boolean()) return value->get();
    reader_.complain(line(*node), about(key) + "expected true or false");
    return std::nullopt;
  }

  size_t line() const { return table_.source().begin.line; }
  static size_t line(const toml::node& node) { return node.source().begin.line; }
  std::string about(std::string_view key) const { return what_ + ": " + std::string(key) + ": "; }
  const std::string& what() const { return what_; }
  void rename(std::string what) { what_ = std::move(what); }
  void complain(std::string_view why) { reader_.complain(line(), what_ + ": " + std::string(why)); }
  void complain(const toml::node& node, std::string_view key, std::string_view why) {
    reader_.complain(line(node), about(key) + std::string(why));
  }

 private:
  DeclarationReader& reader_;
  const toml::table& table_;
  std::string what_;
  std::vector<std::string> asked_;
};

// --- Channels ----------------------------------------------------------------------------

const std::vector<TemplateRoot> kSubscribing = {TemplateRoot::params, TemplateRoot::identifiers};
const std::vector<TemplateRoot> kActing = {TemplateRoot::data, TemplateRoot::params,
                                           TemplateRoot::identifiers, TemplateRoot::number};

void DeclarationReader::read_channel(const toml::table& table, Declarations& declarations) {
  ChannelRules channel;
  Keys keys(*this, table, "channel");
  channel.line = keys.line();
  if (const auto name = keys.text("name")) channel.name = *name;
  if (channel.name.empty()) {
    keys.complain("it has no name");
  } else {
    keys.rename("channel " + channel.name);
    if (declarations.channel(channel.name) != nullptr) keys.complain("there are two of that name");
  }
  read_streams(keys, channel);
  read_param_limits(keys, channel);
  read_conditions(keys, "allow", kSubscribing, channel.allow);
  if (const toml::node* const node = keys.find("action")) {
    const toml::table* const actions = node->as_table();
    if (actions == nullptr) {
      keys.complain(*node, "action", "write [channel.action.NAME]");
    } else {
      for (const auto& [name, action] : *actions) read_action(name.str(), action, channel);
    }
  }
  declarations.channels.push_back(std::move(channel));
}

void DeclarationReader::read_streams(Keys& keys, ChannelRules& channel) {
  const auto add = [&](const toml::node& node, std::string_view key, std::string_view prefix = {}) {
    if (auto name = read_name(node, keys.about(key), kSubscribing, prefix)) {
      channel.streams.push_back(std::move(*name));
    }
  };
  bool any = false;
  if (const toml::node* const node = keys.find("stream")) {
    any = true;
    add(*node, "stream");
  }
  if (const toml::node* const node = keys.find("streams")) {
    any = true;
    const toml::array* const list = node->as_array();
    if (list == nullptr || list->empty()) {
      keys.complain(*node, "streams", "expected a list of texts");
    } else {
      for (const toml::node& one : *list) add(one, "streams");
    }
  }
  // As stream_for names it, in Rails and in the library.
  if (const toml::node* const node = keys.find("stream-for")) {
    any = true;
    add(*node, "stream-for", broadcasting_for(channel.name, std::string_view()));
  }
  if (!any) keys.complain("it has no stream");
}

// [channel.params]: each is a condition about that parameter.
void DeclarationReader::read_param_limits(Keys& keys, ChannelRules& channel) {
  const toml::node* const node = keys.find("params");
  if (node == nullptr) return;
  const toml::table* const params = node->as_table();
  if (params == nullptr) return keys.complain(*node, "params", "expected a table");
  for (const auto& [name, limits] : *params) {
    const std::string what = keys.about("params." + std::string(name.str()));
    const toml::table* const table = limits.as_table();
    std::string error;
    std::optional<TextTemplate> about =
        TextTemplate::parse_name("{params." + std::string(name.str()) + "}", context(kSubscribing), error);
    if (table == nullptr || !about) {
      complain(Keys::line(limits), what + (table == nullptr ? "expected a table" : error));
      continue;
    }
    read_condition(*table, what, kSubscribing, channel.allow, std::move(about));
  }
}

void DeclarationReader::read_action(std::string_view name, const toml::node& node, ChannelRules& channel) {
  const std::string what = "channel " + channel.name + ": action " + std::string(name);
  const toml::table* const table = node.as_table();
  if (table == nullptr) return complain(Keys::line(node), what + ": expected a table");
  ActionRules action;
  action.name = name;
  Keys keys(*this, *table, what);
  if (!CableRoute::valid_action(name)) keys.complain("nobody can call an action of that name");
  if (const toml::node* const broadcast = keys.find("broadcast")) {
    if (auto payload = read_payload(*broadcast, keys.about("broadcast"), kActing)) {
      action.broadcast = std::move(*payload);
    }
  } else {
    keys.complain("it has no broadcast");
  }
  if (const toml::node* const to = keys.find("to")) {
    action.to = read_name(*to, keys.about("to"), kActing);
  } else if (channel.streams.size() > 1) {
    keys.complain("the channel has several streams: say `to` which");
  }
  read_conditions(keys, "allow", kActing, action.allow);
  read_limits(keys, action.limits);
  channel.actions.push_back(std::move(action));
}

// --- Routes ------------------------------------------------------------------------------

void DeclarationReader::read_route(const toml::table& table, Declarations& declarations) {
  RouteRules route;
  Keys keys(*this, table, "route");
  route.line = keys.line();
  if (const auto path = keys.text("path")) route.path = *path;
  if (route.path.empty()) {
    keys.complain("it has no path");
  } else {
    keys.rename("route " + route.path);
    if (!Server::valid_pattern(route.path)) {
      keys.complain("its path is no pattern such as /rooms/:room");
    } else if (std::ranges::find(kOwnPaths, route.path) != std::end(kOwnPaths)) {
      keys.complain("that path is the server's own");
    } else if (declarations.route(route.path) != nullptr) {
      keys.complain("there are two of that path");
    }
  }
  route_ = &route;
  route.anonymous = keys.toggle("anonymous").value_or(false);
  if (!route.anonymous && context_.identifiers.empty()) {
    keys.complain("nobody would be asked who they are: say identified-by, or anonymous = true");
  }
  Roots joining = {TemplateRoot::path, TemplateRoot::query};
  if (!route.anonymous) joining.push_back(TemplateRoot::identifiers);
  Roots opening = joining;
  opening.push_back(TemplateRoot::number);
  Roots speaking = opening;
  speaking.insert(speaking.end(), {TemplateRoot::data, TemplateRoot::text});

  if (const toml::node* const stream = keys.find("stream")) {
    if (auto name = read_name(*stream, keys.about("stream"), joining)) route.stream = std::move(*name);
  } else {
    keys.complain("it has no stream");
  }
  read_conditions(keys, "join", joining, route.join);
  const toml::node* const publish = keys.find("publish");
  if (publish != nullptr && publish->is_boolean()) {
    route.publishing = publish->as_boolean()->get();
  } else {
    read_conditions(keys, "publish", speaking, route.publish);
  }
  if (const toml::node* const sender = keys.find("sender")) {
    route.sender = read_name(*sender, keys.about("sender"), opening);
    opening.push_back(TemplateRoot::sender);
    speaking.push_back(TemplateRoot::sender);
  }
  if (const toml::node* const welcome = keys.find("welcome")) {
    route.welcome = read_payload(*welcome, keys.about("welcome"), opening);
  }
  if (const toml::node* const message = keys.find("message")) {
    route.message = read_payload(*message, keys.about("message"), speaking);
  }
  read_limits(keys, route.limits);
  route_ = nullptr;
  declarations.routes.push_back(std::move(route));
}

// --- Conditions --------------------------------------------------------------------------

void DeclarationReader::read_conditions(Keys& keys, std::string_view key, const Roots& roots,
                                        Conditions& conditions) {
  if (const toml::node* const node = keys.find(key)) {
    read_condition_list(*node, keys.about(key), roots, conditions);
  }
}

void DeclarationReader::read_condition_list(const toml::node& node, const std::string& what,
                                            const Roots& roots, Conditions& conditions) {
  if (const toml::table* const one = node.as_table()) return read_condition(*one, what, roots, conditions);
  const toml::array* const list = node.as_array();
  if (list == nullptr || list->empty()) {
    return complain(Keys::line(node), what + "expected a list of conditions");
  }
  for (const toml::node& one : *list) {
    if (const toml::table* const table = one.as_table()) {
      read_condition(*table, what, roots, conditions);
    } else {
      complain(Keys::line(one), what + "expected conditions such as { value = \"…\", in = [\"…\"] }");
    }
  }
}

void DeclarationReader::read_condition(const toml::table& table, const std::string& what, const Roots& roots,
                                       Conditions& conditions, std::optional<TextTemplate> about) {
  Condition condition;
  Keys keys(*this, table, what.substr(0, what.size() - 2));
  if (!about) {
    if (const toml::node* const any = keys.find("any")) {
      const toml::array* const lists = any->as_array();
      if (lists == nullptr || lists->empty()) {
        keys.complain(*any, "any", "expected a list");
      } else {
        for (const toml::node& one : *lists) {
          read_condition_list(one, keys.about("any"), roots, condition.any.emplace_back());
        }
      }
      if (table.size() > 1) keys.complain("any stands alone");
      for (const auto& [key, node] : table) keys.find(key.str());
      conditions.push_back(std::move(condition));
      return;
    }
    if (const toml::node* const value = keys.find("value")) {
      about = read_name(*value, keys.about("value"), roots);
    } else {
      keys.complain("a condition has no value");
    }
  }
  if (about) condition.value = std::move(*about);
  condition.optional = keys.toggle("optional").value_or(false);
  condition.present = keys.toggle("present");
  size_t demands = condition.present ? 1 : 0;
  if (const toml::node* const node = keys.find("equals")) {
    ++demands;
    condition.equals = read_name(*node, keys.about("equals"), roots);
  }
  if (const toml::node* const node = keys.find("in")) {
    ++demands;
    const toml::array* const list = node->as_array();
    if (list == nullptr || list->empty()) {
      keys.complain(*node, "in", "expected a list of texts; a list that somebody has is in-list");
    } else {
      for (const toml::node& one : *list) {
        if (auto name = read_name(one, keys.about("in"), roots)) condition.in.push_back(std::move(*name));
      }
    }
  }
  if (const toml::node* const node = keys.find("in-list")) {
    ++demands;
    condition.in_list = read_placeholder(*node, keys.about("in-list"), roots);
  }
  if (const toml::node* const node = keys.find("matches")) {
    ++demands;
    const auto add = [&](const toml::node& one) {
      const auto* const text = one.as_string();
      if (text == nullptr || text->get().empty())
        return keys.complain(one, "matches", "expected texts with *");
      condition.matches.push_back(text->get());
    };
    if (const toml::array* const list = node->as_array(); list != nullptr && !list->empty()) {
      for (const toml::node& one : *list) add(one);
    } else {
      add(*node);
    }
  }
  if (const auto text = keys.text("characters")) {
    ++demands;
    std::string error;
    condition.characters = CharacterSet::parse(*text, error);
    if (!condition.characters) keys.complain(*keys.find("characters"), "characters", error);
  }
  if (const toml::node* const node = keys.find("max-bytes")) {
    ++demands;
    condition.max_bytes = read_bytes(*node, keys.about("max-bytes"));
  }
  keys.check();
  if (demands == 0) {
    keys.complain(
        "a condition asks for nothing: say present, equals, in, in-list, matches, characters or max-bytes");
  }
  conditions.push_back(std::move(condition));
}

// --- Values ------------------------------------------------------------------------------

bool DeclarationReader::check_placeholder(const Placeholder& placeholder, size_t line,
                                          const std::string& what) {
  if (route_ != nullptr) {
    route_->reads_data |= placeholder.root() == TemplateRoot::data;
    route_->reads_text |= placeholder.root() == TemplateRoot::text;
  }
  if (placeholder.steps().empty()) return true;
  const std::string& name = placeholder.steps().front();
  if (placeholder.root() == TemplateRoot::identifiers &&
      std::ranges::find(context_.identifiers, name) == context_.identifiers.end()) {
    complain(line, what + "{" + placeholder.text() + "}: no identified-by is called " + name);
    return false;
  }
  if (placeholder.root() == TemplateRoot::path) {
    // Segments are whole: "/rooms/:room" names "room" and "/rooms/:roomy" does not.
    const std::string segment = "/:" + name;
    if ((route_->path + "/").find(segment + "/") == std::string::npos) {
      complain(line, what + "{" + placeholder.text() + "}: the path has no :" + name);
      return false;
    }
    note_name(route_->path_names, name);
  }
  if (placeholder.root() == TemplateRoot::query) note_name(route_->query_names, name);
  return true;
}

std::optional<TextTemplate> DeclarationReader::read_name(const toml::node& node, const std::string& what,
                                                         const Roots& roots, std::string_view prefix) {
  std::string error = "expected a text";
  std::optional<TextTemplate> name;
  if (const auto* const text = node.as_string()) {
    name = TextTemplate::parse_name(std::string(prefix) + text->get(), context(roots), error);
  } else if (const auto* const number = node.as_integer()) {
    name = TextTemplate::parse_name(std::to_string(number->get()), context(roots), error);
  }
  if (!name) {
    complain(Keys::line(node), what + error);
    return std::nullopt;
  }
  for (const TextTemplate::Part& part : name->parts()) {
    if (part.placeholder && !check_placeholder(*part.placeholder, Keys::line(node), what))
      return std::nullopt;
  }
  return name;
}

std::optional<Placeholder> DeclarationReader::read_placeholder(const toml::node& node,
                                                               const std::string& what, const Roots& roots) {
  std::string error = "expected one placeholder, as in \"{identifiers.symbols}\"";
  const auto* const text = node.as_string();
  const std::optional<TextTemplate> whole =
      text == nullptr ? std::nullopt : TextTemplate::parse(text->get(), context(roots), error);
  if (!whole || whole->bare() == nullptr) {
    complain(Keys::line(node), what + error);
    return std::nullopt;
  }
  if (!check_placeholder(*whole->bare(), Keys::line(node), what)) return std::nullopt;
  return *whole->bare();
}

std::optional<PayloadTemplate> DeclarationReader::read_payload(const toml::node& node,
                                                               const std::string& what, const Roots& roots) {
  const std::optional<Json> shape = to_json(node, what);
  if (!shape) return std::nullopt;
  std::string error;
  std::optional<PayloadTemplate> payload = PayloadTemplate::parse(*shape, context(roots), error);
  if (!payload) {
    complain(Keys::line(node), what + error);
    return std::nullopt;
  }
  for (const Placeholder* const placeholder : payload->placeholders()) {
    if (!check_placeholder(*placeholder, Keys::line(node), what)) return std::nullopt;
  }
  return payload;
}

// Members in the order they are written in.
std::optional<Json> DeclarationReader::to_json(const toml::node& node, const std::string& what) {
  if (const auto* const text = node.as_string()) return Json(text->get());
  if (const auto* const number = node.as_integer()) return Json(number->get());
  if (const auto* const truth = node.as_boolean()) return Json(truth->get());
  if (const auto* const real = node.as_floating_point(); real != nullptr && std::isfinite(real->get())) {
    return Json(real->get());
  }
  if (const toml::array* const array = node.as_array()) {
    Json made = Json::array();
    for (const toml::node& element : *array) {
      std::optional<Json> value = to_json(element, what);
      if (!value) return std::nullopt;
      made.push_back(std::move(*value));
    }
    return made;
  }
  if (const toml::table* const table = node.as_table()) {
    Json made = Json::object();
    std::vector<std::pair<std::string_view, const toml::node*>> members;
    for (const auto& [key, value] : *table) members.emplace_back(key.str(), &value);
    for (const auto* const member : in_file_order(members)) {
      std::optional<Json> value = to_json(*member->second, what);
      if (!value) return std::nullopt;
      made.set(member->first, std::move(*value));
    }
    return made;
  }
  complain(Keys::line(node), what + "JSON has no dates, no infinity and no NaN");
  return std::nullopt;
}

void DeclarationReader::read_limits(Keys& keys, MessageLimits& limits) {
  if (const toml::node* const node = keys.find("rate")) {
    if (const auto rate = read_rate(*node, keys.about("rate"))) limits.rate = *rate;
  }
  if (const toml::node* const node = keys.find("max-bytes")) {
    limits.bytes = read_bytes(*node, keys.about("max-bytes")).value_or(0);
  }
  if (const toml::node* const node = keys.find("max-payload-bytes")) {
    limits.payload_bytes = read_bytes(*node, keys.about("max-payload-bytes")).value_or(0);
  }
}

// 65536, "64KiB", "1MiB".
std::optional<uint64_t> DeclarationReader::read_bytes(const toml::node& node, const std::string& what) {
  uint64_t bytes = 0;
  if (const auto* const number = node.as_integer()) {
    bytes = number->get() < 0 ? 0 : static_cast<uint64_t>(number->get());
  } else if (const auto* const text = node.as_string()) {
    std::string_view digits = text->get();
    uint64_t factor = 1;
    if (digits.ends_with("KiB")) factor = 1 << 10;
    if (digits.ends_with("MiB")) factor = 1 << 20;
    if (factor > 1) digits.remove_suffix(3);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bytes);
    if (error != std::errc() || end != digits.data() + digits.size() || bytes > kBytesMax) bytes = 0;
    bytes *= factor;
  }
  if (bytes >= 1 && bytes <= kBytesMax) return bytes;
  complain(Keys::line(node),
           what + "expected a number of bytes, such as 4096 or \"64KiB\", of 1 GiB at most");
  return std::nullopt;
}

// 10 (a second), "10/s", "30/m", "100/h".
std::optional<RateLimit> DeclarationReader::read_rate(const toml::node& node, const std::string& what) {
  RateLimit rate;
  if (const auto* const number = node.as_integer()) {
    rate.count = number->get() < 0 ? 0 : static_cast<uint64_t>(number->get());
  } else if (const auto* const text = node.as_string()) {
    std::string_view digits = text->get();
    using namespace std::chrono_literals;
    for (const auto& [suffix, period] :
         {std::pair<std::string_view, std::chrono::milliseconds>("/s", 1s), {"/m", 60s}, {"/h", 3600s}}) {
      if (!digits.ends_with(suffix)) continue;
      rate.period = period;
      digits.remove_suffix(suffix.size());
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rate.count);
      if (error != std::errc() || end != digits.data() + digits.size()) rate.count = 0;
      break;
    }
  }
  if (rate.count >= 1 && rate.count <= kRateMax) return rate;
  complain(Keys::line(node), what + "expected messages a second, such as 10, or \"30/m\", \"100/h\"");
  return std::nullopt;
}

}  // namespace

// --- Declarations ------------------------------------------------------------------------

const ActionRules* ChannelRules::action(std::string_view wanted) const {
  const auto found = std::ranges::find(actions, wanted, &ActionRules::name);
  return found == actions.end() ? nullptr : &*found;
}

const ChannelRules* Declarations::channel(std::string_view name) const {
  const auto found = std::ranges::find(channels, name, &ChannelRules::name);
  return found == channels.end() ? nullptr : &*found;
}

const RouteRules* Declarations::route(std::string_view path) const {
  const auto found = std::ranges::find(routes, path, &RouteRules::path);
  return found == routes.end() ? nullptr : &*found;
}

std::string read_declarations(std::string_view text, const std::string& file,
                              const DeclarationContext& context, Declarations& declarations) {
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    return file + ":" + std::to_string(parsed.error().source().begin.line) + ": " +
           std::string(parsed.error().description());
  }
  declarations = {};
  declarations.file = file;
  DeclarationReader reader(file, context);
  reader.read(parsed.table(), declarations);
  return reader.mistake();
}

}  // namespace ringcast
