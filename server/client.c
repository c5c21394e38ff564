/* The client of a running server: libcurl over its unix socket. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "base/error.h"
#include "server/json/json.h"
#include "server/server.h"

#define TIMEOUT_S 60L
#define ANSWER_MAX ((size_t)16 << 20)

struct srv_client {
    CURL *curl;
    struct curl_slist *header;
    char socket[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
};

/* What comes back. */
struct answer {
    char *text;
    size_t size, room;
    int problem; /* why no more of it was taken; 0 */
};

/* ---- opening ---- */

/* curl tells only that it could not connect; why, decides what a command does then. */
static int try_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)memcpy(address.sun_path, path, strlen(path) + 1); /* of this size */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int rc = connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
    (void)close(fd); /* nothing was written to it */
    return rc;
}

static int prepare(struct srv_client *client) {
    client->curl = curl_easy_init();
    client->header = curl_slist_append(NULL, "Content-Type: application/json");
    return client->curl == NULL || client->header == NULL ? -ENOMEM : 0;
}

int srv_client_open(const char *data, struct srv_client **ret_client) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return -ENOMEM;
    }
    struct srv_client *client = calloc(1, sizeof(*client));
    int rc = client == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        int size = snprintf(client->socket, sizeof(client->socket), "%s/" SRV_SOCKET_NAME, data);
        rc = size < 0 || (size_t)size >= sizeof(client->socket) ? -ENAMETOOLONG : 0;
    }
    if (rc == 0) {
        rc = try_socket(client->socket);
    }
    if (rc == 0) {
        rc = prepare(client);
    }
    if (rc == 0) {
        *ret_client = client;
        return 0;
    }
    if (client == NULL) {
        curl_global_cleanup();
    }
    srv_client_close(client);
    return rc;
}

void srv_client_close(struct srv_client *client) {
    if (client == NULL) {
        return;
    }
    curl_easy_cleanup(client->curl);
    curl_slist_free_all(client->header);
    free(client);
    curl_global_cleanup();
}

/* ---- asking ---- */

/* A short answer to curl ends the transfer. */
static size_t take(char *data, size_t one, size_t size, void *user) {
    struct answer *answer = user;
    (void)one; /* always 1 */
    if (size > ANSWER_MAX - answer->size) {
        answer->problem = KN_E_LIMIT;
        return 0;
    }
    if (answer->size + size > answer->room) {
        size_t room = 2 * (answer->size + size);
        char *text = realloc(answer->text, room);
        if (text == NULL) {
            answer->problem = -ENOMEM;
            return 0;
        }
        answer->text = text;
        answer->room = room;
    }
    if (size > 0) {
        (void)memcpy(answer->text + answer->size, data, size);
    }
    answer->size += size;
    return size;
}

static int error_of(CURLcode code, const struct answer *answer) {
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_WRITE_ERROR:
        return answer->problem != 0 ? answer->problem : -EIO;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    default:
        return -ECONNRESET; /* it went away, or speaks something else */
    }
}

/* curl's setters fail without memory alone: these options are all known to the version that
 * meson.build asks for. */
static int set_up(struct srv_client *client, const char *method, const char *url, const char *body,
                  struct answer *answer) {
    CURL *curl = client->curl;
    curl_easy_reset(curl);
    bool fine = curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_URL, url) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http") == CURLE_OK &&
                /* Whatever http_proxy says. */
                curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take) == CURLE_OK &&
                curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer) == CURLE_OK;
    if (fine && body != NULL) {
        fine = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->header) == CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body)) ==
                   CURLE_OK &&
               curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body) == CURLE_OK;
    }
    /* Behind the body, which would make it a POST. */
    fine = fine && curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
    return fine ? 0 : -ENOMEM;
}

/* A type that is none of JSON's leaves the answer NULL. */
static int read_answer(CURL *curl, const struct answer *answer, json_t **ret_answer) {
    static const char json[] = "application/json";
    char problem[SRV_JSON_PROBLEM_BYTES];
    const char *type = NULL;
    if (curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK || type == NULL ||
        strncasecmp(type, json, sizeof(json) - 1) != 0 || answer->size == 0) {
        *ret_answer = NULL;
        return 0;
    }
    return srv_json_parse(answer->text, answer->size, ret_answer, problem);
}

static int perform(struct srv_client *client, const struct answer *answer, int *ret_status,
                   json_t **ret_answer) {
    long status = 0;
    int rc = error_of(curl_easy_perform(client->curl), answer);
    if (rc == 0 && curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK) {
        rc = -EIO;
    }
    if (rc == 0) {
        rc = read_answer(client->curl, answer, ret_answer);
    }
    if (rc == 0) {
        *ret_status = (int)status;
    }
    return rc;
}

int srv_client_ask(struct srv_client *client, const char *method, const char *path,
                   const json_t *body, int *ret_status, json_t **ret_answer) {
    struct answer answer = {0};
    char *url = NULL, *text = NULL;
    int rc = asprintf(&url, "http://localhost%s", path) < 0 ? -ENOMEM : 0;
    if (rc != 0) {
        return rc;
    }
    if (body != NULL) {
        text = json_dumps(body, JSON_COMPACT);
        rc = text == NULL ? -ENOMEM : 0;
    }
    if (rc == 0) {
        rc = set_up(client, method, url, text, &answer);
    }
    if (rc == 0) {
        rc = perform(client, &answer, ret_status, ret_answer);
    }
    if (text != NULL) {
        srv_wipe(text, strlen(text)); /* passwords may be in it */
    }
    if (answer.text != NULL) {
        srv_wipe(answer.text, answer.size); /* and secrets in this */
    }
    free(answer.text);
    free(text);
    free(url);
    return rc;
}
