/* GetMedia and GetMediaForFragmentList: Matroska to read as long as there is some, on the loop of
 * its connection; what reads the store is done by workers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "playback/playback.h"
#include "server/aws/inner.h"
#include "server/aws/list_fragments.h"
#include "server/live.h"

/* Sent at once; then others on the loop have their turn. */
#define PIECES_AT_ONCE 64u
#define NUMBERS_MOST 1000u

/* On its loop; `media` a worker's while srv_exchange_works. */
struct reading {
    struct srv_exchange *exchange; /* a reference */
    struct srv_live_entry *entry;
    struct play_media *media;
    uint64_t bytes;
    bool ended, drains;
};

static void destroy(struct reading *reading) {
    play_media_destroy(reading->media);
    srv_live_remove(reading->entry);
    srv_exchange_unref(reading->exchange);
    free(reading);
}

/* ---- sending ---- */

static void end(struct reading *reading) {
    reading->ended = true;
    srv_exchange_end(reading->exchange);
}

static void break_off(struct reading *reading) {
    reading->ended = true;
    srv_exchange_break(reading->exchange);
}

static void work(struct srv_exchange *exchange, void *user) {
    struct reading *reading = user;
    play_media_work(reading->media, srv_exchange_archive(exchange));
}

/* Takes the reference. */
static void send_bytes(struct reading *reading, struct kn_buffer *bytes) {
    int rc = srv_exchange_send_buffer(reading->exchange, bytes);
    if (rc == 0) {
        reading->bytes += bytes->size;
        srv_live_set(reading->entry, reading->bytes, play_media_fragments(reading->media));
    } else {
        break_off(reading); /* the peer is gone, or there is no memory */
    }
    kn_buffer_unref(bytes);
}

/* What play_media_next said; whether to ask it again. */
static bool follow(struct reading *reading, int rc, struct kn_buffer *bytes) {
    switch (rc) {
    case PLAY_MEDIA_BYTES:
        send_bytes(reading, bytes);
        return !reading->ended;
    case PLAY_MEDIA_WORK:
        if (srv_exchange_work(reading->exchange, work) < 0) {
            break_off(reading);
        }
        return false;
    case PLAY_MEDIA_WAIT:
        return false;
    case PLAY_MEDIA_END:
        end(reading);
        return false;
    default:
        break_off(reading);
        return false;
    }
}

/* As long as there is room; `room` and `wake` come where there is none. */
static void step(struct reading *reading) {
    struct srv_exchange *exchange = reading->exchange;
    for (unsigned i = 0; !reading->ended && !srv_exchange_works(exchange); i++) {
        struct kn_buffer *bytes = NULL;
        if (reading->drains) {
            end(reading);
            return;
        }
        if (srv_exchange_queued(exchange) >= SRV_EXCHANGE_QUEUE / 2) {
            return;
        }
        if (i == PIECES_AT_ONCE) {
            srv_exchange_wake(exchange);
            return;
        }
        int rc = play_media_next(reading->media, &bytes);
        if (!follow(reading, rc, bytes)) {
            return;
        }
    }
}

/* ---- the flow ---- */

static void handle_wake(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    step(user);
}

static void handle_drain(struct srv_exchange *exchange, void *user) {
    struct reading *reading = user;
    (void)exchange;
    reading->drains = true;
    step(reading);
}

static void handle_closed(struct srv_exchange *exchange, void *user) {
    (void)exchange;
    destroy(user);
}

static const struct srv_flow flow = {
    .room = handle_wake, .wake = handle_wake, .drain = handle_drain, .closed = handle_closed};

static void wake(void *user) {
    struct reading *reading = user;
    srv_exchange_wake(reading->exchange);
}

/* ---- beginning ---- */

static struct reading *create(struct srv_exchange *exchange,
                              const struct play_media_config *config) {
    struct srv_world *world = srv_exchange_world(exchange);
    struct reading *reading = calloc(1, sizeof(*reading));
    if (reading == NULL) {
        return NULL;
    }
    struct play_media_config own = *config;
    const struct srv_live_about about = {.side = SRV_LIVE_CONSUMER,
                                         .protocol = "getmedia",
                                         .stream = frag_stream_name(config->stream),
                                         .peer = srv_exchange_peer(exchange)->address,
                                         .principal = srv_exchange_principal(exchange)->name};
    reading->exchange = srv_exchange_ref(exchange);
    own.loop = srv_exchange_loop(exchange);
    own.handle_wake = wake;
    own.user = reading;
    if (play_media_create(&own, &reading->media) < 0) {
        destroy(reading);
        return NULL;
    }
    reading->entry = srv_live_add(world->live, &about);
    return reading;
}

static void begin(struct srv_exchange *exchange, const struct play_media_config *config) {
    struct kn_buffer *bytes = NULL;
    struct reading *reading = create(exchange, config);
    if (reading == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "reading the stream");
        return;
    }
    int rc = play_media_next(reading->media, &bytes); /* joins the live end where it begins there */
    if (rc < 0) {
        destroy(reading);
        if (rc == KN_E_LIMIT) {
            srv_answer_error(exchange, 400, "ConnectionLimitExceededException",
                             "The stream has as many readers as it can have.");
        } else {
            srv_answer_failure(exchange, rc, "reading the stream");
        }
        return;
    }
    srv_exchange_go_on(exchange, &flow, reading);
    srv_exchange_idle_limit(exchange, INT64_MAX); /* a producer may come back */
    if (srv_exchange_begin(exchange, 200, "video/webm", SRV_HTTP_UNKNOWN_LENGTH) < 0) {
        reading->ended = true; /* the peer is gone: `closed` comes */
        kn_buffer_unref(bytes);
    } else if (follow(reading, rc, bytes)) {
        step(reading);
    }
}

