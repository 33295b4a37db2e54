#include "blackbox/probes.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

extern char** environ;

namespace ringcast::blackbox {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLookAgain = std::chrono::milliseconds(20);

std::string proc_file(pid_t pid, const char* name) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// "VmRSS:     1234 kB" in /proc/PID/status.
size_t status_bytes(pid_t pid, std::string_view field) {
  const std::string status = proc_file(pid, "status");
  const size_t at = status.find(std::string(field) + ":");
  return at == std::string::npos ? 0
                                 : std::strtoull(status.c_str() + at + field.size() + 1, nullptr, 10) * 1024;
}

}  // namespace

// ── Metrics ──────────────────────────────────────────────────────────────────

Metrics Metrics::read(uint16_t port) {
  return parse(http_get(port, "/metrics").body);
}

Metrics Metrics::read(TcpClient& kept_open) {
  kept_open.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  return parse(read_http_answer(kept_open).body);
}

Metrics Metrics::parse(std::string_view text) {
  Metrics metrics;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.rfind(' ');
    const size_t brace = std::min(line.find('{'), space);
    if (space == std::string::npos) continue;
    Sample sample{line.substr(0, brace), line.substr(brace, space - brace), 0};
    std::from_chars(line.data() + space + 1, line.data() + line.size(), sample.value);
    metrics.samples_.push_back(std::move(sample));
  }
  return metrics;
}

uint64_t Metrics::sum(std::string_view name, std::string_view label) const {
  uint64_t total = 0;
  for (const Sample& sample : samples_) {
    if (sample.name == name && sample.labels.find(label) != std::string::npos) total += sample.value;
  }
  return total;
}

bool Metrics::has(std::string_view name) const {
  return std::ranges::any_of(samples_, [&](const Sample& sample) { return sample.name == name; });
}

bool wait_for_metric(uint16_t port, std::string_view name, uint64_t value, std::string_view label) {
  for (const auto deadline = Clock::now() + kPatience; Clock::now() < deadline;) {
    if (Metrics::read(port).sum(name, label) == value) return true;
    std::this_thread::sleep_for(kLookAgain);
  }
  return false;
}

// ── What it holds ────────────────────────────────────────────────────────────

std::string Holdings::to_string() const {
  std::string text = "descriptors " + std::to_string(descriptors);
  for (size_t i = 0; i < kHeldGauges.size(); ++i) {
    text.append(", ").append(kHeldGauges[i]).append(" ").append(std::to_string(gauges[i]));
  }
  return text;
}

Holdings holdings(TcpClient& watcher, pid_t pid) {
  const Metrics metrics = Metrics::read(watcher);
  Holdings held{.descriptors = descriptor_count(pid)};
  for (size_t i = 0; i < kHeldGauges.size(); ++i) held.gauges[i] = metrics.sum(kHeldGauges[i]);
  return held;
}

Holdings holdings_at_rest(TcpClient& watcher, pid_t pid) {
  Holdings held = holdings(watcher, pid);
  for (int readings = 0; readings < 60; ++readings) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    const Holdings again = holdings(watcher, pid);
    if (again == held && held.gauges[0] == 1) return held;
    held = again;
  }
  return {};
}

Holdings settled_holdings(TcpClient& watcher, pid_t pid, const Holdings& expected) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  Holdings held = holdings(watcher, pid);
  while (held != expected && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    held = holdings(watcher, pid);
  }
  return held;
}

// ── The process ──────────────────────────────────────────────────────────────

size_t resident_bytes(pid_t pid) {
  return status_bytes(pid, "VmRSS");
}

size_t descriptor_count(pid_t pid) {
  DIR* const directory = opendir(("/proc/" + std::to_string(pid) + "/fd").c_str());
  if (directory == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = readdir(directory)) count += entry->d_name[0] != '.' ? 1u : 0u;
  closedir(directory);
  return count;
}

