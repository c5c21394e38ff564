#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "fragments/fragments.h"
#include "server/auth/principals.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/fake_clock.h"

#define NOW_NS (INT64_C(1795209820) * KN_NS_PER_S)

static const struct kn_wall now = {NOW_NS};

/* ---- a store in a folder of its own, and a key file ---- */

struct world {
    char folder[64];
    char key_path[80];
    struct fake_clock clock;
    struct frag_store_config config;
    struct frag_store *store;
    struct srv_keyfile keyfile;
    struct srv_principals *principals;
};

static void open_store(struct world *world, enum frag_store_mode mode) {
    world->config.mode = mode;
    assert_int_equal(frag_store_open(&world->config, &world->store, NULL), 0);
}

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    /* Every change is synced, and there are a thousand: in memory where that can be. */
    (void)snprintf(world->folder, sizeof(world->folder), "%s/kinora-principals-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->key_path, sizeof(world->key_path), "%s/key", world->folder);
    fake_clock_init(&world->clock, NOW_NS, 0);
    world->config = frag_store_config_defaults();
    world->config.data = world->folder;
    world->config.threads = false;
    world->config.clock = &world->clock.clock;
    world->config.min_free_bytes = 0;
    open_store(world, FRAG_STORE_WRITE);
    assert_int_equal(srv_keyfile_create(world->key_path), 0);
    assert_int_equal(srv_keyfile_open(world->key_path, &world->keyfile), 0);
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &world->principals), 0);
    *state = world;
    return 0;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

static int tear_down(void **state) {
    struct world *world = *state;
    srv_principals_close(world->principals);
    frag_store_close(world->store);
    assert_int_equal(nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(world);
    return 0;
}

static void reopen(struct world *world, enum frag_store_mode mode) {
    srv_principals_close(world->principals);
    frag_store_close(world->store);
    world->principals = NULL;
    open_store(world, mode);
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &world->principals), 0);
}

/* ---- principals ---- */

static void set_name(struct srv_principal *principal, const char *name) {
    (void)snprintf(principal->name, sizeof(principal->name), "%s", name);
}

static void add_grant(struct srv_principal *principal, const char *text) {
    assert_int_equal(srv_grant_parse(text, &principal->grants[principal->grant_count++]), 0);
}

static struct srv_principal make(enum srv_principal_kind kind, const char *name) {
    struct srv_principal made = {.kind = kind, .created = now, .expires = SRV_NEVER};
    set_name(&made, name);
    return made;
}

static struct srv_principal make_key(const char *name) {
    struct srv_principal made = make(SRV_PRINCIPAL_KEY, name);
    assert_int_equal(srv_principal_make_key(&made), 0);
    add_grant(&made, "viewer:door*");
    return made;
}

/* Cheap, so that the test is not about scrypt. */
static struct srv_principal make_user(const char *name) {
    struct srv_principal made = make(SRV_PRINCIPAL_USER, name);
    made.password = (struct srv_password){.log2_n = 10, .r = 1, .p = 1, .salt = "salt"};
    add_grant(&made, "admin");
    return made;
}

/* ---- grants ---- */

static void test_grant_text(void **state) {
    (void)state;
    static const struct {
        const char *text, *again;
        uint32_t actions;
    } good[] = {
        {"viewer", "viewer:*", 7},
        {"operator:gate", "operator:gate", 63},
        {"admin:*", "admin:*", 127},
        {"list,record:a*", "list,record:a*", 9},
        {"record,viewer:a.b_c-D9", "viewer,record:a.b_c-D9", 15},
        {"viewer,operator,list:x", "operator:x", 63},
        {"administer", "administer:*", 64},
        {"operator,administer:x", "admin:x", 127},
        {"list,watch,read,record,manage,hold:x", "operator:x", 63},
        {"watch,manage,hold:x", "watch,manage,hold:x", 50},
    };
    for (size_t i = 0; i < KN_COUNT(good); i++) {
        struct srv_grant grant;
        char text[SRV_GRANT_TEXT_BYTES];
        assert_int_equal(srv_grant_parse(good[i].text, &grant), 0);
        assert_int_equal(grant.actions, good[i].actions);
        assert_string_equal(srv_grant_text(&grant, text), good[i].again);
    }
    static const char *const bad[] = {
        "",           ":",      ":*",        "viewer:",   "viewer:*a",    "viewer:a*b",
        "viewer:**",  "View",   "viewer,",   ",viewer",   "viewer,,list", "viewer:a b",
        "viewer:a/b", "root:*", "viewer :a", "viewer: a", "viewer:ä",     "view:*",
        "viewer:a:b",
    };
    struct srv_grant untouched = {.actions = 5, .pattern = "x"};
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        assert_int_equal(srv_grant_parse(bad[i], &untouched), KN_E_MALFORMED);
    }
    assert_int_equal(untouched.actions, 5);
    assert_string_equal(untouched.pattern, "x");
    /* The longest name, one with a star behind it, and one letter more. */
    char text[300] = "list:";
    memset(text + 5, 'n', 257);
    struct srv_grant grant;
    assert_int_equal(srv_grant_parse(text, &grant), KN_E_MALFORMED);
    text[5 + 256] = '*';
    assert_int_equal(srv_grant_parse(text, &grant), 0);
    text[5 + 256] = '\0';
    assert_int_equal(srv_grant_parse(text, &grant), 0);
}

