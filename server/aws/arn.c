/* ARNs of ours: made, and taken apart. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "server/aws/inner.h"

#define REGION_DEFAULT "us-east-1"

uint64_t srv_aws_created_ms(struct kn_wall created) {
    return created.ns < 0 ? 0 : (uint64_t)(created.ns / KN_NS_PER_MS);
}

void srv_aws_arn(struct srv_exchange *exchange, const char *kind, const char *name,
                 struct kn_wall created, char arn[static SRV_AWS_ARN_BYTES]) {
    const char *region = srv_exchange_region(exchange);
    const struct srv_config *config = srv_world_config(srv_exchange_world(exchange));
    (void)snprintf(arn, SRV_AWS_ARN_BYTES, "arn:aws:kinesisvideo:%s:%s:%s/%s/%" PRIu64,
                   region[0] != '\0' ? region : REGION_DEFAULT, config->aws.account, kind, name,
                   srv_aws_created_ms(created)); /* fits by their sizes */
    srv_config_unref(config);
}

/* The text before `end` into `room`; moves behind it. False: there is no `end`, or no room. */
static bool take(const char **text, char end, char *room, size_t room_bytes) {
    const char *at = strchr(*text, end);
    if (at == NULL || at == *text || (size_t)(at - *text) >= room_bytes) {
        return false;
    }
    size_t size = (size_t)(at - *text);
    memcpy(room, *text, size);
    room[size] = '\0';
    *text = at + 1;
    return true;
}

/* Digits to the end. */
static bool take_number(const char *text, uint64_t *ret_number) {
    uint64_t number = 0;
    if (*text == '\0') {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > (UINT64_MAX - 9) / 10) {
            return false;
        }
        number = number * 10 + (uint64_t)(*text - '0');
    }
    *ret_number = number;
    return true;
}

int srv_aws_arn_read(const char *arn, struct srv_aws_named *ret_named) {
    struct srv_aws_named named;
    char word[64], partition[64], service[64], region[64];
    if (!take(&arn, ':', word, sizeof(word)) || strcmp(word, "arn") != 0 ||
        !take(&arn, ':', partition, sizeof(partition)) ||
        !take(&arn, ':', service, sizeof(service)) || strcmp(service, "kinesisvideo") != 0 ||
        !take(&arn, ':', region, sizeof(region)) ||
        !take(&arn, ':', named.account, sizeof(named.account)) ||
        !take(&arn, '/', named.kind, sizeof(named.kind)) ||
        !take(&arn, '/', named.name, sizeof(named.name)) || !take_number(arn, &named.created_ms)) {
        return KN_E_MALFORMED;
    }
    *ret_named = named;
    return 0;
}
