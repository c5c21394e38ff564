/* What the HTTP codec costs: typical requests parsed whole from one push, as a kept connection
 * gives them; a body in chunks; and a response's head. */
#include <string.h>

#include "server/http/path.h"
#include "server/http/response.h"
#include "tests/bench/bench.h"

#define REPEATS 200000u
#define CHUNK_BYTES 4096u
#define CHUNKS 4096u

#define HEX64 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char curl[] = "GET /healthz HTTP/1.1\r\n"
                           "Host: localhost:5466\r\n"
                           "User-Agent: curl/7.88.1\r\n"
                           "Accept: */*\r\n\r\n";

static const char aws_cli[] =
    "POST /listFragments HTTP/1.1\r\n"
    "Host: localhost:5466\r\n"
    "Accept-Encoding: identity\r\n"
    "User-Agent: aws-cli/2.9.19 Python/3.11.2 Linux/6.1.0-13-amd64 source/x86_64.debian.12 "
    "prompt/off command/kinesis-video-archived-media.list-fragments\r\n"
    "Content-Type: application/json\r\n"
    "X-Amz-Date: 20261121T014656Z\r\n"
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261121/us-west-2/"
    "kinesisvideo/aws4_request, SignedHeaders=host;x-amz-date, Signature=" HEX64 "\r\n"
    "Content-Length: 25\r\n\r\n"
    "{\"StreamName\": \"door-01\"}";

/* A browser through hls.js, with a session token. */
static const char hls_js[] =
    "GET /hls/v1/getMP4MediaFragment.mp4?FragmentNumber="
    "91343852333181432392682062622220590765191907586&SessionToken=CiBzZXNzaW9u" HEX64 HEX64 HEX64
    " HTTP/1.1\r\n"
    "Host: camera.example:5466\r\n"
    "Connection: keep-alive\r\n"
    "sec-ch-ua: \"Chromium\";v=\"118\", \"Not=A?Brand\";v=\"99\"\r\n"
    "sec-ch-ua-mobile: ?0\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/118.0.0.0 Safari/537.36\r\n"
    "sec-ch-ua-platform: \"Linux\"\r\n"
    "Accept: */*\r\n"
    "Origin: https://camera.example\r\n"
    "Sec-Fetch-Site: same-site\r\n"
    "Sec-Fetch-Mode: cors\r\n"
    "Sec-Fetch-Dest: empty\r\n"
    "Referer: https://camera.example/\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\r\n";

static size_t sink;

static struct srv_http_parser *new_parser(void) {
    struct srv_http_parser *parser;
    if (srv_http_parser_create(NULL, &parser) != 0) {
        bench_die("out of memory");
    }
    return parser;
}

/* Feeds a push to its end and counts the requests that end in it. */
static size_t feed(struct srv_http_parser *parser, const char *data, size_t size) {
    struct srv_http_event event;
    size_t taken, ended = 0;
    do {
        if (srv_http_parser_feed(parser, data, size, &taken, &event) != 0) {
            bench_die(srv_http_parser_fault(parser)->phrase);
        }
        data += taken;
        size -= taken;
        if (event.kind == SRV_HTTP_REQUEST) {
            srv_http_parser_allow_body(parser, UINT64_MAX);
        }
        ended += event.kind == SRV_HTTP_END;
        sink += event.body.size;
    } while (event.kind != SRV_HTTP_MORE);
    return ended;
}

static double parse_ns(const char *data, size_t size) {
    struct srv_http_parser *parser = new_parser();
    size_t ended = 0;
    double before = bench_cpu_s();
    for (unsigned i = 0; i < REPEATS; i++) {
        ended += feed(parser, data, size);
    }
    double seconds = bench_cpu_s() - before;
    srv_http_parser_destroy(parser);
    if (ended != REPEATS) {
        bench_die("requests are missing");
    }
    return seconds * 1e9 / REPEATS;
}

