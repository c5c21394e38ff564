#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "server/aws/shapes.h"

static char problem[SRV_SHAPE_PROBLEM_BYTES];

/* JSON with ' for ". */
static json_t *body_of(const char *text) {
    char *copy = strdup(text);
    assert_non_null(copy);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '\'' ? '"' : *at;
    }
    json_t *body = json_loads(copy, 0, NULL);
    free(copy);
    assert_non_null(body);
    return body;
}

static int check(const char *operation, const char *text) {
    json_t *body = body_of(text);
    problem[0] = '\0';
    int rc = srv_shape_check(operation, body, problem);
    json_decref(body);
    return rc;
}

static void assert_fine(const char *operation, const char *text) {
    int rc = check(operation, text);
    if (rc != 0) {
        print_message("# %s %s: %s\n", operation, text, problem);
    }
    assert_int_equal(rc, 0);
}

static void assert_refused(const char *operation, const char *text, int rc, const char *told) {
    int found = check(operation, text);
    if (found != rc || strstr(problem, told) == NULL) {
        print_message("# %s %s: %d %s\n", operation, text, found, problem);
    }
    assert_int_equal(found, rc);
    assert_non_null(strstr(problem, told));
}

static void test_words_are_those_of_aws(void **state) {
    (void)state;
    assert_refused("CreateStream", "{'StreamName':'a b'}", KN_E_LIMIT,
                   "1 validation error detected: Value 'a b' at 'streamName' failed to satisfy "
                   "constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+");
    assert_refused("CreateStream", "{}", KN_E_LIMIT,
                   "Value null at 'streamName' failed to satisfy constraint: Member must not be "
                   "null");
    assert_refused("CreateStream", "{'StreamName':null}", KN_E_LIMIT, "must not be null");
    assert_refused("CreateStream", "{'StreamName':''}", KN_E_LIMIT,
                   "length greater than or equal to 1");
    assert_refused("CreateStream", "{'StreamName':5}", KN_E_MALFORMED, "'streamName'");
    assert_refused("ListStreams", "{'MaxResults':10001}", KN_E_LIMIT,
                   "Value '10001' at 'maxResults' failed to satisfy constraint: Member must have "
                   "value less than or equal to 10000");
    assert_refused("ListStreams", "{'MaxResults':0}", KN_E_LIMIT, "greater than or equal to 1");
    assert_refused("ListStreams", "{'MaxResults':1.5}", KN_E_MALFORMED, "maxResults");
    assert_refused("ListStreams", "{'MaxResults':'5'}", KN_E_MALFORMED, "maxResults");
    assert_refused("GetDataEndpoint", "{'StreamName':'a','APIName':'PUT'}", KN_E_LIMIT,
                   "at 'aPIName' failed to satisfy constraint: Member must satisfy enum value set: "
                   "[PUT_MEDIA, GET_MEDIA,");
    assert_refused("UpdateNotificationConfiguration",
                   "{'StreamName':'a','NotificationConfiguration':{'Status':'ENABLED',"
                   "'DestinationConfig':{'Uri':'nothing'}}}",
                   KN_E_LIMIT, "'notificationConfiguration.destinationConfig.uri'");
    assert_refused("TagResource",
                   "{'ResourceARN':'arn:aws:kinesisvideo:r:1:stream/a/1','Tags':[{'Key':'a',"
                   "'Value':'b'},{'Key':'','Value':'b'}]}",
                   KN_E_LIMIT, "'tags.2.member.key'");
    assert_refused("TagStream", "{'StreamName':'a','Tags':{'a':null}}", KN_E_LIMIT, "'tags.value'");
    assert_refused("TagStream", "{'StreamName':'a','Tags':{'a#':'b'}}", KN_E_LIMIT, "'tags.key'");
    assert_refused("TagStream", "{'StreamName':'a','Tags':{}}", KN_E_LIMIT, "'tags'");
    assert_refused("TagStream", "{'StreamName':'a','Tags':[]}", KN_E_MALFORMED, "a map");
    assert_refused("UntagStream", "{'StreamName':'a','TagKeyList':{}}", KN_E_MALFORMED, "a list");
    assert_refused("UntagStream", "{'StreamName':'a','TagKeyList':[null]}", KN_E_LIMIT,
                   "'tagKeyList.1.member'");
    assert_int_equal(check("DropAllTables", "{}"), -ENOENT);
}

