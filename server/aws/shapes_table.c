/* The shapes of all operations of AWS, as the service's newest models have them, and where those
 * became narrower than older clients, the wider bound. */
#include <stdint.h>
#include <string.h>

#include "base/attributes.h"
#include "server/aws/shapes.h"

#define TEXT(lo, hi, how)                                                                          \
    { .kind = SRV_SHAPE_TEXT, .least = (lo), .most = (hi), .pattern = (how) }
#define WORDS(set)                                                                                 \
    { .kind = SRV_SHAPE_TEXT, .words = (set) }
#define WHOLE(lo, hi)                                                                              \
    { .kind = SRV_SHAPE_WHOLE, .least = (lo), .most = (hi) }
#define LIST(lo, hi, item)                                                                         \
    { .kind = SRV_SHAPE_LIST, .least = (lo), .most = (hi), .of = (item) }
#define MAP(lo, hi, name, item)                                                                    \
    { .kind = SRV_SHAPE_MAP, .least = (lo), .most = (hi), .key = (name), .of = (item) }
#define RECORD(...)                                                                                \
    {                                                                                              \
        .kind = SRV_SHAPE_RECORD, .members = (const struct srv_member[]) {                         \
            __VA_ARGS__, {                                                                         \
                .name = NULL                                                                       \
            }                                                                                      \
        }                                                                                          \
    }
#define MAY(member, how)                                                                           \
    { .name = (member), .shape = &(how) }
#define MUST(member, how)                                                                          \
    { .name = (member), .shape = &(how), .required = true }

/* ---- values ---- */

static const struct srv_shape name = TEXT(1, 256, &srv_pattern_name);
static const struct srv_shape device_name = TEXT(1, 128, &srv_pattern_name);
static const struct srv_shape arn = TEXT(1, 1024, &srv_pattern_arn);
static const struct srv_shape arn_aws = TEXT(1, 1024, &srv_pattern_arn_aws);
static const struct srv_shape arn_any_aws = TEXT(1, 1024, &srv_pattern_arn_any_aws);
static const struct srv_shape thing_arn = TEXT(1, 1024, &srv_pattern_thing_arn);
static const struct srv_shape secret_arn = TEXT(20, 2048, &srv_pattern_secret_arn);
static const struct srv_shape token = TEXT(0, 1024, &srv_pattern_token);
static const struct srv_shape archive_token = TEXT(1, 4096, &srv_pattern_archive_token);
static const struct srv_shape version = TEXT(1, 64, &srv_pattern_version);
static const struct srv_shape tag_key = TEXT(1, 128, &srv_pattern_tag);
static const struct srv_shape tag_value = TEXT(0, 256, &srv_pattern_tag);
static const struct srv_shape media_type = TEXT(1, 128, &srv_pattern_media_type);
static const struct srv_shape fragment_number = TEXT(1, 128, &srv_pattern_digits);
static const struct srv_shape continuation = TEXT(1, 128, &srv_pattern_ctoken);
static const struct srv_shape uri = TEXT(1, 255, &srv_pattern_uri);
static const struct srv_shape region = TEXT(9, 14, &srv_pattern_region);
static const struct srv_shape cron = TEXT(11, 100, &srv_pattern_one_line);
static const struct srv_shape kms_key = TEXT(1, 2048, &srv_pattern_one_line);
static const struct srv_shape quality = TEXT(0, 256, &srv_pattern_word);
static const struct srv_shape alexa_offer = TEXT(1, 10000, &srv_pattern_base64);
static const struct srv_shape when = {.kind = SRV_SHAPE_TIME};
static const struct srv_shape truth = {.kind = SRV_SHAPE_BOOL};
static const struct srv_shape hours = WHOLE(0, INT32_MAX);
static const struct srv_shape hours_changed = WHOLE(1, INT32_MAX);
static const struct srv_shape one_result = WHOLE(1, 1);
static const struct srv_shape ten_results = WHOLE(1, 10);
static const struct srv_shape hundred_results = WHOLE(1, 100);
static const struct srv_shape thousand_results = WHOLE(1, 1000);
static const struct srv_shape five_thousand_results = WHOLE(1, 5000);
static const struct srv_shape ten_thousand_results = WHOLE(1, 10000);
static const struct srv_shape expires = WHOLE(300, 43200);
/* The newest models have no bounds; 200 ms is what the guide says. */
static const struct srv_shape interval = WHOLE(200, INT32_MAX);
static const struct srv_shape width = WHOLE(1, 3840);
static const struct srv_shape height = WHOLE(1, 2160);

