#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/time.h"
#include "server/config/config.h"
#include "tests/support/fail_alloc.h"

#define TOLD_BYTES 65536u

/* All that was told, a line each: "path:line:column: text", "warning: " before those. */
struct told {
    char text[TOLD_BYTES];
    size_t size, count;
};

static void tell(const struct srv_config_problem *problem, void *user) {
    struct told *told = user;
    int size = snprintf(told->text + told->size, sizeof(told->text) - told->size,
                        "%s%s:%zu:%zu: %s\n", problem->warning ? "warning: " : "", problem->path,
                        problem->line, problem->column, problem->text);
    assert_true(size > 0 && (size_t)size < sizeof(told->text) - told->size);
    told->size += (size_t)size;
    told->count++;
}

static struct told told;

/* As environ, which nobody writes to. */
static int parse_with(const char *text, const char *const *environment,
                      const struct srv_config_said *said, const struct srv_config **ret) {
    told = (struct told){0};
    return srv_config_parse(text, strlen(text), "/etc/kinora", (char *const *)environment, said,
                            tell, &told, ret);
}

static const struct srv_config *good(const char *text) {
    const struct srv_config *config = NULL;
    if (parse_with(text, NULL, NULL, &config) != 0) {
        fail_msg("%s", told.text);
    }
    assert_int_equal(told.count, 0);
    return config;
}

static void assert_told(const char *text, const char *expected) {
    const struct srv_config *config = NULL;
    assert_int_equal(parse_with(text, NULL, NULL, &config), KN_E_MALFORMED);
    assert_string_equal(told.text, expected);
}

/* free() it. */
static char *printed(const struct srv_config *config) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (config == NULL) {
        srv_config_print_default(out);
    } else {
        srv_config_print(config, out);
    }
    assert_int_equal(fclose(out), 0);
    return text;
}

/* ---- what is there ---- */

static void test_defaults(void **state) {
    (void)state;
    const struct srv_config *config = good("");
    assert_string_equal(config->data, "/etc/kinora/kinora-data");
    assert_int_equal(config->storage.count, 0);
    assert_true(config->min_free == FRAG_STORE_MIN_FREE_DEFAULT);
    assert_int_equal(config->memory, (uint64_t)512 << 20);
    assert_int_equal(config->listen.count, 1);
    assert_string_equal(config->listen.items[0], "127.0.0.1:5466");
    assert_null(config->public_url);
    assert_null(config->key_file);
    assert_null(config->tls.certificate);
    assert_int_equal(config->http.workers, 4);
    assert_int_equal(config->http.head_ns, 10 * KN_NS_PER_S);
    assert_int_equal(config->log.requests, SRV_LOG_FAILED);
    assert_int_equal(config->defaults.retention_ns, 7 * 86400 * KN_NS_PER_S);
    assert_int_equal(config->defaults.target_ns, 2 * KN_NS_PER_S);
    assert_int_equal(config->named.rows, 0);
    assert_int_equal(config->stream_count, 0);
    srv_config_unref(config);
}

static const char everything[] = "data: /srv/video/\n"
                                 "storage: [more, /mnt/b]\n"
                                 "min_free: 1.5G\n"
                                 "memory: 64M\n"
                                 "listen: 0.0.0.0:5466\n"
                                 "public_url: https://video.example.org\n"
                                 "key_file: secret.key\n"
                                 "tls: {certificate: a.pem, key: b.pem, listen: ['[::]:443']}\n"
                                 "http: {workers: 8, drain: 0}\n"
                                 "log:\n"
                                 "  level: debug\n"
                                 "  requests: all\n"
                                 "  file: /var/log/kinora.log\n"
                                 "defaults:\n"
                                 "  retention: 1d\n"
                                 "  tags: {site: north}\n"
                                 "streams:\n"
                                 "  gate: file:clips/gate.mkv\n"
                                 "  door:\n"
                                 "    retention: forever\n"
                                 "    retention_bytes: 10G\n"
                                 "    target: 1.5s\n"
                                 "    storage: more/\n"
                                 "    device_name: \"Kamera \\\"Tür\\\" $$5\"\n"
                                 "    tags: {floor: \"2\", yes: no}\n"
                                 "  push:\n";