static void test_may(void **state) {
    (void)state;
    static const struct {
        const char *grant;
        enum srv_action action;
        const char *stream;
        bool may;
    } cases[] = {
        {"viewer:door*", SRV_ACTION_LIST, "door", true},
        {"viewer:door*", SRV_ACTION_WATCH, "door1", true},
        {"viewer:door*", SRV_ACTION_READ, "door.sub", true},
        {"viewer:door*", SRV_ACTION_RECORD, "door", false},
        {"viewer:door*", SRV_ACTION_LIST, "doo", false},
        {"viewer:door*", SRV_ACTION_LIST, "Door", false},
        {"viewer:door*", SRV_ACTION_LIST, "", false},
        {"viewer:door*", SRV_ACTION_LIST, NULL, false},
        {"viewer:door", SRV_ACTION_LIST, "door", true},
        {"viewer:door", SRV_ACTION_LIST, "door1", false},
        {"viewer:door", SRV_ACTION_LIST, NULL, false},
        {"viewer:*", SRV_ACTION_READ, "anything", true},
        {"viewer:*", SRV_ACTION_LIST, NULL, true},
        {"viewer:*", SRV_ACTION_ADMIN, NULL, false},
        {"viewer:*", SRV_ACTION_HOLD, "x", false},
        {"operator:*", SRV_ACTION_RECORD, "x", true},
        {"operator:*", SRV_ACTION_MANAGE, "x", true},
        {"operator:*", SRV_ACTION_HOLD, "x", true},
        {"operator:*", SRV_ACTION_ADMIN, NULL, false},
        {"operator:*", SRV_ACTION_ADMIN, "x", false},
        {"admin:*", SRV_ACTION_ADMIN, NULL, true},
        {"admin:door", SRV_ACTION_ADMIN, NULL, false},
        {"admin:door", SRV_ACTION_MANAGE, "door", true},
        {"record:door", SRV_ACTION_RECORD, "door", true},
        {"record:door", SRV_ACTION_LIST, "door", false},
    };
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct srv_principal principal = make(SRV_PRINCIPAL_USER, "x");
        assert_false(srv_principal_may(&principal, cases[i].action, cases[i].stream));
        add_grant(&principal, "list:other"); /* any grant of several */
        add_grant(&principal, cases[i].grant);
        if (srv_principal_may(&principal, cases[i].action, cases[i].stream) != cases[i].may) {
            fail_msg("%s, action %d, stream %s", cases[i].grant, (int)cases[i].action,
                     cases[i].stream == NULL ? "none" : cases[i].stream);
        }
    }
}

/* ---- made ones ---- */

