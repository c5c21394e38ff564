/* The patterns of AWS's texts, each a function of a few steps: no step gives back what it took, so
 * the time is that of one look at each character. */
#include <string.h>

#include "base/text.h"
#include "server/aws/shapes.h"

#define DIGITS "0123456789"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME_CHARS UPPER LOWER DIGITS "_.-"

/* ---- steps ---- */

static bool take_some(const char **at, const char *characters) {
    size_t size = strspn(*at, characters);
    *at += size;
    return size > 0;
}

static bool take_word(const char **at, const char *word) {
    size_t size = strlen(word);
    if (strncmp(*at, word, size) != 0) {
        return false;
    }
    *at += size;
    return true;
}

static bool only(const char *text, const char *characters) {
    return text[strspn(text, characters)] == '\0';
}

/* ---- ARNs ---- */

/* From the region on: ":eu-central-1:000000000000:" */
static bool take_place(const char **at) {
    return take_word(at, ":") && take_some(at, LOWER DIGITS "-") && take_word(at, ":") &&
           take_some(at, DIGITS) && take_word(at, ":");
}

static bool is_resource(const char *at) {
    return take_word(&at, "kinesisvideo") && take_place(&at) && take_some(&at, LOWER) &&
           take_word(&at, "/") && take_some(&at, NAME_CHARS) && take_word(&at, "/") &&
           take_some(&at, DIGITS) && *at == '\0';
}

static bool is_arn(const char *text) {
    return take_word(&text, "arn:") && take_some(&text, LOWER DIGITS "-") &&
           take_word(&text, ":") && is_resource(text);
}

static bool is_arn_aws(const char *text) {
    return take_word(&text, "arn:aws:") && is_resource(text);
}

static bool is_arn_any_aws(const char *text) {
    if (!take_word(&text, "arn:aws")) {
        return false;
    }
    (void)take_some(&text, UPPER LOWER "-"); /* none is fine */
    return take_word(&text, ":") && is_resource(text);
}

static bool is_thing_arn(const char *text) {
    return take_word(&text, "arn:") && take_some(&text, LOWER DIGITS "-") &&
           take_word(&text, ":iot") && take_place(&text) && take_word(&text, "thing/") &&
           take_some(&text, NAME_CHARS) && *text == '\0';
}

static bool is_secret_arn(const char *text) {
    return take_word(&text, "arn:") && take_some(&text, LOWER DIGITS "-") &&
           take_word(&text, ":secretsmanager") && take_place(&text) &&
           take_word(&text, "secret:") && take_some(&text, NAME_CHARS) && *text == '\0';
}

/* ---- other texts ---- */

static bool is_name(const char *text) {
    return take_some(&text, NAME_CHARS) && *text == '\0';
}

static bool is_token(const char *text) {
    return only(text, UPPER LOWER DIGITS "+/=");
}

static bool is_base64(const char *text) {
    return *text != '\0' && is_token(text);
}

static bool is_archive_token(const char *text) {
    return take_some(&text, UPPER LOWER DIGITS "+/") && strlen(text) <= 2 && only(text, "=");
}

static bool is_version(const char *text) {
    return take_some(&text, UPPER LOWER DIGITS) && *text == '\0';
}

/* Letters, spaces and digits of all scripts: beyond ASCII whatever shows as itself. */
static bool is_tag(const char *text) {
    while (*text != '\0') {
        size_t size = kn_text_character(text, strlen(text));
        if (size == 0 || (size == 1 && strchr(UPPER LOWER DIGITS " _.:/=+-@", *text) == NULL)) {
            return false;
        }
        text += size;
    }
    return true;
}

static bool is_media_type(const char *text) {
    do {
        if (!take_some(&text, NAME_CHARS "+") || !take_word(&text, "/") ||
            !take_some(&text, NAME_CHARS "+")) {
            return false;
        }
    } while (take_word(&text, ","));
    return *text == '\0';
}

static bool is_digits(const char *text) {
    return take_some(&text, DIGITS) && *text == '\0';
}

static bool is_word(const char *text) {
    return take_some(&text, UPPER LOWER DIGITS "_") && *text == '\0';
}

static bool is_uri(const char *text) {
    if (!take_some(&text, UPPER LOWER DIGITS "_") || !take_word(&text, ":")) {
        return false;
    }
    (void)take_word(&text, "//"); /* not there is fine */
    size_t host = strcspn(text, "/");
    return host > 0 && strchr(text + host, '*') == NULL;
}

/* eu-central-1, us-gov-west-1 */
static bool is_region(const char *text) {
    unsigned words = 0;
    while (take_some(&text, LOWER) && take_word(&text, "-")) {
        words++;
    }
    return (words == 2 || words == 3) && take_some(&text, DIGITS) && *text == '\0' &&
           text[-2] == '-';
}

static bool is_one_line(const char *text) {
    return strpbrk(text, "\r\n") == NULL;
}

#define ARN_END ":[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+"

const struct srv_pattern srv_pattern_name = {"[a-zA-Z0-9_.-]+", is_name};
const struct srv_pattern srv_pattern_arn = {"arn:[a-z\\d-]+:kinesisvideo" ARN_END, is_arn};
const struct srv_pattern srv_pattern_arn_aws = {"arn:aws:kinesisvideo" ARN_END, is_arn_aws};
const struct srv_pattern srv_pattern_arn_any_aws = {
    "^arn:(aws[a-zA-Z-]*):kinesisvideo" ARN_END "$",
    is_arn_any_aws,
};
const struct srv_pattern srv_pattern_thing_arn = {
    "arn:[a-z\\d-]+:iot:[a-z0-9-]+:[0-9]+:thing/[a-zA-Z0-9_.-]+",
    is_thing_arn,
};
const struct srv_pattern srv_pattern_secret_arn = {
    "arn:[a-z\\d-]+:secretsmanager:[a-z0-9-]+:[0-9]+:secret:[a-zA-Z0-9_.-]+",
    is_secret_arn,
};
const struct srv_pattern srv_pattern_token = {"[a-zA-Z0-9+/=]*", is_token};
const struct srv_pattern srv_pattern_archive_token = {"[a-zA-Z0-9+/]+={0,2}", is_archive_token};
const struct srv_pattern srv_pattern_version = {"[a-zA-Z0-9]+", is_version};
const struct srv_pattern srv_pattern_tag = {"^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$", is_tag};
const struct srv_pattern srv_pattern_media_type = {
    "[\\w\\-\\.\\+]+/[\\w\\-\\.\\+]+(,[\\w\\-\\.\\+]+/[\\w\\-\\.\\+]+)*",
    is_media_type,
};
const struct srv_pattern srv_pattern_digits = {"^[0-9]+$", is_digits};
const struct srv_pattern srv_pattern_ctoken = {"^[a-zA-Z0-9_\\.\\-]+$", is_name};
const struct srv_pattern srv_pattern_uri = {"^[a-zA-Z_0-9]+:(//)?([^/]+)/?([^*]*)$", is_uri};
const struct srv_pattern srv_pattern_region = {"^[a-z]+(-[a-z]+)?-[a-z]+-[0-9]$", is_region};
const struct srv_pattern srv_pattern_one_line = {"[^\\n]{11,100}", is_one_line};
const struct srv_pattern srv_pattern_word = {"^[a-zA-Z_0-9]+", is_word};
const struct srv_pattern srv_pattern_base64 = {"[a-zA-Z0-9+/=]+", is_base64};