static void test_everything(void **state) {
    (void)state;
    const struct srv_config *config = good(everything);
    assert_string_equal(config->data, "/srv/video");
    assert_string_equal(config->storage.items[0], "/etc/kinora/more");
    assert_string_equal(config->storage.items[1], "/mnt/b");
    assert_int_equal(config->min_free, (uint64_t)3 << 29);
    assert_string_equal(config->listen.items[0], "0.0.0.0:5466");
    assert_string_equal(config->key_file, "/etc/kinora/secret.key");
    assert_string_equal(config->tls.certificate, "/etc/kinora/a.pem");
    assert_string_equal(config->tls.listen.items[0], "[::]:443");
    assert_int_equal(config->http.workers, 8);
    assert_int_equal(config->http.drain_ns, 0);
    assert_int_equal(config->http.queue, 1024);
    assert_int_equal(config->log.requests, SRV_LOG_ALL);
    assert_int_equal(config->stream_count, 3);
    const struct srv_config_stream *door = srv_config_stream_find(config, "door");
    assert_non_null(door);
    assert_true(door->retention_ns == FRAG_RETAIN_FOREVER);
    assert_int_equal(door->target_ns, 3 * KN_NS_PER_S / 2);
    assert_string_equal(door->storage, "/etc/kinora/more");
    assert_string_equal(door->device_name, "Kamera \"Tür\" $5");
    assert_int_equal(door->tags.count, 2);
    assert_string_equal(door->tags.items[1].name, "yes");
    assert_string_equal(door->tags.items[1].value, "no");
    const struct srv_config_stream *gate = srv_config_stream_find(config, "gate");
    assert_string_equal(gate->source, "file:/etc/kinora/clips/gate.mkv");
    assert_int_equal(gate->retention_ns, 86400 * KN_NS_PER_S);
    assert_string_equal(gate->tags.items[0].value, "north");
    assert_null(srv_config_stream_find(config, "gates"));
    srv_config_unref(config);
}

static void test_owns(void **state) {
    (void)state;
    const struct srv_config *config = good("defaults: {target: 4s}\n"
                                           "streams: {door: {media_type: \"\"}, gate: }\n");
    assert_true(srv_config_owns(config, "door", SRV_STREAM_MEDIA_TYPE));
    assert_true(srv_config_owns(config, "door", SRV_STREAM_TARGET));
    assert_false(srv_config_owns(config, "door", SRV_STREAM_RETENTION));
    assert_false(srv_config_owns(config, "gate", SRV_STREAM_MEDIA_TYPE));
    assert_true(srv_config_owns(config, "gate", SRV_STREAM_TARGET));
    assert_false(srv_config_owns(config, "other", SRV_STREAM_TARGET));
    srv_config_unref(config);
}

/* ---- what is wrong ---- */

static void test_problems(void **state) {
    (void)state;
    assert_told("http:\n  worker: 8\n", "configuration:2:3: http.worker: no such key; workers?\n");
    assert_told("stream: {}\n", "configuration:1:1: stream: no such key; streams?\n");
    assert_told("nothing_like_it: 1\n", "configuration:1:1: nothing_like_it: no such key\n");
    assert_told(
        "memory: 1\nmemory: 1G\n",
        "configuration:1:9: memory: a size in bytes, or such as 500M or 5G, from 16M to 1T\n"
        "configuration:2:1: memory: the key is there twice\n");
    assert_told("http: {loops: 010}\n",
                "configuration:1:15: http.loops: a whole number, at most 64\n");
    assert_told("log: {level: yes, requests: [all]}\n",
                "configuration:1:14: log.level: one of debug, info, warn or error\n"
                "configuration:1:29: log.requests: one of none, failed or all\n");
    assert_told("listen: [localhost:1, 1.2.3.4:70000]",
                "configuration:1:9: listen: an address such as 127.0.0.1:5466, [::1]:5466, "
                "0.0.0.0:5466 or unix:/PATH\n");
    assert_told("data:\n",
                "configuration:1:6: data: a text of 1 to 4095 bytes without control characters\n");
    assert_told("public_url: https://user:hush@example.org\n",
                "configuration:1:13: public_url: how others reach the server, such as "
                "https://video.example.org\n");
    assert_told("tls: {certificate: a}\n",
                "configuration:1:1: tls: it needs both certificate and key\n");
    assert_told("[1]", "configuration:1:1: a configuration is a map of keys\n");
    assert_told("streams: {}\nstreams: {}\n",
                "configuration:2:1: streams: the key is there twice\n");
    assert_told("defaults: {source: 'file:/a'}",
                "configuration:0:0: defaults.source: a source belongs to one stream\n");
}

