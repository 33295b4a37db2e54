#include "app/publish.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "app/config.h"
#include "ringcast/engine_publisher.h"
#include "ringcast/http_poster.h"
#include "ringcast/json.h"

namespace ringcast {
namespace {

constexpr std::string_view kPublishHelp =
    R"(Usage: ringcast publish STREAM [JSON|-] [OPTION...]
Publishes JSON to STREAM; without it, or for -, every line of the standard input, in order.
Prints how many messages were accepted. Exit status: 0 when all were, 1 when one was not,
2 for a mistake in what was asked for.

Through a server (the default):
  --url URL                    its address (http://127.0.0.1:8080)
  --broadcast-key-file FILE    the key that it asks for
  --tls-ca FILE                https: whose certificates are good, PEM (those the machine trusts)
  --insecure                   https: believe whoever answers

Straight into the engine, so that all servers have it:
  --redis-url URL              redis://, rediss:// or unix://
  --postgres-url URL           postgresql://user:password@host/database
  --cable-yml FILE             what Rails' config/cable.yml says
  --environment NAME           whose part of that file (production)
  --channel-prefix TEXT        stands before the stream's name, with a colon
  --unprefixed-streams PATTERN streams that keep their bare names all the same (room_*)

These and all others of the server's options may come from the environment or from the file
of --config, too: what a server is started with finds its engine here.
)";

// A line longer than this is no message.
constexpr size_t kLineBytesMax = size_t{16} << 20;
// One request to a server: well within its limits, and worth a round trip.
constexpr size_t kBatchMessagesMax = 1000;
constexpr size_t kBatchBytesMax = 256 << 10;
// How long nothing may be accepted before it is given up.
constexpr std::chrono::seconds kNoProgressMax(15);

using Clock = std::chrono::steady_clock;

struct Line {
  uint64_t number;
  std::string json;
};

std::string at_line(uint64_t line, std::string_view why) {
  return line == 0 ? std::string(why) : "line " + std::to_string(line) + ": " + std::string(why);
}

// Where messages go. Each function returns what went wrong, or nothing; it blocks while
// there is no room.
class Way {
 public:
  virtual ~Way() = default;
  virtual std::string send(Line line) = 0;
  // Nothing more is at hand: what waits for company goes now.
  virtual std::string flush() { return {}; }
  // Until all that was sent is accepted, or is known not to be.
  virtual std::string finish() = 0;
  virtual uint64_t accepted() const = 0;
};

// --- Into the engine ------------------------------------------------------------------------

class EngineWay final : public Way {
 public:
  EngineWay(const Options& options, std::string stream) : stream_(std::move(stream)), publisher_(options) {}

  const std::string& error() const { return publisher_.error(); }

  std::string send(Line line) override {
    for (Wait wait(*this);;) {
      switch (publisher_.publish(stream_, line.json)) {
        case BroadcastStatus::ok:
          return {};
        case BroadcastStatus::full:
          if (std::string problem = wait.some(); !problem.empty()) return problem;
          break;
        case BroadcastStatus::too_large:
          return at_line(line.number, "the message is larger than the engine carries");
        case BroadcastStatus::invalid:
        case BroadcastStatus::stopped:
          return at_line(line.number, "the engine cannot carry this message");
      }
    }
  }

  std::string finish() override {
    Wait wait(*this);
    for (;;) {
      const EnginePublisher::Progress progress = publisher_.progress();
      if (progress.waiting() == 0) {
        if (progress.refused > 0) return std::to_string(progress.refused) + " refused by the engine";
        if (progress.lost > 0) {
          return std::to_string(progress.lost) + " sent and never answered: they may have arrived or not";
        }
        return {};
      }
      if (std::string problem = wait.some(); !problem.empty()) return problem;
    }
  }

  uint64_t accepted() const override { return publisher_.progress().accepted; }

 private:
  // For room, or for answers; as long as there are some now and then.
  class Wait {
   public:
    explicit Wait(const EngineWay& way) : way_(way), waiting_(way.publisher_.progress().waiting()) {}

    std::string some() {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const EnginePublisher::Progress progress = way_.publisher_.progress();
      if (progress.waiting() != waiting_) {
        waiting_ = progress.waiting();
        since_ = Clock::now();
      }
      if (Clock::now() - since_ < kNoProgressMax) return {};
      return std::to_string(waiting_) + " not sent: the engine " +
             (progress.connected ? "does not answer" : "cannot be reached");
    }