static void test_unknown_and_null_members_are_nothing(void **state) {
    (void)state;
    assert_fine("CreateStream", "{'StreamName':'a','Colour':[1,2,{}],'DeviceName':null,"
                                "'Tags':null,'StreamStorageConfiguration':null}");
    assert_fine("ListStreams", "{}");
    assert_fine("ListStreams", "{'StreamNameCondition':{'ComparisonOperator':'BEGINS_WITH',"
                               "'ComparisonValue':'x'},'MaxResults':10000,'NextToken':''}");
}

/* One of `count` characters `c` in a body of `format`. */
static int check_long(const char *operation, const char *format, char c, size_t count) {
    char *text = malloc(count + 1);
    char *body = malloc(count + 256);
    assert_non_null(text);
    assert_non_null(body);
    memset(text, c, count);
    text[count] = '\0';
    /* Formats of this file alone. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    (void)snprintf(body, count + 256, format, text);
#pragma GCC diagnostic pop
    int rc = check(operation, body);
    free(text);
    free(body);
    return rc;
}

static void test_bounds_are_exact(void **state) {
    (void)state;
    static const struct {
        const char *operation, *format;
        size_t most;
        char c;
    } bounds[] = {
        {"CreateStream", "{'StreamName':'%s'}", 256, 'x'},
        {"CreateStream", "{'StreamName':'a','DeviceName':'%s'}", 128, 'x'},
        {"CreateStream", "{'StreamName':'a','KmsKeyId':'%s'}", 2048, 'x'},
        {"CreateStream", "{'StreamName':'a','Tags':{'%s':'b'}}", 128, 'x'},
        {"CreateStream", "{'StreamName':'a','Tags':{'b':'%s'}}", 256, 'x'},
        {"CreateStream", "{'StreamName':'a','MediaType':'a/%s'}", 126, 'x'},
        {"UpdateStream", "{'StreamName':'a','CurrentVersion':'%s'}", 64, 'x'},
        {"ListStreams", "{'NextToken':'%s'}", 1024, 'A'},
        {"ListFragments", "{'StreamName':'a','NextToken':'%s'}", 4096, 'A'},
        {"GetMediaForFragmentList", "{'StreamName':'a','Fragments':['%s']}", 128, '1'},
        {"DescribeStream", "{'StreamARN':'arn:aws:kinesisvideo:r:1:stream/%s/1'}", 1024 - 32 - 2,
         'x'},
    };
    for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
        assert_int_equal(
            check_long(bounds[i].operation, bounds[i].format, bounds[i].c, bounds[i].most), 0);
        assert_int_equal(
            check_long(bounds[i].operation, bounds[i].format, bounds[i].c, bounds[i].most + 1),
            KN_E_LIMIT);
        assert_true(strlen(problem) < SRV_SHAPE_PROBLEM_BYTES - 1);
    }
}

static void test_characters_count_and_not_bytes(void **state) {
    (void)state;
    char body[1024] = "{'StreamName':'a','Tags':{'";
    for (unsigned i = 0; i < 128; i++) {
        (void)strncat(body, "\xc3\xa4", 3);
    }
    (void)strncat(body, "':'\xe6\x97\xa5\xe6\x9c\xac 1'}}", 32);
    assert_fine("CreateStream", body);
    assert_refused("CreateStream", "{'StreamName':'a','Tags':{'a\xe2\x80\xae':'b'}}", KN_E_LIMIT,
                   "'tags.key'");
}

struct sample {
    const struct srv_pattern *pattern;
    const char *text;
    bool fits;
};

static void test_patterns(void **state) {
    (void)state;
    static const struct sample samples[] = {
        {&srv_pattern_name, "a.B_c-9", true},
        {&srv_pattern_name, "", false},
        {&srv_pattern_name, "a/b", false},
        {&srv_pattern_arn, "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/a.b/1", true},
        {&srv_pattern_arn, "arn:aws-cn:kinesisvideo:cn-north-1:1:channel/a/1", true},
        {&srv_pattern_arn, "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/a.b/", false},
        {&srv_pattern_arn, "arn:aws:kinesisvideo:eu-central-1:000000000000:stream/a.b/1x", false},
        {&srv_pattern_arn, "arn:aws:kinesisvideo::000000000000:stream/a.b/1", false},
        {&srv_pattern_arn, "arn:aws:kinesisvideo:r::stream/a.b/1", false},
        {&srv_pattern_arn, "arn:aws:s3:r:1:stream/a.b/1", false},
        {&srv_pattern_arn, "arn:AWS:kinesisvideo:r:1:stream/a/1", false},
        {&srv_pattern_arn_aws, "arn:aws:kinesisvideo:r:1:stream/a/1", true},
        {&srv_pattern_arn_aws, "arn:aws-cn:kinesisvideo:r:1:stream/a/1", false},
        {&srv_pattern_arn_any_aws, "arn:aws-Cn:kinesisvideo:r:1:channel/a/1", true},
        {&srv_pattern_arn_any_aws, "arn:gcp:kinesisvideo:r:1:channel/a/1", false},
        {&srv_pattern_thing_arn, "arn:aws:iot:r:1:thing/hub", true},
        {&srv_pattern_thing_arn, "arn:aws:iot:r:1:thing/", false},
        {&srv_pattern_secret_arn, "arn:aws:secretsmanager:r:1:secret:a-b", true},
        {&srv_pattern_secret_arn, "arn:aws:secretsmanager:r:1:secret:a/b", false},
        {&srv_pattern_token, "", true},
        {&srv_pattern_token, "a+/=", true},
        {&srv_pattern_token, "a-b", false},
        {&srv_pattern_archive_token, "ab==", true},
        {&srv_pattern_archive_token, "ab===", false},
        {&srv_pattern_archive_token, "=", false},
        {&srv_pattern_archive_token, "a=b", false},
        {&srv_pattern_version, "6CRnafBoUOwmTbDTPS8U", true},
        {&srv_pattern_version, "a-b", false},
        {&srv_pattern_tag, "", true},
        {&srv_pattern_tag, "a b:/=+-@_.9", true},
        {&srv_pattern_tag, "a\tb", false},
        {&srv_pattern_tag, "a#b", false},
        {&srv_pattern_media_type, "video/h264", true},
        {&srv_pattern_media_type, "video/h264,audio/x-aac+1", true},
        {&srv_pattern_media_type, "video/h264,", false},
        {&srv_pattern_media_type, "video", false},
        {&srv_pattern_media_type, "video/h264, audio/aac", false},
        {&srv_pattern_digits, "0123", true},
        {&srv_pattern_digits, "12a", false},
        {&srv_pattern_uri, "s3://bucket/path", true},
        {&srv_pattern_uri, "arn:aws:sns:r:1:topic", true},
        {&srv_pattern_uri, "s3://bucket/pa*th", false},
        {&srv_pattern_uri, "s3:///path", false},
        {&srv_pattern_uri, "nothing", false},
        {&srv_pattern_region, "eu-central-1", true},
        {&srv_pattern_region, "us-gov-west-1", true},
        {&srv_pattern_region, "eu-1", false},
        {&srv_pattern_region, "eu-central-12", false},
        {&srv_pattern_region, "a-b-c-d-1", false},
        {&srv_pattern_one_line, "0 0 12 * * ?", true},
        {&srv_pattern_one_line, "0 0\n12", false},
        {&srv_pattern_word, "80", true},
        {&srv_pattern_word, "8 0", false},
        {&srv_pattern_base64, "YQ==", true},
        {&srv_pattern_base64, "", false},
        {&srv_pattern_ctoken, "a.b-c_d", true},
        {&srv_pattern_ctoken, "a b", false},
    };
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        if (samples[i].pattern->fits(samples[i].text) != samples[i].fits) {
            fail_msg("%s: %s", samples[i].pattern->text, samples[i].text);
        }
    }
}

static void test_whole_bodies(void **state) {
    (void)state;
    assert_fine("StartEdgeConfigurationUpdate",
                "{'StreamName':'a','EdgeConfig':{'HubDeviceArn':'arn:aws:iot:r:1:thing/hub',"
                "'RecorderConfig':{'MediaSourceConfig':{'MediaUriSecretArn':"
                "'arn:aws:secretsmanager:r:1:secret:a','MediaUriType':'RTSP_URI'},'ScheduleConfig':"
                "{'ScheduleExpression':'0 0 12 * * ? *','DurationInSeconds':60}},'DeletionConfig':"
                "{'EdgeRetentionInHours':720,'LocalSizeConfig':{'MaxLocalMediaSizeInMB':64,"
                "'StrategyOnFullSize':'DENY_NEW_MEDIA'},'DeleteAfterUpload':true}}}");
    assert_refused("StartEdgeConfigurationUpdate", "{'StreamName':'a','EdgeConfig':{}}", KN_E_LIMIT,
                   "'edgeConfig.hubDeviceArn'");
    assert_refused("StartEdgeConfigurationUpdate", "{'StreamName':'a','EdgeConfig':[]}",
                   KN_E_MALFORMED, "a structure");
    assert_fine("GetMedia", "{'StreamName':'a','StartSelector':{'StartSelectorType':"
                            "'PRODUCER_TIMESTAMP','StartTimestamp':1.5e9}}");
    assert_refused("GetMedia",
                   "{'StreamName':'a','StartSelector':{'StartSelectorType':"
                   "'PRODUCER_TIMESTAMP','StartTimestamp':'2026-01-01'}}",
                   KN_E_MALFORMED, "'startSelector.startTimestamp'");
    assert_refused("UpdateStreamStorageConfiguration",
                   "{'StreamName':'a','CurrentVersion':'b','StreamStorageConfiguration':"
                   "{'DefaultStorageTier':'COLD'}}",
                   KN_E_LIMIT, "[HOT, WARM]");
    assert_refused("JoinStorageSession", "{'channelArn':'x'}", KN_E_LIMIT, "'channelArn'");
    assert_refused("GetImages",
                   "{'StreamName':'a','ImageSelectorType':'SERVER_TIMESTAMP','StartTimestamp':1,"
                   "'EndTimestamp':2,'Format':'PNG','FormatConfig':{'PNGQuality':'1'}}",
                   KN_E_LIMIT, "'formatConfig.key'");
}

/* Every member of every operation with a value that no member takes, and required ones missing. */
static void test_every_operation_refuses(void **state) {
    (void)state;
    size_t count = 0;
    for (; srv_operation_at(count) != NULL; count++) {
        const struct srv_operation *operation = srv_operation_at(count);
        assert_ptr_equal(srv_operation_find(operation->name), operation);
        bool needs = false;
        for (const struct srv_member *member = operation->members; member->name != NULL; member++) {
            json_t *body = json_pack("{s:[[]]}", member->name);
            assert_true(srv_shape_check(operation->name, body, problem) < 0);
            json_decref(body);
            needs = needs || member->required;
        }
        assert_int_equal(check(operation->name, "{}"), needs ? KN_E_LIMIT : 0);
    }
    assert_int_equal(count, 43); /* all but PutMedia, which has no JSON body */
}

static void *no_memory(size_t size) {
    (void)size;
    return NULL;
}

static void test_without_memory(void **state) {
    (void)state;
    json_t *body = body_of("{'StreamName':'a','Tags':{'a':'b'}}");
    json_set_alloc_funcs(no_memory, free);
    int rc = srv_shape_check("TagStream", body, problem);
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(rc, -ENOMEM);
    json_decref(body);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_those_of_aws),
        cmocka_unit_test(test_unknown_and_null_members_are_nothing),
        cmocka_unit_test(test_bounds_are_exact),
        cmocka_unit_test(test_characters_count_and_not_bytes),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_whole_bodies),
        cmocka_unit_test(test_every_operation_refuses),
        cmocka_unit_test(test_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