static void test_stream_problems(void **state) {
    (void)state;
    assert_told("streams:\n  gate: rtsp://user:hush@camera/\n",
                "configuration:2:9: streams.gate: rtsp sources are not supported by this "
                "version\n");
    assert_told("streams:\n  b@d: file:/a\n  \"\": {}\n",
                "configuration:2:3: streams.b@d: a stream's name is 1 to 256 of A-Z a-z 0-9 . _ -\n"
                "configuration:3:3: streams.: a stream's name is 1 to 256 of A-Z a-z 0-9 . _ -\n");
    assert_told("streams:\n  a: {retension: 7d}\n  a: file:/b\n",
                "configuration:2:7: streams.a.retension: no such key; retention?\n"
                "configuration:3:3: streams.a: the stream is there twice\n");
    assert_told("streams:\n  a: {storage: /b}\n",
                "configuration:2:16: streams.a.storage: a directory of `storage`, or `data`\n");
    assert_told("streams: 5", "configuration:1:10: streams: a map of names to sources or maps\n");
    assert_told("streams: {a: [file:/b]}",
                "configuration:1:14: streams.a: a source, or a map of keys\n");
}

static void test_yaml_that_is_not_taken(void **state) {
    (void)state;
    assert_told("data: &a b\n", "configuration:1:7: anchors (&name) are not taken\n");
    assert_told("data: *a\n", "configuration:1:7: aliases (*name) are not taken\n");
    assert_told("data: !!str a\n", "configuration:1:7: tags (!name) are not taken\n");
    assert_told("--- {}\n--- {}\n", "configuration:2:1: a second document (---) is not taken\n");
    assert_told("%TAG !a! b\n--- {}\n", "configuration:1:1: %TAG is not taken\n");
    assert_told("? [a]\n: b\n", "configuration:1:3: a key is a text\n");
    assert_told("[[[[[[[[[[[[]]]]]]]]]]]]",
                "configuration:1:9: this is nested deeper than a configuration is\n");
    assert_told("data: \"a\\0b\"\n", "configuration:1:7: a text with \\0\n");
    assert_told("a: b\nc: \xff\n",
                "configuration:2:4: this is not UTF-8, or a control character\n");
    assert_told("data: [", "configuration:2:1: did not find expected node content\n");
}

static void test_at_most_so_many(void **state) {
    (void)state;
    char *text = malloc(100 * 400 + 1);
    assert_non_null(text);
    size_t size = 0;
    for (int i = 0; i < 400; i++) {
        size += (size_t)snprintf(text + size, 100, "no_such_key_%d: 1\n", i);
    }
    const struct srv_config *config;
    assert_int_equal(parse_with(text, NULL, NULL, &config), KN_E_MALFORMED);
    assert_int_equal(told.count, 100);
    free(text);
}

/* ---- variables and the command line ---- */

static void test_variables_in_values(void **state) {
    (void)state;
    const char *const environment[] = {"ROOT=/srv", "EMPTY=", "YAML=a: [b", NULL};
    const struct srv_config *config;
    assert_int_equal(parse_with("data: ${ROOT}/x$$${EMPTY}\n"
                                "storage: [\"${NONE:/a:b}\"]\n"
                                "streams: {a: {device_name: '${YAML}'}}\n",
                                environment, NULL, &config),
                     0);
    assert_string_equal(config->data, "/srv/x$");
    assert_string_equal(config->storage.items[0], "/a:b");
    assert_string_equal(config->streams[0].device_name, "a: [b");
    srv_config_unref(config);
    assert_told("data: ${NONE}\n", "configuration:1:7: data: the variable NONE is not set\n");
    assert_told("data: ${}\nkey_file: ${A\nmemory: $5\n",
                "configuration:1:7: data: a variable is written ${NAME} or ${NAME:default}\n"
                "configuration:2:11: key_file: a variable is written ${NAME} or ${NAME:default}\n"
                "configuration:3:9: memory: $ begins a variable, ${NAME}; a dollar sign is written "
                "$$\n");
}