static void test_made(void **state) {
    (void)state;
    struct srv_principal a = make_key("a");
    struct srv_principal b = make_key("b");
    assert_int_equal(strlen(a.access_key), 20);
    assert_memory_equal(a.access_key, "AKIA", 4);
    assert_int_equal(strspn(a.access_key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"), 20);
    assert_int_equal(a.secret_bytes, 40);
    assert_string_not_equal(a.access_key, b.access_key);
    assert_memory_not_equal(a.secret, b.secret, 40);
    assert_true(srv_principal_valid(&a));

    char token[SRV_TOKEN_BYTES];
    char other[SRV_TOKEN_BYTES];
    uint8_t hash[SRV_SHA256_BYTES];
    assert_int_equal(srv_principal_make_session(&a, token), 0);
    assert_memory_equal(a.access_key, "ASIA", 4);
    assert_true(a.has_session);
    assert_int_equal(srv_sha256(token, strlen(token), hash), 0);
    assert_memory_equal(a.session_sha256, hash, sizeof(hash));

    struct srv_principal c = make(SRV_PRINCIPAL_TOKEN, "c");
    assert_int_equal(srv_principal_make_token(&c, other), 0);
    assert_int_equal(strlen(other), 50);
    assert_memory_equal(other, "kinora_", 7);
    assert_string_not_equal(token, other);
}

static void test_password(void **state) {
    (void)state;
    struct srv_principal user = make(SRV_PRINCIPAL_USER, "anna");
    char long_one[SRV_PASSWORD_MAX + 2];
    memset(long_one, 'x', sizeof(long_one));
    long_one[SRV_PASSWORD_MAX + 1] = '\0';
    assert_false(srv_principal_valid(&user)); /* it has none */
    assert_int_equal(srv_principal_set_password(&user, "1234567"), -EINVAL);
    assert_int_equal(srv_principal_set_password(&user, long_one), -EINVAL);
    assert_int_equal(srv_principal_set_password(&user, "correct horse"), 0);
    assert_true(srv_principal_valid(&user));
    assert_int_equal(srv_password_check(&user.password, "correct horse"), 0);
    assert_int_equal(srv_password_check(&user.password, "correct horsf"), -EACCES);
    assert_int_equal(srv_password_check(&user.password, ""), -EACCES);
    assert_int_equal(srv_password_check(&user.password, long_one), -EACCES);
    struct srv_password other = user.password;
    other.salt[0] ^= 1;
    assert_int_equal(srv_password_check(&other, "correct horse"), -EACCES);
}

/* What scrypt gives here is what it gives elsewhere. */
static void test_scrypt_vector(void **state) {
    (void)state;
    /* scrypt("pleaseletmein", "SodiumChlorideSo", 2^14, 8, 1), 32 bytes: hashlib.scrypt. */
    const struct srv_password password = {
        .log2_n = 14,
        .r = 8,
        .p = 1,
        .salt = {'S', 'o', 'd', 'i', 'u', 'm', 'C', 'h', 'l', 'o', 'r', 'i', 'd', 'e', 'S', 'o'},
        .hash = {0x45, 0xdd, 0x8e, 0x8c, 0x9a, 0x1b, 0x2f, 0xf5, 0xae, 0xd7, 0xda,
                 0x5f, 0x16, 0x07, 0x9b, 0x53, 0xfa, 0xc0, 0x25, 0xbe, 0x69, 0x52,
                 0x8a, 0x1e, 0xaf, 0xa0, 0x87, 0x52, 0x68, 0x88, 0xfd, 0xcd},
    };
    assert_int_equal(srv_password_check(&password, "pleaseletmein"), 0);
}

/* ---- as bytes ---- */

static size_t encode(const struct srv_principal *principal, const struct srv_sealed_secret *sealed,
                     uint8_t *room, size_t room_bytes) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, room_bytes);
    srv_principal_write(&writer, principal, sealed);
    assert_int_equal(kn_writer_status(&writer), 0);
    return writer.size;
}

static void check_round_trip(const struct srv_principal *principal,
                             const struct srv_sealed_secret *sealed) {
    uint8_t bytes[8192];
    uint8_t again[8192];
    struct srv_principal read;
    struct srv_principal untouched;
    struct srv_sealed_secret read_sealed;
    size_t size = encode(principal, sealed, bytes, sizeof(bytes) - 1);
    assert_int_equal(srv_principal_read(bytes, size, &read, &read_sealed), 0);
    assert_int_equal(read.secret_bytes, 0);
    assert_int_equal(encode(&read, &read_sealed, again, sizeof(again)), size);
    assert_memory_equal(bytes, again, size);

    memset(&read, 0xa5, sizeof(read));
    untouched = read;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *exact = malloc(cut + 1);
        assert_non_null(exact);
        memcpy(exact, bytes, cut);
        assert_int_equal(srv_principal_read(exact, cut, &read, &read_sealed), KN_E_TRUNCATED);
        free(exact);
    }
    bytes[size] = 0;
    assert_int_equal(srv_principal_read(bytes, size + 1, &read, &read_sealed), KN_E_MALFORMED);
    bytes[1] = 2;
    assert_int_equal(srv_principal_read(bytes, size, &read, &read_sealed), KN_E_UNSUPPORTED);
    bytes[1] = 0;
    assert_int_equal(srv_principal_read(bytes, size, &read, &read_sealed), KN_E_MALFORMED);
    bytes[1] = 1;
    bytes[2] = 4; /* a kind there is not */
    assert_int_equal(srv_principal_read(bytes, size, &read, &read_sealed), KN_E_MALFORMED);
    assert_memory_equal(&read, &untouched, sizeof(read));
}

static void test_round_trips(void **state) {
    (void)state;
    struct srv_sealed_secret sealed = {.size = SRV_SECRET_LEAST + SRV_SEAL_BYTES};
    memset(sealed.bytes, 0x5a, sizeof(sealed.bytes));
    struct srv_principal key = make_key("key.with-all_of@it");
    check_round_trip(&key, &sealed);
    char token[SRV_TOKEN_BYTES];
    assert_int_equal(srv_principal_make_session(&key, token), 0);
    sealed.size = sizeof(sealed.bytes);
    while (key.grant_count < SRV_GRANTS_MAX) {
        add_grant(&key, "list,hold:x*");
    }
    memset(key.name, 'n', sizeof(key.name) - 1);
    memset(key.access_key, 'A', sizeof(key.access_key) - 1);
    check_round_trip(&key, &sealed);

    struct srv_principal user = make_user("user");
    struct srv_principal bearer = make(SRV_PRINCIPAL_TOKEN, "token");
    const struct srv_sealed_secret none = {0};
    bearer.expires = now;
    check_round_trip(&user, &none);
    check_round_trip(&bearer, &none);
}

