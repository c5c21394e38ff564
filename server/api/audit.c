/* Who changed what. */
#include "base/error.h"
#include "server/api/api_inner.h"

#define OWN 5u
#define MORE_MAX 8u

void srv_api_audit_write(const struct srv_exchange *exchange, const char *what,
                         const struct kn_field *fields, size_t count) {
    const struct srv_principal *who = srv_exchange_principal(exchange);
    struct kn_field all[OWN + MORE_MAX] = {
        kn_str("did", what),
        kn_str("principal", who == NULL ? "-" : who->name),
        kn_str("kind", who == NULL ? "-" : srv_api_kind_name(who)),
        kn_str("peer", srv_exchange_peer(exchange)->address),
        kn_str("id", srv_exchange_id(exchange)),
    };
    KN_ASSERT(count <= MORE_MAX);
    for (size_t i = 0; i < count; i++) {
        all[OWN + i] = fields[i];
    }
    kn_log_write(KN_LOG_INFO, "audit", all, OWN + count);
}
