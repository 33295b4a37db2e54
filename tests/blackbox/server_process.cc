// Starting, watching and ending the server's process.
#include "blackbox/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "blackbox/client.h"

extern char** environ;

namespace ringcast::blackbox {

namespace {

using Clock = std::chrono::steady_clock;

// How often what cannot be waited for is looked at: a port that is not open yet.
constexpr auto kLookAgain = std::chrono::milliseconds(10);

// Another process may take the port between our looking and the server's binding it.
constexpr int kStartAttempts = 5;
constexpr int kExitCannotListen = 2;

std::string environment_or(const char* name, std::string otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? value : std::move(otherwise);
}

std::vector<std::string> command_of(const ServerProcess::Options& options, uint16_t port, uint16_t tls_port) {
  std::vector<std::string> command = {environment_or("RINGCAST_BIN", "build/ringcast")};
  if (options.plain) command.insert(command.end(), {"--listen", "127.0.0.1:" + std::to_string(port)});
  const std::string backend = environment_or("RINGCAST_BACKEND", "");
  if (!backend.empty()) command.insert(command.end(), {"--backend", backend});
  const std::string shards = environment_or("RINGCAST_SHARDS", "");
  if (!shards.empty()) command.insert(command.end(), {"--shards", shards});
  if (options.tls) {
    command.insert(command.end(), {"--tls-listen", "127.0.0.1:" + std::to_string(tls_port), "--tls-cert",
                                   options.tls->certificate, "--tls-key", options.tls->key});
  }
  command.insert(command.end(), options.arguments.begin(), options.arguments.end());
  return command;
}

// RINGCAST_BACKEND and its like are options to the server, too: what the child sees of
// them is what this test gives it.
std::vector<std::string> environment_of(const ServerProcess::Options& options) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (!std::string_view(*entry).starts_with("RINGCAST_")) environment.emplace_back(*entry);
  }
  for (const auto& [name, value] : options.environment) environment.push_back(name + "=" + value);
  return environment;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Pipe {
  int read = -1;
  int write = -1;
};

// Both ends close on exec; the child's dup2 makes the copy that does not.
bool open_pipe(Pipe& pipe) {
  std::array<int, 2> ends;
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
  pipe = {ends[0], ends[1]};
  return true;
}

void close_pipe(const Pipe& pipe) {
  if (pipe.read >= 0) close(pipe.read);
  if (pipe.write >= 0) close(pipe.write);
}

// In the child, between fork and exec: async-signal-safe calls only.
[[noreturn]] void become_server(pid_t parent, int output, int error, void (*before_exec)(),
                                char* const* command, char* const* environment) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(error, STDERR_FILENO);
  if (before_exec != nullptr) before_exec();
  execve(command[0], command, environment);
  const std::string_view complaint = "cannot execute the server binary\n";
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, complaint.data(), complaint.size());
  _exit(127);
}

ServerProcess::Exit exit_of(int status) {
  if (WIFSIGNALED(status)) return {.code = -1, .signal = WTERMSIG(status)};
  return {.code = WEXITSTATUS(status), .signal = 0};
}

std::string fate_of(const std::optional<ServerProcess::Exit>& exit) {
  if (!exit) return " was not ready in time";
  if (exit->signal != 0) return " was ended by signal " + std::to_string(exit->signal);
  return " ended with exit code " + std::to_string(exit->code);
}

}  // namespace

uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  return bound ? ntohs(address.sin_port) : 0;
}

CertificateFolder::CertificateFolder() {
  if (mkdtemp(folder_.data()) == nullptr) std::abort();
  write(make_test_certificate());
}

CertificateFolder::~CertificateFolder() {
  unlink(files_.certificate.c_str());
  unlink(files_.key.c_str());
  rmdir(folder_.c_str());
}

void CertificateFolder::write(const TestCertificate& certificate) {
  certificate_ = certificate;
  files_ = write_test_certificate(certificate, folder_);
}