static void test_not_valid(void **state) {
    (void)state;
    const struct srv_sealed_secret none = {0};
    struct srv_sealed_secret sealed = {.size = 40 + SRV_SEAL_BYTES};
    struct srv_principal cases[13];
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        cases[i] = make_key("good");
        assert_true(srv_principal_valid(&cases[i]));
    }
    size_t n = 0;
    set_name(&cases[n++], "");
    set_name(&cases[n++], "a b");
    memset(cases[n++].name, 'a', SRV_PRINCIPAL_NAME_BYTES);
    cases[n++].grants[0].actions = 0;
    cases[n++].grants[0].actions = SRV_ACTIONS_ALL + 1;
    cases[n++].grants[0].pattern[0] = '\0';
    memset(cases[n++].grants[0].pattern, 'a', SRV_PATTERN_BYTES);
    cases[n++].grant_count = SRV_GRANTS_MAX + 1;
    cases[n++].access_key[0] = '/';
    cases[n++].access_key[0] = '\0';
    cases[n].kind = SRV_PRINCIPAL_USER;
    cases[n++].password = (struct srv_password){.log2_n = 30, .r = 8, .p = 1};
    cases[n].kind = SRV_PRINCIPAL_USER;
    cases[n++].password = (struct srv_password){.log2_n = 15, .r = 255, .p = 1};
    cases[n++].kind = (enum srv_principal_kind)9;
    assert_int_equal(n, KN_COUNT(cases));
    for (size_t i = 0; i < n; i++) {
        uint8_t bytes[8192];
        struct kn_writer writer;
        assert_false(srv_principal_valid(&cases[i]));
        kn_writer_init(&writer, bytes, sizeof(bytes));
        srv_principal_write(&writer, &cases[i],
                            cases[i].kind == SRV_PRINCIPAL_KEY ? &sealed : &none);
        assert_int_equal(kn_writer_status(&writer), KN_E_MALFORMED);
    }
    /* The secret is not written, but it must be one. */
    struct srv_principal key = make_key("good");
    key.secret_bytes = SRV_SECRET_LEAST - 1;
    assert_false(srv_principal_valid(&key));
    key.secret_bytes = SRV_SECRET_MAX + 1;
    assert_false(srv_principal_valid(&key));
    key = make_key("good");
    key.secret[3] = '\n';
    assert_false(srv_principal_valid(&key));
}

/* ---- the key file ---- */

static void test_keyfile(void **state) {
    struct world *world = *state;
    struct srv_keyfile again;
    struct stat about;
    char path[128];
    assert_int_equal(stat(world->key_path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(srv_keyfile_open(world->key_path, &again), 0);
    assert_memory_equal(again.key, world->keyfile.key, sizeof(again.key));
    assert_int_equal(srv_keyfile_create(world->key_path), -EEXIST);
    assert_int_equal(srv_keyfile_open(world->key_path, &again), 0);
    assert_memory_equal(again.key, world->keyfile.key, sizeof(again.key)); /* as it was */

    /* Half of one, as a crash leaves it, is replaced. */
    (void)snprintf(path, sizeof(path), "%s/other.part", world->folder);
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0644)), 0);
    (void)snprintf(path, sizeof(path), "%s/other", world->folder);
    assert_int_equal(srv_keyfile_create(path), 0);
    assert_int_equal(srv_keyfile_open(path, &again), 0);
    assert_memory_not_equal(again.key, world->keyfile.key, sizeof(again.key));
    (void)snprintf(path, sizeof(path), "%s/other.part", world->folder);
    assert_int_equal(access(path, F_OK), -1);

    (void)snprintf(path, sizeof(path), "%s/no-such-folder/key", world->folder);
    assert_int_equal(srv_keyfile_create(path), -ENOENT);
    assert_int_equal(srv_keyfile_open(path, &again), -ENOENT);
}

static void test_keyfile_refused(void **state) {
    struct world *world = *state;
    struct srv_keyfile again;
    char path[128];
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0601, 0666};
    for (size_t i = 0; i < KN_COUNT(modes); i++) {
        assert_int_equal(chmod(world->key_path, modes[i]), 0);
        assert_int_equal(srv_keyfile_open(world->key_path, &again), -EPERM);
    }
    assert_int_equal(chmod(world->key_path, 0400), 0);
    assert_int_equal(srv_keyfile_open(world->key_path, &again), 0);
    (void)snprintf(path, sizeof(path), "%s/link", world->folder);
    assert_int_equal(symlink("key", path), 0);
    assert_int_equal(srv_keyfile_open(path, &again), -ELOOP);
    assert_int_equal(srv_keyfile_create(path), -EEXIST);
    assert_int_equal(srv_keyfile_open(world->folder, &again), KN_E_MALFORMED);
    (void)snprintf(path, sizeof(path), "%s/fifo", world->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(srv_keyfile_open(path, &again), KN_E_MALFORMED);
}

