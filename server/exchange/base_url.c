#include <stdio.h>
#include <string.h>

#include "server/exchange/inner.h"
#include "server/world.h"

void srv_base_url_make(const char *public_url, struct srv_http_text authority,
                       const struct srv_peer *peer, char *room, size_t room_bytes) {
    const char *scheme = peer->tls ? "https" : "http";
    if (public_url != NULL && public_url[0] != '\0') {
        (void)snprintf(room, room_bytes, "%s", public_url);
        for (size_t size = strlen(room); size > 0 && room[size - 1] == '/'; size--) {
            room[size - 1] = '\0';
        }
    } else if (authority.size > 0 && authority.size < room_bytes - sizeof("https://")) {
        (void)snprintf(room, room_bytes, "%s://%.*s", scheme, (int)authority.size, authority.data);
    } else if (peer->port > 0) {
        (void)snprintf(room, room_bytes, "%s://localhost:%u", scheme, (unsigned)peer->port);
    } else {
        (void)snprintf(room, room_bytes, "%s://localhost", scheme);
    }
}

const char *srv_exchange_base_url(struct srv_exchange *exchange) {
    if (exchange->base_url[0] == '\0') {
        srv_base_url_make(exchange->engine->world->public_url, exchange->request->authority,
                          &exchange->peer, exchange->base_url, sizeof(exchange->base_url));
    }
    return exchange->base_url;
}
