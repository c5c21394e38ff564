#include "tests/unit/server_api_world.h"

#include <math.h>

#include "server/aws/aws.h"
#include "server/aws/documents.h"
#include "server/aws/inner.h"

/* ---- asking ---- */

static const struct told *aws_ask(struct api *api, const struct srv_principal *as,
                                  const char *operation, const char *format, va_list arguments)
    KN_PRINTF(4, 0);
static const struct told *aws_ask(struct api *api, const struct srv_principal *as,
                                  const char *operation, const char *format, va_list arguments) {
    char body[4096], route[96];
    (void)vsnprintf(body, sizeof(body), format, arguments);
    (void)snprintf(route, sizeof(route), "AWS.%s", operation);
    struct fake_exchange_config config = {.world = &api->world,
                                          .principal = as,
                                          .region = "eu-central-1",
                                          .base_url = "https://cams.example",
                                          .body = api_body(body)};
    api_forget();
    struct srv_exchange *exchange = fake_exchange_create(&config);
    json_decref(config.body);
    fake_exchange_handle(exchange, &srv_aws_control_routes, route);
    const char *text = fake_exchange_text(exchange);
    api_told.status = fake_exchange_status(exchange);
    (void)snprintf(api_told.text, sizeof(api_told.text), "%s", text);
    (void)snprintf(api_told.type, sizeof(api_told.type), "%s", fake_exchange_type(exchange));
    (void)snprintf(api_told.fields, sizeof(api_told.fields), "%s", fake_exchange_fields(exchange));
    if (strcmp(api_told.type, "application/json") == 0) {
        api_told.json = json_loads(text, 0, NULL);
        assert_non_null(api_told.json);
    }
    fake_exchange_destroy(exchange);
    assert_non_null(strstr(api_told.fields, "x-amzn-RequestId: "));
    return &api_told;
}

/* By the one who may do everything. */
static const json_t *done(struct api *api, const char *operation, const char *format, ...)
    KN_PRINTF(3, 4);
static const json_t *done(struct api *api, const char *operation, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const struct told *told = aws_ask(api, &api->admin, operation, format, arguments);
    va_end(arguments);
    if (told->status != 200) {
        print_message("# %s: %d %s %s\n", operation, told->status, told->type, told->text);
    }
    assert_int_equal(told->status, 200);
    return told->json;
}

static void refused_for(struct api *api, const struct srv_principal *as, const char *code,
                        const char *operation, const char *format, ...) KN_PRINTF(5, 6);
static void refused_for(struct api *api, const struct srv_principal *as, const char *code,
                        const char *operation, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const struct told *told = aws_ask(api, as, operation, format, arguments);
    va_end(arguments);
    if (strcmp(told->type, code) != 0) {
        print_message("# %s: %d %s %s\n", operation, told->status, told->type, told->text);
    }
    assert_string_equal(told->type, code);
    int status = strcmp(code, "AccessDeniedException") == 0  ? 401
                 : strstr(code, "NotFoundException") != NULL ? 404
                                                             : 400;
    assert_int_equal(told->status, status);
}

#define refused(api, code, ...) refused_for((api), &(api)->admin, (code), __VA_ARGS__)

static const json_t *at(const json_t *value, const char *name) {
    const json_t *found = json_object_get(value, name);
    assert_non_null(found);
    return found;
}

static const char *text_at(const json_t *value, const char *name) {
    const char *text = json_string_value(at(value, name));
    assert_non_null(text);
    return text;
}

static long long whole_at(const json_t *value, const char *name) {
    assert_true(json_is_integer(at(value, name)));
    return json_integer_value(at(value, name));
}

/* Copies outlive the answer they are from. */
struct copied {
    char arn[SRV_AWS_ARN_BYTES];
    char version[80];
};

static struct copied stream_of(struct api *api, const char *name) {
    struct copied copied;
    const json_t *info = at(done(api, "DescribeStream", "{'StreamName':'%s'}", name), "StreamInfo");
    (void)snprintf(copied.arn, sizeof(copied.arn), "%s", text_at(info, "StreamARN"));
    (void)snprintf(copied.version, sizeof(copied.version), "%s", text_at(info, "Version"));
    return copied;
}

static struct copied make_stream(struct api *api, const char *name, unsigned hours) {
    done(api, "CreateStream", "{'StreamName':'%s','DataRetentionInHours':%u}", name, hours);
    return stream_of(api, name);
}

static struct copied channel_of(struct api *api, const char *name) {
    struct copied copied;
    const json_t *info =
        at(done(api, "DescribeSignalingChannel", "{'ChannelName':'%s'}", name), "ChannelInfo");
    (void)snprintf(copied.arn, sizeof(copied.arn), "%s", text_at(info, "ChannelARN"));
    (void)snprintf(copied.version, sizeof(copied.version), "%s", text_at(info, "Version"));
    return copied;
}

static struct copied make_channel(struct api *api, const char *name) {
    done(api, "CreateSignalingChannel", "{'ChannelName':'%s'}", name);
    return channel_of(api, name);
}

static void tick(struct api *api) {
    fake_clock_advance(&api->store->clock, KN_NS_PER_S);
}

/* ---- streams ---- */