static void test_keyfile_damaged(void **state) {
    struct world *world = *state;
    struct srv_keyfile again;
    char content[128];
    assert_int_equal(chmod(world->key_path, 0600), 0);
    int fd = open(world->key_path, O_RDWR);
    ssize_t size = read(fd, content, sizeof(content));
    assert_int_equal(size, 13 + 64 + 1);
    assert_memory_equal(content, "kinora-key-1\n", 13);
    for (off_t cut = 0; cut < size; cut++) {
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(pwrite(fd, content, (size_t)cut, 0), cut);
        assert_int_equal(srv_keyfile_open(world->key_path, &again), KN_E_MALFORMED);
    }
    for (size_t i = 0; i < (size_t)size; i++) {
        char kept = content[i];
        content[i] = 'x';
        assert_int_equal(pwrite(fd, content, (size_t)size, 0), size);
        assert_int_equal(srv_keyfile_open(world->key_path, &again), KN_E_MALFORMED);
        content[i] = kept;
    }
    content[size] = '\n';
    assert_int_equal(pwrite(fd, content, (size_t)size + 1, 0), size + 1);
    assert_int_equal(srv_keyfile_open(world->key_path, &again), KN_E_MALFORMED);
    assert_int_equal(close(fd), 0);
}

static void test_sealing(void **state) {
    struct world *world = *state;
    static const char secret[] = "a secret of a camera";
    uint8_t sealed[sizeof(secret) + SRV_SEAL_BYTES];
    uint8_t twice[sizeof(sealed)];
    char plain[sizeof(secret)];
    assert_int_equal(srv_seal(&world->keyfile, "camera 1", secret, sizeof(secret), sealed), 0);
    assert_int_equal(srv_seal(&world->keyfile, "camera 1", secret, sizeof(secret), twice), 0);
    assert_memory_not_equal(sealed, twice, sizeof(sealed)); /* another nonce */
    assert_null(memmem(sealed, sizeof(sealed), "secret", 6));
    assert_int_equal(srv_unseal(&world->keyfile, "camera 1", sealed, sizeof(sealed), plain), 0);
    assert_string_equal(plain, secret);
    /* Every bit counts, what it is for too, and the length. */
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(srv_unseal(&world->keyfile, "camera 1", sealed, sizeof(sealed), plain),
                         -EKEYREJECTED);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(plain[0], 0); /* nothing of it is given */
    }
    assert_int_equal(srv_unseal(&world->keyfile, "camera 2", sealed, sizeof(sealed), plain),
                     -EKEYREJECTED);
    for (size_t size = 0; size < sizeof(sealed); size++) {
        assert_int_equal(srv_unseal(&world->keyfile, "camera 1", sealed, size, plain),
                         -EKEYREJECTED);
    }
    world->keyfile.key[31] ^= 1;
    assert_int_equal(srv_unseal(&world->keyfile, "camera 1", sealed, sizeof(sealed), plain),
                     -EKEYREJECTED);
    world->keyfile.key[31] ^= 1;
    assert_int_equal(srv_seal(&world->keyfile, "", NULL, 0, sealed), 0);
    assert_int_equal(srv_unseal(&world->keyfile, "", sealed, SRV_SEAL_BYTES, plain), 0);
}

/* ---- the table ---- */

static void test_table(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("recorder");
    struct srv_principal user = make_user("recorder"); /* another kind: no matter */
    struct srv_principal bearer = make(SRV_PRINCIPAL_TOKEN, "script");
    char token[SRV_TOKEN_BYTES];
    assert_int_equal(srv_principal_make_token(&bearer, token), 0);
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_add(world->principals, &user), 0);
    assert_int_equal(srv_principals_add(world->principals, &bearer), 0);
    for (int round = 0; round < 3; round++) {
        const struct srv_principal *found = NULL;
        assert_int_equal(srv_principals_count(world->principals), 3);
        assert_int_equal(srv_principals_find_key(world->principals, key.access_key, now, &found),
                         0);
        assert_string_equal(found->name, "recorder");
        assert_int_equal(found->secret_bytes, 40);
        assert_memory_equal(found->secret, key.secret, 40);
        assert_true(srv_principal_may(found, SRV_ACTION_WATCH, "door1"));
        srv_principal_unref(found);
        assert_int_equal(srv_principals_find_token(world->principals, token, now, &found), 0);
        assert_string_equal(found->name, "script");
        srv_principal_unref(found);
        assert_int_equal(
            srv_principals_find(world->principals, SRV_PRINCIPAL_USER, "recorder", &found), 0);
        assert_true(srv_principal_may(found, SRV_ACTION_ADMIN, NULL));
        srv_principal_unref(found);

        assert_int_equal(srv_principals_find_key(world->principals, "AKIA", now, &found), -ENOENT);
        assert_int_equal(srv_principals_find_token(world->principals, "", now, &found), -ENOENT);
        token[49] ^= 1;
        assert_int_equal(srv_principals_find_token(world->principals, token, now, &found), -ENOENT);
        token[49] ^= 1;
        assert_int_equal(
            srv_principals_find(world->principals, SRV_PRINCIPAL_TOKEN, "recorder", &found),
            -ENOENT);
        /* A start later, and for who only reads. */
        reopen(world, round == 0 ? FRAG_STORE_WRITE : FRAG_STORE_READ);
    }
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_USER, "recorder"),
                     -EROFS);
}

