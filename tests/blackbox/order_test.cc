// What subscribers may rely on: everybody on a stream hears every message exactly once,
// all of them in one order, each publisher's messages in the order it said them; and
// nothing that is published after a subscription's confirmation is missed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "blackbox/cable.h"
#include "blackbox/client.h"
#include "blackbox/probes.h"
#include "blackbox/server_process.h"
#include "blackbox/swarm.h"

namespace ringcast::blackbox {
namespace {

// A raw room and a chat room of the same name share the stream.
const std::vector<std::string> kSharedStreams = {"--room-prefix",     "chat_", "--log-level",     "warn",
                                                 "--ping-interval-s", "3600",  "--drain-seconds", "1"};

class Order : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    server_ = ServerProcess::start({.arguments = kSharedStreams}, why_not);
    ASSERT_NE(server_, nullptr) << why_not;
  }

  void TearDown() override {
    if (!server_) return;
    EXPECT_TRUE(server_->running()) << "it ended by itself";
    EXPECT_EQ(server_->stop(), (ServerProcess::Exit{.code = 0, .signal = 0})) << server_->standard_error();
  }

  uint16_t port() const { return server_->port(); }

  std::unique_ptr<ServerProcess> server_;
};

// ── One order ────────────────────────────────────────────────────────────────

constexpr size_t kOrderRooms = 4;
constexpr size_t kSubscribers = 300;
constexpr uint32_t kPerPublisher = 100;  // in each room it publishes to

std::string room_name(size_t room) {
  return "order-" + std::to_string(room);
}

// A message says who published it, as which of its own, and in which room.
struct Told {
  uint32_t publisher = 0;
  uint32_t sequence = 0;
  auto operator<=>(const Told&) const = default;
};

std::string told_json(uint32_t publisher, uint32_t sequence, size_t room) {
  return R"({"message":"#)" + std::to_string(publisher) + "." + std::to_string(sequence) + "." +
         std::to_string(room) + R"("})";
}

struct ToldInRoom {
  Told told;
  size_t room = 0;
};

std::optional<ToldInRoom> find_told(std::string_view payload) {
  const size_t at = payload.find('#');
  if (at == std::string_view::npos) return std::nullopt;
  ToldInRoom found;
  const char* const end = payload.data() + payload.size();
  const auto publisher = std::from_chars(payload.data() + at + 1, end, found.told.publisher);
  const auto sequence = std::from_chars(publisher.ptr + 1, end, found.told.sequence);
  std::from_chars(sequence.ptr + 1, end, found.room);
  return found;
}

using RoomOrder = std::vector<Told>;
using Heard = std::array<RoomOrder, kOrderRooms>;

// The publishers, each a thread with one blocking connection. Room publishers subscribe
// too, since only who sits in a room may speak there.
void publish_raw(uint16_t port, uint32_t publisher, size_t room) {
  WebSocketClient client = WebSocketClient::connect(port, "/websocket/" + room_name(room));
  for (uint32_t sequence = 0; sequence < kPerPublisher; ++sequence) {
    client.send(encode({.payload = told_json(publisher, sequence, room)}));
  }
  client.send(encode_close(1000));
  while (client.next()) {
  }
}

void publish_cable(uint16_t port, uint32_t publisher, size_t room) {
  WebSocketClient client = WebSocketClient::connect(port, "/cable", kCableProtocol);
  const std::string identifier = chat_identifier(room_name(room));
  client.send(cable_subscribe(identifier));
  for (uint32_t sequence = 0; sequence < kPerPublisher; ++sequence) {
    client.send(cable_perform(identifier, told_json(publisher, sequence, room)));
  }
  client.send(encode_close(1000));
  while (client.next()) {
  }
}

void publish_posts(uint16_t port, uint32_t publisher, size_t room) {
  TcpClient client = TcpClient::connect(port);
  for (uint32_t sequence = 0; sequence < kPerPublisher; ++sequence) {
    const std::string body = envelope("chat_" + room_name(room), told_json(publisher, sequence, room));
    ASSERT_EQ(broadcast(client, body), 201);
  }
}

// Arrays with messages for every room among each other.
void publish_arrays(uint16_t port, uint32_t publisher) {
  constexpr uint32_t kPerArray = 20;
  TcpClient client = TcpClient::connect(port);
  for (uint32_t sequence = 0; sequence < kPerPublisher; sequence += kPerArray) {
    std::string body = "[";
    for (uint32_t i = sequence; i < sequence + kPerArray; ++i) {
      for (size_t room = 0; room < kOrderRooms; ++room) {
        if (body.size() > 1) body += ',';
        body += envelope("chat_" + room_name(room), told_json(publisher, i, room));
      }
    }
    ASSERT_EQ(broadcast(client, body + "]"), 201);
  }
}

