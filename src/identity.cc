// From files to keys.
#include "identity.h"

#include <string.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "auth/signed_stream.h"

namespace ringcast::internal {
namespace {

// What the files hold. Wiped when the keys are made: keys wipe themselves.
struct Secrets {
  Secrets() = default;
  Secrets(const Secrets&) = delete;
  Secrets& operator=(const Secrets&) = delete;
  ~Secrets() {
    for (std::string& secret : cookies) explicit_bzero(secret.data(), secret.size());
    for (std::string* secret : {&jwt, &streams}) explicit_bzero(secret->data(), secret->size());
  }

  std::vector<std::string> cookies;  // the current one first
  std::string jwt;
  std::string jwt_public_key;
  std::string streams;
};

std::string read_file(std::string_view option, const std::string& path, std::string& content) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  content = std::move(text).str();
  if (!file.is_open() || file.bad()) return std::string(option) + ": '" + path + "' cannot be read";
  if (content.find_first_not_of(" \t\r\n") == content.npos) {
    return std::string(option) + ": '" + path + "' is empty";
  }
  return {};
}

}  // namespace

// One line, its end included, as a shell's `echo "$SECRET" > file` leaves it. A line more
// would be a file of another kind, whose secret nobody could guess.
std::string read_secret(std::string_view option, const std::string& path, std::string& secret) {
  if (std::string problem = read_file(option, path, secret); !problem.empty()) return problem;
  while (secret.back() == '\n' || secret.back() == '\r') secret.pop_back();
  if (secret.find_first_of("\r\n") == secret.npos) return {};
  return std::string(option) + ": '" + path + "' holds more than one line";
}

namespace {

std::string read_secrets(const Options& options, Secrets& secrets) {
  std::string problem;
  const auto read = [&](std::string_view option, const std::string& path, std::string& into) {
    if (problem.empty() && !path.empty()) problem = read_secret(option, path, into);
  };
  if (!options.secret_key_base_file.empty()) {
    read("secret-key-base-file", options.secret_key_base_file, secrets.cookies.emplace_back());
  } else if (!options.old_secret_key_base_file.empty()) {
    return "old-secret-key-base-file needs secret-key-base-file";
  }
  for (const std::string& path : options.old_secret_key_base_file) {
    read("old-secret-key-base-file", path, secrets.cookies.emplace_back());
  }
  read("streams-secret-file", options.streams_secret_file, secrets.streams);
  if (problem.empty() && !options.jwt_secret_file.empty()) {
    problem = read_file("jwt-secret-file", options.jwt_secret_file, secrets.jwt);
    // A key in PEM has lines, and a better answer than that it has.
    if (!secrets.jwt.starts_with("-----")) read("jwt-secret-file", options.jwt_secret_file, secrets.jwt);
  }
  if (problem.empty() && !options.jwt_public_key_file.empty()) {
    problem = read_file("jwt-public-key-file", options.jwt_public_key_file, secrets.jwt_public_key);
  }
  return problem;
}

std::string make_jwt_policy(const Options& options, const Secrets& secrets, JwtPolicy& policy) {
  std::string error;
  if (!options.jwt_secret_file.empty()) {
    auto key = JwtKey::from_secret(secrets.jwt, &error);
    if (!key) return "jwt-secret-file: " + error;
    policy.keys.push_back(std::move(*key));
  }
  if (!options.jwt_public_key_file.empty()) {
    auto key = JwtKey::from_pem(secrets.jwt_public_key, &error);
    if (!key) return "jwt-public-key-file: " + error;
    policy.keys.push_back(std::move(*key));
  }
  for (const std::string& name : options.jwt_algorithms) {
    const auto algorithm = parse_jwt_algorithm(name);
    if (!algorithm) return "jwt-algorithms: '" + name + "' is no algorithm such as HS256, RS256 or ES256";
    if (std::ranges::none_of(policy.keys, [&](const JwtKey& key) { return key.fits(*algorithm); })) {
      return "jwt-algorithms: there is no key for " + name;
    }
    policy.algorithms.push_back(*algorithm);
  }
  policy.audiences = options.jwt_audience;
  policy.issuer = options.jwt_issuer;
  if (!policy.keys.empty()) return {};
  if (!policy.audiences.empty()) return "jwt-audience needs jwt-secret-file or jwt-public-key-file";
  if (!policy.issuer.empty()) return "jwt-issuer needs jwt-secret-file or jwt-public-key-file";
  return {};
}

std::string parse_sources(const Options& options, std::vector<IdentifierSource>& sources) {
  for (const std::string& text : options.identified_by) {
    std::string error;
    std::optional<IdentifierSource> source = IdentifierSource::parse(text, &error);
    if (source) error = missing_for(*source, options);
    if (!error.empty()) return "identified-by: " + error;
    if (std::ranges::find(sources, source->name(), &IdentifierSource::name) != sources.end()) {
      return "identified-by: " + source->name() + " is given twice";
    }
    sources.push_back(std::move(*source));
  }
  return {};
}

// All but what takes time.
std::string prepare(const Options& options, Secrets& secrets, Identity& identity) {
  if (std::string problem = parse_sources(options, identity.sources); !problem.empty()) return problem;
  if (std::string problem = read_secrets(options, secrets); !problem.empty()) return problem;
  if (options.turbo_streams && secrets.cookies.empty()) return "turbo-streams needs secret-key-base-file";
  identity.turbo_streams = options.turbo_streams;
  identity.public_streams = options.public_streams;
  return make_jwt_policy(options, secrets, identity.jwt);
}

}  // namespace

std::string identity_problem(const Options& options) {
  Secrets secrets;
  Identity identity;
  return prepare(options, secrets, identity);
}

const Json& no_identifiers() {
  static const Json kNone = Json::object();
  return kNone;
}

std::string load_identity(const Options& options, Identity& identity) {
  Secrets secrets;
  if (std::string problem = prepare(options, secrets, identity); !problem.empty()) return problem;
  const bool sha256 = options.signed_cookie_digest == CookieDigest::sha256;
  identity.cookies =
      KeyRing::derive(secrets.cookies, {.signed_cookie_digest = sha256 ? Digest::sha256 : Digest::sha1});
  if (!secrets.streams.empty()) identity.signed_streams = signed_stream_key(secrets.streams);
  return {};
}

std::string missing_for(const IdentifierSource& source, const Options& options) {
  const auto needs = [&](std::string_view what) {
    return source.name() + "=" + source.text() + " needs " + std::string(what);
  };
  if (source.needs_cookie_keys() && options.secret_key_base_file.empty())
    return needs("secret-key-base-file");
  if (source.needs_jwt() && options.jwt_secret_file.empty() && options.jwt_public_key_file.empty()) {
    return needs("jwt-secret-file or jwt-public-key-file");
  }
  // A header that anybody can send would be no identity.
  if (source.needs_trusted_headers() && options.trusted_proxy.empty()) return needs("a trusted-proxy");
  return {};
}

}  // namespace ringcast::internal
