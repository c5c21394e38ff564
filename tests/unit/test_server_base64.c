#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "server/auth/base64.h"

/* RFC 4648 10, and bytes that need the last characters of the alphabets. */
static const struct {
    const char *bytes, *plain, *url;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    {"\xfb\xff\xfe", "+//+", "-__-"},
};

static int read(enum srv_base64 how, const char *text, size_t room_bytes, uint8_t *room,
                size_t *ret_size) {
    return srv_base64_read(how, (struct srv_http_text){text, strlen(text)}, room, room_bytes,
                           ret_size);
}

static void test_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < KN_COUNT(vectors); i++) {
        uint8_t room[16];
        char text[16] = "";
        size_t size = strlen(vectors[i].bytes);
        size_t got = 99;
        assert_int_equal(srv_base64_write((const uint8_t *)vectors[i].bytes, size, text),
                         SRV_BASE64_URL_CHARS(size));
        assert_string_equal(text, vectors[i].url);
        assert_int_equal(read(SRV_BASE64_PLAIN, vectors[i].plain, size, room, &got), 0);
        assert_int_equal(got, size);
        assert_memory_equal(room, vectors[i].bytes, size);
        got = 99;
        assert_int_equal(read(SRV_BASE64_URL, vectors[i].url, size, room, &got), 0);
        assert_int_equal(got, size);
        assert_memory_equal(room, vectors[i].bytes, size);
        if (size > 0) {
            assert_int_equal(read(SRV_BASE64_URL, vectors[i].url, size - 1, room, &got),
                             KN_E_LIMIT);
        }
    }
}

static void test_strict(void **state) {
    (void)state;
    static const char *const plain[] = {
        "Zg",       "Zg=",   "Z",      "Zh==", "Zm9=", "=",     "====",    "Zg===",
        "Zg==Zg==", "Zm 8=", "Zm8=\n", "-__-", "Z===", "Zm9v=", "Zm9v===="};
    static const char *const url[] = {"Zg==", "Z", "Zh", "Zm9", "+//+", "Zm9vY", "Zm8 ", "Z\xff"};
    uint8_t room[32];
    size_t size = 77;
    for (size_t i = 0; i < KN_COUNT(plain); i++) {
        assert_int_equal(read(SRV_BASE64_PLAIN, plain[i], sizeof(room), room, &size),
                         KN_E_MALFORMED);
    }
    for (size_t i = 0; i < KN_COUNT(url); i++) {
        assert_int_equal(read(SRV_BASE64_URL, url[i], sizeof(room), room, &size), KN_E_MALFORMED);
    }
    /* A NUL is no character of the alphabet, though the alphabets end with one. */
    assert_int_equal(srv_base64_read(SRV_BASE64_URL, (struct srv_http_text){"Zm9\0", 4}, room,
                                     sizeof(room), &size),
                     KN_E_MALFORMED);
    assert_int_equal(size, 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