// A third of the subscribers sits in a raw room; the others subscribe by cable to two
// rooms each, under three spellings of the identifier, each a frame log of its own.
std::string spelt_identifier(size_t member, size_t room) {
  switch (member % 3) {
    case 0:
      return R"({"room_id":")" + room_name(room) + R"(","channel":"ChatChannel"})";
    case 1:
      return R"({"channel":"ChatChannel","room_id":")" + room_name(room) + R"(","lang":"zh"})";
    default:
      return chat_identifier(room_name(room));
  }
}

TEST_F(Order, EverySubscriberHearsEveryMessageOnceAndAllInOneOrder) {
  std::vector<Heard> heard(kSubscribers);
  std::vector<std::vector<size_t>> rooms(kSubscribers);
  size_t confirmed = 0;
  size_t heard_count = 0;
  Swarm swarm;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (frame.payload.find("confirm_subscription") != std::string_view::npos) ++confirmed;
    const auto found = find_told(frame.payload);
    if (!found) return;
    ASSERT_LT(found->room, kOrderRooms);
    heard[member][found->room].push_back(found->told);
    ++heard_count;
  };

  size_t confirmations = 0;
  size_t seats = 0;
  for (size_t member = 0; member < kSubscribers; ++member) {
    const size_t room = member % kOrderRooms;
    rooms[member].push_back(room);
    if (member / kOrderRooms % 3 == 0) {
      swarm.add(port(), "/websocket/" + room_name(room));
    } else {
      const size_t second = (room + 1) % kOrderRooms;
      rooms[member].push_back(second);
      swarm.add(port(), "/cable", kCableProtocol,
                cable_subscribe(spelt_identifier(member, room)) +
                    cable_subscribe(spelt_identifier(member, second)));
      confirmations += 2;
    }
    seats += rooms[member].size();
  }
  ASSERT_TRUE(swarm.run_until_open());
  ASSERT_EQ(swarm.open_count(), kSubscribers);
  ASSERT_TRUE(swarm.run_until([&] { return confirmed == confirmations; }));

  std::vector<std::thread> publishers;
  uint32_t publisher = 0;
  for (size_t room = 0; room < kOrderRooms; ++room) {
    for (const auto publish : {publish_raw, publish_cable, publish_posts}) {
      publishers.emplace_back(publish, port(), publisher++, room);
    }
  }
  for (int i = 0; i < 2; ++i) publishers.emplace_back(publish_arrays, port(), publisher++);
  constexpr size_t kPublishersPerRoom = 3 + 2;
  constexpr size_t kPerRoom = kPublishersPerRoom * kPerPublisher;

  EXPECT_TRUE(swarm.run_until([&] { return heard_count >= seats * kPerRoom; }));
  for (std::thread& thread : publishers) thread.join();
  // What was sent twice would come behind.
  swarm.send(0, encode({.opcode = 9, .payload = "last"}));
  bool pong = false;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    pong = pong || frame.opcode == 10;
    if (find_told(frame.payload)) ADD_FAILURE() << "member " << member << " heard more: " << frame.payload;
  };
  EXPECT_TRUE(swarm.run_until([&] { return pong; }));
  EXPECT_EQ(swarm.open_count(), kSubscribers);

  std::array<const RoomOrder*, kOrderRooms> first{};
  for (size_t member = 0; member < kSubscribers; ++member) {
    for (const size_t room : rooms[member]) {
      const RoomOrder& order = heard[member][room];
      if (first[room] == nullptr) {
        first[room] = &order;
      } else {
        ASSERT_TRUE(order == *first[room]) << "member " << member << " heard another order in room " << room;
      }
    }
  }
  for (size_t room = 0; room < kOrderRooms; ++room) {
    ASSERT_EQ(first[room]->size(), kPerRoom) << room;
    std::map<uint32_t, uint32_t> next;  // by publisher
    for (const Told& told : *first[room]) ASSERT_EQ(told.sequence, next[told.publisher]++) << room;
    ASSERT_EQ(next.size(), kPublishersPerRoom) << room;
  }
}

// ── A confirmation means live ────────────────────────────────────────────────

// Each subscriber goes through several rooms, one after the other. The moment it knows
// that it is in one, a publisher that has been there for long says one thing; nobody
// says it twice.
constexpr size_t kLiveSubscribers = 150;
constexpr size_t kLiveRounds = 6;
constexpr size_t kLiveRooms = 12;