static void test_a_stream_from_its_beginning_to_its_end(void **state) {
    struct api *api = *state;
    refused(api, "ResourceNotFoundException", "DescribeStream", "{'StreamName':'cam'}");
    const json_t *made =
        done(api, "CreateStream",
             "{'StreamName':'cam','DeviceName':'d','MediaType':'video/h264','KmsKeyId':'my-key',"
             "'Tags':{'a':'b'},'StreamStorageConfiguration':{'DefaultStorageTier':'WARM'}}");
    char arn[SRV_AWS_ARN_BYTES];
    (void)snprintf(arn, sizeof(arn), "%s", text_at(made, "StreamARN"));
    assert_string_equal(arn,
                        "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/cam/1795209820000");
    const json_t *info = at(done(api, "DescribeStream", "{'StreamARN':'%s'}", arn), "StreamInfo");
    assert_string_equal(text_at(info, "StreamName"), "cam");
    assert_string_equal(text_at(info, "DeviceName"), "d");
    assert_string_equal(text_at(info, "MediaType"), "video/h264");
    assert_string_equal(text_at(info, "KmsKeyId"), "my-key");
    assert_string_equal(text_at(info, "Status"), "ACTIVE");
    assert_string_equal(text_at(info, "StreamARN"), arn);
    assert_int_equal(whole_at(info, "DataRetentionInHours"), 0);
    assert_true(json_real_value(at(info, "CreationTime")) == 1795209820.0);
    assert_int_equal(strlen(text_at(info, "Version")), 20);
    const json_t *tier = done(api, "DescribeStreamStorageConfiguration", "{'StreamName':'cam'}");
    assert_string_equal(text_at(at(tier, "StreamStorageConfiguration"), "DefaultStorageTier"),
                        "WARM");
    refused(api, "ResourceInUseException", "CreateStream", "{'StreamName':'cam'}");
    refused(api, "VersionMismatchException", "DeleteStream",
            "{'StreamARN':'%s','CurrentVersion':'other'}", arn);
    assert_int_equal(json_object_size(done(api, "DeleteStream", "{'StreamARN':'%s'}", arn)), 0);
    refused(api, "ResourceNotFoundException", "DescribeStream", "{'StreamARN':'%s'}", arn);
}

static void test_what_was_not_said_is_null_or_aws_default(void **state) {
    struct api *api = *state;
    done(api, "CreateStream", "{'StreamName':'cam'}");
    const json_t *info = at(done(api, "DescribeStream", "{'StreamName':'cam'}"), "StreamInfo");
    assert_true(json_is_null(at(info, "DeviceName")));
    assert_true(json_is_null(at(info, "MediaType")));
    assert_string_equal(text_at(info, "KmsKeyId"),
                        "arn:aws:kms:eu-central-1:000000000000:alias/aws/kinesisvideo");
    const json_t *tier = done(api, "DescribeStreamStorageConfiguration", "{'StreamName':'cam'}");
    assert_string_equal(text_at(at(tier, "StreamStorageConfiguration"), "DefaultStorageTier"),
                        "HOT");
    assert_true(
        json_is_null(at(done(api, "DescribeNotificationConfiguration", "{'StreamName':'cam'}"),
                        "NotificationConfiguration")));
    assert_true(
        json_is_null(at(done(api, "DescribeImageGenerationConfiguration", "{'StreamName':'cam'}"),
                        "ImageGenerationConfiguration")));
}

static void test_names_and_arns_mean_one_stream(void **state) {
    struct api *api = *state;
    struct copied cam = make_stream(api, "cam", 1);
    (void)make_stream(api, "gate", 1);
    refused(api, "InvalidArgumentException", "DescribeStream", "{}");
    refused(api, "InvalidArgumentException", "DescribeStream",
            "{'StreamName':'gate','StreamARN':'%s'}", cam.arn);
    done(api, "DescribeStream", "{'StreamName':'cam','StreamARN':'%s'}", cam.arn);
    /* Another region is ours, another account or moment is not. */
    done(api, "DescribeStream",
         "{'StreamARN':'arn:aws:kinesisvideo:x-1:000000000000:stream/cam/1795209820000'}");
    static const char *const foreign[] = {
        "arn:aws:kinesisvideo:eu-central-1:123456789012:stream/cam/1795209820000",
        "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/cam/1795209820001",
        "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/dog/1795209820000",
    };
    for (size_t i = 0; i < KN_COUNT(foreign); i++) {
        refused(api, "ResourceNotFoundException", "DescribeStream", "{'StreamARN':'%s'}",
                foreign[i]);
    }
    static const char *const none[] = {
        "arn:aws:kinesisvideo:eu-central-1:000000000000:channel/cam/1795209820000",
        "arn:aws:kinesisvideo:eu-central-1:0000000000001:stream/cam/1795209820000",
        "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/cam/99999999999999999999",
    };
    for (size_t i = 0; i < KN_COUNT(none); i++) {
        refused(api, "InvalidArgumentException", "DescribeStream", "{'StreamARN':'%s'}", none[i]);
    }
    refused(api, "ValidationException", "DescribeStream", "{'StreamARN':'x'}");
    refused(api, "SerializationException", "DescribeStream", "{'StreamName':['cam']}");
    /* Made anew, the old ARN is not it. */
    done(api, "DeleteStream", "{'StreamARN':'%s'}", cam.arn);
    tick(api);
    (void)make_stream(api, "cam", 1);
    refused(api, "ResourceNotFoundException", "DescribeStream", "{'StreamARN':'%s'}", cam.arn);
}

static void test_updates_need_the_version(void **state) {
    struct api *api = *state;
    struct copied was = make_stream(api, "cam", 1);
    refused(api, "ValidationException", "UpdateStream", "{'StreamName':'cam'}");
    refused(api, "VersionMismatchException", "UpdateStream",
            "{'StreamName':'cam','CurrentVersion':'x','DeviceName':'d'}");
    done(api, "UpdateStream",
         "{'StreamARN':'%s','CurrentVersion':'%s','DeviceName':'d','MediaType':'video/h265'}",
         was.arn, was.version);
    struct copied is = stream_of(api, "cam");
    assert_string_not_equal(is.version, was.version);
    assert_string_equal(text_at(at(api_told.json, "StreamInfo"), "DeviceName"), "d");
    done(api, "UpdateStream", "{'StreamName':'cam','CurrentVersion':'%s','DeviceName':'e'}",
         is.version);
    is = stream_of(api, "cam");
    assert_string_equal(text_at(at(api_told.json, "StreamInfo"), "MediaType"), "video/h265");
    refused(api, "VersionMismatchException", "UpdateStreamStorageConfiguration",
            "{'StreamName':'cam','CurrentVersion':'%s',"
            "'StreamStorageConfiguration':{'DefaultStorageTier':'WARM'}}",
            was.version);
    done(api, "UpdateStreamStorageConfiguration",
         "{'StreamName':'cam','CurrentVersion':'%s',"
         "'StreamStorageConfiguration':{'DefaultStorageTier':'WARM'}}",
         is.version);
    const json_t *tier = done(api, "DescribeStreamStorageConfiguration", "{'StreamName':'cam'}");
    assert_string_equal(text_at(at(tier, "StreamStorageConfiguration"), "DefaultStorageTier"),
                        "WARM");
    assert_string_not_equal(stream_of(api, "cam").version, is.version);
}

