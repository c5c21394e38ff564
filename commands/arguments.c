#include "commands/command.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "base/quantity.h"
#include "base/text.h"
#include "fragments/fragments.h"
#include "ingest/ingest.h"
#include "playback/playback.h"
#include "server/server.h"

/* ---- values of options: into the member of struct cmd_arguments at `at` ---- */

static bool take_text(void *user, size_t at, const char *value) {
    *(const char **)((char *)user + at) = value;
    return value[0] != '\0';
}

static bool take_time(void *user, size_t at, const char *value) {
    const struct cmd_arguments *arguments = user;
    return kn_when_parse(value, arguments->now, (struct kn_wall *)((char *)user + at)) == 0;
}

static bool take_size(void *user, size_t at, const char *value) {
    return kn_size_parse(value, (uint64_t *)((char *)user + at)) == 0;
}

/* A time, or how far ahead it is. */
static bool take_until(void *user, size_t at, const char *value) {
    const struct cmd_arguments *arguments = user;
    struct kn_wall *when = (struct kn_wall *)((char *)user + at);
    return kn_when_ahead_parse(value, arguments->now, when) == 0;
}

static bool take_clock(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    bool server = strcmp(value, "server") == 0;
    arguments->clock = server ? FRAG_CLOCK_SERVER : FRAG_CLOCK_PRODUCER;
    return server || strcmp(value, "producer") == 0;
}

static bool take_rate(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    arguments->paced = strcmp(value, "1") == 0;
    return arguments->paced || strcmp(value, "max") == 0;
}

static bool take_loops(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    uint32_t part;
    (void)at;
    size_t used = kn_decimal_read(value, strlen(value), &arguments->loops, &part);
    return used > 0 && used == strspn(value, "0123456789") && value[used] == '\0';
}

static bool take_fault(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    return ing_faults_parse(value, &arguments->faults) == 0;
}

static bool take_retention(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    arguments->retention_ns = FRAG_RETAIN_FOREVER;
    return strcmp(value, "forever") == 0 || kn_duration_parse(value, &arguments->retention_ns) == 0;
}

static bool take_target(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    return kn_duration_parse(value, &arguments->target_ns) == 0 &&
           arguments->target_ns >= KN_NS_PER_S && arguments->target_ns <= 20 * KN_NS_PER_S;
}

static bool take_storage(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    if (arguments->storage_count == STORAGE_MAX || value[0] == '\0') {
        return false;
    }
    arguments->storage[arguments->storage_count++] = value;
    return true;
}

static bool take_output(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    const char *end = strrchr(value, '.');
    bool mkv = end != NULL && strcasecmp(end, ".mkv") == 0;
    arguments->format = mkv ? PLAY_MKV : PLAY_MP4;
    return take_text(user, at, value) && (mkv || (end != NULL && strcasecmp(end, ".mp4") == 0));
}

/* The journal takes no other texts. */
static bool take_reason(void *user, size_t at, const char *value) {
    char plain[FRAG_HOLD_REASON_BYTES];
    return take_text(user, at, value) && strlen(value) < FRAG_HOLD_REASON_BYTES &&
           strcmp(kn_text_plain(value, SIZE_MAX, plain, sizeof(plain)), value) == 0;
}

static bool take_grant(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    if (arguments->grant_count == SRV_GRANTS_MAX ||
        srv_grant_parse(value, &arguments->grants[arguments->grant_count]) != 0) {
        return false;
    }
    arguments->grant_count++;
    return true;
}

static bool take_name(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    if (arguments->name_count == NAMES_MAX || value[0] == '\0') {
        return false;
    }
    arguments->names[arguments->name_count++] = value;
    return true;
}

static bool take_listen(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    (void)at;
    if (arguments->listen_count == LISTEN_MAX || srv_config_address_fault(value) != NULL) {
        return false;
    }
    arguments->listen[arguments->listen_count++] = value;
    return true;
}

static bool take_days(void *user, size_t at, const char *value) {
    struct cmd_arguments *arguments = user;
    uint32_t part;
    (void)at;
    size_t used = kn_decimal_read(value, strlen(value), &arguments->days, &part);
    return used > 0 && used == strspn(value, "0123456789") && value[used] == '\0' &&
           arguments->days > 0 && arguments->days <= 36500;
}

#define A_TIME "a time: 2026-11-20T21:23:40Z, seconds since 1970, now or -10m"

#define AT(member) offsetof(struct cmd_arguments, member)

