#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/auth/sigv4_inner.h"
#include "server/http/chars.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define TERMINATOR "aws4_request"
#define CREDENTIAL_BYTES 300u

int srv_sigv4_refuse(struct srv_sigv4_outcome *outcome, enum srv_auth_error error,
                     const char *format, ...) {
    va_list args;
    outcome->error = error;
    va_start(args, format);
    (void)vsnprintf(outcome->message, sizeof(outcome->message), format, args); /* cut is fine */
    va_end(args);
    return -EACCES;
}

static int refuse_incomplete(struct srv_sigv4_outcome *outcome, const char *what) {
    return srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "%s", what);
}

/* ---- text ---- */

static bool text_is(struct srv_http_text text, const char *literal) {
    return text.size == strlen(literal) && memcmp(text.data, literal, text.size) == 0;
}

/* False, and an empty copy: it does not fit or holds a NUL. */
static bool copy_text(struct srv_http_text text, char *room, size_t room_bytes) {
    bool fits = text.size < room_bytes && (text.size == 0 || !memchr(text.data, '\0', text.size));
    size_t size = fits ? text.size : 0;
    if (size > 0) {
        memcpy(room, text.data, size);
    }
    room[size] = '\0';
    return fits;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c) {
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool consists_of_names(struct srv_http_text text, const char *also) {
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!is_alphanumeric(c) && (c == '\0' || strchr(also, c) == NULL)) {
            return false;
        }
    }
    return text.size > 0;
}

/* ---- times ---- */

void srv_sigv4_time_text(struct kn_wall wall, char text[static SRV_SIGV4_TIME_BYTES]) {
    char full[KN_WALL_TEXT_BYTES];
    size_t size = 0;
    for (const char *c = kn_wall_format(wall, full);
         *c != '.' && *c != '\0' && size < SRV_SIGV4_TIME_BYTES - 2; c++) {
        if (*c != '-' && *c != ':') {
            text[size++] = *c;
        }
    }
    text[size++] = 'Z';
    text[size] = '\0';
}

/* "20261120T212340Z", and nothing like it. */
static bool read_time(const char *text, struct kn_wall *ret_when) {
    char full[KN_WALL_TEXT_BYTES];
    char again[SRV_SIGV4_TIME_BYTES];
    if (strlen(text) != SRV_SIGV4_TIME_BYTES - 1) {
        return false;
    }
    int size = snprintf(full, sizeof(full), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text, text + 4,
                        text + 6, text + 9, text + 11, text + 13);
    struct kn_wall when;
    if (size < 0 || (size_t)size >= sizeof(full) || kn_wall_parse(full, &when) < 0) {
        return false;
    }
    srv_sigv4_time_text(when, again);
    if (strcmp(text, again) != 0) {
        return false;
    }
    *ret_when = when;
    return true;
}

/* "Fri, 20 Nov 2026 21:23:40 GMT" in the other form, which is then checked; -0000 and +0000 are
 * GMT too. False: it is nothing like it. */
static bool turn_http_date(struct srv_http_text date, char time[static SRV_SIGV4_TIME_BYTES]) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char *const zones[] = {" GMT", " -0000", " +0000"};
    static const char pattern[] = "xxx, xx xxx xxxx xx:xx:xx";
    const size_t size = sizeof(pattern) - 1;
    bool good = false;
    for (size_t i = 0; i < KN_COUNT(zones) && date.size > size; i++) {
        good =
            good || text_is((struct srv_http_text){date.data + size, date.size - size}, zones[i]);
    }
    for (size_t i = 0; i < size && good; i++) {
        good = pattern[i] == 'x' || date.data[i] == pattern[i];
    }
    int month = 0;
    while (good && month < 12 && memcmp(months + 3 * (size_t)month, date.data + 8, 3) != 0) {
        month++;
    }
    if (!good || month == 12) {
        return false;
    }
    const char *d = date.data;
    int made = snprintf(time, SRV_SIGV4_TIME_BYTES, "%.4s%02d%.2sT%.2s%.2s%.2sZ", d + 12, month + 1,
                        d + 5, d + 17, d + 20, d + 23);
    return made == (int)SRV_SIGV4_TIME_BYTES - 1; /* shorter with a NUL in it */
}