static long long change(struct api *api, const char *how, unsigned hours) {
    struct copied cam = stream_of(api, "cam");
    done(api, "UpdateDataRetention",
         "{'StreamName':'cam','CurrentVersion':'%s','Operation':'%s_DATA_RETENTION',"
         "'DataRetentionChangeInHours':%u}",
         cam.version, how, hours);
    (void)stream_of(api, "cam");
    return whole_at(at(api_told.json, "StreamInfo"), "DataRetentionInHours");
}

static void test_retention_changes_by_a_delta(void **state) {
    struct api *api = *state;
    struct copied cam = make_stream(api, "cam", 24);
    assert_int_equal(change(api, "INCREASE", 24), 48);
    assert_int_equal(change(api, "DECREASE", 47), 1);
    assert_int_equal(change(api, "DECREASE", 1), 0);
    assert_int_equal(change(api, "INCREASE", 87600), 87600);
    refused(api, "VersionMismatchException", "UpdateDataRetention",
            "{'StreamName':'cam','CurrentVersion':'%s','Operation':'DECREASE_DATA_RETENTION',"
            "'DataRetentionChangeInHours':90000}",
            cam.version);
    cam = stream_of(api, "cam");
    refused(api, "InvalidArgumentException", "UpdateDataRetention",
            "{'StreamName':'cam','CurrentVersion':'%s','Operation':'INCREASE_DATA_RETENTION',"
            "'DataRetentionChangeInHours':1}",
            cam.version);
    refused(api, "InvalidArgumentException", "UpdateDataRetention",
            "{'StreamName':'cam','CurrentVersion':'%s','Operation':'DECREASE_DATA_RETENTION',"
            "'DataRetentionChangeInHours':2147483647}",
            cam.version);
    refused(api, "InvalidArgumentException", "CreateStream",
            "{'StreamName':'long','DataRetentionInHours':87601}");
}

/* Of streams that others made: by the minute, and for ever. */
static void test_retention_is_told_in_hours(void **state) {
    struct api *api = *state;
    struct frag_stream_settings settings = frag_stream_settings_defaults();
    static const struct {
        int64_t ns;
        long long hours;
    } kept[] = {{0, 0},
                {1, 1},
                {3600 * KN_NS_PER_S, 1},
                {5400 * KN_NS_PER_S, 2},
                {FRAG_RETAIN_FOREVER, 87600}};
    for (size_t i = 0; i < KN_COUNT(kept); i++) {
        settings.retention_ns = kept[i].ns;
        assert_int_equal(srv_aws_retention_hours(&settings), kept[i].hours);
    }
    (void)api;
}

/* ---- lists ---- */

static size_t walk(struct api *api, const struct srv_principal *as, const char *operation,
                   const char *member, unsigned most, const char *more) {
    char body[2048], token[1100] = "";
    size_t count = 0;
    for (unsigned pages = 0; pages < 100; pages++) {
        (void)snprintf(body, sizeof(body), "{'MaxResults':%u,%s'NextToken':'%s'}", most, more,
                       token);
        struct fake_exchange_config config = {
            .world = &api->world, .principal = as, .body = api_body(body)};
        struct srv_exchange *exchange = fake_exchange_create(&config);
        json_decref(config.body);
        fake_exchange_handle(exchange, &srv_aws_control_routes, operation);
        assert_int_equal(fake_exchange_status(exchange), 200);
        json_t *told = json_loads(fake_exchange_text(exchange), 0, NULL);
        fake_exchange_destroy(exchange);
        size_t rows = json_array_size(at(told, member));
        assert_true(rows <= most);
        count += rows;
        const char *next = json_string_value(json_object_get(told, "NextToken"));
        (void)snprintf(token, sizeof(token), "%s", next == NULL ? "" : next);
        json_decref(told);
        if (token[0] == '\0') {
            return count;
        }
        assert_int_equal(rows, most);
        assert_true(strlen(token) <= 512);
    }
    fail_msg("the list has no end");
    return 0;
}

static void test_streams_are_listed_in_pages(void **state) {
    struct api *api = *state;
    char name[FRAG_STREAM_NAME_BYTES];
    memset(name, 'z', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    static const char *const names[] = {"a", "cam", "cam-1", "cam-2", "door", "door-2", "e"};
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        (void)make_stream(api, names[i], 1);
    }
    (void)make_stream(api, name, 1);
    for (unsigned most = 1; most < 10; most++) {
        assert_int_equal(walk(api, &api->admin, "AWS.ListStreams", "StreamInfoList", most, ""), 8);
        assert_int_equal(walk(api, &api->viewer, "AWS.ListStreams", "StreamInfoList", most, ""), 2);
        assert_int_equal(walk(api, &api->admin, "AWS.ListStreams", "StreamInfoList", most,
                              "'StreamNameCondition':{'ComparisonOperator':'BEGINS_WITH',"
                              "'ComparisonValue':'cam'},"),
                         3);
    }
    assert_int_equal(json_array_size(at(done(api, "ListStreams", "{}"), "StreamInfoList")), 8);
    assert_null(json_object_get(api_told.json, "NextToken"));
    static const char *const wrong[] = {"6", "00", "zz", "6g", "A1"};
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        refused(api, "InvalidArgumentException", "ListStreams", "{'NextToken':'%s'}", wrong[i]);
    }
}

