/* All keys of the configuration: what they take, their defaults, and what they are for. */
#include <arpa/inet.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ingest/ingest.h"
#include "server/config/config.h"
#include "server/http/head.h"

#define SECOND ((uint64_t)KN_NS_PER_S)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* ---- what texts may be ---- */

static const char *source_fault(const char *text) {
    int rc = ing_source_url_check(text);
    if (rc == KN_E_UNSUPPORTED) {
        bool rtsp = strncmp(text, "rtsp:", 5) == 0 || strncmp(text, "rtsps:", 6) == 0;
        return rtsp
                   ? "rtsp sources are not supported by this version"
                   : "no such kind of source: file:PATH of a clip, or of a folder of clips, is one";
    }
    return rc < 0 ? "a source is file:PATH of a clip, or of a folder of clips" : NULL;
}

static bool is_port(const char *text) {
    char *end;
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    unsigned long port = strtoul(text, &end, 10);
    return *end == '\0' && end - text <= 5 && port <= UINT16_MAX;
}

static bool is_host(const char *text, size_t size) {
    char host[INET6_ADDRSTRLEN];
    unsigned char address[sizeof(struct in6_addr)];
    bool six = size >= 2 && text[0] == '[' && text[size - 1] == ']';
    text += six ? 1 : 0;
    size -= six ? 2 : 0;
    if (size >= sizeof(host)) {
        return false;
    }
    memcpy(host, text, size);
    host[size] = '\0';
    return inet_pton(six ? AF_INET6 : AF_INET, host, address) == 1;
}

const char *srv_config_address_fault(const char *text) {
    const char *colon = strrchr(text, ':');
    if (strncmp(text, "unix:/", 6) == 0 ||
        (colon != NULL && is_host(text, (size_t)(colon - text)) && is_port(colon + 1))) {
        return NULL;
    }
    return "an address such as 127.0.0.1:5466, [::1]:5466, 0.0.0.0:5466 or unix:/PATH; no name "
           "such as "
           "localhost, ports up to 65535";
}

static const char *public_url_fault(const char *text) {
    size_t scheme = strncmp(text, "http://", 7) == 0    ? 7
                    : strncmp(text, "https://", 8) == 0 ? 8
                                                        : 0;
    struct srv_http_request unused = {0};
    const struct srv_http_text authority = {text + scheme, strlen(text + scheme)};
    /* No path: the server's own are behind it. */
    if (scheme == 0 || !srv_http_head_authority(authority, &unused)) {
        return "how others reach the server, such as https://video.example.org:8443";
    }
    return NULL;
}

/* ---- streams ---- */

#define AT(field) .at = offsetof(struct srv_config_stream, field)

const struct srv_schema srv_stream_schema[] = {
    [SRV_STREAM_SOURCE] = {.name = "source",
                           .kind = SRV_KIND_TEXT,
                           AT(source),
                           .file_only = true,
                           .fault = source_fault,
                           .help = "Where its video is fetched, again and again: file:PATH of a "
                                   "clip or a folder\nof clips. None: it is sent to the server."},
    [SRV_STREAM_RETENTION] = {.name = "retention",
                              .kind = SRV_KIND_DURATION,
                              AT(retention_ns),
                              .forever = true,
                              .fallback = "7d",
                              .help = "How long video is kept: 7d, 36h, forever. 0s: nothing is "
                                      "written to disk, it\ncan be watched live only. The default "
                                      "is for new streams."},
    [SRV_STREAM_RETENTION_BYTES] = {.name = "retention_bytes",
                                    .kind = SRV_KIND_SIZE,
                                    AT(retention_bytes),
                                    .fallback = "0",
                                    .help = "How much of it is kept at most: 500G. 0: no limit."},
    [SRV_STREAM_TARGET] = {.name = "target",
                           .kind = SRV_KIND_DURATION,
                           AT(target_ns),
                           .least = SECOND,
                           .most = 20 * SECOND,
                           .fallback = "2s",
                           .help = "How long a fragment should be. It ends at a key frame."},
    [SRV_STREAM_STORAGE] = {.name = "storage",
                            .kind = SRV_KIND_TEXT,
                            AT(storage),
                            .path = true,
                            .help = "The directory its video goes to: one of storage, or data. "
                                    "None: any of them."},
    [SRV_STREAM_MEDIA_TYPE] = {.name = "media_type",
                               .kind = SRV_KIND_TEXT,
                               AT(media_type),
                               .most = 128,
                               .help = "What is in it, for people and clients: "
                                       "video/h264,audio/aac"},
    [SRV_STREAM_DEVICE_NAME] = {.name = "device_name",
                                .kind = SRV_KIND_TEXT,
                                AT(device_name),
                                .most = 128,
                                .help = "The camera, for people."},
    [SRV_STREAM_TAGS] = {.name = "tags",
                         .kind = SRV_KIND_PAIRS,
                         AT(tags),
                         .most = FRAG_STREAM_TAGS_MAX,
                         .fallback = "{}",
                         .help = "Names and values of your own: {floor: \"2\", side: north}"},
    {.name = NULL},
};