/* ---- the parts, whichever form they came in ---- */

enum part { CREDENTIAL, SIGNED_HEADERS, SIGNATURE, ALGORITHM_NAME, TIME, EXPIRES, TOKEN, PARTS };

/* A part that is there has an address, though it may be empty. */
struct parts {
    struct srv_http_text part[PARTS];
};

/* The next element of text with `separator` between them; the last one has none behind it. */
static struct srv_http_text split(struct srv_http_text *rest, char separator) {
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, separator, rest->size);
    size_t size = end == NULL ? rest->size : (size_t)(end - rest->data);
    struct srv_http_text element = {rest->data, size};
    *rest = end == NULL ? (struct srv_http_text){"", 0}
                        : (struct srv_http_text){end + 1, rest->size - size - 1};
    return element;
}

/* "AKID/20261120/eu-west-1/kinesisvideo/aws4_request" */
static int read_credential(struct srv_http_text text, struct srv_sigv4_claim *claim,
                           struct srv_sigv4_outcome *outcome) {
    struct srv_http_text access_key = split(&text, '/');
    struct srv_http_text date = split(&text, '/');
    struct srv_http_text region = split(&text, '/');
    struct srv_http_text service = split(&text, '/');
    if (!consists_of_names(access_key, "._-") ||
        !copy_text(access_key, claim->access_key, sizeof(claim->access_key))) {
        return refuse_incomplete(outcome, "Credential does not begin with an access key");
    }
    if (!consists_of_names(date, "") || !copy_text(date, claim->date, sizeof(claim->date)) ||
        !consists_of_names(region, "-") ||
        !copy_text(region, claim->region, sizeof(claim->region)) || !text_is(text, TERMINATOR)) {
        return refuse_incomplete(outcome, "Credential is not an access key and a scope of "
                                          "date/region/" SRV_SIGV4_SERVICE "/" TERMINATOR);
    }
    if (!text_is(service, SRV_SIGV4_SERVICE)) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "Credential should be scoped to correct service: "
                                "'" SRV_SIGV4_SERVICE "'.");
    }
    return 0;
}

static bool is_signed_name(struct srv_http_text name) {
    for (size_t i = 0; i < name.size; i++) {
        if (srv_http_lower(name.data[i]) != name.data[i]) {
            return false;
        }
    }
    return srv_http_is_token(name);
}

static bool names_name(const struct srv_sigv4_claim *claim, struct srv_http_text name) {
    for (size_t i = 0; i < claim->signed_count; i++) {
        if (claim->signed_names[i].size == name.size &&
            memcmp(claim->signed_names[i].data, name.data, name.size) == 0) {
            return true;
        }
    }
    return false;
}

/* In the order given: it is part of what is signed, so nobody else can change it. */
static int read_signed_headers(struct srv_http_text text, struct srv_sigv4_claim *claim,
                               struct srv_sigv4_outcome *outcome) {
    claim->signed_count = 0;
    if (!copy_text(text, claim->signed_list, sizeof(claim->signed_list))) {
        return refuse_incomplete(outcome, "SignedHeaders is too long");
    }
    text.data = claim->signed_list;
    for (bool more = true; more;) {
        more = memchr(text.data, ';', text.size) != NULL;
        struct srv_http_text name = split(&text, ';');
        if (claim->signed_count == SRV_SIGV4_SIGNED_MAX || !is_signed_name(name) ||
            names_name(claim, name)) {
            return refuse_incomplete(outcome, "SignedHeaders is not a list of different names in "
                                              "lower case with ';' between them");
        }
        claim->signed_names[claim->signed_count++] = name;
    }
    return 0;
}