static void test_channels_are_listed_in_pages(void **state) {
    struct api *api = *state;
    static const char *const names[] = {"a", "cam", "cam-1", "cam-2", "door", "door-2"};
    assert_int_equal(
        json_array_size(at(done(api, "ListSignalingChannels", "{}"), "ChannelInfoList")), 0);
    for (size_t i = 0; i < KN_COUNT(names); i++) {
        (void)make_channel(api, names[i]);
    }
    for (unsigned most = 1; most < 8; most++) {
        assert_int_equal(
            walk(api, &api->admin, "AWS.ListSignalingChannels", "ChannelInfoList", most, ""), 6);
        assert_int_equal(
            walk(api, &api->viewer, "AWS.ListSignalingChannels", "ChannelInfoList", most, ""), 2);
        assert_int_equal(walk(api, &api->admin, "AWS.ListSignalingChannels", "ChannelInfoList",
                              most, "'ChannelNameCondition':{'ComparisonValue':'cam'},"),
                         3);
    }
}

/* ---- tags ---- */

static void test_tags_in_both_styles(void **state) {
    struct api *api = *state;
    struct copied cam = make_stream(api, "cam", 0);
    struct copied channel = make_channel(api, "cam");
    done(api, "TagStream", "{'StreamName':'cam','Tags':{'a':'1','b':''}}");
    done(api, "TagResource", "{'ResourceARN':'%s','Tags':[{'Key':'b','Value':'2'}]}", cam.arn);
    const json_t *tags = at(done(api, "ListTagsForStream", "{'StreamARN':'%s'}", cam.arn), "Tags");
    assert_int_equal(json_object_size(tags), 2);
    assert_string_equal(text_at(tags, "b"), "2");
    done(api, "UntagStream", "{'StreamName':'cam','TagKeyList':['a','nothing']}");
    tags = at(done(api, "ListTagsForResource", "{'ResourceARN':'%s'}", cam.arn), "Tags");
    assert_int_equal(json_object_size(tags), 1);
    done(api, "UntagResource", "{'ResourceARN':'%s','TagKeyList':['b']}", cam.arn);
    tags = at(done(api, "ListTagsForStream", "{'StreamName':'cam'}"), "Tags");
    assert_int_equal(json_object_size(tags), 0);

    done(api, "TagResource",
         "{'ResourceARN':'%s','Tags':[{'Key':'x','Value':'1'},{'Key':'x','Value':'2'},"
         "{'Key':'y','Value':''}]}",
         channel.arn);
    tags = at(done(api, "ListTagsForResource", "{'ResourceARN':'%s'}", channel.arn), "Tags");
    assert_int_equal(json_object_size(tags), 2);
    assert_string_equal(text_at(tags, "x"), "2");
    done(api, "UntagResource", "{'ResourceARN':'%s','TagKeyList':['x']}", channel.arn);
    tags = at(done(api, "ListTagsForResource", "{'ResourceARN':'%s'}", channel.arn), "Tags");
    assert_int_equal(json_object_size(tags), 1);
    refused(api, "InvalidArgumentException", "ListTagsForStream",
            "{'StreamName':'cam','NextToken':'61'}");
    refused(api, "InvalidArgumentException", "TagResource",
            "{'ResourceARN':'arn:aws:kinesisvideo:r:1:reel/a/1',"
            "'Tags':[{'Key':'a','Value':'b'}]}");
}

static void test_tags_have_bounds(void **state) {
    struct api *api = *state;
    struct copied channel = make_channel(api, "cam");
    (void)make_stream(api, "cam", 0);
    char list[2048] = "", map[2048] = "";
    for (unsigned i = 0; i < 50; i++) {
        size_t used = strlen(map);
        (void)snprintf(map + used, sizeof(map) - used, "%s'k%u':'v'", i > 0 ? "," : "", i);
        used = strlen(list);
        (void)snprintf(list + used, sizeof(list) - used, "%s{'Key':'k%u','Value':'v'}",
                       i > 0 ? "," : "", i);
    }
    done(api, "TagStream", "{'StreamName':'cam','Tags':{%s}}", map);
    done(api, "TagResource", "{'ResourceARN':'%s','Tags':[%s]}", channel.arn, list);
    refused(api, "TagsPerResourceExceededLimitException", "TagStream",
            "{'StreamName':'cam','Tags':{'more':'v'}}");
    refused(api, "TagsPerResourceExceededLimitException", "TagResource",
            "{'ResourceARN':'%s','Tags':[{'Key':'more','Value':'v'}]}", channel.arn);
    refused(api, "ValidationException", "TagStream", "{'StreamName':'cam','Tags':{%s,'x':'y'}}",
            map);
    /* 128 characters that are 256 bytes. */
    char key[300] = "";
    for (unsigned i = 0; i < 128; i++) {
        (void)strncat(key, "\xc3\xa4", 3);
    }
    refused(api, "InvalidArgumentException", "TagStream", "{'StreamName':'cam','Tags':{'%s':'v'}}",
            key);
}

/* ---- what is configured ---- */

#define IMAGES                                                                                     \
    "{'Status':'ENABLED','ImageSelectorType':'SERVER_TIMESTAMP','DestinationConfig':"              \
    "{'Uri':'s3://bucket/x','DestinationRegion':'eu-central-1'},'SamplingInterval':3000,"          \
    "'Format':'JPEG','FormatConfig':{'JPEGQuality':'80'},'WidthPixels':640,'HeightPixels':480}"
#define TOPIC "{'Status':'DISABLED','DestinationConfig':{'Uri':'arn:aws:sns:r:1:topic'}}"

static void assert_same(const json_t *value, const char *text) {
    json_t *wanted = api_body(text);
    assert_true(json_equal(value, wanted));
    json_decref(wanted);
}

