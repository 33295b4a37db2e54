// ringcast::Json: a JSON value that its holder owns. It is what a channel is
// handed (params, data) and what it may broadcast.
//
// What sets it apart: a number stays the text it came as (1.10 does not become
// 1.1, 1e400 and 30-digit integers survive), and an object keeps the order of
// its members. Converting to a C++ number is the reader's explicit step.
//
// Errors are values: nothing here throws, except std::bad_alloc where the
// standard containers do. Reading what is not there gives null, zero members or
// std::nullopt.
//
// Threads: a plain value, like std::string. Distinct objects may be used by
// distinct threads; one object may be read by many as long as nobody writes it.
//
// Sizes: every value is 40 bytes plus what it holds, so a parsed document takes
// at most about twenty times its text ("[0,0,0,…]" is the worst).
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ringcast {

// How strings are written. Both are JSON and read back as the same value.
enum class JsonEscape {
  minimal,  // only what RFC 8259 section 7 demands; the rest is raw UTF-8
  rails,    // also < > & U+2028 U+2029, so that the text may stand in a page's <script>
};

class Json {
 public:
  // One "key": value of an object; defined below.
  struct Member;

  enum class Kind : uint8_t { null, boolean, number, string, array, object };

  // Arrays and objects nested deeper than this are refused by parse(). A scalar
  // is at depth 0, "[]" at depth 1. Action Cable draws the same line.
  static constexpr size_t kDepthMax = 100;

  // --- Construction -------------------------------------------------------
  // All implicit, so that values can be written down where they are needed:
  //   Json greeting = {{"message", text}, {"sender", "x"}, {"seen", false}};

  Json() noexcept;  // null
  Json(std::nullptr_t) noexcept;

  // Only bool itself: a pointer must not quietly become true.
  template <std::same_as<bool> Bool>
  Json(Bool value) noexcept : value_(std::in_place_type<bool>, value) {}

  // Any integer, exactly. Character types are not integers here.
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool> && !std::same_as<Integer, char> && !std::same_as<Integer, wchar_t> &&
           !std::same_as<Integer, char8_t> && !std::same_as<Integer, char16_t> &&
           !std::same_as<Integer, char32_t> && sizeof(Integer) <= sizeof(uint64_t)) Json(Integer value) {
    if constexpr (std::signed_integral<Integer>) {
      assign_integer(static_cast<int64_t>(value));
    } else {
      assign_integer(static_cast<uint64_t>(value));
    }
  }

  // The shortest text that reads back as the same double. JSON has no NaN and
  // no infinity: they become null.
  template <std::floating_point Real>
  Json(Real value) {
    assign_double(static_cast<double>(value));
  }

  // Text is meant to be UTF-8. What is not is kept as given and written by
  // dump() with U+FFFD in place of each ill-formed sequence.
  Json(std::string value) noexcept;
  Json(std::string_view value);
  Json(const char* value);  // nullptr gives null

  // An object. A key named twice keeps its first place and its last value.
  Json(std::initializer_list<Member> members);

  static Json object();
  static Json array(std::initializer_list<Json> elements = {});

  // A number given as its JSON text ("1.10", "123456789012345678901234567890").
  // Text that is not a JSON number gives null.
  static Json number(std::string token);

  // Reads one JSON text (RFC 8259; nothing but white space around it, no
  // comments, no byte order mark). nullopt if it is anything else, is not UTF-8
  // or is nested deeper than kDepthMax; `problem`, if given, then names the
  // reason in a constant sentence ("" on success). A key named twice keeps its
  // first place and its last value. A \uXXXX escape that is half a surrogate
  // pair is legal grammar but no character: it is read as U+FFFD.
  static std::optional<Json> parse(std::string_view text, std::string_view* problem = nullptr);

  Json(const Json&);
  Json(Json&&) noexcept;  // leaves the source null
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  // --- What it is ---------------------------------------------------------
  Kind kind() const noexcept { return static_cast<Kind>(value_.index()); }
  bool is_null() const noexcept { return kind() == Kind::null; }
  bool is_bool() const noexcept { return kind() == Kind::boolean; }
  bool is_number() const noexcept { return kind() == Kind::number; }
  bool is_string() const noexcept { return kind() == Kind::string; }
  bool is_array() const noexcept { return kind() == Kind::array; }
  bool is_object() const noexcept { return kind() == Kind::object; }

  // --- Reading scalars ----------------------------------------------------
  // Views live as long as this value is neither changed nor destroyed.

  std::optional<bool> as_bool() const noexcept;

  // The content of a string; nullopt for everything else.
  std::optional<std::string_view> as_string() const noexcept;

  // The content of a string, the text of a number, "true" or "false"; "" for
  // null, arrays and objects. So an id sent as 7 and one sent as "7" read alike.
  std::string_view text() const noexcept;

  // A number whose value is an integer that fits: "7", "-0", "7.0" and "7e2"
  // do, "7.5", "1e400" and strings do not.
  std::optional<int64_t> as_int64() const;

  // A number, rounded to the nearest double; nullopt where that is infinite.
  std::optional<double> as_double() const;

  // --- Arrays and objects -------------------------------------------------
  // Members are searched one by one: meant for the handful of keys that
  // messages have, not for use as a dictionary.

  // The member's value; a null value when there is none or this is no object.
  const Json& operator[](std::string_view key) const noexcept;
  // The element; a null value when out of range or this is no array.
  const Json& operator[](size_t index) const noexcept;

  bool has(std::string_view key) const noexcept { return find(key) != nullptr; }
  const Json* find(std::string_view key) const noexcept;

  // text() of the member: the room_id of {"room_id": 7} and {"room_id": "7"} is "7".
  std::string string(std::string_view key) const { return std::string((*this)[key].text()); }

  // How many elements or members; 0 for scalars.
  size_t size() const noexcept;
  bool empty() const noexcept { return size() == 0; }

  // In order; empty for other kinds. Valid until this value is changed:
  //   for (const auto& [key, value] : data.members()) …
  std::span<const Json> elements() const noexcept;
  std::span<const Member> members() const noexcept;

  // Replaces the member in its place or appends it. Anything but an object
  // becomes an empty object first.
  Json& set(std::string_view key, Json value);

  // Whether there was such a member. The others keep their order.
  bool erase(std::string_view key);

  // Appends. Anything but an array becomes an empty array first.
  Json& push_back(Json element);

  // --- Writing ------------------------------------------------------------
  // Compact, always valid JSON and valid UTF-8; number texts as they came.
  std::string dump() const;
  std::string dump_rails() const;
  void dump_to(std::string& out, JsonEscape escape = JsonEscape::minimal) const;

  // Numbers are equal when their texts are (1.0 is not 1); the order of an
  // object's members does not count.
  friend bool operator==(const Json& left, const Json& right) noexcept;

 private:
  friend class JsonBuilder;  // the parser

  struct Number {
    std::string token;
  };

  // In the order of Kind.
  using Value =
      std::variant<std::monostate, bool, Number, std::string, std::vector<Json>, std::vector<Member>>;

  void assign_integer(int64_t value);
  void assign_integer(uint64_t value);
  void assign_double(double value);

  Value value_;
};

struct Json::Member {
  std::string key;
  Json value;
};

}  // namespace ringcast
