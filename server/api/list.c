/* Lists that come in parts. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/error.h"
#include "server/api/api_inner.h"

bool srv_api_number(const char **text, uint64_t *ret_number) {
    const char *at = *text;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(number, UINT64_C(10), &number) ||
            __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number)) {
            return false;
        }
    }
    if (at == *text) {
        return false;
    }
    *text = at;
    *ret_number = number;
    return true;
}

static bool read_limit(const char *text, size_t *ret_limit) {
    uint64_t limit = 0;
    if (!srv_api_number(&text, &limit) || *text != '\0' || limit == 0 || limit > SRV_API_LIST_MAX) {
        return false;
    }
    *ret_limit = (size_t)limit;
    return true;
}

static bool ask_limit(struct srv_exchange *exchange, size_t *ret_limit) {
    char text[16];
    int rc = srv_exchange_query(exchange, "limit", text, sizeof(text));
    if (rc == -ENOENT) {
        *ret_limit = SRV_API_LIST_DEFAULT;
        return true;
    }
    if (rc < 0 || !read_limit(text, ret_limit)) {
        srv_answer_error(exchange, 400, SRV_API_INVALID, "limit: once, a whole number from 1 to %u",
                         SRV_API_LIST_MAX);
        return false;
    }
    return true;
}

static void refuse_after(struct srv_exchange *exchange) {
    srv_answer_error(exchange, 400, SRV_API_INVALID,
                     "after: once, what an answer's \"next\" was, as it was");
}

bool srv_api_list_begin(struct srv_exchange *exchange, struct srv_api_list *list) {
    *list = (struct srv_api_list){0};
    if (!ask_limit(exchange, &list->limit)) {
        return false;
    }
    int rc = srv_exchange_query(exchange, "after", list->after, sizeof(list->after));
    if (rc == -ENOENT) {
        list->after[0] = '\0';
    } else if (rc < 0) {
        refuse_after(exchange);
        return false;
    }
    list->rows = json_array();
    if (list->rows == NULL) {
        srv_answer_failure(exchange, -ENOMEM, "listing");
        return false;
    }
    return true;
}

bool srv_api_list_full(struct srv_api_list *list) {
    list->more = json_array_size(list->rows) >= list->limit;
    return list->more;
}

int srv_api_list_add(struct srv_api_list *list, json_t *row, const char *format, ...) {
    va_list values;
    if (row == NULL || json_array_append_new(list->rows, row) < 0) {
        return -ENOMEM;
    }
    va_start(values, format);
    /* Positions are names, ids and numbers, for which the room is enough. */
    (void)vsnprintf(list->next, sizeof(list->next), format, values);
    va_end(values);
    return 0;
}

void srv_api_list_answer_with(struct srv_exchange *exchange, struct srv_api_list *list,
                              const char *name, json_t *other, int error) {
    if (error < 0 && !list->more) {
        json_decref(other);
        json_decref(list->rows);
        srv_answer_failure(exchange, error, "listing");
        return;
    }
    /* These take the reference whatever they answer. */
    bool whole = json_object_set_new(other, name, list->rows) == 0;
    json_t *next = list->more ? json_string(list->next) : json_null();
    whole = json_object_set_new(other, "next", next) == 0 && whole;
    if (!whole) {
        json_decref(other);
        other = NULL;
    }
    srv_answer_json(exchange, 200, other);
}

void srv_api_list_answer(struct srv_exchange *exchange, struct srv_api_list *list, const char *name,
                         int error) {
    srv_api_list_answer_with(exchange, list, name, json_object(), error);
}

void srv_api_list_refuse(struct srv_exchange *exchange, struct srv_api_list *list) {
    json_decref(list->rows);
    refuse_after(exchange);
}
