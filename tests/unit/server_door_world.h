/* A gate over a store of its own, and requests as text (tests/support/signed_request.h). */
#ifndef TESTS_UNIT_SERVER_DOOR_WORLD_H
#define TESTS_UNIT_SERVER_DOOR_WORLD_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <cmocka.h>

#include "fragments/fragments.h"
#include "server/auth/door_inner.h"
#include "server/http/head.h"
#include "tests/support/fake_clock.h"
#include "tests/support/signed_request.h"
#include "tests/unit/server_signatures.h"

static const struct kn_wall now = {SIGNED_AT_S * KN_NS_PER_S};

struct world {
    char folder[64];
    char key_path[80];
    struct fake_clock clock;
    struct frag_store *store;
    struct srv_keyfile keyfile;
    struct srv_principals *principals;
    struct srv_gate *gate;
    struct srv_door *door;
};

static inline int set_up(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    struct frag_store_config store = frag_store_config_defaults();
    struct srv_gate_config gate = srv_gate_config_defaults();
    assert_non_null(world);
    (void)snprintf(world->folder, sizeof(world->folder), "%s/kinora-door-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->key_path, sizeof(world->key_path), "%s/key", world->folder);
    fake_clock_init(&world->clock, now.ns, 0);
    store.data = world->folder;
    store.threads = false;
    store.clock = &world->clock.clock;
    store.min_free_bytes = 0;
    store.mode = FRAG_STORE_WRITE;
    assert_int_equal(frag_store_open(&store, &world->store, NULL), 0);
    assert_int_equal(srv_keyfile_create(world->key_path), 0);
    assert_int_equal(srv_keyfile_open(world->key_path, &world->keyfile), 0);
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &world->principals), 0);
    gate.principals = world->principals;
    gate.keyfile = &world->keyfile;
    gate.public_url = "https://cams.example/kinora";
    assert_int_equal(srv_gate_create(&gate, &world->gate), 0);
    assert_int_equal(srv_door_open(world->gate, &world->door), 0);
    *state = world;
    return 0;
}

static inline int remove_one(const char *path, const struct stat *about, int type,
                             struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static inline int tear_down(void **state) {
    struct world *world = *state;
    srv_door_close(world->door);
    srv_gate_destroy(world->gate);
    srv_principals_close(world->principals);
    frag_store_close(world->store);
    assert_int_equal(nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(world);
    return 0;
}

/* ---- principals ---- */

static inline struct srv_principal make(enum srv_principal_kind kind, const char *name,
                                        const char *grant) {
    struct srv_principal made = {.kind = kind, .created = now, .expires = SRV_NEVER};
    (void)snprintf(made.name, sizeof(made.name), "%s", name);
    if (grant[0] != '\0') {
        assert_int_equal(srv_grant_parse(grant, &made.grants[made.grant_count++]), 0);
    }
    return made;
}

/* The key of server_signatures.h. */
static inline struct srv_principal make_signer(const char *grant) {
    struct srv_principal made = make(SRV_PRINCIPAL_KEY, "signer", grant);
    memcpy(made.access_key, SIGNED_ACCESS_KEY, sizeof(SIGNED_ACCESS_KEY));
    memcpy(made.secret, SIGNED_SECRET, strlen(SIGNED_SECRET));
    made.secret_bytes = strlen(SIGNED_SECRET);
    return made;
}

/* Cheap, so that the test is not about scrypt. */
static inline struct srv_principal make_user(const char *name, const char *password,
                                             const char *grant) {
    struct srv_principal made = make(SRV_PRINCIPAL_USER, name, grant);
    made.password = (struct srv_password){.log2_n = 10, .r = 1, .p = 1};
    assert_int_equal(srv_random(made.password.salt, sizeof(made.password.salt)), 0);
    assert_int_equal(EVP_PBE_scrypt(password, strlen(password), made.password.salt,
                                    sizeof(made.password.salt), 1024, 1, 1, 0, made.password.hash,
                                    sizeof(made.password.hash)),
                     1);
    return made;
}

static inline void put(struct world *world, const struct srv_principal *principal) {
    int rc = srv_principals_add(world->principals, principal);
    if (rc == -EEXIST) {
        rc = srv_principals_replace(world->principals, principal);
    }
    assert_int_equal(rc, 0);
}

/* ---- questions ---- */

static inline struct srv_peer far_peer(void) {
    return (struct srv_peer){.address = "192.0.2.7:51234", .port = 5466};
}

static inline struct srv_peer near_peer(void) {
    return (struct srv_peer){.address = "127.0.0.1:51234", .port = 5466, .loopback = true};
}

static inline struct srv_route route_of(enum srv_access access, enum srv_action action) {
    return (struct srv_route){.name = "Test", .access = access, .action = action};
}

/* A request of text, and what stands for the rest of a visit. */
struct question {
    char text[8192];
    struct signed_request parsed;
    struct srv_http_request request;
    struct srv_peer peer;
    struct srv_route route;
    struct srv_visit visit;
};

static inline enum srv_http_method method_of(const char *name) {
    int method = SRV_HTTP_GET;
    while (strcmp(srv_http_method_name((enum srv_http_method)method), name) != 0) {
        method++;
    }
    return (enum srv_http_method)method;
}

/* Peer and route are for the caller to change afterwards. */
static inline void question_init(struct question *question, const char *text) {
    struct srv_sigv4_request *parsed = &question->parsed.request;
    memset(question, 0, sizeof(*question));
    assert_true(strlen(text) < sizeof(question->text));
    memcpy(question->text, text, strlen(text) + 1);
    assert_int_equal(signed_request_read(question->text, strlen(text), &question->parsed), 0);
    question->request = (struct srv_http_request){
        .method = method_of(parsed->method),
        .minor = 1,
        .path = parsed->path,
        .query = parsed->query,
        .has_query = parsed->query.size > 0,
        .port = -1,
        .fields = parsed->fields,
        .field_count = parsed->field_count,
    };
    const struct srv_http_field *host =
        srv_http_field_find(parsed->fields, parsed->field_count, "host", NULL);
    if (host != NULL) {
        assert_true(srv_http_head_authority(host->value, &question->request));
    }
    question->peer = far_peer();
    question->route = route_of(SRV_SIGNED_IN, SRV_ACTION_LIST);
    question->visit = (struct srv_visit){
        .request = &question->request,
        .peer = &question->peer,
        .route = &question->route,
        .stream = "door",
        .body_sha256 = parsed->body_sha256,
        .has_body = parsed->body_sha256 != NULL,
        .now = now,
    };
}

#endif