   private:
    const EngineWay& way_;
    uint64_t waiting_;
    Clock::time_point since_ = Clock::now();
  };

  const std::string stream_;
  EnginePublisher publisher_;
};

// --- Through a server -------------------------------------------------------------------------

class ServerWay final : public Way {
 public:
  ServerWay(HttpPoster poster, std::string stream)
      : poster_(std::move(poster)), stream_(Json(std::move(stream)).dump()) {}

  std::string send(Line line) override {
    const bool full = batch_.size() >= kBatchMessagesMax ||
                      (!batch_.empty() && batch_bytes_ + line.json.size() > kBatchBytesMax);
    if (full) {
      if (std::string problem = finish(); !problem.empty()) return problem;
    }
    batch_bytes_ += line.json.size();
    batch_.push_back(std::move(line));
    return {};
  }

  std::string finish() override {
    std::vector<Line> batch = std::move(batch_);
    batch_.clear();
    batch_bytes_ = 0;
    return post(batch.data(), batch.size());
  }

  std::string flush() override { return finish(); }
  uint64_t accepted() const override { return accepted_; }

 private:
  // All of them or none, says the server; halves, where that is too much at once.
  std::string post(const Line* lines, size_t count) {
    if (count == 0) return {};
    std::string body = "[";
    for (size_t i = 0; i < count; ++i) {
      if (i > 0) body += ',';
      body.append(R"({"stream":)").append(stream_).append(R"(,"data":)");
      body.append(Json(lines[i].json).dump()).append("}");
    }
    body += ']';

    auto pause = std::chrono::milliseconds(5);
    for (const Clock::time_point since = Clock::now();;) {
      const HttpPoster::Answer answer = poster_.post("/_broadcast", body);
      if (answer.status == 201) {
        accepted_ += count;
        return {};
      }
      if (answer.status == 413 && count > 1) {
        if (std::string problem = post(lines, count / 2); !problem.empty()) return problem;
        return post(lines + count / 2, count - count / 2);
      }
      if (answer.status == 503 && Clock::now() - since < kNoProgressMax) {
        std::this_thread::sleep_for(pause);
        pause = std::min(2 * pause, std::chrono::milliseconds(500));
        continue;
      }
      if (answer.status == 0) return answer.body;
      const std::string said = Json::parse(answer.body).value_or(Json()).string("message");
      return at_line(count == 1 ? lines->number : 0, "the server answered " + std::to_string(answer.status) +
                                                         (said.empty() ? "" : ": " + said));
    }
  }