static void test_environment(void **state) {
    (void)state;
    const char *const environment[] = {"KINORA_HTTP_WORKERS=9",
                                       "KINORA_DATA=here",
                                       "KINORA_LISTEN=127.0.0.1:1,[::1]:2",
                                       "KINORA_STREAMS_GATE_2_RETENTION=3d",
                                       "KINORA_STREAMS_GATE_2_TAGS=a=b,c=d=e",
                                       "KINORA_DEFAULTS_TARGET=3s",
                                       "KINORA_=",
                                       "KINORA_HTTP=4",
                                       "OTHER=5",
                                       NULL};
    const struct srv_config *config;
    assert_int_equal(parse_with("http: {workers: 3}\nstreams: {Gate-2: {retention: 1d}}\n",
                                environment, NULL, &config),
                     0);
    assert_string_equal(
        told.text, "warning: KINORA_HTTP:0:0: the variable names no key of the configuration\n");
    assert_int_equal(config->http.workers, 9);
    assert_string_equal(config->data, "here");
    assert_int_equal(config->listen.count, 2);
    assert_string_equal(config->listen.items[1], "[::1]:2");
    const struct srv_config_stream *gate = srv_config_stream_find(config, "Gate-2");
    assert_int_equal(gate->retention_ns, 3 * 86400 * KN_NS_PER_S);
    assert_int_equal(gate->target_ns, 3 * KN_NS_PER_S);
    assert_int_equal(gate->tags.count, 2);
    assert_string_equal(gate->tags.items[1].value, "d=e");
    srv_config_unref(config);
}

static void test_environment_problems(void **state) {
    (void)state;
    const char *const environment[] = {"KINORA_HTTP_WORKERS=hush", "KINORA_STREAMS_A_B_TARGET=3s",
                                       "KINORA_STREAMS_A_B_TAGS=hush", "KINORA_MEMORY=${HOME}",
                                       NULL};
    const struct srv_config *config;
    assert_int_equal(parse_with("streams: {a-b: , a_b: , A.C: }", environment, NULL, &config),
                     KN_E_MALFORMED);
    assert_string_equal(told.text,
                        "KINORA_HTTP_WORKERS:0:0: a whole number, from 1 to 64\n"
                        "KINORA_STREAMS_A_B_TARGET:0:0: the variable names several streams\n"
                        "KINORA_STREAMS_A_B_TAGS:0:0: the variable names several streams\n"
                        "KINORA_MEMORY:0:0: a size in bytes, or such as 500M or 5G, from 16M to "
                        "1T\n");
}

static void test_said(void **state) {
    (void)state;
    const char *const environment[] = {"KINORA_DATA=there", NULL};
    const char *const listen[] = {"127.0.0.1:0"};
    const char *const storage[] = {"disk/"};
    struct srv_config_said said = {.data = "said/",
                                   .listen = listen,
                                   .listen_count = 1,
                                   .storage = storage,
                                   .storage_count = 1,
                                   .has_min_free = true,
                                   .min_free = 5};
    const struct srv_config *config;
    assert_int_equal(parse_with("listen: []\n", environment, &said, &config), 0);
    assert_string_equal(config->data, "said");
    assert_string_equal(config->listen.items[0], "127.0.0.1:0");
    assert_string_equal(config->storage.items[0], "disk");
    assert_int_equal(config->min_free, 5);
    srv_config_unref(config);
    said.data = "";
    const char *const none[] = {"nowhere"};
    said.listen = none;
    assert_int_equal(parse_with("", NULL, &said, &config), KN_E_MALFORMED);
    assert_string_equal(told.text,
                        "--data:0:0: a text of 1 to 4095 bytes without control characters\n"
                        "--listen:0:0: an address such as 127.0.0.1:5466, [::1]:5466, "
                        "0.0.0.0:5466 or unix:/PATH\n");
}

/* ---- printing ---- */

static void assert_prints_back(const char *text) {
    const struct srv_config *config = good(text);
    char *first = printed(config);
    srv_config_unref(config);
    config = good(first);
    char *second = printed(config);
    srv_config_unref(config);
    assert_string_equal(first, second);
    free(first);
    free(second);
}

