// What is published and what becomes of it: Text and Binary, the answer to a
// publish, the names of streams made of parts, and the StreamPublisher, for one
// stream from any thread. For a thread that publishes much: publisher.h.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "ringcast/json.h"

namespace ringcast {

// Anything that is characters: std::string, std::string_view, a literal.
template <class T>
concept StringLike = std::convertible_to<const T&, std::string_view>;

// A text payload, borrowed for the call. Raw WebSocket subscribers get it as it is;
// Action Cable subscribers get it as JSON if it is JSON, else as a JSON string. It
// must be UTF-8.
class Text {
 public:
  constexpr Text() = default;
  // A template, so that a braced list of strings is never taken for a pair of
  // iterators and read as one text.
  template <StringLike T>
  constexpr Text(const T& text) : text_(text) {}  // NOLINT(google-explicit-constructor)

  constexpr std::string_view view() const { return text_; }
  constexpr operator std::string_view() const { return text_; }  // NOLINT(google-explicit-constructor)
  constexpr bool empty() const { return text_.empty(); }
  constexpr size_t size() const { return text_.size(); }

 private:
  std::string_view text_;
};

// A binary payload, borrowed for the call. Action Cable has no binary messages: its
// subscribers get none of it, which is counted.
class Binary {
 public:
  constexpr Binary() = default;
  // Templates for the same reason.
  template <std::convertible_to<std::span<const std::byte>> T>
  constexpr explicit Binary(const T& bytes) : bytes_(bytes) {}
  template <StringLike T>
  explicit Binary(const T& bytes) : bytes_(std::as_bytes(std::span(std::string_view(bytes)))) {}

  constexpr std::span<const std::byte> bytes() const { return bytes_; }
  std::string_view view() const { return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()}; }
  constexpr bool empty() const { return bytes_.empty(); }
  constexpr size_t size() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

// The answer to a publish. Only `ok` promises anything: the message has its
// place in the order of the caller's publishes and reaches every live subscriber.
enum class BroadcastStatus : uint8_t {
  ok,
  full,       // the server cannot keep up: nothing was published; try again or drop, but knowingly
  too_large,  // longer than max_message_bytes, or no stream name of 1..stream_name_bytes bytes
  invalid,    // text that is not UTF-8
  stopped,    // the server does not run
};

// "ok", "full", …: for logs and answers.
std::string_view to_string(BroadcastStatus status);

// A part of a stream's name, or several: what Rails calls a model, a symbol, or an
// array of them. Integers and strings are written as they are and joined by ':'.
class StreamKey {
 public:
  template <StringLike T>
  StreamKey(const T& part) : text_(std::string_view(part)) {}  // NOLINT(google-explicit-constructor)
  template <std::integral T>
  requires(!std::same_as<T, bool> && !std::same_as<T, char>) StreamKey(T part)
      : text_(std::to_string(part)) {}                // NOLINT(google-explicit-constructor)
  StreamKey(std::initializer_list<StreamKey> parts);  // NOLINT(google-explicit-constructor)

  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// The stream behind stream_for and broadcast_to, named as Rails names it:
// broadcasting_for("Chats::CommentsChannel", {"post", 7}) is "chats:comments:post:7".
std::string broadcasting_for(std::string_view channel_class, const StreamKey& key);

// The parameter form of a Rails GlobalID, to meet streams that a Rails application
// names by model: global_id_param("app", "Post", "1") is the unpadded URL-safe base64
// of "gid://app/Post/1".
// The id is escaped as Rails escapes it.
std::string global_id_param(std::string_view app, std::string_view model, std::string_view id);
// The same of a whole GlobalID; empty if it is none.
std::string global_id_param(std::string_view global_id);

namespace internal {
class StreamPublisherCore;
class ServerCore;
}  // namespace internal

// Publishes to one stream whose name was hashed and whose home was found once. Any
// thread, also several at a time; may outlive the server, and then says `stopped`.
class StreamPublisher {
 public:
  StreamPublisher();  // publishes nowhere: `stopped`
  ~StreamPublisher();
  StreamPublisher(const StreamPublisher&);
  StreamPublisher(StreamPublisher&&) noexcept;
  StreamPublisher& operator=(const StreamPublisher&);
  StreamPublisher& operator=(StreamPublisher&&) noexcept;

  [[nodiscard]] BroadcastStatus publish(Text text) const;
  [[nodiscard]] BroadcastStatus publish(Binary binary) const;
  [[nodiscard]] BroadcastStatus publish(const Json& json) const;
  template <StringLike T>
  [[nodiscard]] BroadcastStatus publish(const T& text) const {
    return publish(Text(text));
  }

  const std::string& stream() const;

 private:
  friend class internal::ServerCore;
  explicit StreamPublisher(std::shared_ptr<const internal::StreamPublisherCore> core);

  std::shared_ptr<const internal::StreamPublisherCore> core_;
};

}  // namespace ringcast
