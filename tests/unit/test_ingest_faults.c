#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"
#include "ingest/ingest.h"
#include "ingest/replay/loss.h"

#define S KN_NS_PER_S
#define MS KN_NS_PER_MS
#define HOUR (3600 * S)

/* ---- the text ---- */

static void test_faults(void **state) {
    static const struct {
        const char *text;
        struct ing_faults faults;
    } cases[] = {
        {"loss=2%", {.loss = 0.02}},
        {"loss=0.5%", {.loss = 0.005}},
        {"loss=0%", {.loss = 0}},
        {"loss=100%", {.loss = 1}},
        {"jump=-9800s@30s", {.has_jump = true, .jump_ns = -9800 * S, .jump_at_ns = 30 * S}},
        {"jump=2h@1.5s", {.has_jump = true, .jump_ns = 7200 * S, .jump_at_ns = 1500 * MS}},
        {"jump=+1d@0s", {.has_jump = true, .jump_ns = 86400 * S}},
        {"flap=10s", {.flap_ns = 10 * S}},
        {"flap=500ms", {.flap_ns = 500 * MS}},
        {"flap=5m", {.flap_ns = 300 * S}},
        {"flap=0.001s", {.flap_ns = 1 * MS}},
        {"truncate@1", {.truncate = 1}},
        {"truncate@18446744073709551615", {.truncate = UINT64_MAX}},
        {"seed=7", {.seed = 7}},
        {"jump=36500d@36500d",
         {.has_jump = true, .jump_ns = 876000 * HOUR, .jump_at_ns = 876000 * HOUR}},
        {"loss=1%,flap=2s,seed=3,truncate@4",
         {.loss = 0.01, .flap_ns = 2 * S, .seed = 3, .truncate = 4}},
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        const struct ing_faults *expected = &cases[i].faults;
        struct ing_faults faults = {0};
        assert_int_equal(ing_faults_parse(cases[i].text, &faults), 0);
        assert_true(faults.loss == expected->loss);
        assert_int_equal(faults.has_jump, expected->has_jump);
        assert_int_equal(faults.jump_ns, expected->jump_ns);
        assert_int_equal(faults.jump_at_ns, expected->jump_at_ns);
        assert_int_equal(faults.flap_ns, expected->flap_ns);
        assert_int_equal(faults.truncate, expected->truncate);
        assert_int_equal(faults.seed, expected->seed);
    }
}

static void test_calls_add_up(void **state) {
    struct ing_faults faults = {.seed = 1};
    (void)state;
    assert_int_equal(ing_faults_parse("loss=2%", &faults), 0);
    assert_int_equal(ing_faults_parse("flap=1s", &faults), 0);
    assert_int_equal(ing_faults_parse("loss=3%", &faults), 0);
    assert_true(faults.loss == 0.03 && faults.flap_ns == S && faults.seed == 1);
}

static void test_refused(void **state) {
    static const char *const cases[] = {
        "",
        ",",
        "loss",
        "loss=",
        "loss=2",
        "loss=%",
        "loss=.5%",
        "loss=5.%",
        "loss=-1%",
        "loss=101%",
        "loss=100.1%",
        "loss=4294967296%",
        "loss=2%%",
        "loss=2% ",
        " loss=2%",
        "loss=2%,",
        "loss=2%,,seed=1",
        "Loss=2%",
        "jump=3s",
        "jump=3s@",
        "jump=@3s",
        "jump=3@3s",
        "jump=3s@3",
        "jump=--3s@3s",
        "jump=3s@-3s",
        "jump=36501d@3s",
        "jump=36500.1d@3s",
        "flap=0s",
        "flap=0.1ms",
        "flap=10",
        "flap=10us",
        "flap=10sm",
        "flap=-10s",
        "flap=99999999999999999999s",
        "truncate=5",
        "truncate@",
        "truncate@0",
        "truncate@5k",
        "truncate@18446744073709551616",
        "seed=",
        "seed=0",
        "seed=-1",
        "lag=3s",
    };
    (void)state;
    for (size_t i = 0; i < KN_COUNT(cases); i++) {
        struct ing_faults faults = {.loss = 0.25, .seed = 9};
        assert_int_equal(ing_faults_parse(cases[i], &faults), KN_E_MALFORMED);
        assert_true(faults.loss == 0.25 && faults.seed == 9 && faults.flap_ns == 0 &&
                    !faults.has_jump && faults.truncate == 0);
    }
}

/* ---- chance ---- */

static size_t lose(uint64_t seed, double share, uint16_t flags, enum kn_media media, size_t count,
                   uint64_t *ret_pattern) {
    struct ing_loss loss;
    const struct kn_sample sample = {.flags = flags};
    size_t lost = 0;
    *ret_pattern = 0;
    ing_loss_init(&loss, share, seed);
    for (size_t i = 0; i < count; i++) {
        bool gone = ing_loss_takes(&loss, &sample, media);
        lost += gone ? 1 : 0;
        *ret_pattern = *ret_pattern * 3 + (gone ? 1 : 0);
    }
    return lost;
}

static void test_share(void **state) {
    uint64_t a, b, c, zero;
    (void)state;
    size_t lost = lose(1, 0.02, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 100000, &a);
    assert_in_range(lost, 1800, 2200);
    assert_int_equal(lose(1, 0.02, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 100000, &b), lost);
    assert_int_equal(a, b);
    (void)lose(2, 0.02, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 100000, &c);
    assert_int_not_equal(a, c);
    (void)lose(0, 0.02, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 100000, &zero);
    assert_int_equal(a, zero);
    assert_int_equal(lose(1, 1, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 1000, &a), 1000);
    assert_int_equal(lose(1, 0, KN_SAMPLE_KEY, KN_MEDIA_AUDIO, 1000, &a), 0);
    assert_in_range(lose(5, 0.1, KN_SAMPLE_DISPOSABLE, KN_MEDIA_VIDEO, 10000, &a), 850, 1150);
}

/* One that others refer to takes the rest with it, up to the next key frame that comes. */
static void test_group_of_pictures(void **state) {
    struct ing_loss loss;
    struct kn_sample key = {.flags = KN_SAMPLE_KEY}, other = {0}, sound = {.track = 1};
    bool broken = false;
    size_t healed = 0;
    (void)state;
    ing_loss_init(&loss, 0.01, 4);
    for (size_t i = 0; i < 100000; i++) {
        bool is_key = i % 40 == 0;
        bool gone = ing_loss_takes(&loss, is_key ? &key : &other, KN_MEDIA_VIDEO);
        assert_true(gone || is_key || !broken);
        healed += broken && !gone ? 1 : 0;
        broken = gone;
        assert_false(loss.broken[1]);
        (void)ing_loss_takes(&loss, &sound, KN_MEDIA_AUDIO);
    }
    assert_in_range(healed, 300, 1200);
}

/* ---- the clock ---- */

static void test_clock(void **state) {
    struct ing_clock *clock = NULL;
    (void)state;
    assert_int_equal(ing_clock_create((struct kn_wall){1000 * S}, &clock), 0);
    const struct kn_clock *face = ing_clock_face(clock);
    assert_int_equal(face->wall(face).ns, 1000 * S);
    assert_int_equal(face->mono(face).ns, 1000 * S);
    ing_clock_destroy(clock);
    ing_clock_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_calls_add_up),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_group_of_pictures),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