static void test_configurations_come_back_as_they_were(void **state) {
    struct api *api = *state;
    (void)make_stream(api, "cam", 1);
    done(api, "UpdateImageGenerationConfiguration",
         "{'StreamName':'cam','ImageGenerationConfiguration':" IMAGES "}");
    done(api, "UpdateNotificationConfiguration",
         "{'StreamName':'cam','NotificationConfiguration':" TOPIC "}");
    assert_same(at(done(api, "DescribeImageGenerationConfiguration", "{'StreamName':'cam'}"),
                   "ImageGenerationConfiguration"),
                IMAGES);
    assert_same(at(done(api, "DescribeNotificationConfiguration", "{'StreamName':'cam'}"),
                   "NotificationConfiguration"),
                TOPIC);
    /* Null, or nothing, deletes. */
    done(api, "UpdateImageGenerationConfiguration",
         "{'StreamName':'cam','ImageGenerationConfiguration':null}");
    assert_true(
        json_is_null(at(done(api, "DescribeImageGenerationConfiguration", "{'StreamName':'cam'}"),
                        "ImageGenerationConfiguration")));
    assert_same(at(done(api, "DescribeNotificationConfiguration", "{'StreamName':'cam'}"),
                   "NotificationConfiguration"),
                TOPIC);
    (void)make_stream(api, "live", 0);
    refused(api, "NoDataRetentionException", "UpdateImageGenerationConfiguration",
            "{'StreamName':'live','ImageGenerationConfiguration':" IMAGES "}");
    refused(api, "NoDataRetentionException", "UpdateNotificationConfiguration",
            "{'StreamName':'live','NotificationConfiguration':" TOPIC "}");
    done(api, "UpdateNotificationConfiguration", "{'StreamName':'live'}");
}

static void test_a_stream_made_anew_has_nothing_of_before(void **state) {
    struct api *api = *state;
    struct copied cam = make_stream(api, "cam", 1);
    done(api, "UpdateNotificationConfiguration",
         "{'StreamName':'cam','NotificationConfiguration':" TOPIC "}");
    /* Not by AWS's operation: its document stays behind. */
    assert_int_equal(frag_stream_delete(frag_stream_find(api->world.store, "cam"), NULL), 0);
    tick(api);
    (void)make_stream(api, "cam", 1);
    assert_true(
        json_is_null(at(done(api, "DescribeNotificationConfiguration", "{'StreamName':'cam'}"),
                        "NotificationConfiguration")));
    json_t *document = NULL;
    cam = stream_of(api, "cam");
    done(api, "UpdateNotificationConfiguration",
         "{'StreamName':'cam','NotificationConfiguration':" TOPIC "}");
    done(api, "DeleteStream", "{'StreamARN':'%s'}", cam.arn);
    assert_int_equal(srv_document_get(api->world.store, SRV_DOCUMENT_STREAM, "cam", &document),
                     -ENOENT);
}

#define EDGE                                                                                       \
    "{'HubDeviceArn':'arn:aws:iot:r:1:thing/hub','RecorderConfig':{'MediaSourceConfig':"           \
    "{'MediaUriSecretArn':'arn:aws:secretsmanager:r:1:secret:a','MediaUriType':'RTSP_URI'}}}"

static void test_edge_configurations(void **state) {
    struct api *api = *state;
    (void)make_stream(api, "cam", 1);
    (void)make_stream(api, "live", 0);
    refused(api, "StreamEdgeConfigurationNotFoundException", "DescribeEdgeConfiguration",
            "{'StreamName':'cam'}");
    refused(api, "StreamEdgeConfigurationNotFoundException", "DeleteEdgeConfiguration",
            "{'StreamName':'cam'}");
    refused(api, "NoDataRetentionException", "StartEdgeConfigurationUpdate",
            "{'StreamName':'live','EdgeConfig':" EDGE "}");
    const json_t *told =
        done(api, "StartEdgeConfigurationUpdate", "{'StreamName':'cam','EdgeConfig':" EDGE "}");
    assert_string_equal(text_at(told, "SyncStatus"), "SYNCING");
    tick(api);
    done(api, "StartEdgeConfigurationUpdate", "{'StreamName':'cam','EdgeConfig':" EDGE "}");
    told = done(api, "DescribeEdgeConfiguration", "{'StreamName':'cam'}");
    assert_same(at(told, "EdgeConfig"), EDGE);
    assert_true(json_real_value(at(told, "LastUpdatedTime")) -
                    json_real_value(at(told, "CreationTime")) ==
                1.0);
    (void)make_stream(api, "door", 1);
    done(api, "StartEdgeConfigurationUpdate", "{'StreamName':'door','EdgeConfig':" EDGE "}");
    for (unsigned most = 1; most < 4; most++) {
        assert_int_equal(walk(api, &api->admin, "AWS.ListEdgeAgentConfigurations", "EdgeConfigs",
                              most, "'HubDeviceArn':'arn:aws:iot:r:1:thing/hub',"),
                         2);
        assert_int_equal(walk(api, &api->viewer, "AWS.ListEdgeAgentConfigurations", "EdgeConfigs",
                              most, "'HubDeviceArn':'arn:aws:iot:r:1:thing/hub',"),
                         1);
    }
    told = done(api, "ListEdgeAgentConfigurations", "{'HubDeviceArn':'arn:aws:iot:r:1:thing/no'}");
    assert_int_equal(json_array_size(at(told, "EdgeConfigs")), 0);
    done(api, "DeleteEdgeConfiguration", "{'StreamName':'cam'}");
    refused(api, "StreamEdgeConfigurationNotFoundException", "DescribeEdgeConfiguration",
            "{'StreamName':'cam'}");
}

/* Members that no shape knows are kept too, so what is kept has a bound of its own. */
static void test_documents_have_a_bound(void **state) {
    struct api *api = *state;
    (void)make_stream(api, "cam", 1);
    json_t *body = api_body("{'StreamName':'cam','NotificationConfiguration':" TOPIC "}");
    char *much = malloc(SRV_DOCUMENT_MAX + 1);
    assert_non_null(much);
    memset(much, 'x', SRV_DOCUMENT_MAX);
    much[SRV_DOCUMENT_MAX] = '\0';
    assert_int_equal(json_object_set_new(json_object_get(body, "NotificationConfiguration"), "Much",
                                         json_string(much)),
                     0);
    free(much);
    struct fake_exchange_config config = {
        .world = &api->world, .principal = &api->admin, .body = body};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    json_decref(body);
    fake_exchange_handle(exchange, &srv_aws_control_routes, "AWS.UpdateNotificationConfiguration");
    assert_string_equal(fake_exchange_type(exchange), "InvalidArgumentException");
    fake_exchange_destroy(exchange);
}

