// Addresses, listeners and socket options on loopback, and what machine.h reads of a
// machine, from files laid out like its own.
#include "io/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "io/machine.h"

namespace ringcast {
namespace {

std::string why_not(std::string_view text) {
  std::string error;
  EXPECT_FALSE(SocketAddress::parse(text, &error)) << text;
  return error;
}

SocketAddress loopback(uint16_t port = 0) {
  return {.ip = IpAddress::v4(127, 0, 0, 1), .port = port};
}

Descriptor connect_to(const SocketAddress& address) {
  sockaddr_storage storage;
  const socklen_t bytes = address.to_sockaddr(storage);
  Descriptor socket(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket && ::connect(socket.fd(), reinterpret_cast<sockaddr*>(&storage), bytes) != 0) socket.reset();
  return socket;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t bytes = sizeof value;
  EXPECT_EQ(getsockopt(fd, level, name, &value, &bytes), 0);
  return value;
}

Descriptor accept_within_ten_seconds(int listener) {
  pollfd readable{.fd = listener, .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&readable, 1, 10'000), 1);
  return Descriptor(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

bool has_ipv6() {
  std::string error;
  return static_cast<bool>(listen_on({.ip = *IpAddress::parse("::1")}, Listener::first, &error));
}

TEST(SocketAddress, ParsesAddressAndPort) {
  std::string error;
  EXPECT_EQ(SocketAddress::parse("127.0.0.1:8080", &error), loopback(8080));
  EXPECT_EQ(SocketAddress::parse("0.0.0.0:0", &error)->port, 0);
  const auto six = SocketAddress::parse("[::1]:65535", &error);
  ASSERT_TRUE(six);
  EXPECT_EQ(six->port, 65535);
  EXPECT_EQ(six->to_string(), "[::1]:65535");
  EXPECT_EQ(loopback(80).to_string(), "127.0.0.1:80");
  EXPECT_TRUE(error.empty());
}

TEST(SocketAddress, SaysWhatIsWrong) {
  EXPECT_NE(why_not("8080").find("ADDR:PORT"), std::string::npos);
  EXPECT_NE(why_not("::1:8080").find("brackets"), std::string::npos);
  EXPECT_NE(why_not("[127.0.0.1]:80").find("brackets"), std::string::npos);
  EXPECT_NE(why_not("localhost:80").find("not resolved"), std::string::npos);
  for (const char* text :
       {"1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:-1", "1.2.3.4:+1", "1.2.3.4:80x", "1.2.3.4: 80"}) {
    EXPECT_NE(why_not(text).find("port"), std::string::npos) << text;
  }
}

TEST(SocketAddress, SurvivesTheKernelsForm) {
  for (const char* text : {"10.1.2.3:443", "[2001:db8::7]:1"}) {
    std::string error;
    const auto address = SocketAddress::parse(text, &error);
    sockaddr_storage storage;
    const socklen_t bytes = address->to_sockaddr(storage);
    EXPECT_EQ(SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), bytes), address);
    EXPECT_FALSE(SocketAddress::from(reinterpret_cast<sockaddr*>(&storage), 4));
  }
}

TEST(ListenOn, TellsThePortTheKernelChose) {
  std::string error;
  const Descriptor listener = listen_on(loopback(), Listener::first, &error);
  ASSERT_TRUE(listener) << error;
  const auto address = local_address(listener.fd());
  ASSERT_TRUE(address);
  EXPECT_NE(address->port, 0);
  EXPECT_TRUE(connect_to(*address));
}

TEST(ListenOn, WhatItAcceptsHasNoDelayAndNamesItsPeer) {
  std::string error;
  const Descriptor listener = listen_on(loopback(), Listener::first, &error);
  ASSERT_TRUE(listener) << error;
  EXPECT_NE(fcntl(listener.fd(), F_GETFL) & O_NONBLOCK, 0);
  const Descriptor client = connect_to(*local_address(listener.fd()));
  const Descriptor accepted = accept_within_ten_seconds(listener.fd());
  ASSERT_TRUE(accepted);
  EXPECT_EQ(option(accepted.fd(), IPPROTO_TCP, TCP_NODELAY), 1);
  EXPECT_EQ(peer_address(accepted.fd()), loopback().ip);
  EXPECT_EQ(peer_address(listener.fd()), IpAddress{});  // has none
}

TEST(ListenOn, ATakenPortIsAnErrorEvenIfItsOwnerShares) {
  std::string error;
  const Descriptor first = listen_on(loopback(), Listener::first, &error);
  ASSERT_TRUE(first) << error;
  const SocketAddress address = *local_address(first.fd());
  const Descriptor second = listen_on(address, Listener::joining, &error);
  ASSERT_TRUE(second) << error;
  EXPECT_FALSE(listen_on(address, Listener::first, &error));
  EXPECT_EQ(error, "cannot listen on " + address.to_string() + ": another program listens there already");
}

TEST(ListenOn, ConnectionsSpreadOverThoseThatJoined) {
  std::string error;
  const Descriptor first = listen_on(loopback(), Listener::first, &error);
  ASSERT_TRUE(first) << error;
  const SocketAddress address = *local_address(first.fd());
  const Descriptor second = listen_on(address, Listener::joining, &error);
  ASSERT_TRUE(second) << error;
  // The kernel chooses by a hash of the client's port: of 64 all on one side is one case in 2^63.
  std::vector<Descriptor> clients;
  for (int count = 0; count < 64; ++count) clients.push_back(connect_to(address));
  EXPECT_TRUE(accept_within_ten_seconds(first.fd()));
  EXPECT_TRUE(accept_within_ten_seconds(second.fd()));
}

TEST(ListenOn, AForeignAddressIsOneSentence) {
  std::string error;
  EXPECT_FALSE(listen_on({.ip = IpAddress::v4(192, 0, 2, 1), .port = 80}, Listener::first, &error));
  EXPECT_EQ(error, "cannot listen on 192.0.2.1:80: no interface of this machine has that address");
}

TEST(ListenOn, AnIpv6ListenerLeavesIpv4Alone) {
  if (!has_ipv6()) GTEST_SKIP() << "no IPv6 here";
  std::string error;
  const Descriptor six = listen_on({.ip = *IpAddress::parse("::")}, Listener::first, &error);
  ASSERT_TRUE(six) << error;
  const uint16_t port = local_address(six.fd())->port;
  EXPECT_FALSE(connect_to(loopback(port)));
  const Descriptor client = connect_to({.ip = *IpAddress::parse("::1"), .port = port});
  EXPECT_TRUE(client);
  EXPECT_EQ(peer_address(accept_within_ten_seconds(six.fd()).fd()), *IpAddress::parse("::1"));
}

// Nothing is set on accepted sockets: they have these from their listener.
TEST(SocketOptions, OfAListenerAreInheritedByWhatItAccepts) {
  std::string error;
  const Descriptor listener = listen_on(loopback(0), Listener::first, &error);
  ASSERT_TRUE(listener) << error;
  EXPECT_TRUE(set_for_accepted(listener.fd(), {.send_buffer_bytes = 100'000,
                                               .unsent_low_water_bytes = 65'536,
                                               .user_timeout_s = 30,
                                               .keepalive_s = 60}));
  const Descriptor client = connect_to(*local_address(listener.fd()));
  const Descriptor accepted = accept_within_ten_seconds(listener.fd());
  ASSERT_TRUE(accepted);
  EXPECT_EQ(option(accepted.fd(), SOL_SOCKET, SO_SNDBUF), 200'000);
  EXPECT_EQ(option(accepted.fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT), 65'536);
  EXPECT_EQ(option(accepted.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT), 30'000);
  EXPECT_EQ(option(accepted.fd(), SOL_SOCKET, SO_KEEPALIVE), 1);
  EXPECT_EQ(option(accepted.fd(), IPPROTO_TCP, TCP_KEEPIDLE), 60);
}

TEST(SocketOptions, ReachTheKernel) {
  std::string error;
  const Descriptor socket = make_tcp_socket(true, &error);
  ASSERT_TRUE(socket) << error;
  EXPECT_TRUE(set_send_buffer(socket.fd(), 100'000));
  EXPECT_EQ(option(socket.fd(), SOL_SOCKET, SO_SNDBUF), 200'000);
  EXPECT_FALSE(set_send_buffer(-1, 1));
}

TEST(Descriptor, OwnsOneAtATime) {
  Descriptor one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int fd = one.fd();
  Descriptor two(std::move(one));
  EXPECT_FALSE(one);  // NOLINT(bugprone-use-after-move): what it holds then is promised
  EXPECT_EQ(two.fd(), fd);
  two = Descriptor(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_NE(two.fd(), fd);  // opened while `fd` was still open
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
}

// ---- machine.h

class CgroupFiles : public testing::Test {
 protected:
  CgroupFiles() {
    std::string name = testing::TempDir() + "ringcast-cgroup-XXXXXX";
    root_ = ::mkdtemp(name.data());
  }
  ~CgroupFiles() override { std::filesystem::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }

  std::string root_;
};

TEST_F(CgroupFiles, Version2TakesTheTightestLevel) {
  write("/proc/self/cgroup", "0::/service/web\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  write("/sys/fs/cgroup/service/web/cpu.max", "max 100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  write("/sys/fs/cgroup/service/cpu.max", "150000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_), 1.5);
  write("/sys/fs/cgroup/service/web/cpu.max", "400000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_), 1.5);
}

TEST_F(CgroupFiles, AContainerSeesItsOwnGroupAtTheRoot) {
  write("/proc/self/cgroup", "0::/../../host/path/that/is/not/here\n");
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_), 2);
}

TEST_F(CgroupFiles, Version1IsReadWhereverCpuIsMounted) {
  write("/proc/self/cgroup", "4:memory:/a\n3:cpu,cpuacct:/a/b\n2:cpuset:/c\n");
  write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(cgroup_cpu_quota(root_), 0);
  write("/sys/fs/cgroup/cpu,cpuacct/a/b/cpu.cfs_quota_us", "50000\n");
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_), 0.5);
  write("/sys/fs/cgroup/memory/a/cpu.max", "1000 100000\n");  // not a group of cpu's
  EXPECT_DOUBLE_EQ(cgroup_cpu_quota(root_), 0.5);
}

TEST(Machine, CountsNoMoreCoresThanItMayUse) {
  const std::vector<int> cpus = allowed_cpus();
  ASSERT_FALSE(cpus.empty());
  EXPECT_GE(available_cpus(), 1U);
  EXPECT_LE(available_cpus(), cpus.size());
  std::thread([&] {
    EXPECT_TRUE(pin_this_thread(cpus.back()));
    EXPECT_EQ(allowed_cpus(), std::vector<int>{cpus.back()});
    EXPECT_EQ(available_cpus(), 1U);
    EXPECT_FALSE(pin_this_thread(-1));
    EXPECT_FALSE(pin_this_thread(8191));
  }).join();
  EXPECT_EQ(allowed_cpus(), cpus);  // of that thread alone
}

TEST(Machine, RaisesTheDescriptorLimitToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit lowered{.rlim_cur = 256, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &lowered), 0);
  EXPECT_EQ(raise_descriptor_limit(), before.rlim_max);
  setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace ringcast