/* ---- words ---- */

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct srv_shape on_off = WORDS(SET("ENABLED", "DISABLED"));
static const struct srv_shape channel_type = WORDS(SET("SINGLE_MASTER", "FULL_MESH"));
static const struct srv_shape begins_with = WORDS(SET("BEGINS_WITH"));
static const struct srv_shape api_name = WORDS(SET(
    "PUT_MEDIA", "GET_MEDIA", "LIST_FRAGMENTS", "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL", "GET_DASH_STREAMING_SESSION_URL", "GET_CLIP", "GET_IMAGES"));
static const struct srv_shape protocol = WORDS(SET("WSS", "HTTPS", "WEBRTC"));
static const struct srv_shape role = WORDS(SET("MASTER", "VIEWER"));
static const struct srv_shape retention_change =
    WORDS(SET("INCREASE_DATA_RETENTION", "DECREASE_DATA_RETENTION"));
static const struct srv_shape clock_name = WORDS(SET("PRODUCER_TIMESTAMP", "SERVER_TIMESTAMP"));
static const struct srv_shape image_format = WORDS(SET("JPEG", "PNG"));
static const struct srv_shape quality_key = WORDS(SET("JPEGQuality"));
static const struct srv_shape tier = WORDS(SET("HOT", "WARM"));
static const struct srv_shape uri_type = WORDS(SET("RTSP_URI", "FILE_URI"));
static const struct srv_shape full_strategy = WORDS(SET("DELETE_OLDEST_MEDIA", "DENY_NEW_MEDIA"));
static const struct srv_shape start_type =
    WORDS(SET("FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP", "NOW", "EARLIEST",
              "CONTINUATION_TOKEN"));
static const struct srv_shape playback_mode = WORDS(SET("LIVE", "LIVE_REPLAY", "ON_DEMAND"));
static const struct srv_shape shown = WORDS(SET("ALWAYS", "NEVER"));
static const struct srv_shape container = WORDS(SET("FRAGMENTED_MP4", "MPEG_TS"));
static const struct srv_shape discontinuity = WORDS(SET("ALWAYS", "NEVER", "ON_DISCONTINUITY"));
static const struct srv_shape turn = WORDS(SET("TURN"));

/* ---- structures ---- */

static const struct srv_shape message_ttl = WHOLE(5, 120);
static const struct srv_shape single_master = RECORD(MAY("MessageTtlSeconds", message_ttl));
static const struct srv_shape tag = RECORD(MUST("Key", tag_key), MUST("Value", tag_value));
static const struct srv_shape tag_list = LIST(1, 50, &tag);
static const struct srv_shape tag_list_or_none = LIST(0, 50, &tag);
static const struct srv_shape tag_map = MAP(1, 50, &tag_key, &tag_value);
static const struct srv_shape tag_keys = LIST(1, 50, &tag_key);
static const struct srv_shape storage = RECORD(MUST("DefaultStorageTier", tier));
static const struct srv_shape condition =
    RECORD(MAY("ComparisonOperator", begins_with), MAY("ComparisonValue", name));
static const struct srv_shape protocols = LIST(1, 5, &protocol);
static const struct srv_shape channel_endpoint =
    RECORD(MAY("Protocols", protocols), MAY("Role", role));
static const struct srv_shape media_storage = RECORD(MAY("StreamARN", arn), MUST("Status", on_off));
static const struct srv_shape topic = RECORD(MUST("Uri", uri));
static const struct srv_shape notification =
    RECORD(MUST("Status", on_off), MUST("DestinationConfig", topic));
static const struct srv_shape bucket = RECORD(MUST("Uri", uri), MUST("DestinationRegion", region));
static const struct srv_shape format_config = MAP(1, 1, &quality_key, &quality);
static const struct srv_shape image_generation =
    RECORD(MUST("Status", on_off), MUST("ImageSelectorType", clock_name),
           MUST("DestinationConfig", bucket), MUST("SamplingInterval", interval),
           MUST("Format", image_format), MAY("FormatConfig", format_config),
           MAY("WidthPixels", width), MAY("HeightPixels", height));
static const struct srv_shape schedule_seconds = WHOLE(60, 3600);
static const struct srv_shape schedule =
    RECORD(MUST("ScheduleExpression", cron), MUST("DurationInSeconds", schedule_seconds));
static const struct srv_shape media_source =
    RECORD(MUST("MediaUriSecretArn", secret_arn), MUST("MediaUriType", uri_type));
