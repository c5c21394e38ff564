#include "base/time.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/error.h"

#define S_PER_DAY INT64_C(86400)
#define DAYS_PER_ERA INT64_C(146097) /* 400 Gregorian years */
/* Longer than any time worth writing; keeps hostile fractions short. */
#define TEXT_MAX 64

/* ---- the machine's clock ---- */

/* Linux refuses to set its clock past the year 2232, so this does not overflow. */
static int64_t read_clock(clockid_t id) {
    struct timespec now = {0};
    (void)clock_gettime(id, &now); /* cannot fail for the two clocks asked here */
    return (int64_t)now.tv_sec * KN_NS_PER_S + now.tv_nsec;
}

static struct kn_wall system_wall(const struct kn_clock *clock) {
    (void)clock;
    return (struct kn_wall){read_clock(CLOCK_REALTIME)};
}

static struct kn_mono system_mono(const struct kn_clock *clock) {
    (void)clock;
    return (struct kn_mono){read_clock(CLOCK_MONOTONIC)};
}

const struct kn_clock *kn_clock_system(void) {
    static const struct kn_clock clock = {.wall = system_wall, .mono = system_mono};
    return &clock;
}

/* ---- civil dates ---- */

struct civil {
    int64_t year, month, day; /* month and day from 1 */
};

static int64_t floor_div(int64_t a, int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

/* Both ways count years from March, so that the leap day is a year's last, and months by the line
 * (153 * m + 2) / 5, which gives the days before month m. Day 0 is 1970-01-01; 719468 days lie
 * between 0000-03-01 and it. */
static int64_t days_from_civil(struct civil date) {
    int64_t year = date.month <= 2 ? date.year - 1 : date.year;
    int64_t month = date.month <= 2 ? date.month + 9 : date.month - 3;
    int64_t era = floor_div(year, 400);
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * month + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days) {
    days += 719468;
    int64_t era = floor_div(days, DAYS_PER_ERA);
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    struct civil date = {.day = day_of_year - (153 * month + 2) / 5 + 1};
    date.month = month < 10 ? month + 3 : month - 9;
    date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
    return date;
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* ---- writing ---- */

static char *put_digits(char *at, int64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        at[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return at + digits;
}

static char *put_char(char *at, char c) {
    *at = c;
    return at + 1;
}

const char *kn_wall_format(struct kn_wall wall, char text[static KN_WALL_TEXT_BYTES]) {
    int64_t ms = floor_div(wall.ns, KN_NS_PER_MS);
    int64_t seconds = floor_div(ms, 1000);
    int64_t days = floor_div(seconds, S_PER_DAY);
    int64_t of_day = seconds - days * S_PER_DAY;
    struct civil date = civil_from_days(days);

    char *at = put_digits(text, date.year, 4);
    at = put_digits(put_char(at, '-'), date.month, 2);
    at = put_digits(put_char(at, '-'), date.day, 2);
    at = put_digits(put_char(at, 'T'), of_day / 3600, 2);
    at = put_digits(put_char(at, ':'), of_day / 60 % 60, 2);
    at = put_digits(put_char(at, ':'), of_day % 60, 2);
    at = put_digits(put_char(at, '.'), ms - seconds * 1000, 3);
    at = put_char(at, 'Z');
    *at = '\0';
    return text;
}

/* ---- reading ---- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* Exactly `digits` of them, between low and high. */
static bool read_number(const char **text, int digits, int64_t low, int64_t high, int64_t *ret) {
    int64_t value = 0;
    for (int i = 0; i < digits; i++) {
        if (!is_digit((*text)[i])) {
            return false;
        }
        value = value * 10 + ((*text)[i] - '0');
    }
    if (value < low || value > high) {
        return false;
    }
    *text += digits;
    *ret = value;
    return true;
}

static bool read_char(const char **text, const char *one_of) {
    if (**text == '\0' || strchr(one_of, **text) == NULL) {
        return false;
    }
    (*text)++;
    return true;
}

/* ".5" and the like, or nothing. Digits below a nanosecond are cut off. */
static bool read_fraction(const char **text, int64_t *ret_ns) {
    int64_t ns = 0;
    if (read_char(text, ".")) {
        if (!is_digit(**text)) {
            return false;
        }
        for (int64_t unit = KN_NS_PER_S / 10; is_digit(**text); unit /= 10) {
            ns += (**text - '0') * unit;
            (*text)++;
        }
    }
    *ret_ns = ns;
    return true;
}

static bool read_zone(const char **text, int64_t *ret_seconds) {
    if (read_char(text, "Zz")) {
        *ret_seconds = 0;
        return true;
    }
    int64_t sign = **text == '-' ? -1 : 1;
    int64_t hours, minutes;
    if (!read_char(text, "+-") || !read_number(text, 2, 0, 23, &hours) || !read_char(text, ":") ||
        !read_number(text, 2, 0, 59, &minutes)) {
        return false;
    }
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool read_rfc3339(const char **text, int64_t *ret_seconds, int64_t *ret_ns) {
    struct civil date;
    int64_t hour, minute, second, ns, zone;
    if (!read_number(text, 4, 1, 9999, &date.year) || !read_char(text, "-") ||
        !read_number(text, 2, 1, 12, &date.month) || !read_char(text, "-") ||
        !read_number(text, 2, 1, days_in_month(date.year, date.month), &date.day) ||
        !read_char(text, "Tt ")) {
        return false;
    }
    if (!read_number(text, 2, 0, 23, &hour) || !read_char(text, ":") ||
        !read_number(text, 2, 0, 59, &minute) || !read_char(text, ":") ||
        !read_number(text, 2, 0, 60, &second) || !read_fraction(text, &ns) ||
        !read_zone(text, &zone)) {
        return false;
    }
    int64_t seconds = days_from_civil(date) * S_PER_DAY + hour * 3600 + minute * 60 + second - zone;
    /* Leap seconds come at the end of a UTC day only; like POSIX, we take them for the next one. */
    if (second == 60 && floor_div(seconds, S_PER_DAY) * S_PER_DAY != seconds) {
        return false;
    }
    *ret_seconds = seconds;
    *ret_ns = ns;
    return true;
}

static bool read_unix(const char **text, int64_t *ret_seconds, int64_t *ret_ns) {
    int64_t seconds = 0;
    if (!is_digit(**text)) {
        return false;
    }
    for (; is_digit(**text); (*text)++) {
        if (!kn_i64_mul(seconds, 10, &seconds) || !kn_i64_add(seconds, **text - '0', &seconds)) {
            return false;
        }
    }
    *ret_seconds = seconds;
    return read_fraction(text, ret_ns);
}

int kn_wall_parse(const char *text, struct kn_wall *ret_wall) {
    if (text == NULL || strnlen(text, TEXT_MAX + 1) > TEXT_MAX) {
        return KN_E_MALFORMED;
    }
    size_t digits = strspn(text, "0123456789");
    bool is_date = digits == 4 && text[digits] == '-';
    int64_t seconds, ns;
    bool good = is_date ? read_rfc3339(&text, &seconds, &ns) : read_unix(&text, &seconds, &ns);
    if (!good || *text != '\0' || !kn_i64_mul(seconds, KN_NS_PER_S, &seconds) ||
        !kn_i64_add(seconds, ns, &ns)) {
        return KN_E_MALFORMED;
    }
    ret_wall->ns = ns;
    return 0;
}
