// Ringcast: an Action Cable and WebSocket server in one process or one library.
// This header is all of it; start reading at server.h.
#pragma once

#include "ringcast/broadcast.h"
#include "ringcast/channel.h"
#include "ringcast/connection.h"
#include "ringcast/engine_publisher.h"
#include "ringcast/http_poster.h"
#include "ringcast/json.h"
#include "ringcast/log.h"
#include "ringcast/option_table.h"
#include "ringcast/options.h"
#include "ringcast/publisher.h"
#include "ringcast/request.h"
#include "ringcast/response.h"
#include "ringcast/server.h"
#include "ringcast/stats.h"
#include "ringcast/websocket.h"
