// Stands in for the Redis adapter where Ringcast is built with WITH_REDIS=0.
#include "adapter/redis_adapter.h"

namespace ringcast {

std::unique_ptr<Adapter> make_redis_adapter(RedisOptions, Logger&, std::string* error) {
  *error = "this Ringcast was built without Redis (WITH_REDIS=0)";
  return nullptr;
}

}  // namespace ringcast