_Static_assert(sizeof(srv_stream_schema) / sizeof(srv_stream_schema[0]) == SRV_STREAM_ROWS + 1,
               "a row each, and the end");

#undef AT

/* ---- tables within ---- */

#define AT(field) .at = offsetof(struct srv_config_tls, field)

static const struct srv_schema tls_rows[] = {
    {.name = "certificate",
     .kind = SRV_KIND_TEXT,
     AT(certificate),
     .path = true,
     .help = "A PEM file: the certificate and those above it. Read again at a reload."},
    {.name = "key",
     .kind = SRV_KIND_TEXT,
     AT(key),
     .path = true,
     .help = "A PEM file: its private key."},
    {.name = "listen",
     .kind = SRV_KIND_TEXTS,
     AT(listen),
     .most = 16,
     .restart = true,
     .fault = srv_config_address_fault,
     .fallback = "[]",
     .help = "Where it listens with TLS: 0.0.0.0:443."},
    {.name = NULL},
};

#undef AT
#define AT(field) .at = offsetof(struct srv_config_http, field)

static const struct srv_schema http_rows[] = {
    {.name = "loops",
     .kind = SRV_KIND_COUNT,
     AT(loops),
     .most = 64,
     .restart = true,
     .fallback = "0",
     .help = "Threads that carry connections. 0: one a processor, at most 4."},
    {.name = "workers",
     .kind = SRV_KIND_COUNT,
     AT(workers),
     .least = 1,
     .most = 64,
     .restart = true,
     .fallback = "4",
     .help = "Threads for requests that wait for a disk."},
    {.name = "queue",
     .kind = SRV_KIND_COUNT,
     AT(queue),
     .least = 1,
     .most = 65536,
     .restart = true,
     .fallback = "1024",
     .help = "Requests that wait for such a thread; one more is answered 503."},
    {.name = "connections",
     .kind = SRV_KIND_COUNT,
     AT(connections),
     .least = 16,
     .most = 65536,
     .restart = true,
     .fallback = "4096",
     .help = "Connections at a time; more wait."},
    {.name = "connections_per_address",
     .kind = SRV_KIND_COUNT,
     AT(connections_per_address),
     .least = 1,
     .most = 65536,
     .restart = true,
     .fallback = "256",
     .help = "Of one address, other than this machine; more are closed."},
    {.name = "head",
     .kind = SRV_KIND_DURATION,
     AT(head_ns),
     .least = SECOND,
     .most = HOUR,
     .restart = true,
     .fallback = "10s",
     .help = "A request's head may take so long."},
    {.name = "body",
     .kind = SRV_KIND_DURATION,
     AT(body_ns),
     .least = SECOND,
     .most = HOUR,
     .restart = true,
     .fallback = "60s",
     .help = "A body may pause so long."},
    {.name = "write",
     .kind = SRV_KIND_DURATION,
     AT(write_ns),
     .least = SECOND,
     .most = HOUR,
     .restart = true,
     .fallback = "30s",
     .help = "Who takes nothing of an answer for so long is disconnected."},
    {.name = "idle",
     .kind = SRV_KIND_DURATION,
     AT(idle_ns),
     .least = SECOND,
     .most = HOUR,
     .restart = true,
     .fallback = "60s",
     .help = "A connection without requests ends after so long."},
    {.name = "drain",
     .kind = SRV_KIND_DURATION,
     AT(drain_ns),
     .most = HOUR,
     .restart = true,
     .fallback = "10s",
     .help = "When the server stops, requests have so long to end."},
    {.name = "body_bytes",
     .kind = SRV_KIND_SIZE,
     AT(body_bytes),
     .least = KIB(16),
     .most = MIB(64),
     .restart = true,
     .fallback = "1M",
     .help = "A body may have so many bytes, where it is not video."},
    {.name = "session",
     .kind = SRV_KIND_DURATION,
     AT(session_ns),
     .least = 60 * SECOND,
     .most = 365 * DAY,
     .restart = true,
     .fallback = "12h",
     .help = "Who signed in with a password is known for so long."},
    {.name = NULL},
};