static int read_signature(struct srv_http_text text, struct srv_sigv4_claim *claim,
                          struct srv_sigv4_outcome *outcome) {
    bool hex = text.size == sizeof(claim->signature) - 1;
    for (size_t i = 0; i < text.size && hex; i++) {
        hex = is_digit(text.data[i]) || (text.data[i] >= 'a' && text.data[i] <= 'f');
    }
    return hex && copy_text(text, claim->signature, sizeof(claim->signature))
               ? 0
               : refuse_incomplete(outcome, "Signature is not 64 hexadecimal digits in lower case");
}

static int read_times(const struct parts *parts, struct srv_sigv4_claim *claim,
                      struct srv_sigv4_outcome *outcome) {
    if (!copy_text(parts->part[TIME], claim->time, sizeof(claim->time)) ||
        !read_time(claim->time, &claim->when)) {
        return refuse_incomplete(outcome, "X-Amz-Date is not a time as 20261120T212340Z");
    }
    if (memcmp(claim->date, claim->time, SRV_SIGV4_DATE_CHARS) != 0 ||
        claim->date[SRV_SIGV4_DATE_CHARS] != '\0') {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INVALID_SIGNATURE,
                                "Date in Credential scope does not match YYYYMMDD from X-Amz-Date");
    }
    return 0;
}

static int read_expires(struct srv_http_text text, struct srv_sigv4_claim *claim,
                        struct srv_sigv4_outcome *outcome) {
    int64_t seconds = 0;
    bool good = text.size > 0 && text.size <= 6;
    for (size_t i = 0; i < text.size && good; i++) {
        good = is_digit(text.data[i]);
        seconds = seconds * 10 + (text.data[i] - '0');
    }
    if (!good || seconds < 1 || seconds > SRV_SIGV4_EXPIRES_MAX_S) {
        return refuse_incomplete(outcome, "X-Amz-Expires is not a number from 1 to 604800");
    }
    claim->expires_s = seconds;
    return 0;
}

static int read_algorithm(struct srv_http_text name, struct srv_sigv4_outcome *outcome) {
    static const char asymmetric[] = "AWS4-ECDSA-P256-SHA256";
    if (text_is(name, asymmetric)) {
        return refuse_incomplete(outcome,
                                 "AWS4-ECDSA-P256-SHA256 is not served here, only " ALGORITHM);
    }
    return text_is(name, ALGORITHM)
               ? 0
               : refuse_incomplete(outcome, "the signature's algorithm is not " ALGORITHM);
}

static int read_parts(const struct parts *parts, struct srv_sigv4_claim *claim,
                      struct srv_sigv4_outcome *outcome) {
    int rc = read_algorithm(parts->part[ALGORITHM_NAME], outcome);
    rc = rc < 0 ? rc : read_credential(parts->part[CREDENTIAL], claim, outcome);
    rc = rc < 0 ? rc : read_signed_headers(parts->part[SIGNED_HEADERS], claim, outcome);
    rc = rc < 0 ? rc : read_signature(parts->part[SIGNATURE], claim, outcome);
    rc = rc < 0 ? rc : read_times(parts, claim, outcome);
    if (rc == 0 && claim->form == SRV_SIGV4_QUERY) {
        rc = read_expires(parts->part[EXPIRES], claim, outcome);
    }
    if (rc == 0 && parts->part[TOKEN].data != NULL) {
        if (!copy_text(parts->part[TOKEN], claim->session, sizeof(claim->session)) ||
            parts->part[TOKEN].size == 0) {
            return refuse_incomplete(outcome, "X-Amz-Security-Token is empty or too long");
        }
        claim->session_bytes = parts->part[TOKEN].size;
    }
    return rc;
}

/* ---- Authorization ---- */

/* The one field of that name; NULL when there is none. -EACCES: there are two. */
static int one_field(const struct srv_sigv4_request *request, const char *name,
                     struct srv_sigv4_outcome *outcome, const struct srv_http_field **ret_field) {
    const struct srv_http_field *found =
        srv_http_field_find(request->fields, request->field_count, name, NULL);
    if (found != NULL &&
        srv_http_field_find(request->fields, request->field_count, name, found) != NULL) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "the header has two %s", name);
    }
    *ret_field = found;
    return 0;
}