std::unique_ptr<ServerProcess> ServerProcess::start(const Options& options, std::string& why_not) {
  const auto deadline = Clock::now() + options.ready_within;
  for (int attempt = 1;; ++attempt) {
    const uint16_t port = options.plain ? free_port() : uint16_t{0};
    const uint16_t tls_port = options.tls ? free_port() : uint16_t{0};
    std::vector<std::string> command = command_of(options, port, tls_port);
    std::vector<std::string> environment = environment_of(options);
    // Made before the fork: the child of a threaded process may not allocate.
    const std::vector<char*> command_pointers = pointers_to(command);
    const std::vector<char*> environment_pointers = pointers_to(environment);

    Pipe output;
    Pipe error;
    const bool piped = open_pipe(output) && open_pipe(error);
    const pid_t parent = getpid();
    const pid_t pid = piped ? fork() : -1;
    if (pid == 0) {
      become_server(parent, output.write, error.write, options.before_exec, command_pointers.data(),
                    environment_pointers.data());
    }
    if (pid < 0) {
      why_not = std::string("cannot start a process: ") + std::strerror(errno);
      close_pipe(output);
      close_pipe(error);
      return nullptr;
    }
    close(output.write);
    close(error.write);
    std::unique_ptr<ServerProcess> server(new ServerProcess(pid, port, tls_port, output.read, error.read));

    while (server->running() && Clock::now() < deadline) {
      TcpClient asking = options.plain ? TcpClient::connect(port) : TcpClient::connect_tls(tls_port);
      if (http_get(std::move(asking), "/ready").status == 200 && server->running()) return server;
      std::this_thread::sleep_for(kLookAgain);
    }
    if (server->exit_ == Exit{.code = kExitCannotListen} && attempt < kStartAttempts) continue;

    why_not = command[0] + fate_of(server->exit_);
    if (!server->exit_) server->stop(std::chrono::seconds(5));
    why_not += "\nstdout:\n" + server->standard_output() + "stderr:\n" + server->standard_error();
    return nullptr;
  }
}

ServerProcess::ServerProcess(pid_t pid, uint16_t port, uint16_t tls_port, int output_pipe, int error_pipe)
    : pid_(pid),
      port_(port),
      tls_port_(tls_port),
      output_collector_([this, output_pipe] { collect(output_pipe, output_); }),
      error_collector_([this, error_pipe] { collect(error_pipe, error_); }) {}

ServerProcess::~ServerProcess() {
  if (running()) {
    signal(SIGKILL);
    int status;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  // The pipes end with the process, and these with the pipes.
  if (output_collector_.joinable()) output_collector_.join();
  if (error_collector_.joinable()) error_collector_.join();
}

// A collector's thread. Takes everything as it comes: a full pipe would stop the server.
void ServerProcess::collect(int pipe, std::string& text) {
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t bytes = read(pipe, buffer.data(), buffer.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes <= 0) break;
    const std::lock_guard lock(text_mutex_);
    text.append(buffer.data(), static_cast<size_t>(bytes));
  }
  close(pipe);
}

bool ServerProcess::running() {
  if (exit_) return false;
  int status;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return true;
  exit_ = exit_of(status);
  output_collector_.join();
  error_collector_.join();
  return false;
}

void ServerProcess::signal(int number) {
  if (running()) kill(pid_, number);
}

std::optional<ServerProcess::Exit> ServerProcess::wait(std::chrono::seconds within) {
  const auto deadline = Clock::now() + within;
  while (running() && Clock::now() < deadline) std::this_thread::sleep_for(kLookAgain);
  return exit_;
}

std::optional<ServerProcess::Exit> ServerProcess::stop(std::chrono::seconds within) {
  signal(SIGTERM);
  const auto ended = wait(within);
  if (!ended) {
    signal(SIGKILL);
    wait(within);
  }
  return ended;
}

std::string ServerProcess::standard_output() const {
  const std::lock_guard lock(text_mutex_);
  return output_;
}

std::string ServerProcess::standard_error() const {
  const std::lock_guard lock(text_mutex_);
  return error_;
}

}  // namespace ringcast::blackbox