static void test_next(void **state) {
    struct world *world = *state;
    static const char *const names[] = {"c", "a", "b"};
    const struct srv_principal *found = NULL;
    assert_int_equal(srv_principals_next(world->principals, 0, "", &found), -ENOENT);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        struct srv_principal key = make_key(names[i]);
        struct srv_principal user = make_user(names[i]);
        assert_int_equal(srv_principals_add(world->principals, &user), 0);
        assert_int_equal(srv_principals_add(world->principals, &key), 0);
    }
    char seen[256] = "";
    enum srv_principal_kind kind = 0;
    char name[SRV_PRINCIPAL_NAME_BYTES] = "";
    while (srv_principals_next(world->principals, kind, name, &found) == 0) {
        size_t at = strlen(seen);
        (void)snprintf(seen + at, sizeof(seen) - at, "%d%s", (int)found->kind, found->name);
        kind = found->kind;
        memcpy(name, found->name, sizeof(name));
        srv_principal_unref(found);
    }
    assert_string_equal(seen, "1a1b1c2a2b2c");
}

static void test_add_refused(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_principal same_name = make_key("one");
    struct srv_principal same_key = key;
    struct srv_principal bad = make_key("a b");
    set_name(&same_key, "two");
    assert_int_equal(srv_principals_replace(world->principals, &key), -ENOENT);
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_add(world->principals, &same_name), -EEXIST);
    assert_int_equal(srv_principals_add(world->principals, &same_key), -EEXIST);
    assert_int_equal(srv_principals_add(world->principals, &bad), -EINVAL);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_KEY, "two"), -ENOENT);
    /* Nobody takes another's access key by replacing either. */
    struct srv_principal two = make_key("two");
    assert_int_equal(srv_principals_add(world->principals, &two), 0);
    assert_int_equal(srv_principals_replace(world->principals, &same_key), -EEXIST);
    assert_int_equal(srv_principals_count(world->principals), 2);
}

static void test_replace_and_remove(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_principal other = make_key("one");
    const struct srv_principal *old = NULL;
    const struct srv_principal *found = NULL;
    other.grant_count = 0;
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_find_key(world->principals, key.access_key, now, &old), 0);
    assert_int_equal(srv_principals_replace(world->principals, &other), 0);
    assert_int_equal(srv_principals_find_key(world->principals, key.access_key, now, &found),
                     -ENOENT);
    assert_int_equal(srv_principals_find_key(world->principals, other.access_key, now, &found), 0);
    assert_false(srv_principal_may(found, SRV_ACTION_LIST, "door"));
    /* Who was found before stays as it was. */
    assert_true(srv_principal_may(old, SRV_ACTION_LIST, "door"));
    assert_memory_equal(old->secret, key.secret, 40);
    srv_principal_unref(old);
    srv_principal_unref(srv_principal_ref(found));
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_KEY, "one"), 0);
    assert_string_equal(found->name, "one");
    srv_principal_unref(found);
    reopen(world, FRAG_STORE_WRITE);
    assert_int_equal(srv_principals_count(world->principals), 0);
}

static void test_full(void **state) {
    struct world *world = *state;
    struct srv_principal user = make_user("x");
    char name[16];
    for (unsigned i = 0; i < SRV_PRINCIPALS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "user%u", i);
        set_name(&user, name);
        assert_int_equal(srv_principals_add(world->principals, &user), 0);
    }
    set_name(&user, "one-too-many");
    assert_int_equal(srv_principals_add(world->principals, &user), KN_E_LIMIT);
    reopen(world, FRAG_STORE_WRITE);
    assert_int_equal(srv_principals_count(world->principals), SRV_PRINCIPALS_MAX);
    assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_USER, "user500"), 0);
    assert_int_equal(srv_principals_add(world->principals, &user), 0);
}

static void test_expiry(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_principal bearer = make(SRV_PRINCIPAL_TOKEN, "two");
    struct srv_principal user = make_user("three");
    const struct kn_wall before = {NOW_NS - 1};
    const struct srv_principal *found = NULL;
    char token[SRV_TOKEN_BYTES];
    key.expires = now;
    bearer.expires = now;
    assert_int_equal(srv_principal_make_token(&bearer, token), 0);
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_add(world->principals, &bearer), 0);
    assert_int_equal(srv_principals_find_key(world->principals, key.access_key, now, &found),
                     -EKEYEXPIRED);
    assert_int_equal(srv_principals_find_token(world->principals, token, now, &found),
                     -EKEYEXPIRED);
    assert_int_equal(srv_principals_find_key(world->principals, key.access_key, before, &found), 0);
    srv_principal_unref(found);
    assert_int_equal(srv_principals_find_token(world->principals, token, before, &found), 0);
    srv_principal_unref(found);
    assert_int_equal(srv_principals_find(world->principals, SRV_PRINCIPAL_TOKEN, "two", &found), 0);
    srv_principal_unref(found);
    user.expires = now;
    assert_int_equal(srv_principals_add(world->principals, &user), 0);
    assert_int_equal(srv_principals_find_user(world->principals, "three", now, &found),
                     -EKEYEXPIRED);
    assert_int_equal(srv_principals_find_user(world->principals, "two", before, &found), -ENOENT);
    assert_int_equal(srv_principals_find_user(world->principals, "three", before, &found), 0);
    assert_string_equal(found->name, "three");
    srv_principal_unref(found);
}

