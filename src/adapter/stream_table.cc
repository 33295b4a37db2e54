// Streams and the engine's knowledge of them. Owned by an adapter; its thread only.
#include "adapter/stream_table.h"

namespace ringcast {

using Engine = StreamTable::Stream::Engine;

StreamTable::Stream* StreamTable::find(std::string_view wire) {
  const auto found = streams_.find(wire);
  return found == streams_.end() ? nullptr : found->second.get();
}

const StreamTable::Stream* StreamTable::find_wire(std::string_view wire) const {
  const auto found = streams_.find(wire);
  return found == streams_.end() || !found->second->wanted ? nullptr : found->second.get();
}

bool StreamTable::want(std::string_view name) {
  std::string wire = to_wire_(name);
  Stream* stream = find(wire);
  if (stream == nullptr) {
    auto made = std::make_unique<Stream>();
    made->name = name;
    made->wire = wire;
    stream = made.get();
    streams_.emplace(wire, std::move(made));
  }
  stream->wanted = true;
  if (stream->engine == Engine::present) return true;
  if (stream->engine == Engine::refused) stream->engine = Engine::absent;
  if (stream->engine == Engine::absent) changed_.push_back(std::move(wire));
  return false;
}

void StreamTable::drop(std::string_view name) {
  std::string wire = to_wire_(name);
  Stream* stream = find(wire);
  if (stream == nullptr) return;
  stream->wanted = false;
  switch (stream->engine) {
    case Engine::absent:
    case Engine::refused:
      streams_.erase(wire);
      break;
    case Engine::present:
      changed_.push_back(std::move(wire));
      break;
    case Engine::subscribing:
    case Engine::unsubscribing:
      break;  // decided when the answer comes
  }
}

bool StreamTable::take_changes(size_t count_max, std::vector<Stream*>& subscribe,
                               std::vector<Stream*>& unsubscribe) {
  for (size_t count = 0; changed_at_ < changed_.size() && count < count_max; ++changed_at_) {
    // It may have been dropped, or taken already under an earlier entry.
    Stream* stream = find(changed_[changed_at_]);
    if (stream == nullptr) continue;
    if (stream->wanted && stream->engine == Engine::absent) {
      stream->engine = Engine::subscribing;
      subscribe.push_back(stream);
    } else if (!stream->wanted && stream->engine == Engine::present) {
      stream->engine = Engine::unsubscribing;
      unsubscribe.push_back(stream);
    } else {
      continue;
    }
    ++count;
  }
  if (changed_at_ < changed_.size()) return true;
  changed_.clear();
  changed_at_ = 0;
  return false;
}

const StreamTable::Stream* StreamTable::subscribed(std::string_view wire) {
  Stream* stream = find(wire);
  if (stream == nullptr || stream->engine != Engine::subscribing) return nullptr;
  stream->engine = Engine::present;
  if (stream->wanted) return stream;
  changed_.push_back(stream->wire);
  return nullptr;
}

void StreamTable::unsubscribed(std::string_view wire) {
  Stream* stream = find(wire);
  if (stream == nullptr || stream->engine != Engine::unsubscribing) return;
  stream->engine = Engine::absent;
  if (stream->wanted) {
    changed_.push_back(stream->wire);
  } else {
    streams_.erase(stream->wire);
  }
}

void StreamTable::refused(std::string_view wire) {
  Stream* stream = find(wire);
  if (stream == nullptr) return;
  if (!stream->wanted) {
    streams_.erase(stream->wire);
  } else {
    stream->engine = Engine::refused;
  }
}

void StreamTable::engine_lost() {
  changed_.clear();
  changed_at_ = 0;
  std::erase_if(streams_, [](const auto& entry) { return !entry.second->wanted; });
  for (auto& [wire, stream] : streams_) {
    stream->engine = Engine::absent;
    changed_.push_back(wire);
  }
}

}  // namespace ringcast
