// Stands in for the PostgreSQL adapter where Ringcast is built with WITH_POSTGRES=0.
#include "adapter/postgres_adapter.h"

namespace ringcast {

std::unique_ptr<Adapter> make_postgres_adapter(PostgresOptions, Logger&, std::string* error) {
  *error = "this Ringcast was built without PostgreSQL (WITH_POSTGRES=0)";
  return nullptr;
}

}  // namespace ringcast