static void test_print(void **state) {
    (void)state;
    assert_prints_back("");
    assert_prints_back(everything);
    assert_prints_back("streams: {7: {device_name: \"\\uFEFF\\\\ $$ {x: #y\"}, yes: }");
    const struct srv_config *config = good(everything);
    char *text = printed(config);
    assert_non_null(strstr(text, "\n    target: 1500ms\n"));
    assert_non_null(strstr(text, "\n  \"push\":\n    retention: 1d\n"));
    srv_config_unref(config);
    free(text);
}

/* Takes "#" from lines of keys: what follows it is indented by twos, and of help by one. */
static void uncomment(char *text) {
    for (char *line = text; *line != '\0';) {
        size_t indent = line[0] == '#' ? strspn(line + 1, " ") : 1;
        if (indent % 2 == 0) {
            line[0] = ' ';
            memmove(line, line + 1, strlen(line));
        }
        line += strcspn(line, "\n");
        line += line[0] == '\n' ? 1 : 0;
    }
}

static void test_default_file(void **state) {
    (void)state;
    char *text = printed(NULL);
    const struct srv_config *none = good("");
    const struct srv_config *comments = good(text);
    uncomment(text);
    assert_non_null(strstr(text, "\ndata: kinora-data\n"));
    assert_non_null(strstr(text, "\n  workers: 4\n"));
    const struct srv_config *keys = good(text);
    assert_int_equal(keys->named.rows, (UINT64_C(1) << 12) - 1); /* all of them */
    struct srv_config *open = (struct srv_config *)keys;
    open->defaults.named.rows = 0; /* they are named, with what they were */
    char *printed_none = printed(none), *printed_comments = printed(comments);
    char *printed_keys = printed(keys);
    assert_string_equal(printed_comments, printed_none);
    assert_string_equal(printed_keys, printed_none);
    free(printed_none);
    free(printed_comments);
    free(printed_keys);
    srv_config_unref(none);
    srv_config_unref(comments);
    srv_config_unref(keys);
    free(text);
}

static void append_key(const char *key, void *user) {
    char *text = user;
    (void)strncat(text, key, 255 - strlen(text));
    (void)strncat(text, " ", 255 - strlen(text));
}

static void test_compare(void **state) {
    (void)state;
    char keys[256] = "";
    const struct srv_config *old = good("log: {level: info}\nlisten: ['1.2.3.4:5']\n");
    const struct srv_config *new = good("log: {level: warn}\nhttp: {workers: 5}\ndata: other\n");
    srv_config_compare(old, old, append_key, keys);
    assert_string_equal(keys, "");
    srv_config_compare(old, new, append_key, keys);
    assert_string_equal(keys, "data listen http.workers ");
    srv_config_unref(old);
    srv_config_unref(srv_config_ref(new));
    srv_config_unref(new);
    srv_config_unref(NULL);
}