/* ---- channels ---- */

static void test_a_channel_from_its_beginning_to_its_end(void **state) {
    struct api *api = *state;
    refused(api, "ResourceNotFoundException", "DescribeSignalingChannel", "{'ChannelName':'c'}");
    done(api, "CreateSignalingChannel",
         "{'ChannelName':'c','ChannelType':'SINGLE_MASTER','SingleMasterConfiguration':"
         "{'MessageTtlSeconds':30},'Tags':[{'Key':'a','Value':'b'}]}");
    struct copied c = channel_of(api, "c");
    assert_string_equal(c.arn,
                        "arn:aws:kinesisvideo:eu-central-1:000000000000:channel/c/1795209820000");
    const json_t *info = at(api_told.json, "ChannelInfo");
    assert_string_equal(text_at(info, "ChannelName"), "c");
    assert_string_equal(text_at(info, "ChannelType"), "SINGLE_MASTER");
    assert_string_equal(text_at(info, "ChannelStatus"), "ACTIVE");
    assert_true(json_real_value(at(info, "CreationTime")) == 1795209820.0);
    assert_int_equal(whole_at(at(info, "SingleMasterConfiguration"), "MessageTtlSeconds"), 30);
    refused(api, "ResourceInUseException", "CreateSignalingChannel", "{'ChannelName':'c'}");
    refused(api, "InvalidArgumentException", "CreateSignalingChannel",
            "{'ChannelName':'mesh','ChannelType':'FULL_MESH'}");
    refused(api, "VersionMismatchException", "UpdateSignalingChannel",
            "{'ChannelARN':'%s','CurrentVersion':'x'}", c.arn);
    done(api, "UpdateSignalingChannel",
         "{'ChannelARN':'%s','CurrentVersion':'%s',"
         "'SingleMasterConfiguration':{'MessageTtlSeconds':120}}",
         c.arn, c.version);
    struct copied is = channel_of(api, "c");
    assert_string_not_equal(is.version, c.version);
    info = at(api_told.json, "ChannelInfo");
    assert_int_equal(whole_at(at(info, "SingleMasterConfiguration"), "MessageTtlSeconds"), 120);
    refused(api, "VersionMismatchException", "DeleteSignalingChannel",
            "{'ChannelARN':'%s','CurrentVersion':'%s'}", c.arn, c.version);
    done(api, "DeleteSignalingChannel", "{'ChannelARN':'%s','CurrentVersion':'%s'}", c.arn,
         is.version);
    refused(api, "ResourceNotFoundException", "DescribeSignalingChannel", "{'ChannelARN':'%s'}",
            c.arn);
    refused(api, "InvalidArgumentException", "DescribeSignalingChannel", "{}");
    refused(api, "InvalidArgumentException", "DescribeSignalingChannel",
            "{'ChannelName':'d','ChannelARN':'%s'}", c.arn);
    refused(api, "InvalidArgumentException", "DescribeSignalingChannel",
            "{'ChannelARN':'arn:aws:kinesisvideo:r:000000000000:stream/c/1795209820000'}");
    tick(api);
    (void)make_channel(api, "c");
    assert_int_equal(whole_at(at(at(api_told.json, "ChannelInfo"), "SingleMasterConfiguration"),
                              "MessageTtlSeconds"),
                     60);
    refused(api, "ResourceNotFoundException", "DescribeSignalingChannel", "{'ChannelARN':'%s'}",
            c.arn);
}

static void test_endpoints_are_the_servers_own(void **state) {
    struct api *api = *state;
    (void)make_stream(api, "cam", 1);
    struct copied c = make_channel(api, "c");
    const json_t *told =
        done(api, "GetDataEndpoint", "{'StreamName':'cam','APIName':'LIST_FRAGMENTS'}");
    assert_string_equal(text_at(told, "DataEndpoint"), "https://cams.example");
    told = done(api, "GetSignalingChannelEndpoint",
                "{'ChannelARN':'%s','SingleMasterChannelEndpointConfiguration':"
                "{'Protocols':['HTTPS','WSS','WSS'],'Role':'MASTER'}}",
                c.arn);
    const json_t *list = at(told, "ResourceEndpointList");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(text_at(json_array_get(list, 0), "Protocol"), "WSS");
    assert_string_equal(text_at(json_array_get(list, 0), "ResourceEndpoint"), "wss://cams.example");
    assert_string_equal(text_at(json_array_get(list, 1), "ResourceEndpoint"),
                        "https://cams.example");
    told = done(api, "GetSignalingChannelEndpoint", "{'ChannelARN':'%s'}", c.arn);
    assert_int_equal(json_array_size(at(told, "ResourceEndpointList")), 2);
    refused(api, "InvalidArgumentException", "GetSignalingChannelEndpoint",
            "{'ChannelARN':'%s','SingleMasterChannelEndpointConfiguration':"
            "{'Protocols':['WEBRTC']}}",
            c.arn);
}

