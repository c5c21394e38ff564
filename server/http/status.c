/* Words of a response that do not depend on it. */
#include <string.h>

#include "server/http/response.h"

/* RFC 9110 15, 429 and 431 of RFC 6585. */
static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *srv_http_status_phrase(int status) {
    for (size_t i = 0; i < KN_COUNT(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

/* RFC 9110 5.6.7, rearranged from "2026-11-21T01:46:56.123Z": the calendar is base/time's. */
const char *srv_http_date_format(struct kn_wall wall, char text[static SRV_HTTP_DATE_BYTES]) {
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char form[SRV_HTTP_DATE_BYTES] = "Day, 00 Mon 0000 00:00:00 GMT";
    char rfc3339[KN_WALL_TEXT_BYTES];
    KN_ASSERT(wall.ns >= 0);
    (void)kn_wall_format(wall, rfc3339);
    int64_t day = wall.ns / (86400 * KN_NS_PER_S); /* the first one was a Thursday */
    size_t month = (size_t)(rfc3339[5] - '0') * 10 + (size_t)(rfc3339[6] - '0') - 1;
    memcpy(text, form, sizeof(form));
    memcpy(text, days + (size_t)((day + 4) % 7) * 3, 3);
    memcpy(text + 5, rfc3339 + 8, 2);
    memcpy(text + 8, months + month * 3, 3);
    memcpy(text + 12, rfc3339, 4);
    memcpy(text + 17, rfc3339 + 11, 8);
    return text;
}