/* ---- files ---- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_load(void **state) {
    (void)state;
    char folder[] = "/tmp/kinora-config-XXXXXX", path[64], expected[128];
    const struct srv_config *config;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/kinora.yml", folder);
    told = (struct told){0};
    assert_int_equal(srv_config_load(path, NULL, NULL, tell, &told, &config), -ENOENT);
    assert_int_equal(srv_config_load(folder, NULL, NULL, tell, &told, &config), -EISDIR);
    write_file(path, "data: store\nstreams: {a: file:clip}\n");
    assert_int_equal(srv_config_load(path, NULL, NULL, tell, &told, &config), 0);
    (void)snprintf(expected, sizeof(expected), "%s/store", folder);
    assert_string_equal(config->data, expected);
    (void)snprintf(expected, sizeof(expected), "file:%s/clip", folder);
    assert_string_equal(config->streams[0].source, expected);
    assert_string_equal(config->path, path);
    srv_config_unref(config);
    write_file(path, "dta: store\n");
    assert_int_equal(srv_config_load(path, NULL, NULL, tell, &told, &config), KN_E_MALFORMED);
    (void)snprintf(expected, sizeof(expected), "%s:1:1: dta: no such key; data?\n", path);
    assert_string_equal(told.text, expected);
    assert_int_equal(truncate(path, ((off_t)4 << 20) + 1), 0);
    told = (struct told){0};
    assert_int_equal(srv_config_load(path, NULL, NULL, tell, &told, &config), KN_E_MALFORMED);
    assert_non_null(strstr(told.text, ":1:1: more than 4 MiB are no configuration\n"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_no_file(void **state) {
    (void)state;
    char cwd[4096], expected[4200];
    const char *const environment[] = {"KINORA_STORAGE=/a,b", NULL};
    const struct srv_config *config;
    told = (struct told){0};
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    assert_int_equal(srv_config_load(NULL, (char *const *)environment, NULL, tell, &told, &config),
                     0);
    assert_int_equal(told.count, 0);
    (void)snprintf(expected, sizeof(expected), "%s/kinora-data", cwd);
    assert_string_equal(config->data, expected);
    (void)snprintf(expected, sizeof(expected), "%s/b", cwd);
    assert_string_equal(config->storage.items[1], expected);
    assert_null(config->path);
    srv_config_unref(config);
}

static void test_settings(void **state) {
    (void)state;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    (void)snprintf(settings.device_name, sizeof(settings.device_name), "old");
    settings.retention_bytes = 7;
    const struct srv_config *config =
        good("streams: {a: {retention: 7d, media_type: video/h264, device_name: \"\"}}");
    assert_int_equal(srv_config_settings(NULL, &config->streams[0], &settings), 0);
    assert_int_equal(settings.retention_ns, 7 * 86400 * KN_NS_PER_S);
    assert_int_equal(settings.retention_bytes, 7);
    assert_string_equal(settings.media_type, "video/h264");
    assert_string_equal(settings.device_name, "");
    assert_int_equal(settings.folder, FRAG_FOLDER_ANY);
    srv_config_unref(config);
}

static void test_settings_storage(void **state) {
    (void)state;
    char folder[] = "/tmp/kinora-config-XXXXXX", text[256];
    struct frag_store_config store_config = frag_store_config_defaults();
    struct frag_store *store;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    assert_non_null(mkdtemp(folder));
    store_config.data = folder;
    store_config.mode = FRAG_STORE_WRITE;
    store_config.threads = false;
    store_config.min_free_bytes = 0;
    assert_int_equal(frag_store_open(&store_config, &store, NULL), 0);
    (void)snprintf(text, sizeof(text),
                   "{data: %s, storage: /tmp, streams: {a: {storage: %s}, b: "
                   "{storage: /tmp}}}",
                   folder, folder);
    const struct srv_config *config = good(text);
    assert_int_equal(srv_config_settings(store, &config->streams[0], &settings), 0);
    assert_int_not_equal(settings.folder, FRAG_FOLDER_ANY);
    assert_int_equal(srv_config_settings(store, &config->streams[1], &settings), -ENOENT);
    srv_config_unref(config);
    frag_store_close(store);
    (void)snprintf(text, sizeof(text), "rm -r %s", folder);
    assert_int_equal(system(text), 0); // NOLINT(cert-env33-c): a folder of our own
}

/* ---- no memory ---- */

static void test_no_memory(void **state) {
    (void)state;
    const char *const environment[] = {"KINORA_LISTEN=127.0.0.1:1,[::1]:2",
                                       "KINORA_STREAMS_GATE_TAGS=a=b", "KINORA_NOTHING=1", NULL};
    const char *const listen[] = {"127.0.0.1:0"};
    struct srv_config_said said = {.data = "said", .listen = listen, .listen_count = 1};
    const struct srv_config *config = NULL;
    unsigned long n = 0;
    int rc;
    do {
        fail_alloc_at(++n);
        rc = parse_with(everything, environment, &said, &config);
        fail_alloc_stop();
        assert_true(rc == 0 || rc == -ENOMEM);
    } while (rc != 0);
    assert_true(n > 100);
    srv_config_unref(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_owns),
        cmocka_unit_test(test_problems),
        cmocka_unit_test(test_stream_problems),
        cmocka_unit_test(test_yaml_that_is_not_taken),
        cmocka_unit_test(test_at_most_so_many),
        cmocka_unit_test(test_variables_in_values),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_environment_problems),
        cmocka_unit_test(test_said),
        cmocka_unit_test(test_print),
        cmocka_unit_test(test_default_file),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_settings_storage),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