static int need_parts(const struct parts *parts, const char *const names[static PARTS],
                      const char *who, struct srv_sigv4_outcome *outcome) {
    for (size_t i = 0; i < PARTS; i++) {
        if (names[i] != NULL && i != TOKEN && parts->part[i].data == NULL) {
            return srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "%s requires '%s' parameter.",
                                    who, names[i]);
        }
    }
    return 0;
}

/* -ENOENT: no such part. -EEXIST: it stands twice. */
static int set_part(struct parts *parts, const char *const names[static PARTS],
                    struct srv_http_text name, struct srv_http_text value) {
    for (size_t i = 0; i < PARTS; i++) {
        if (names[i] != NULL && text_is(name, names[i])) {
            if (parts->part[i].data != NULL) {
                return -EEXIST;
            }
            parts->part[i] = value;
            return 0;
        }
    }
    return -ENOENT;
}

static int read_authorization(struct srv_http_text value, struct parts *parts,
                              struct srv_sigv4_outcome *outcome) {
    static const char *const names[PARTS] = {
        [CREDENTIAL] = "Credential", [SIGNED_HEADERS] = "SignedHeaders", [SIGNATURE] = "Signature"};
    struct srv_http_text element;
    value = srv_http_trim(value);
    parts->part[ALGORITHM_NAME] = split(&value, ' ');
    int rc = read_algorithm(parts->part[ALGORITHM_NAME], outcome);
    while (rc == 0 && srv_http_list_next(&value, &element)) {
        struct srv_http_text name = split(&element, '=');
        if (set_part(parts, names, name, element) < 0) {
            rc = refuse_incomplete(outcome, "Authorization is not one Credential, one "
                                            "SignedHeaders and one Signature");
        }
    }
    return rc < 0 ? rc : need_parts(parts, names, "Authorization header", outcome);
}

/* botocore sends Date alone where its caller has set one. */
static int find_time(const struct srv_sigv4_request *request,
                     char room[static SRV_SIGV4_TIME_BYTES], struct parts *parts,
                     struct srv_sigv4_outcome *outcome) {
    const struct srv_http_field *time = NULL;
    const struct srv_http_field *date = NULL;
    int rc = one_field(request, "x-amz-date", outcome, &time);
    rc = rc < 0 ? rc : one_field(request, "date", outcome, &date);
    if (rc < 0) {
        return rc;
    }
    if (time == NULL && date == NULL) {
        return refuse_incomplete(outcome, "Authorization header requires existence of either a "
                                          "'X-Amz-Date' or a 'Date' header.");
    }
    parts->part[TIME] = time != NULL ? time->value : date->value;
    if (time == NULL && turn_http_date(date->value, room)) {
        parts->part[TIME] = (struct srv_http_text){room, SRV_SIGV4_TIME_BYTES - 1};
    }
    return 0;
}

static int read_header_form(const struct srv_sigv4_request *request, struct srv_http_text value,
                            struct srv_sigv4_claim *claim, struct srv_sigv4_outcome *outcome) {
    struct parts parts = {0};
    const struct srv_http_field *token = NULL;
    char time[SRV_SIGV4_TIME_BYTES];
    int rc = read_authorization(value, &parts, outcome);
    rc = rc < 0 ? rc : find_time(request, time, &parts, outcome);
    rc = rc < 0 ? rc : one_field(request, "x-amz-security-token", outcome, &token);
    if (rc < 0) {
        return rc;
    }
    parts.part[TOKEN] = token == NULL ? parts.part[TOKEN] : token->value;
    return read_parts(&parts, claim, outcome);
}

/* ---- query ---- */

static const char *const query_names[PARTS] = {
    [CREDENTIAL] = "X-Amz-Credential",
    [SIGNED_HEADERS] = "X-Amz-SignedHeaders",
    [SIGNATURE] = "X-Amz-Signature",
    [ALGORITHM_NAME] = "X-Amz-Algorithm",
    [TIME] = "X-Amz-Date",
    [EXPIRES] = "X-Amz-Expires",
    [TOKEN] = "X-Amz-Security-Token",
};