static void test_media_storage(void **state) {
    struct api *api = *state;
    struct copied cam = make_stream(api, "cam", 1);
    struct copied gate = make_stream(api, "gate", 1);
    struct copied live = make_stream(api, "live", 0);
    struct copied a = make_channel(api, "a");
    struct copied b = make_channel(api, "b");
    const json_t *told = at(done(api, "DescribeMediaStorageConfiguration", "{'ChannelName':'a'}"),
                            "MediaStorageConfiguration");
    assert_string_equal(text_at(told, "Status"), "DISABLED");
    assert_true(json_is_null(at(told, "StreamARN")));
    refused(api, "InvalidArgumentException", "UpdateMediaStorageConfiguration",
            "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED'}}", a.arn);
    refused(api, "NoDataRetentionException", "UpdateMediaStorageConfiguration",
            "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED',"
            "'StreamARN':'%s'}}",
            a.arn, live.arn);
    done(api, "UpdateMediaStorageConfiguration",
         "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED','StreamARN':'%s'}}",
         a.arn, cam.arn);
    told = at(done(api, "DescribeMediaStorageConfiguration", "{'ChannelARN':'%s'}", a.arn),
              "MediaStorageConfiguration");
    assert_string_equal(text_at(told, "Status"), "ENABLED");
    assert_string_equal(text_at(told, "StreamARN"), cam.arn);
    told = at(done(api, "DescribeMappedResourceConfiguration", "{'StreamName':'cam'}"),
              "MappedResourceConfigurationList");
    assert_int_equal(json_array_size(told), 1);
    assert_string_equal(text_at(json_array_get(told, 0), "ARN"), a.arn);
    told = done(api, "GetSignalingChannelEndpoint",
                "{'ChannelARN':'%s','SingleMasterChannelEndpointConfiguration':"
                "{'Protocols':['WEBRTC']}}",
                a.arn);
    assert_int_equal(json_array_size(at(told, "ResourceEndpointList")), 1);
    refused(api, "ResourceInUseException", "UpdateMediaStorageConfiguration",
            "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED',"
            "'StreamARN':'%s'}}",
            b.arn, cam.arn);
    refused(api, "ResourceInUseException", "UpdateMediaStorageConfiguration",
            "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED',"
            "'StreamARN':'%s'}}",
            a.arn, gate.arn);
    done(api, "UpdateMediaStorageConfiguration",
         "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'DISABLED'}}", a.arn);
    told = at(done(api, "DescribeMediaStorageConfiguration", "{'ChannelName':'a'}"),
              "MediaStorageConfiguration");
    assert_string_equal(text_at(told, "Status"), "DISABLED");
    assert_string_equal(text_at(told, "StreamARN"), cam.arn);
    told = at(done(api, "DescribeMappedResourceConfiguration", "{'StreamName':'cam'}"),
              "MappedResourceConfigurationList");
    assert_int_equal(json_array_size(told), 0);
    /* With its stream the storage goes. */
    done(api, "UpdateMediaStorageConfiguration",
         "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED','StreamARN':'%s'}}",
         b.arn, cam.arn);
    done(api, "DeleteStream", "{'StreamARN':'%s'}", cam.arn);
    told = at(done(api, "DescribeMediaStorageConfiguration", "{'ChannelName':'b'}"),
              "MediaStorageConfiguration");
    assert_string_equal(text_at(told, "Status"), "DISABLED");
    assert_true(json_is_null(at(told, "StreamARN")));
    done(api, "UpdateMediaStorageConfiguration",
         "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'ENABLED','StreamARN':'%s'}}",
         b.arn, gate.arn);
}

/* ---- who may ---- */

static void test_grants_decide(void **state) {
    struct api *api = *state;
    const struct srv_principal *viewer = &api->viewer; /* viewer:door* */
    struct copied cam = make_stream(api, "cam", 1);
    struct copied door = make_stream(api, "door", 1);
    struct copied channel = make_channel(api, "cam");
    struct copied door_channel = make_channel(api, "door");
    static const char denied[] = "AccessDeniedException";
    /* Whether it is there is not told. */
    refused_for(api, viewer, denied, "DescribeStream", "{'StreamName':'nothing'}");
    refused_for(api, viewer, denied, "DescribeStream", "{'StreamARN':'%s'}", cam.arn);
    refused_for(api, viewer, denied, "DescribeSignalingChannel", "{'ChannelName':'nothing'}");
    refused_for(api, viewer, denied, "CreateStream", "{'StreamName':'door-2'}");
    refused_for(api, viewer, denied, "CreateSignalingChannel", "{'ChannelName':'door-2'}");
    refused_for(api, viewer, denied, "DeleteStream", "{'StreamARN':'%s'}", door.arn);
    refused_for(api, viewer, denied, "TagStream", "{'StreamName':'door','Tags':{'a':'b'}}");
    refused_for(api, viewer, denied, "TagResource",
                "{'ResourceARN':'%s','Tags':[{'Key':'a','Value':'b'}]}", door_channel.arn);
    refused_for(api, viewer, denied, "ListTagsForResource", "{'ResourceARN':'%s'}", channel.arn);
    refused_for(api, viewer, denied, "UpdateNotificationConfiguration", "{'StreamName':'door'}");
    refused_for(api, viewer, denied, "DeleteEdgeConfiguration", "{'StreamName':'door'}");
    refused_for(api, viewer, denied, "UpdateDataRetention",
                "{'StreamName':'door','CurrentVersion':'%s','Operation':"
                "'INCREASE_DATA_RETENTION','DataRetentionChangeInHours':1}",
                door.version);
    refused_for(api, viewer, denied, "UpdateMediaStorageConfiguration",
                "{'ChannelARN':'%s','MediaStorageConfiguration':{'Status':'DISABLED'}}",
                door_channel.arn);
    refused_for(api, viewer, denied, "GetDataEndpoint",
                "{'StreamName':'door','APIName':'PUT_MEDIA'}");
    refused_for(api, viewer, denied, "GetSignalingChannelEndpoint",
                "{'ChannelARN':'%s','SingleMasterChannelEndpointConfiguration':{'Role':'MASTER'}}",
                door_channel.arn);
    refused_for(api, NULL, denied, "DescribeStream", "{'StreamName':'door'}");
    struct srv_principal producer;
    api_grant(&producer, "producer", "record:door");
    refused_for(api, &producer, denied, "GetDataEndpoint",
                "{'StreamName':'door','APIName':'GET_MEDIA'}");
}