static const struct srv_shape recorder =
    RECORD(MUST("MediaSourceConfig", media_source), MAY("ScheduleConfig", schedule));
static const struct srv_shape uploader = RECORD(MUST("ScheduleConfig", schedule));
static const struct srv_shape edge_hours = WHOLE(1, 720);
static const struct srv_shape local_megabytes = WHOLE(64, 2000000);
static const struct srv_shape local_size =
    RECORD(MAY("MaxLocalMediaSizeInMB", local_megabytes), MAY("StrategyOnFullSize", full_strategy));
static const struct srv_shape deletion =
    RECORD(MAY("EdgeRetentionInHours", edge_hours), MAY("LocalSizeConfig", local_size),
           MAY("DeleteAfterUpload", truth));
static const struct srv_shape edge =
    RECORD(MUST("HubDeviceArn", thing_arn), MUST("RecorderConfig", recorder),
           MAY("UploaderConfig", uploader), MAY("DeletionConfig", deletion));
static const struct srv_shape start =
    RECORD(MUST("StartSelectorType", start_type), MAY("AfterFragmentNumber", fragment_number),
           MAY("StartTimestamp", when), MAY("ContinuationToken", continuation));
static const struct srv_shape range =
    RECORD(MUST("StartTimestamp", when), MUST("EndTimestamp", when));
static const struct srv_shape selector =
    RECORD(MUST("FragmentSelectorType", clock_name), MUST("TimestampRange", range));
/* Of sessions: a live one has no end, and its type may be left out. */
static const struct srv_shape session_range =
    RECORD(MAY("StartTimestamp", when), MAY("EndTimestamp", when));
static const struct srv_shape session_selector =
    RECORD(MAY("FragmentSelectorType", clock_name), MAY("TimestampRange", session_range));
static const struct srv_shape fragments = LIST(1, 1000, &fragment_number);

/* ---- operations ---- */

#define STREAM MAY("StreamName", name), MAY("StreamARN", arn)
#define OPERATION(operation, ...)                                                                  \
    {                                                                                              \
        .name = (operation), .members = (const struct srv_member[]) {                              \
            __VA_ARGS__, {                                                                         \
                .name = NULL                                                                       \
            }                                                                                      \
        }                                                                                          \
    }

