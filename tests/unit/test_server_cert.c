#include <errno.h>
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

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <cmocka.h>

#include "server/auth/cert.h"

#define NOW_S INT64_C(1795209820)
#define DAY_S INT64_C(86400)
#define NAMES 4

struct world {
    char folder[64];
    char certificate[96], key[96];
    struct srv_cert_config config;
    char fingerprint[SRV_CERT_FINGERPRINT_BYTES];
};

static const char *const names[NAMES] = {"cams.home.example", "*.cams.example", "192.0.2.7", "::1"};

static int set_up(void **state) {
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    (void)snprintf(world->folder, sizeof(world->folder), "/tmp/kinora-cert-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    (void)snprintf(world->certificate, sizeof(world->certificate), "%s/cert.pem", world->folder);
    (void)snprintf(world->key, sizeof(world->key), "%s/key.pem", world->folder);
    world->config = (struct srv_cert_config){
        .certificate = world->certificate,
        .key = world->key,
        .names = names,
        .name_count = NAMES,
        .now = {NOW_S * KN_NS_PER_S},
        .valid_ns = 365 * DAY_S * KN_NS_PER_S,
    };
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
    assert_int_equal(nftw(world->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(world);
    return 0;
}

static X509 *read_cert(const struct world *world) {
    FILE *file = fopen(world->certificate, "re");
    assert_non_null(file);
    X509 *cert = PEM_read_X509(file, NULL, NULL, NULL);
    assert_non_null(cert);
    (void)fclose(file);
    return cert;
}

static EVP_PKEY *read_key(const struct world *world) {
    FILE *file = fopen(world->key, "re");
    assert_non_null(file);
    EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    assert_non_null(key);
    (void)fclose(file);
    return key;
}

/* How many files there are: nothing may be left beside the two. */
static int files;
static int count_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)path;
    (void)about;
    (void)place;
    files += type == FTW_F ? 1 : 0;
    return 0;
}
static int file_count(const struct world *world) {
    files = 0;
    assert_int_equal(nftw(world->folder, count_one, 8, FTW_PHYS), 0);
    return files;
}

static int make(struct world *world) {
    return srv_cert_make(&world->config, world->fingerprint);
}

/* ---- what stands in it ---- */

static void test_facts(void **state) {
    struct world *world = *state;
    assert_int_equal(make(world), 0);
    X509 *cert = read_cert(world);
    EVP_PKEY *key = read_key(world);
    assert_int_equal(X509_get_version(cert), X509_VERSION_3);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    assert_int_equal(X509_verify(cert, key), 1);
    assert_int_equal(EVP_PKEY_get_bits(key), 256);
    for (size_t i = 0; i < 2; i++) {
        static const char *const hosts[] = {"cams.home.example", "door.cams.example"};
        assert_int_equal(X509_check_host(cert, hosts[i], 0, 0, NULL), 1);
    }
    assert_int_equal(X509_check_host(cert, "home.example", 0, 0, NULL), 0);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.7", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
    assert_int_equal(X509_check_ip_asc(cert, "192.0.2.8", 0), 0);
    assert_int_equal(X509_check_ca(cert), 0);
    assert_int_equal(X509_get_extended_key_usage(cert), XKU_SSL_SERVER);
    assert_int_equal(X509_get_key_usage(cert), X509v3_KU_DIGITAL_SIGNATURE);
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notBefore(cert), NOW_S - 3600), 0);
    assert_int_equal(ASN1_TIME_cmp_time_t(X509_get0_notAfter(cert), NOW_S + 365 * DAY_S), 0);
    char cn[80];
    assert_int_equal(
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, cn, sizeof(cn)),
        (int)strlen(names[0]));
    assert_string_equal(cn, names[0]);
    EVP_PKEY_free(key);
    X509_free(cert);
}

static void test_fingerprint(void **state) {
    struct world *world = *state;
    uint8_t hash[32];
    char text[SRV_CERT_FINGERPRINT_BYTES + 1];
    assert_int_equal(make(world), 0);
    X509 *cert = read_cert(world);
    assert_int_equal(X509_digest(cert, EVP_sha256(), hash, NULL), 1);
    for (size_t i = 0; i < sizeof(hash); i++) {
        (void)snprintf(text + 3 * i, 4, "%02X:", hash[i]);
    }
    text[SRV_CERT_FINGERPRINT_BYTES - 1] = '\0';
    assert_string_equal(world->fingerprint, text);
    X509_free(cert);
}

static void test_serials_differ(void **state) {
    struct world *world = *state;
    assert_int_equal(make(world), 0);
    X509 *first = read_cert(world);
    world->config.replace = true;
    assert_int_equal(make(world), 0);
    X509 *second = read_cert(world);
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(first), X509_get0_serialNumber(second)), 0);
    X509_free(first);
    X509_free(second);
}