static void test_the_file_owns_what_it_says(void **state) {
    struct api *api = *state; /* streams.door: retention and tags */
    struct copied door = make_stream(api, "door", 1);
    refused(api, "ResourceInUseException", "UpdateDataRetention",
            "{'StreamName':'door','CurrentVersion':'%s','Operation':'INCREASE_DATA_RETENTION',"
            "'DataRetentionChangeInHours':1}",
            door.version);
    assert_non_null(strstr(api_told.text, "streams.door.retention"));
    refused(api, "ResourceInUseException", "TagStream", "{'StreamName':'door','Tags':{'a':'b'}}");
    refused(api, "ResourceInUseException", "UntagStream",
            "{'StreamName':'door','TagKeyList':['a']}");
    refused(api, "ResourceInUseException", "DeleteStream", "{'StreamARN':'%s'}", door.arn);
    assert_non_null(strstr(api_told.text, "streams.door"));
    done(api, "UpdateStream", "{'StreamName':'door','CurrentVersion':'%s','DeviceName':'d'}",
         door.version);
}

/* ---- what they share ---- */

static void test_times(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } times[] = {
        {"1562589645", INT64_C(1562589645000000000)},
        {"1.562589645061E9", INT64_C(1562589645061000000)},
        {"1637698685.7", INT64_C(1637698685700000000)},
        {"1637698687.546", INT64_C(1637698687546000000)},
        {"0", 0},
        {"-1.5", INT64_C(-1500000000)},
    };
    static const char *const wrong[] = {"\"1\"", "null", "1e10", "-1e10", "[1]", "true"};
    struct kn_wall wall = {7};
    for (size_t i = 0; i < KN_COUNT(times); i++) {
        json_t *value = json_loads(times[i].text, JSON_DECODE_ANY, NULL);
        assert_int_equal(srv_aws_time(value, &wall), 0);
        assert_true(wall.ns == times[i].ns);
        json_decref(value);
    }
    for (size_t i = 0; i < KN_COUNT(wrong); i++) {
        json_t *value = json_loads(wrong[i], JSON_DECODE_ANY, NULL);
        wall.ns = 7;
        assert_int_equal(srv_aws_time(value, &wall), KN_E_MALFORMED);
        assert_true(wall.ns == 7);
        json_decref(value);
    }
    assert_int_equal(srv_aws_time(NULL, &wall), KN_E_MALFORMED);
    json_t *time = srv_aws_json_time((struct kn_wall){INT64_C(1795209820123456789)});
    assert_true(json_real_value(time) == 1795209820.123);
    json_decref(time);
}

static void test_errors_look_like_those_of_aws(void **state) {
    struct api *api = *state;
    struct fake_exchange_config config = {.world = &api->world};
    struct srv_exchange *exchange = fake_exchange_create(&config);
    json_t *shaped = srv_aws_shape_error(exchange, 404, "ResourceNotFoundException", "gone");
    assert_same(shaped, "{'Message':'gone'}");
    json_decref(shaped);
    assert_non_null(
        strstr(fake_exchange_fields(exchange), "x-amzn-ErrorType: ResourceNotFoundException\n"));
    assert_non_null(strstr(fake_exchange_fields(exchange), "x-amzn-RequestId: "));
    fake_exchange_destroy(exchange);
}

static void test_documents_last(void **state) {
    struct api *api = *state;
    struct frag_store *store = api->world.store;
    json_t *document = NULL;
    (void)make_channel(api, "c");
    uint8_t newer[] = {0, 2, '{', '}'};
    uint8_t broken[] = {0, 1, '{'};
    uint8_t list[] = {0, 1, '[', ']'};
    assert_int_equal(frag_store_put(store, SRV_DOCUMENT_CHANNEL, "n", 1, newer, sizeof(newer)), 0);
    assert_int_equal(srv_document_get(store, SRV_DOCUMENT_CHANNEL, "n", &document),
                     KN_E_UNSUPPORTED);
    assert_int_equal(frag_store_put(store, SRV_DOCUMENT_CHANNEL, "n", 1, broken, sizeof(broken)),
                     0);
    assert_int_equal(srv_document_get(store, SRV_DOCUMENT_CHANNEL, "n", &document), KN_E_MALFORMED);
    assert_int_equal(frag_store_put(store, SRV_DOCUMENT_CHANNEL, "n", 1, list, sizeof(list)), 0);
    assert_int_equal(srv_document_get(store, SRV_DOCUMENT_CHANNEL, "n", &document), KN_E_MALFORMED);
    assert_int_equal(frag_store_put(store, SRV_DOCUMENT_CHANNEL, "n", 1, list, 1), 0);
    assert_int_equal(srv_document_get(store, SRV_DOCUMENT_CHANNEL, "n", &document), KN_E_MALFORMED);
    assert_int_equal(srv_document_list(store, SRV_DOCUMENT_CHANNEL, "", "", &document),
                     KN_E_MALFORMED);
    assert_int_equal(srv_document_forget(store, SRV_DOCUMENT_CHANNEL, "n"), 0);
    assert_int_equal(srv_document_forget(store, SRV_DOCUMENT_CHANNEL, "n"), 0);
    assert_int_equal(srv_document_put(store, SRV_DOCUMENT_CHANNEL, "n", NULL), -ENOMEM);
    assert_int_equal(
        json_array_size(at(done(api, "ListSignalingChannels", "{}"), "ChannelInfoList")), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)
        TEST(test_a_stream_from_its_beginning_to_its_end),
        TEST(test_what_was_not_said_is_null_or_aws_default),
        TEST(test_names_and_arns_mean_one_stream),
        TEST(test_updates_need_the_version),
        TEST(test_retention_changes_by_a_delta),
        TEST(test_retention_is_told_in_hours),
        TEST(test_streams_are_listed_in_pages),
        TEST(test_channels_are_listed_in_pages),
        TEST(test_tags_in_both_styles),
        TEST(test_tags_have_bounds),
        TEST(test_configurations_come_back_as_they_were),
        TEST(test_a_stream_made_anew_has_nothing_of_before),
        TEST(test_edge_configurations),
        TEST(test_documents_have_a_bound),
        TEST(test_a_channel_from_its_beginning_to_its_end),
        TEST(test_endpoints_are_the_servers_own),
        TEST(test_media_storage),
        TEST(test_grants_decide),
        TEST(test_the_file_owns_what_it_says),
        TEST(test_times),
        TEST(test_errors_look_like_those_of_aws),
        TEST(test_documents_last),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    api_forget();
    return rc;
}