static const struct srv_operation operations[] = {
    /* kinesisvideo */
    OPERATION("CreateSignalingChannel", MUST("ChannelName", name), MAY("ChannelType", channel_type),
              MAY("SingleMasterConfiguration", single_master), MAY("Tags", tag_list_or_none)),
    OPERATION("CreateStream", MUST("StreamName", name), MAY("DeviceName", device_name),
              MAY("MediaType", media_type), MAY("KmsKeyId", kms_key),
              MAY("DataRetentionInHours", hours), MAY("Tags", tag_map),
              MAY("StreamStorageConfiguration", storage)),
    OPERATION("DeleteEdgeConfiguration", STREAM),
    OPERATION("DeleteSignalingChannel", MUST("ChannelARN", arn), MAY("CurrentVersion", version)),
    OPERATION("DeleteStream", MUST("StreamARN", arn), MAY("CurrentVersion", version)),
    OPERATION("DescribeEdgeConfiguration", STREAM),
    OPERATION("DescribeImageGenerationConfiguration", STREAM),
    OPERATION("DescribeMappedResourceConfiguration", STREAM, MAY("MaxResults", one_result),
              MAY("NextToken", token)),
    OPERATION("DescribeMediaStorageConfiguration", MAY("ChannelName", name),
              MAY("ChannelARN", arn)),
    OPERATION("DescribeNotificationConfiguration", STREAM),
    OPERATION("DescribeSignalingChannel", MAY("ChannelName", name), MAY("ChannelARN", arn)),
    OPERATION("DescribeStream", STREAM),
    OPERATION("DescribeStreamStorageConfiguration", STREAM),
    OPERATION("GetDataEndpoint", STREAM, MUST("APIName", api_name)),
    OPERATION("GetSignalingChannelEndpoint", MUST("ChannelARN", arn),
              MAY("SingleMasterChannelEndpointConfiguration", channel_endpoint)),
    OPERATION("ListEdgeAgentConfigurations", MUST("HubDeviceArn", thing_arn),
              MAY("MaxResults", ten_results), MAY("NextToken", token)),
    OPERATION("ListSignalingChannels", MAY("MaxResults", ten_thousand_results),
              MAY("NextToken", token), MAY("ChannelNameCondition", condition)),
    OPERATION("ListStreams", MAY("MaxResults", ten_thousand_results), MAY("NextToken", token),
              MAY("StreamNameCondition", condition)),
    OPERATION("ListTagsForResource", MUST("ResourceARN", arn), MAY("NextToken", token)),
    OPERATION("ListTagsForStream", STREAM, MAY("NextToken", token)),
    OPERATION("StartEdgeConfigurationUpdate", STREAM, MUST("EdgeConfig", edge)),
    OPERATION("TagResource", MUST("ResourceARN", arn), MUST("Tags", tag_list)),
    OPERATION("TagStream", STREAM, MUST("Tags", tag_map)),
    OPERATION("UntagResource", MUST("ResourceARN", arn), MUST("TagKeyList", tag_keys)),
    OPERATION("UntagStream", STREAM, MUST("TagKeyList", tag_keys)),
    OPERATION("UpdateDataRetention", STREAM, MUST("CurrentVersion", version),
              MUST("Operation", retention_change),
              MUST("DataRetentionChangeInHours", hours_changed)),
    OPERATION("UpdateImageGenerationConfiguration", STREAM,
              MAY("ImageGenerationConfiguration", image_generation)),
    OPERATION("UpdateMediaStorageConfiguration", MUST("ChannelARN", arn),
              MUST("MediaStorageConfiguration", media_storage)),
    OPERATION("UpdateNotificationConfiguration", STREAM,
              MAY("NotificationConfiguration", notification)),
    OPERATION("UpdateSignalingChannel", MUST("ChannelARN", arn), MUST("CurrentVersion", version),
              MAY("SingleMasterConfiguration", single_master)),
    OPERATION("UpdateStream", STREAM, MUST("CurrentVersion", version),
              MAY("DeviceName", device_name), MAY("MediaType", media_type)),
    OPERATION("UpdateStreamStorageConfiguration", STREAM, MUST("CurrentVersion", version),
              MUST("StreamStorageConfiguration", storage)),
    /* kinesis-video-media */
    OPERATION("GetMedia", MAY("StreamName", name), MAY("StreamARN", arn_aws),
              MUST("StartSelector", start)),
    /* kinesis-video-archived-media */
    OPERATION("GetClip", STREAM, MUST("ClipFragmentSelector", selector)),
    OPERATION("GetDASHStreamingSessionURL", STREAM, MAY("PlaybackMode", playback_mode),
              MAY("DisplayFragmentTimestamp", shown), MAY("DisplayFragmentNumber", shown),
              MAY("DASHFragmentSelector", session_selector), MAY("Expires", expires),
              MAY("MaxManifestFragmentResults", five_thousand_results)),
    OPERATION("GetHLSStreamingSessionURL", STREAM, MAY("PlaybackMode", playback_mode),
              MAY("HLSFragmentSelector", session_selector), MAY("ContainerFormat", container),
              MAY("DiscontinuityMode", discontinuity), MAY("DisplayFragmentTimestamp", shown),
              MAY("Expires", expires),
              MAY("MaxMediaPlaylistFragmentResults", five_thousand_results)),
    OPERATION(
        "GetImages", STREAM, MUST("ImageSelectorType", clock_name), MUST("StartTimestamp", when),
        MUST("EndTimestamp", when), MAY("SamplingInterval", interval), MUST("Format", image_format),
        MAY("FormatConfig", format_config), MAY("WidthPixels", width), MAY("HeightPixels", height),
        MAY("MaxResults", hundred_results), MAY("NextToken", archive_token)),
    OPERATION("GetMediaForFragmentList", STREAM, MUST("Fragments", fragments)),
    OPERATION("ListFragments", STREAM, MAY("MaxResults", thousand_results),
              MAY("NextToken", archive_token), MAY("FragmentSelector", selector)),
    /* kinesis-video-signaling */
    OPERATION("GetIceServerConfig", MUST("ChannelARN", arn_aws), MAY("ClientId", name),
              MAY("Service", turn), MAY("Username", name)),
    OPERATION("SendAlexaOfferToMaster", MUST("ChannelARN", arn_aws), MUST("SenderClientId", name),
              MUST("MessagePayload", alexa_offer)),
    /* kinesis-video-webrtc-storage */
    OPERATION("JoinStorageSession", MUST("channelArn", arn_any_aws)),
    OPERATION("JoinStorageSessionAsViewer", MUST("channelArn", arn_any_aws),
              MUST("clientId", name)),
};

const struct srv_operation *srv_operation_at(size_t at) {
    return at < KN_COUNT(operations) ? &operations[at] : NULL;
}