#undef AT
#define AT(field) .at = offsetof(struct srv_config_log, field)

/* In the order of enum kn_log_level. */
static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
/* In the order of enum srv_log_requests. */
static const char *const requests[] = {"none", "failed", "all", NULL};

static const struct srv_schema log_rows[] = {
    {.name = "level",
     .kind = SRV_KIND_CHOICE,
     AT(level),
     .choices = levels,
     .fallback = "info",
     .help = "What is logged at least: debug, info, warn or error."},
    {.name = "requests",
     .kind = SRV_KIND_CHOICE,
     AT(requests),
     .choices = requests,
     .fallback = "failed",
     .help = "HTTP requests that are logged: none, failed or all."},
    {.name = "file",
     .kind = SRV_KIND_TEXT,
     AT(file),
     .path = true,
     .help = "Where the log goes; opened again at a reload. None: standard error."},
    {.name = NULL},
};

#undef AT
#define AT(field) .at = offsetof(struct srv_config_aws, field)

static const char *account_fault(const char *text) {
    return strlen(text) == 12 && strspn(text, "0123456789") == 12
               ? NULL
               : "an account's number of 12 digits, such as 000000000000";
}

static const struct srv_schema aws_rows[] = {
    {.name = "account",
     .kind = SRV_KIND_TEXT,
     AT(account),
     .least = 1,
     .fault = account_fault,
     .fallback = "\"000000000000\"",
     .help = "The account in ARNs. ARNs of another account are not found."},
    {.name = NULL},
};

#undef AT

/* ---- all ---- */

#define AT(field) .at = offsetof(struct srv_config, field)

const struct srv_schema srv_config_schema[] = {
    {.name = "data",
     .kind = SRV_KIND_TEXT,
     AT(data),
     .least = 1,
     .path = true,
     .restart = true,
     .fallback = "kinora-data",
     .help =
         "The store's main directory: journal, index and, as a rule, video. Paths in this file\n"
         "are from the folder the file is in."},
    {.name = "storage",
     .kind = SRV_KIND_TEXTS,
     AT(storage),
     .most = 15, /* with `data` as many as the store has */
     .path = true,
     .restart = true,
     .fallback = "[]",
     .help = "More directories for video, on other disks."},
    {.name = "min_free",
     .kind = SRV_KIND_SIZE,
     AT(min_free),
     .word = "auto",
     .restart = true,
     .fallback = "auto",
     .help = "Free space that every disk keeps: the oldest video goes early where there is less.\n"
             "auto: the larger of 5G and 5 % of the disk."},
    {.name = "memory",
     .kind = SRV_KIND_SIZE,
     AT(memory),
     .least = MIB(16),
     .most = GIB(1024),
     .restart = true,
     .fallback = "512M",
     .help = "Memory for video on its way to disk and for live streams."},
    {.name = "listen",
     .kind = SRV_KIND_TEXTS,
     AT(listen),
     .most = 16,
     .restart = true,
     .fault = srv_config_address_fault,
     .fallback = "[\"127.0.0.1:5466\"]",
     .help = "Where it listens, without TLS. Other machines than this one need 0.0.0.0:5466, and\n"
             "credentials: kinora user add -c FILE. unix:/PATH is a socket, for a proxy here."},
    {.name = "public_url",
     .kind = SRV_KIND_TEXT,
     AT(public_url),
     .restart = true,
     .fault = public_url_fault,
     .help = "How others reach it, for links: https://video.example.org. None: as they asked. As\n"
             "beyond loopback, credentials are needed first."},
    {.name = "key_file",
     .kind = SRV_KIND_TEXT,
     AT(key_file),
     .path = true,
     .restart = true,
     .help = "With what secrets in the store are encrypted. None: kinora.key in data."},
    {.name = "tls",
     .kind = SRV_KIND_TABLE,
     AT(tls),
     .table = tls_rows,
     .help = "Encryption: kinora cert make makes a certificate for a start."},
    {.name = "http",
     .kind = SRV_KIND_TABLE,
     AT(http),
     .table = http_rows,
     .help = "Limits against overload and slow peers."},
    {.name = "log",
     .kind = SRV_KIND_TABLE,
     AT(log),
     .table = log_rows,
     .help = "What is written down of its doings."},
    {.name = "aws",
     .kind = SRV_KIND_TABLE,
     AT(aws),
     .table = aws_rows,
     .help = "What clients of AWS see of this server."},
    {.name = "defaults",
     .kind = SRV_KIND_TABLE,
     AT(defaults),
     .table = srv_stream_schema,
     .help = "For each of the streams below that says nothing else."},
    {.name = NULL},
};
