// ringcast-load: puts a WebSocket server, ours or another, under load, and checks every
// message. One thread: pin it to another core than the server's, and look at the share
// of time it was busy itself. settings.cc says what it can do.
#include "modes.h"
#include "settings.h"

int main(int argc, char** argv) {
  const load::Settings settings = load::parse_settings(argc, argv);
  if (settings.mode == "fanout" || settings.mode == "soak") return load::run_fanout(settings);
  if (settings.mode == "echo") return load::run_echo(settings);
  if (settings.mode == "connect") return load::run_connect(settings);
  if (settings.mode == "idle") return load::run_idle(settings);
  if (settings.mode == "storm") return load::run_storm(settings);
  load::fail("the modes are fanout, echo, connect, idle, storm and soak; see ringcast-load --help");
}