const struct kn_option cmd_option_rows[OPTION_COUNT] = {
    [OPT_JSON] = {"json", 0, NULL, "print JSON", NULL, 0, NULL},
    [OPT_FRAMES] = {"frames", 0, NULL, "list every frame too", NULL, 0, NULL},
    [OPT_FORCE] = {"force", 0, NULL, "replace the new file if it is there already", NULL, 0, NULL},
    [OPT_DATA] = {"data", 0, "DIR", "the store's main directory; default: ./" DATA_DEFAULT,
                  take_text, AT(data), "a directory"},
    [OPT_STREAM] = {"stream", 0, "NAME", "the stream to record into; made if it is not there",
                    take_text, AT(stream), "a name"},
    [OPT_FROM] = {"from", 0, "TIME", "2026-11-20T21:23:40Z, seconds since 1970, now or -10m",
                  take_time, AT(from), A_TIME},
    [OPT_TO] = {"to", 0, "TIME", "likewise", take_time, AT(to), A_TIME},
    [OPT_CLOCK] = {"clock", 0, "CLOCK", "producer (default): the source's times; server: ours",
                   take_clock, 0, "producer or server"},
    [OPT_OUTPUT] = {"output", 'o', "FILE", "the new file, .mkv or .mp4; -o for short", take_output,
                    AT(output), "a name that ends in .mkv or .mp4"},
    [OPT_START] = {"start", 0, "TIME", "replay as if it were then; the same input, the same bytes",
                   take_time, AT(start), A_TIME},
    [OPT_RATE] = {"rate", 0, "RATE", "1: as fast as the video is; max: as fast as can be",
                  take_rate, 0, "1 or max"},
    [OPT_LOOP] = {"loop", 0, "N", "replay N times; 0: until stopped; default: 1", take_loops, 0,
                  "a number of times"},
    [OPT_FAULT] = {"fault", 0, "SPEC", "loss=2%, jump=-9800s@30s, flap=10s, truncate@N, seed=7",
                   take_fault, 0,
                   "loss=2%, jump=-9800s@30s, flap=10s, truncate@N or seed=7, with commas between"},
    [OPT_RETENTION] = {"retention", 0, "DURATION",
                       "keep so long: 7d, 12h, forever; 0: nothing on disk", take_retention, 0,
                       "a duration such as 7d or 12h, forever, or 0"},
    [OPT_RETENTION_BYTES] = {"retention-bytes", 0, "SIZE",
                             "keep at most so much: 500M, 5G; 0: no limit", take_size,
                             AT(retention_bytes), "a size in bytes, or such as 500M or 5G"},
    [OPT_TARGET] = {"target", 0, "DURATION", "length of fragments aimed at, 1s to 20s; default: 2s",
                    take_target, 0, "a duration from 1s to 20s"},
    [OPT_STORAGE] = {"storage", 0, "DIR", "add a storage directory; several times for several",
                     take_storage, 0, "a directory, at most 15 of them"},
    [OPT_MIN_FREE] = {"min-free", 0, "SIZE",
                      "keep so much of each disk free: the oldest goes; default: 5G or 5 %",
                      take_size, AT(min_free_bytes), "a size in bytes, or such as 500M or 5G"},
    [OPT_UNTIL] = {"until", 0, "WHEN", "how far to look: 24h (default), 7d, or a time", take_until,
                   AT(until), "a duration with its unit such as 24h, or a time ahead"},
    [OPT_REASON] = {"reason", 0, "TEXT", "why, for who finds the hold later; at most 256 bytes",
                    take_reason, AT(reason), "a text of 1 to 256 bytes without control characters"},
    [OPT_CONFIRM_CLOCK] = {"confirm-clock", 0, NULL,
                           "you looked, and the clock is right: delete by age in spite of doubt",
                           NULL, 0, NULL},
    [OPT_GRANT] = {"grant", 0, "GRANT", "as above; several times for several; default: viewer",
                   take_grant, 0,
                   "viewer, operator, admin, or some of list,watch,read,record,manage,hold,admin; "
                   "behind a colon a stream, or the beginning of names and *; at most 16 of them"},
    [OPT_EXPIRES] = {"expires", 0, "WHEN", "when it ends: 90d, or a time; default: never",
                     take_until, AT(expires),
                     "a duration with its unit such as 90d, or a time ahead"},
    [OPT_ACCESS_KEY] = {"access-key", 0, "ID", "take this one, with its secret, for a new one",
                        take_text, AT(access_key), "an access key id"},
    [OPT_SECRET_STDIN] = {"secret-stdin", 0, NULL, "read its secret from standard input", NULL, 0,
                          NULL},
    [OPT_PASSWORD_STDIN] = {"password-stdin", 0, NULL, "read the password from standard input",
                            NULL, 0, NULL},
    [OPT_NAME] = {"name", 0, "NAME", "a DNS name or address it is for; several times for several",
                  take_name, 0, "a DNS name or an address, at most 32 of them"},
    [OPT_OUTPUT_DIR] = {"output", 'o', "DIR", "where the files go; default: here; -o for short",
                        take_text, AT(output_dir), "a directory"},
    [OPT_DAYS] = {"days", 0, "N", "how long it is valid; default: 825", take_days, 0,
                  "a number of days, 1 to 36500"},
    [OPT_ALL] = {"all", 0, "DIR", "write the page of every command into this directory", take_text,
                 AT(all), "a directory"},
    [OPT_CONFIG] = {"config", 'c', "FILE", "kinora.yml, which names the store; -c for short",
                    take_text, AT(config), "a file"},
    [OPT_LISTEN] =
        {"listen", 0, "ADDRESS:PORT",
         "where to listen, or unix:/PATH; several times for several; port 0: any", take_listen, 0,
         "an address such as 127.0.0.1:5466, [::1]:5466 or unix:/PATH; no name such as localhost, "
         "ports up to 65535, at most 16 of them"},
    [OPT_DEMO] = {"demo", 0, NULL, "a sample as a camera, stored in ./kinora-demo for an hour",
                  NULL, 0, NULL},
    [OPT_VERBOSE] = {"verbose", 0, NULL, "tell on standard error what the store does", NULL, 0,
                     NULL},
    [OPT_HELP] = {"help", 'h', NULL, "this text", NULL, 0, NULL},
};

bool cmd_given(const struct cmd_arguments *arguments, enum option_id option) {
    return (arguments->given & UINT64_C(1) << option) != 0;
}
