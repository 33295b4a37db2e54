# Writes cookies as an application does: Rails' own code from Debian's packages, without an application around it.
# On stdin a JSON list of {secret, kind: signed|encrypted, name, value}, with if wanted serializer (json, hybrid,
# marshal), digest (of signed ones), expires (an ISO 8601 time), permanent, bare (without purpose and expiry, as
# Rails 5.2 could be told); on stdout a JSON list of what stands in each one's Set-Cookie.

require "json"
require "active_support"
require "active_support/time"
require "active_support/key_generator"
require "active_support/messages/rotation_configuration"
require "action_dispatch"
require "action_dispatch/middleware/cookies"

KEYS = Hash.new do |keys, secret|
  keys[secret] = ActiveSupport::CachingKeyGenerator.new(ActiveSupport::KeyGenerator.new(secret, iterations: 1000))
end

# The settings are those that a new application of Rails 6.1 has.
def environment(cookie)
  {
    "REQUEST_METHOD" => "GET", "HTTP_HOST" => "localhost", "rack.input" => StringIO.new,
    "action_dispatch.key_generator" => KEYS[cookie["secret"]],
    "action_dispatch.secret_key_base" => cookie["secret"],
    "action_dispatch.signed_cookie_salt" => "signed cookie",
    "action_dispatch.encrypted_cookie_salt" => "encrypted cookie",
    "action_dispatch.encrypted_signed_cookie_salt" => "signed encrypted cookie",
    "action_dispatch.authenticated_encrypted_cookie_salt" => "authenticated encrypted cookie",
    "action_dispatch.use_authenticated_cookie_encryption" => true,
    "action_dispatch.use_cookies_with_metadata" => !cookie["bare"],
    "action_dispatch.cookies_serializer" => (cookie["serializer"] || "json").to_sym,
    "action_dispatch.signed_cookie_digest" => cookie["digest"],
    "action_dispatch.cookies_digest" => nil,
    "action_dispatch.cookies_rotations" => ActiveSupport::Messages::RotationConfiguration.new,
    "action_dispatch.cookies_same_site_protection" => ->(_) { :lax },
  }
end

def written(cookie)
  request = ActionDispatch::Request.new(environment(cookie))
  jar = request.cookie_jar
  options = { value: cookie["value"] }
  options[:expires] = Time.iso8601(cookie["expires"]) if cookie["expires"]
  jar = jar.permanent if cookie["permanent"]
  jar.public_send(cookie["kind"])[cookie["name"]] = options
  request.cookie_jar.write(headers = {})
  headers.fetch("Set-Cookie")[/\A[^;]+/]
end

puts JSON.generate(JSON.parse($stdin.read).map { |cookie| written(cookie) })