/* What makes a query one that is signed. */
static bool is_signed_query(const struct parts *parts) {
    return parts->part[ALGORITHM_NAME].data != NULL || parts->part[SIGNATURE].data != NULL ||
           parts->part[CREDENTIAL].data != NULL;
}

/* A value as the client meant it, in place. Its own '+' is a plus: tokens have some, and all other
 * parts refuse both. */
static bool decode_part(struct srv_http_text *value, char *room, size_t room_bytes) {
    struct kn_writer writer;
    kn_writer_init(&writer, room, room_bytes);
    srv_percent_decode(&writer, *value, false);
    *value = (struct srv_http_text){room, writer.size};
    return kn_writer_status(&writer) == 0;
}

/* Fields of the parts still point into the query. */
static int find_query_parts(struct srv_http_text query, struct parts *parts,
                            struct srv_sigv4_outcome *outcome) {
    struct srv_http_text name;
    struct srv_http_text value;
    char plain[32]; /* longer than any name */
    for (bool more = query.size > 0; more;) {
        more = srv_sigv4_query_take(&query, &name, &value);
        if (!decode_part(&name, plain, sizeof(plain))) {
            continue;
        }
        if (set_part(parts, query_names, name, value) == -EEXIST) {
            return refuse_incomplete(outcome, "a member of the query's signature stands twice");
        }
    }
    return 0;
}

bool srv_sigv4_query_is_signed(struct srv_http_text query) {
    struct parts parts = {0};
    struct srv_sigv4_outcome outcome;
    /* A part that stands twice is one that is there. */
    return find_query_parts(query, &parts, &outcome) < 0 || is_signed_query(&parts);
}

static int read_query_form(const struct parts *encoded, struct srv_sigv4_claim *claim,
                           struct srv_sigv4_outcome *outcome) {
    struct parts parts = *encoded;
    char short_room[PARTS][CREDENTIAL_BYTES];
    char list_room[sizeof(claim->signed_list)];
    char token_room[sizeof(claim->session)];
    int rc = need_parts(&parts, query_names, "AWS query-string authentication", outcome);
    for (size_t i = 0; i < PARTS && rc == 0; i++) {
        char *room = i == SIGNED_HEADERS ? list_room : i == TOKEN ? token_room : short_room[i];
        size_t bytes = i == SIGNED_HEADERS ? sizeof(list_room)
                       : i == TOKEN        ? sizeof(token_room)
                                           : sizeof(short_room[i]);
        if (parts.part[i].data != NULL && !decode_part(&parts.part[i], room, bytes)) {
            rc = srv_sigv4_refuse(outcome, SRV_AUTH_INCOMPLETE, "%s is too long", query_names[i]);
        }
    }
    return rc < 0 ? rc : read_parts(&parts, claim, outcome);
}

int srv_sigv4_read_claim(const struct srv_sigv4_request *request, struct srv_sigv4_claim *claim,
                         struct srv_sigv4_outcome *outcome) {
    struct parts parts = {0};
    const struct srv_http_field *authorization = NULL;
    claim->session_bytes = 0;
    claim->expires_s = 0;
    int rc = one_field(request, "authorization", outcome, &authorization);
    rc = rc < 0 ? rc : find_query_parts(request->query, &parts, outcome);
    if (rc < 0) {
        return rc;
    }
    bool query = is_signed_query(&parts);
    claim->form = authorization != NULL ? SRV_SIGV4_HEADER
                  : query               ? SRV_SIGV4_QUERY
                                        : SRV_SIGV4_NONE;
    outcome->form = claim->form;
    if (authorization != NULL && query) {
        return refuse_incomplete(outcome, "both an Authorization header and a signed query");
    }
    if (claim->form == SRV_SIGV4_NONE) {
        return srv_sigv4_refuse(outcome, SRV_AUTH_MISSING_TOKEN, "Missing Authentication Token");
    }
    return query ? read_query_form(&parts, claim, outcome)
                 : read_header_form(request, authorization->value, claim, outcome);
}