static void test_names(void **state) {
    struct world *world = *state;
    char long_name[300];
    char long_label[80];
    memset(long_name, 'a', sizeof(long_name));
    for (size_t i = 60; i < sizeof(long_name); i += 60) {
        long_name[i] = '.';
    }
    long_name[254] = '\0';
    memset(long_label, 'a', 64);
    long_label[64] = '\0';
    const char *const bad[] = {
        "",     ".",          "a..b",    "a.",        ".a",          "-a",      "a-",      "a b",
        "a_b",  "a/b",        "192.0.2", "1.2.3.4.5", "[::1]",       "host:80", "*",       "a.*.b",
        "*a.b", "b\xc3\xa4r", "*.",      "a\n",       "192.0.2.256", long_name, long_label};
    for (size_t i = 0; i < KN_COUNT(bad); i++) {
        const char *const two[] = {"good.example", bad[i]};
        world->config.names = two;
        world->config.name_count = 2;
        assert_int_equal(make(world), -EINVAL);
    }
    assert_int_equal(file_count(world), 0);
    world->config.name_count = 0;
    assert_int_equal(make(world), -EINVAL);
    /* The longest name and label, which are too long for a CN. */
    long_name[253] = '\0';
    long_label[63] = '\0';
    const char *const good[] = {long_name, long_label, "1a.2b", "2001:db8::7"};
    world->config.names = good;
    world->config.name_count = KN_COUNT(good);
    assert_int_equal(make(world), 0);
    X509 *cert = read_cert(world);
    assert_int_equal(X509_check_host(cert, long_name, 0, 0, NULL), 1);
    X509_free(cert);
    const char *many[SRV_CERT_NAMES_MAX + 1];
    for (size_t i = 0; i < KN_COUNT(many); i++) {
        many[i] = "a.example";
    }
    world->config.names = many;
    world->config.name_count = KN_COUNT(many);
    world->config.replace = true;
    assert_int_equal(make(world), -EINVAL);
    world->config.name_count--;
    assert_int_equal(make(world), 0);
}

/* ---- files ---- */

static void test_modes(void **state) {
    struct world *world = *state;
    struct stat about;
    mode_t mask = umask(0);
    assert_int_equal(make(world), 0);
    (void)umask(mask);
    assert_int_equal(stat(world->key, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
    assert_int_equal(stat(world->certificate, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0666); /* by the mask, which is none here */
    assert_int_equal(file_count(world), 2);
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static void expect_text(const char *path, const char *text) {
    char line[64] = "";
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    assert_string_equal(line, text);
    (void)fclose(file);
}

static void test_in_the_way(void **state) {
    struct world *world = *state;
    write_text(world->certificate, "mine");
    assert_int_equal(make(world), -EEXIST);
    expect_text(world->certificate, "mine");
    assert_int_equal(file_count(world), 1);
    assert_int_equal(unlink(world->certificate), 0);
    write_text(world->key, "mine");
    assert_int_equal(make(world), -EEXIST);
    expect_text(world->key, "mine");
    assert_int_equal(file_count(world), 1);
    world->config.replace = true;
    assert_int_equal(make(world), 0);
    assert_int_equal(file_count(world), 2);
    X509 *cert = read_cert(world);
    EVP_PKEY *key = read_key(world);
    assert_int_equal(X509_check_private_key(cert, key), 1);
    EVP_PKEY_free(key);
    X509_free(cert);
}

/* A certificate that cannot be put in its place leaves the key that was there. */
static void test_both_or_none(void **state) {
    struct world *world = *state;
    char folder[128];
    (void)snprintf(folder, sizeof(folder), "%s/cert.pem/x", world->folder);
    write_text(world->key, "mine");
    assert_int_equal(mkdir(world->certificate, 0700), 0);
    assert_int_equal(mkdir(folder, 0700), 0); /* not even an empty folder is replaced */
    world->config.replace = true;
    assert_int_equal(make(world) < 0, 1);
    expect_text(world->key, "mine");
    assert_int_equal(file_count(world), 1);
    assert_int_equal(unlink(world->key), 0);
    assert_int_equal(make(world) < 0, 1);
    assert_int_equal(file_count(world), 0);
    world->config.replace = false;
    assert_int_equal(make(world), -EEXIST);
    assert_int_equal(file_count(world), 0);
}

static void test_nonsense(void **state) {
    struct world *world = *state;
    world->config.key = world->certificate;
    assert_int_equal(make(world), -EINVAL);
    world->config.key = world->key;
    world->config.valid_ns = 0;
    assert_int_equal(make(world), -EINVAL);
    world->config.valid_ns = KN_NS_PER_S;
    world->config.key = "/nowhere/at/all/key.pem";
    assert_int_equal(make(world), -ENOENT);
    assert_int_equal(file_count(world), 0);
    assert_string_equal(world->fingerprint, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_facts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_fingerprint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_serials_differ, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_the_way, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_or_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nonsense, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
