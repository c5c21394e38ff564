#include "fragments/report_inner.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

/* ---- values ---- */

const char *frag_report_time_text(struct kn_wall wall, char text[static FRAG_REPORT_TIME_BYTES]) {
    char fraction[16];
    int64_t ns = wall.ns % KN_NS_PER_S;
    ns += ns < 0 ? KN_NS_PER_S : 0;
    (void)snprintf(fraction, sizeof(fraction), ".%09" PRId64, ns);
    for (size_t size = strlen(fraction); fraction[size - 1] == '0'; size--) {
        fraction[size - 1] = '\0';
    }
    (void)kn_wall_format(wall, text);
    char *point = strchr(text, '.'); /* behind the seconds, always */
    (void)snprintf(point, FRAG_REPORT_TIME_BYTES - (size_t)(point - text), "%sZ",
                   ns == 0 ? "" : fraction);
    return text;
}

const char *frag_report_id_text(const uint8_t id[static FRAG_ID_BYTES],
                                char text[static FRAG_REPORT_ID_BYTES]) {
    for (size_t i = 0; i < FRAG_ID_BYTES; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", id[i]);
    }
    return text;
}

const char *frag_report_plain(const char *text, char *room, size_t room_bytes) {
    return kn_text_plain(text, SIZE_MAX, room, room_bytes);
}

json_t *frag_report_time(struct kn_wall wall) {
    char text[FRAG_REPORT_TIME_BYTES];
    return json_string(frag_report_time_text(wall, text));
}

json_t *frag_report_id(const uint8_t id[static FRAG_ID_BYTES]) {
    char text[FRAG_REPORT_ID_BYTES];
    return json_string(frag_report_id_text(id, text));
}

json_t *frag_report_wide(uint64_t value) {
    return json_sprintf("%" PRIu64, value);
}

/* ---- rows ---- */

/* ASCII alone, so that no terminal finds a control character in it either. */
static int put_json(struct frag_report *report, json_t *value) {
    if (value == NULL) {
        return -ENOMEM;
    }
    errno = 0;
    int rc = json_dumpf(value, report->out, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_decref(value);
    return rc == 0 ? 0 : ferror(report->out) ? FRAG_REPORT_UNREAD : -ENOMEM;
}

void frag_report_begin(struct frag_report *report, const char *list) {
    report->rows = 0;
    if (report->json) {
        (void)fprintf(report->out, "{\"%s\":[", list); /* ferror tells */
    }
}

int frag_report_row(struct frag_report *report, json_t *row) {
    (void)fputs(report->rows++ == 0 ? "\n" : ",\n", report->out); /* ferror tells */
    return put_json(report, row);
}

int frag_report_printed(struct frag_report *report) {
    report->rows++;
    return ferror(report->out) ? FRAG_REPORT_UNREAD : 0;
}

int frag_report_end(struct frag_report *report, json_t *summary, int rc) {
    if (report->json && rc == 0) {
        (void)fputs("\n]", report->out);
        if (summary != NULL) {
            (void)fputs(",\"summary\":", report->out);
            rc = put_json(report, json_incref(summary));
        }
        (void)fputs("}\n", report->out);
    }
    json_decref(summary);
    return rc == FRAG_REPORT_UNREAD ? 0 : rc;
}
