#include "commands/ask.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "commands/command.h"
#include "commands/place.h"
#include "commands/tell.h"
#include "server/server.h"

struct srv_client *cmd_ask_open(const struct cmd_place *place, bool *ret_told) {
    struct srv_client *client = NULL;
    int rc = srv_client_open(place->data, &client);
    *ret_told = rc == -EACCES;
    if (rc == -EACCES) {
        fprintf(stderr,
                "kinora: a server runs on %s, as another user: be that user (sudo -u) or root\n",
                cmd_plain(place->data));
    }
    return rc == 0 ? client : NULL;
}

bool cmd_ask_in_the_way(const struct cmd_place *place, const char *instead) {
    bool told = false;
    struct srv_client *client = cmd_ask_open(place, &told);
    if (client == NULL) {
        return told;
    }
    srv_client_close(client);
    fprintf(stderr, "kinora: a server runs on %s: %s\n", cmd_plain(place->data), instead);
    return true;
}

int cmd_ask_plain(struct srv_client *client, const char *method, const char *path,
                  json_t **ret_answer) {
    int status = 0;
    int rc = srv_client_ask(client, method, path, NULL, &status, ret_answer);
    return rc == 0 ? status : rc;
}

int cmd_ask(struct srv_client *client, const char *method, const char *path, json_t *body,
            json_t **ret_answer) {
    int status = 0;
    if (body == NULL) {
        return -ENOMEM;
    }
    int rc = srv_client_ask(client, method, path, body, &status, ret_answer);
    json_decref(body);
    return rc == 0 ? status : rc;
}

int cmd_ask_refused(int status, const json_t *answer) {
    const char *message = json_string_value(json_object_get(answer, "message"));
    if (status < 0) {
        return cmd_refused("the server that runs on this store", status);
    }
    if (message != NULL) {
        fprintf(stderr, "kinora: the server says: %s\n", cmd_plain(message));
    } else {
        fprintf(stderr, "kinora: the server answers with status %d\n", status);
    }
    return EXIT_FAILED;
}

char *cmd_ask_path(const char *before, const char *name, const char *behind) {
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    char *path = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&path, &size);
    if (out == NULL) {
        return NULL;
    }
    bool dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0; /* they would climb */
    (void)fputs(before, out);
    for (const char *at = name; *at != '\0'; at++) {
        if (strchr(plain, *at) != NULL && !dots) {
            (void)fputc(*at, out);
        } else {
            (void)fprintf(out, "%%%02X", (unsigned char)*at);
        }
    }
    (void)fputs(behind, out);
    if (fclose(out) != 0) { /* of memory, where writing fails without it */
        free(path);
        return NULL;
    }
    return path;
}

json_t *cmd_ask_time(struct kn_wall when) {
    char text[KN_WALL_TEXT_BYTES], whole[KN_WALL_TEXT_BYTES + 16];
    int64_t ns = (when.ns % KN_NS_PER_S + KN_NS_PER_S) % KN_NS_PER_S;
    (void)kn_wall_format(when, text);
    text[strcspn(text, ".Z")] = '\0';
    (void)snprintf(whole, sizeof(whole), "%s.%09" PRId64 "Z", text, ns); /* fits */
    return json_string(whole);
}