static void test_check_password(void **state) {
    struct world *world = *state;
    struct srv_principal user = make(SRV_PRINCIPAL_USER, "anna");
    const struct srv_principal *found = NULL;
    assert_int_equal(srv_principal_set_password(&user, "correct horse"), 0);
    user.expires.ns = NOW_NS + 1;
    assert_int_equal(srv_principals_add(world->principals, &user), 0);
    assert_int_equal(
        srv_principals_check_password(world->principals, "anna", "correct horse", now, &found), 0);
    assert_string_equal(found->name, "anna");
    srv_principal_unref(found);
    assert_int_equal(srv_principals_check_password(world->principals, "anna", "battery staple",
                                                   user.expires, &found),
                     -EACCES);
    assert_int_equal(srv_principals_check_password(world->principals, "anna", "correct horse",
                                                   user.expires, &found),
                     -EKEYEXPIRED);
    assert_int_equal(
        srv_principals_check_password(world->principals, "bert", "correct horse", now, &found),
        -EACCES);
}

/* ---- what is on the disk ---- */

static void test_wrong_keyfile(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_keyfile other = world->keyfile;
    struct srv_principals *principals = NULL;
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    other.key[0] ^= 1;
    assert_int_equal(srv_principals_open(world->store, &other, &principals), -EKEYREJECTED);
    assert_null(principals);
}

/* Keys whose secrets are lost can be seen and removed, and let nobody in. */
static void test_lost_keyfile(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_principal user = make_user("anna");
    struct srv_principals *bare = NULL;
    const struct srv_principal *found = NULL;
    struct srv_keyfile keyfile;
    struct srv_sigv4_key signing;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/lost", world->folder);
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_keyfile(world->store, path, &keyfile), -ENOKEY);
    assert_int_equal(access(path, F_OK), -1);

    assert_int_equal(srv_principals_open(world->store, NULL, &bare), 0);
    assert_int_equal(srv_principals_find(bare, SRV_PRINCIPAL_KEY, "one", &found), 0);
    assert_int_equal(found->secret_bytes, 0);
    srv_principal_unref(found);
    assert_int_equal(srv_principals_find_key(bare, key.access_key, now, &found), -ENOENT);
    assert_int_equal(srv_principals_lookup(key.access_key, &signing, bare), -ENOENT);
    assert_int_equal(srv_principals_add(bare, &user), -ENOKEY);
    assert_int_equal(srv_principals_replace(bare, &key), -ENOKEY);
    assert_int_equal(srv_principals_remove(bare, SRV_PRINCIPAL_KEY, "one"), 0);
    srv_principals_close(bare);

    /* Nothing is lost with it any more. */
    assert_int_equal(srv_principals_keyfile(world->store, path, &keyfile), 0);
    srv_principals_close(world->principals);
    assert_int_equal(srv_principals_open(world->store, &keyfile, &world->principals), 0);
    assert_int_equal(srv_principals_add(world->principals, &user), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(srv_principals_keyfile(world->store, path, &keyfile), 0); /* of a user: none */
}

/* The entry's bytes, changed in every place: an error, or a principal that has the same secret. */
static void test_tampered(void **state) {
    struct world *world = *state;
    static const char slot[] = "principal\0\0";
    struct srv_principal key = make_key("one");
    uint8_t *value = NULL;
    size_t size = 0;
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(frag_store_get(world->store, FRAG_STORE_KIND_SERVER, slot, 11, &value, &size),
                     0);
    assert_null(memmem(value, size, key.secret, 40));
    unsigned rejected = 0;
    for (size_t i = 0; i < size; i++) {
        struct srv_principals *principals = NULL;
        value[i] ^= 0x11;
        assert_int_equal(
            frag_store_put(world->store, FRAG_STORE_KIND_SERVER, slot, 11, value, size), 0);
        int rc = srv_principals_open(world->store, &world->keyfile, &principals);
        rejected += rc == -EKEYREJECTED;
        if (rc == 0) {
            const struct srv_principal *found = NULL;
            assert_int_equal(srv_principals_next(principals, 0, "", &found), 0);
            assert_string_equal(found->access_key, key.access_key);
            assert_memory_equal(found->secret, key.secret, 40);
            srv_principal_unref(found);
            srv_principals_close(principals);
        } else {
            assert_true(rc == -EKEYREJECTED || rc == KN_E_MALFORMED || rc == KN_E_TRUNCATED ||
                        rc == KN_E_UNSUPPORTED);
        }
        value[i] ^= 0x11;
    }
    assert_true(rejected >= 40 + SRV_SEAL_BYTES);
    /* Twice in the journal, which nothing here writes. */
    assert_int_equal(frag_store_put(world->store, FRAG_STORE_KIND_SERVER, slot, 11, value, size),
                     0);
    assert_int_equal(
        frag_store_put(world->store, FRAG_STORE_KIND_SERVER, "principal\0\1", 11, value, size), 0);
    struct srv_principals *principals = NULL;
    assert_int_equal(srv_principals_open(world->store, &world->keyfile, &principals),
                     KN_E_MALFORMED);
    free(value);
}