std::string live_room(size_t member, size_t round) {
  return "live-" + std::to_string((member * 5 + round) % kLiveRooms);
}
std::string live_word(size_t member, size_t round) {
  return "word-" + std::to_string(member) + "-" + std::to_string(round) + "!";
}

class Live : public Order {
 protected:
  // One publisher for each room, members 0 to kLiveRooms - 1 of the swarm.
  void add_publishers(Swarm& swarm) {
    for (size_t room = 0; room < kLiveRooms; ++room) {
      swarm.add(port(), "/websocket/live-" + std::to_string(room));
    }
    ASSERT_TRUE(swarm.run_until_open());
    ASSERT_EQ(swarm.open_count(), kLiveRooms);
  }

  static void say(Swarm& swarm, size_t member, size_t round) {
    swarm.send((member * 5 + round) % kLiveRooms,
               encode({.payload = R"({"message":")" + live_word(member, round) + R"("})"}));
  }
};

TEST_F(Live, WhatIsPublishedAfterAConfirmationIsHeard) {
  Swarm swarm;
  add_publishers(swarm);
  std::vector<size_t> rounds(kLiveRooms + kLiveSubscribers, 0);
  size_t finished = 0;
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (member < kLiveRooms) return;
    size_t& round = rounds[member];
    const std::string identifier = chat_identifier(live_room(member, round));
    if (frame.payload == cable_confirmation(identifier)) {
      say(swarm, member, round);
    } else if (frame.payload.find(live_word(member, round)) != std::string_view::npos) {
      swarm.send(member, cable_command("unsubscribe", identifier));
      if (++round < kLiveRounds) {
        swarm.send(member, cable_subscribe(chat_identifier(live_room(member, round))));
      } else {
        ++finished;
      }
    }
  };
  for (size_t i = 0; i < kLiveSubscribers; ++i) {
    const size_t member = kLiveRooms + i;
    swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(chat_identifier(live_room(member, 0))));
  }
  EXPECT_TRUE(swarm.run_until([&] { return finished == kLiveSubscribers; }))
      << kLiveSubscribers - finished << " of them missed something";
}

// In streams nobody has listened to before, published to by HTTP, whose messages reach
// a stream's home by another way.
TEST_F(Live, AlsoInANewStreamAndByHttp) {
  constexpr size_t kNewStreams = 200;
  Swarm swarm;
  const size_t publisher = swarm.add_request(port(), "");
  size_t heard = 0;
  const auto stream = [](size_t member) { return "new-" + std::to_string(member); };
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (frame.payload.find("confirm_subscription") != std::string_view::npos) {
      swarm.send(publisher, post_request("/_broadcast", "application/json",
                                         envelope("ticks:" + stream(member), R"({"word":"now"})")));
    } else if (frame.payload.find(R"({"word":"now"})") != std::string_view::npos) {
      ++heard;
    }
  };
  for (size_t i = 0; i < kNewStreams; ++i) {
    const size_t member = swarm.size();
    swarm.add(port(), "/cable", kCableProtocol, cable_subscribe(ticker_identifier(stream(member))));
  }
  EXPECT_TRUE(swarm.run_until([&] { return heard == kNewStreams; })) << kNewStreams - heard << " missed it";
}

// A raw route has no confirmation but the 101 itself.
TEST_F(Live, WhatIsPublishedAfterThe101IsHeardInARawRoom) {
  Swarm swarm;
  add_publishers(swarm);
  std::vector<bool> heard(kLiveRooms + kLiveSubscribers * kLiveRounds, false);
  size_t heard_count = 0;
  swarm.on_open = [&](size_t member) { say(swarm, member, 0); };
  swarm.on_frame = [&](size_t member, const Swarm::Frame& frame) {
    if (member < kLiveRooms || heard[member]) return;
    if (frame.payload.find(live_word(member, 0)) == std::string_view::npos) return;
    heard[member] = true;
    ++heard_count;
    swarm.send_close(member);
  };
  // In waves, so that rooms are left and entered at the same time.
  for (size_t round = 0; round < kLiveRounds; ++round) {
    for (size_t i = 0; i < kLiveSubscribers; ++i) {
      swarm.add(port(), "/websocket/" + live_room(swarm.size(), 0));
    }
    ASSERT_TRUE(swarm.run_until([&] { return heard_count >= (round + 1) * kLiveSubscribers - 20; }));
  }
  EXPECT_TRUE(swarm.run_until([&] { return heard_count == kLiveSubscribers * kLiveRounds; }))
      << kLiveSubscribers * kLiveRounds - heard_count << " of them missed something";
}

}  // namespace
}  // namespace ringcast::blackbox