/* ---- what is asked for ---- */

static bool refuse(struct srv_exchange *exchange, const char *what) {
    srv_answer_error(exchange, 400, SRV_AWS_INVALID, "%s", what);
    return false;
}

static bool read_number(struct srv_exchange *exchange, const char *text, const char *missing,
                        struct play_media_config *config) {
    config->start = PLAY_MEDIA_AFTER;
    if (text == NULL) {
        return refuse(exchange, missing);
    }
    return frag_number_parse(text, &config->after) == 0 ||
           refuse(exchange, "That is no fragment number of this stream.");
}

static bool read_time(struct srv_exchange *exchange, const json_t *selector, enum frag_clock clock,
                      struct play_media_config *config) {
    config->start = PLAY_MEDIA_AT;
    config->clock = clock;
    return srv_aws_time(json_object_get(selector, "StartTimestamp"), &config->time) == 0 ||
           refuse(exchange, "StartTimestamp is needed for this StartSelectorType.");
}

static bool read_selector(struct srv_exchange *exchange, struct play_media_config *config) {
    const json_t *selector = json_object_get(srv_exchange_json(exchange), "StartSelector");
    const char *type = srv_aws_text(selector, "StartSelectorType");
    if (type == NULL) {
        return refuse(exchange, "StartSelectorType is needed.");
    }
    if (strcmp(type, "NOW") == 0 || strcmp(type, "EARLIEST") == 0) {
        config->start = type[0] == 'N' ? PLAY_MEDIA_NOW : PLAY_MEDIA_EARLIEST;
        return true;
    }
    if (strcmp(type, "FRAGMENT_NUMBER") == 0) {
        return read_number(exchange, srv_aws_text(selector, "AfterFragmentNumber"),
                           "AfterFragmentNumber is needed for FRAGMENT_NUMBER.", config);
    }
    if (strcmp(type, "CONTINUATION_TOKEN") == 0) {
        return read_number(exchange, srv_aws_text(selector, "ContinuationToken"),
                           "ContinuationToken is needed for CONTINUATION_TOKEN.", config);
    }
    if (strcmp(type, "PRODUCER_TIMESTAMP") == 0 || strcmp(type, "SERVER_TIMESTAMP") == 0) {
        return read_time(exchange, selector,
                         type[0] == 'P' ? FRAG_CLOCK_PRODUCER : FRAG_CLOCK_SERVER, config);
    }
    return refuse(exchange, "StartSelectorType is none of those there are.");
}

static void get_media(struct srv_exchange *exchange) {
    struct play_media_config config = {.start = PLAY_MEDIA_NOW};
    srv_aws_begin(exchange);
    if (!srv_aws_valid(exchange, "GetMedia") || !read_selector(exchange, &config)) {
        return;
    }
    config.stream = srv_aws_body_stream(exchange, config.start == PLAY_MEDIA_NOW ? SRV_ACTION_WATCH
                                                                                 : SRV_ACTION_READ);
    if (config.stream != NULL) {
        begin(exchange, &config);
    }
}

static bool read_numbers(struct srv_exchange *exchange, const json_t *list,
                         struct frag_number *numbers) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text == NULL || frag_number_parse(text, &numbers[i]) < 0) {
            return refuse(exchange, "Fragments has what is no fragment number of this stream.");
        }
    }
    return true;
}

static void get_list(struct srv_exchange *exchange) {
    struct play_media_config config = {.start = PLAY_MEDIA_LIST};
    srv_aws_begin(exchange);
    if (!srv_aws_valid(exchange, "GetMediaForFragmentList")) {
        return;
    }
    const json_t *list = json_object_get(srv_exchange_json(exchange), "Fragments");
    config.number_count = json_array_size(list);
    if (config.number_count == 0 || config.number_count > NUMBERS_MOST) {
        (void)refuse(exchange, "Fragments must hold 1 to 1000 fragment numbers.");
        return;
    }
    config.stream = srv_aws_body_stream(exchange, SRV_ACTION_READ);
    if (config.stream == NULL) {
        return;
    }
    struct frag_number *numbers = calloc(config.number_count, sizeof(*numbers));
    if (numbers == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "reading the stream");
    } else if (read_numbers(exchange, list, numbers)) {
        config.numbers = numbers;
        begin(exchange, &config);
    }
    free(numbers);
}

static const struct srv_route rows[] = {
    {.name = "AWS.GetMedia",
     .method = SRV_HTTP_POST,
     .path = "/getMedia",
     .access = SRV_SIGNED_IN,
     .body = SRV_BODY_JSON,
     .on_loop = true,
     .handle = get_media},
    {.name = "AWS.GetMediaForFragmentList",
     .method = SRV_HTTP_POST,
     .path = "/getMediaForFragmentList",
     .access = SRV_SIGNED_IN,
     .body = SRV_BODY_JSON,
     .on_loop = true,
     .handle = get_list},
    {.name = "AWS.ListFragments",
     .method = SRV_HTTP_POST,
     .path = "/listFragments",
     .access = SRV_SIGNED_IN,
     .body = SRV_BODY_JSON,
     .handle = srv_aws_list_fragments},
};

const struct srv_routes srv_aws_get_media_routes = {
    .rows = rows, .count = KN_COUNT(rows), .shape_error = srv_aws_shape_error};