double cpu_seconds(pid_t pid) {
  const std::string stat = proc_file(pid, "stat");
  // utime and stime are fields 14 and 15; the second, a name in brackets, may hold anything.
  std::istringstream rest(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  std::string skipped;
  for (int field = 3; field < 14; ++field) rest >> skipped;
  double user = 0;
  double system = 0;
  rest >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

bool memory_is_telling(pid_t pid) {
  constexpr size_t kTebibyte = size_t{1} << 40;
  return status_bytes(pid, "VmSize") < kTebibyte;
}

// ── The binary, run to its end ───────────────────────────────────────────────

ProgramResult run_binary(const std::vector<std::string>& arguments,
                         const std::vector<std::pair<std::string, std::string>>& environment) {
  const char* const named = std::getenv("RINGCAST_BIN");
  std::vector<std::string> command = {named != nullptr && *named != '\0' ? named : "build/ringcast"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("RINGCAST_")) variables.emplace_back(*entry);
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> all;
    for (std::string& string : strings) all.push_back(string.data());
    all.push_back(nullptr);
    return all;
  };
  const std::vector<char*> argv = pointers(command);
  const std::vector<char*> envp = pointers(variables);

  std::array<int, 2> output;
  std::array<int, 2> error;
  ProgramResult result;
  if (pipe2(output.data(), O_CLOEXEC) != 0) return result;
  if (pipe2(error.data(), O_CLOEXEC) != 0) return result;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, output[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, error[1], STDERR_FILENO);
  pid_t pid = -1;
  const bool spawned = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), envp.data()) == 0;
  posix_spawn_file_actions_destroy(&actions);
  ::close(output[1]);
  ::close(error[1]);

  std::array<pollfd, 2> pipes{{{output[0], POLLIN, 0}, {error[0], POLLIN, 0}}};
  const std::array<std::string*, 2> texts{&result.output, &result.error};
  const auto deadline = Clock::now() + kPatience;
  bool in_time = spawned;
  while (in_time && (pipes[0].fd >= 0 || pipes[1].fd >= 0)) {
    poll(pipes.data(), pipes.size(), 100);
    in_time = Clock::now() < deadline;
    for (size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      std::array<char, 4096> buffer;
      const ssize_t count = ::read(pipes[i].fd, buffer.data(), buffer.size());
      if (count > 0) texts[i]->append(buffer.data(), static_cast<size_t>(count));
      if (count == 0) pipes[i].fd = -1;
    }
  }
  ::close(output[0]);
  ::close(error[0]);
  if (!spawned) return result;
  if (!in_time) kill(pid, SIGKILL);
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

// ── Publishing by HTTP ───────────────────────────────────────────────────────

std::string post_request(std::string_view path, std::string_view content_type, std::string_view body,
                         std::string_view more_headers) {
  std::string request = "POST ";
  request.append(path).append(" HTTP/1.1\r\nHost: localhost\r\nContent-Type: ").append(content_type);
  request.append("\r\nContent-Length: ").append(std::to_string(body.size())).append("\r\n");
  return request.append(more_headers).append("\r\n").append(body);
}

std::string envelope(std::string_view stream, std::string_view data) {
  std::string text = R"({"stream":")";
  text.append(stream).append(R"(","data":")");
  for (const char c : data) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text += "\"}";
}

std::string envelopes(std::string_view stream, const std::vector<std::string>& data) {
  std::string text = "[";
  for (const std::string& one : data) {
    if (text.size() > 1) text += ',';
    text += envelope(stream, one);
  }
  return text += "]";
}

int broadcast(TcpClient& client, std::string_view body) {
  const std::string request = post_request("/_broadcast", "application/json", body);
  for (const auto deadline = Clock::now() + kPatience;;) {
    if (!client.send(request)) return 0;
    const HttpAnswer answer = read_http_answer(client);
    if (answer.status != 503 || Clock::now() >= deadline) return answer.status;
    std::this_thread::sleep_for(kLookAgain);
  }
}

int broadcast(uint16_t port, std::string_view body) {
  TcpClient client = TcpClient::connect(port);
  return broadcast(client, body);
}

}  // namespace ringcast::blackbox