static void test_lookup(void **state) {
    struct world *world = *state;
    struct srv_principal key = make_key("one");
    struct srv_sigv4_key found;
    char token[SRV_TOKEN_BYTES];
    assert_int_equal(srv_principal_make_session(&key, token), 0);
    key.expires = now;
    assert_int_equal(srv_principals_add(world->principals, &key), 0);
    assert_int_equal(srv_principals_lookup(key.access_key, &found, world->principals), 0);
    assert_int_equal(found.secret_bytes, 40);
    assert_memory_equal(found.secret, key.secret, 40);
    assert_true(found.has_session);
    assert_memory_equal(found.session_sha256, key.session_sha256, SRV_SHA256_BYTES);
    assert_int_equal(found.expires.ns, NOW_NS); /* which the verifier names */
    assert_int_equal(srv_principals_lookup("one", &found, world->principals), -ENOENT);
}

static void test_out_of_memory(void **state) {
    struct world *world = *state;
    unsigned long tried = 0;
    int rc = -ENOMEM;
    while (rc == -ENOMEM) {
        char name[16];
        (void)snprintf(name, sizeof(name), "key%lu", tried);
        struct srv_principal key = make_key(name);
        size_t before = srv_principals_count(world->principals);
        fail_alloc_at(++tried);
        rc = srv_principals_add(world->principals, &key);
        fail_alloc_stop();
        assert_int_equal(srv_principals_count(world->principals), before + (rc == 0));
    }
    assert_int_equal(rc, 0);
    assert_true(tried > 1);
    for (tried = 1, rc = -ENOMEM; rc == -ENOMEM; tried++) {
        struct srv_principals *principals = NULL;
        fail_alloc_at(tried);
        rc = srv_principals_open(world->store, &world->keyfile, &principals);
        fail_alloc_stop();
        srv_principals_close(principals);
    }
    assert_int_equal(rc, 0);
    assert_true(tried > 3);
}

/* ---- threads ---- */

struct finder {
    struct srv_principals *principals;
    const char *access_key;
    atomic_bool *stop;
    unsigned found, refused; /* the thread's own until it is joined */
};

/* Whoever is found is whole, whatever happens to the table meanwhile. */
static void *find_again_and_again(void *user) {
    struct finder *finder = user;
    while (!atomic_load(finder->stop)) {
        const struct srv_principal *found = NULL;
        if (srv_principals_find_key(finder->principals, finder->access_key, now, &found) == 0) {
            finder->found += srv_principal_may(found, SRV_ACTION_LIST, "door") ? 1 : 0;
            srv_principal_unref(found);
        } else {
            finder->refused++;
        }
        if (srv_principals_next(finder->principals, 0, "", &found) == 0) {
            finder->refused += srv_principal_valid(found) ? 0 : 1000000;
            srv_principal_unref(found);
        }
    }
    return NULL;
}

static void test_threads(void **state) {
    struct world *world = *state;
    struct srv_principal stays = make_key("stays");
    struct srv_principal changes = make_key("changes");
    atomic_bool stop = false;
    pthread_t threads[2];
    struct finder finders[2];
    assert_int_equal(srv_principals_add(world->principals, &stays), 0);
    for (size_t i = 0; i < 2; i++) {
        finders[i] = (struct finder){
            .principals = world->principals, .access_key = stays.access_key, .stop = &stop};
        assert_int_equal(pthread_create(&threads[i], NULL, find_again_and_again, &finders[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(srv_principals_add(world->principals, &changes), 0);
        assert_int_equal(srv_principals_replace(world->principals, &stays), 0);
        assert_int_equal(srv_principals_remove(world->principals, SRV_PRINCIPAL_KEY, "changes"), 0);
    }
    atomic_store(&stop, true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(finders[i].refused, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grant_text),
        cmocka_unit_test(test_may),
        cmocka_unit_test(test_made),
        cmocka_unit_test(test_password),
        cmocka_unit_test(test_scrypt_vector),
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_not_valid),
        cmocka_unit_test_setup_teardown(test_keyfile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keyfile_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keyfile_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sealing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_next, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replace_and_remove, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_check_password, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_keyfile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_keyfile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tampered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lookup, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_out_of_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