  HttpPoster poster_;
  const std::string stream_;  // as JSON
  std::vector<Line> batch_;
  size_t batch_bytes_ = 0;
  uint64_t accepted_ = 0;
};

// --- What to publish ----------------------------------------------------------------------------

std::string send_checked(Way& way, uint64_t line, std::string_view text) {
  std::string_view problem;
  if (!Json::parse(text, &problem)) return at_line(line, "this is not JSON: " + std::string(problem));
  return way.send({line, std::string(text)});
}

// Line by line, holding one and what one read brought. Blank ones say nothing.
std::string send_lines(Way& way, int descriptor) {
  std::string held;
  std::vector<char> buffer(256 << 10);
  uint64_t line = 0;
  const auto take = [&](std::string_view text) -> std::string {
    ++line;
    if (text.ends_with('\r')) text.remove_suffix(1);
    return text.find_first_not_of(" \t") == text.npos ? std::string() : send_checked(way, line, text);
  };
  for (;;) {
    const ssize_t count = read(descriptor, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return "the standard input: " + std::string(std::strerror(errno));
    if (count == 0) return held.empty() ? std::string() : take(held);
    std::string_view rest(buffer.data(), static_cast<size_t>(count));
    for (size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
      std::string problem;
      if (held.empty()) {
        problem = take(rest.substr(0, end));
      } else {
        problem = take(held.append(rest.substr(0, end)));
        held.clear();
      }
      if (!problem.empty()) return problem;
    }
    held.append(rest);
    pollfd more{descriptor, POLLIN, 0};
    if (poll(&more, 1, 0) == 0) {
      if (std::string problem = way.flush(); !problem.empty()) return problem;
    }
    if (held.size() > kLineBytesMax) return at_line(line + 1, "longer than any message");
  }
}

// --- What was asked for -------------------------------------------------------------------------

struct Asked {
  std::string stream;
  std::string json = "-";
  std::string url;
  HttpPosterOptions http;
  Config config;
  std::string problem;
  bool help = false;
};

// Words that are no options are ours, options are the server's.
Asked read_words(int argc, const char* const* argv) {
  Asked request;
  std::vector<const char*> words;
  std::vector<const char*> options = {"ringcast"};
  bool url_given = false, engine_given = false;
  std::string_view adapter;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help") request.help = true;
    if (!word.starts_with("--")) {
      words.push_back(argv[i]);
      continue;
    }
    const std::string_view name = word.substr(0, word.find('='));
    const bool value_follows = name.size() == word.size() && i + 1 < argc;
    if (name == "--url" || name == "--tls-ca") {
      if (!value_follows && name.size() == word.size())
        request.problem = std::string(name) + " needs a value";
      (name == "--url" ? request.url : request.http.tls_ca_file) =
          value_follows ? std::string_view(argv[++i]) : word.substr(std::min(word.size(), name.size() + 1));
      url_given |= name == "--url";
      continue;
    }
    if (word == "--insecure") {
      request.http.tls_verify = false;
      continue;
    }
    if (name == "--redis-url") adapter = "--adapter=redis";
    if (name == "--postgres-url") adapter = "--adapter=postgresql";
    engine_given |= name == "--redis-url" || name == "--postgres-url" || name == "--cable-yml";
    options.push_back(argv[i]);
    if (value_follows) options.push_back(argv[++i]);
  }
  if (request.help || !request.problem.empty()) return request;
  if (words.empty() || words.size() > 2) {
    request.problem =
        "a stream is wanted, and one message or -: ringcast publish STREAM [JSON|-]; see --help";
    return request;
  }
  if (url_given && engine_given) {
    request.problem = "--url is a server, and the others are an engine: one of them is enough";
    return request;
  }
  request.stream = words[0];
  if (words.size() == 2) request.json = words[1];
  if (!adapter.empty()) options.push_back(adapter.data());
  CommandLine line = read_command_line(static_cast<int>(options.size()), options.data());
  request.problem = line.error;
  request.config = std::move(line.config);
  const Options& server = request.config.server;
  if (!url_given && server.adapter == AdapterChoice::async && server.cable_yml.empty()) {
    request.url =
        "http://" + (server.listen.empty() ? std::string(Options::kDefaultListen) : server.listen.front());
  }
  request.http.bearer = request.config.broadcast_key;
  const bool about_tls = !request.http.tls_verify || !request.http.tls_ca_file.empty();
  if (about_tls && !request.url.starts_with("https://"))
    request.problem = "--tls-ca and --insecure go with --url https://…";
  if (request.stream.empty()) request.problem = "a stream's name is not empty";
  return request;
}

int end_with(std::string_view problem, int status) {
  std::fprintf(stderr, "ringcast publish: %.*s\n", static_cast<int>(problem.size()), problem.data());
  return status;
}

}  // namespace

int publish_command(int argc, const char* const* argv) {
  Asked request = read_words(argc, argv);
  if (request.help) {
    std::fwrite(kPublishHelp.data(), 1, kPublishHelp.size(), stdout);
    return 0;
  }
  if (!request.problem.empty()) return end_with(request.problem, 2);
  signal(SIGPIPE, SIG_IGN);  // a connection that breaks says so itself

  std::unique_ptr<Way> way;
  if (!request.url.empty()) {
    std::string error;
    auto poster = HttpPoster::to(request.url, request.http, &error);
    if (!poster) return end_with(error, 2);
    way = std::make_unique<ServerWay>(std::move(*poster), request.stream);
  } else {
    Options options = request.config.server;
    options.log_level = std::max(options.log_level, LogLevel::warn);
    auto engine = std::make_unique<EngineWay>(options, request.stream);
    if (!engine->error().empty()) return end_with(engine->error(), 2);
    way = std::move(engine);
  }

  std::string problem =
      request.json == "-" ? send_lines(*way, STDIN_FILENO) : send_checked(*way, 0, request.json);
  // What came before the mistake is published all the same.
  const std::string unfinished = way->finish();
  if (problem.empty()) problem = unfinished;
  std::printf("%llu accepted\n", static_cast<unsigned long long>(way->accepted()));
  std::fflush(stdout);
  return problem.empty() ? 0 : end_with(problem, 1);
}

}  // namespace ringcast