/* Each push a chunk, as a camera sends; its bytes are passed on, not looked at. */
static double chunk_ns(void) {
    static const char head[] = "POST /putMedia HTTP/1.1\r\nHost: a\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    static char chunk[CHUNK_BYTES + 8];
    struct srv_http_parser *parser = new_parser();
    int line = snprintf(chunk, sizeof(chunk), "%x\r\n", CHUNK_BYTES);
    memset(chunk + line, 'x', CHUNK_BYTES);
    memcpy(chunk + line + CHUNK_BYTES, "\r\n", 2);
    (void)feed(parser, head, sizeof(head) - 1);
    sink = 0;
    double before = bench_cpu_s();
    for (unsigned i = 0; i < CHUNKS; i++) {
        (void)feed(parser, chunk, (size_t)line + CHUNK_BYTES + 2);
    }
    double seconds = bench_cpu_s() - before;
    srv_http_parser_destroy(parser);
    if (sink != (size_t)CHUNKS * CHUNK_BYTES) {
        bench_die("bytes are missing");
    }
    return seconds * 1e9 / CHUNKS;
}

static double response_ns(void) {
    static const struct srv_http_field fields[] = {
        {{"Content-Type", 12}, {"application/json", 16}},
        {{"x-amzn-RequestId", 16}, {"8f1c2b34-0d4e-4f7a-9a67-1f0a5b6c7d8e", 36}},
        {{"Cache-Control", 13}, {"no-store", 8}},
    };
    char room[1024], date[SRV_HTTP_DATE_BYTES];
    const struct srv_http_request request = {.minor = 1, .keep_alive = true};
    (void)srv_http_date_format((struct kn_wall){INT64_C(1795225616) * KN_NS_PER_S}, date);
    double before = bench_cpu_s();
    for (unsigned i = 0; i < REPEATS; i++) {
        struct srv_http_response response;
        struct kn_writer writer;
        kn_writer_init(&writer, room, sizeof(room));
        srv_http_response_init(&response, &request, date);
        if (srv_http_response_head(&response, &writer, 200, fields, 3, 0) != 0 ||
            srv_http_response_end(&response, &writer) != 0 || kn_writer_status(&writer) != 0) {
            bench_die("the response is refused");
        }
        sink += writer.size;
    }
    return (bench_cpu_s() - before) * 1e9 / REPEATS;
}

static double path_ns(void) {
    static struct srv_http_path path;
    double before = bench_cpu_s();
    for (unsigned i = 0; i < REPEATS; i++) {
        if (srv_http_path_split(SRV_HTTP_TEXT("/api/v1/streams/door-01/fragments"), &path) != 0) {
            bench_die("the path is refused");
        }
        sink += path.count;
    }
    return (bench_cpu_s() - before) * 1e9 / REPEATS;
}

int main(void) {
    double curl_ns[BENCH_ROUNDS], cli_ns[BENCH_ROUNDS], hls_ns[BENCH_ROUNDS];
    double chunk[BENCH_ROUNDS], head_ns[BENCH_ROUNDS], split_ns[BENCH_ROUNDS];
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        curl_ns[round] = parse_ns(curl, sizeof(curl) - 1);
        cli_ns[round] = parse_ns(aws_cli, sizeof(aws_cli) - 1);
        hls_ns[round] = parse_ns(hls_js, sizeof(hls_js) - 1);
        chunk[round] = chunk_ns();
        head_ns[round] = response_ns();
        split_ns[round] = path_ns();
    }
    double curl_median = bench_median(curl_ns, BENCH_ROUNDS);
    double cli_median = bench_median(cli_ns, BENCH_ROUNDS);
    double hls_median = bench_median(hls_ns, BENCH_ROUNDS);
    printf("{\"bench\": \"http\", \"requests\": %u, \"rounds\": %d,\n"
           " \"curl_bytes\": %zu, \"curl_ns\": %.0f, \"curl_per_cpu_s\": %.0f,\n"
           " \"aws_cli_bytes\": %zu, \"aws_cli_ns\": %.0f, \"aws_cli_per_cpu_s\": %.0f,\n"
           " \"hls_js_bytes\": %zu, \"hls_js_ns\": %.0f, \"hls_js_per_cpu_s\": %.0f,\n"
           " \"chunk_bytes\": %u, \"chunk_ns\": %.1f,\n"
           " \"path_ns\": %.0f, \"response_head_ns\": %.0f}\n",
           REPEATS, BENCH_ROUNDS, sizeof(curl) - 1, curl_median, 1e9 / curl_median,
           sizeof(aws_cli) - 1, cli_median, 1e9 / cli_median, sizeof(hls_js) - 1, hls_median,
           1e9 / hls_median, CHUNK_BYTES, bench_median(chunk, BENCH_ROUNDS),
           bench_median(split_ns, BENCH_ROUNDS), bench_median(head_ns, BENCH_ROUNDS));
    return 0;
}
