/* The control plane: its operations by path. */
#include "server/aws/aws.h"
#include "server/aws/inner.h"
#include "server/world.h"

/* A change of a stream, which the configuration must not come between: the file wins. */
#define CHANGE(operation)                                                                          \
    static void operation(struct srv_exchange *exchange) {                                         \
        struct srv_world *world = srv_exchange_world(exchange);                                    \
        srv_world_lock_ownership(world);                                                           \
        srv_aws_##operation(exchange);                                                             \
        srv_world_unlock_ownership(world);                                                         \
    }

CHANGE(create_stream)
CHANGE(delete_stream)
CHANGE(tag_resource)
CHANGE(tag_stream)
CHANGE(untag_resource)
CHANGE(untag_stream)
CHANGE(update_retention)
CHANGE(update_stream)

/* Who may is decided by what the body names. */
#define OPERATION(operation, where, handler)                                                       \
    {                                                                                              \
        .name = "AWS." operation, .method = SRV_HTTP_POST, .path = (where),                        \
        .access = SRV_SIGNED_IN, .body = SRV_BODY_JSON, .handle = (handler)                        \
    }

static const struct srv_route rows[] = {
    OPERATION("CreateSignalingChannel", "/createSignalingChannel", srv_aws_create_channel),
    OPERATION("CreateStream", "/createStream", create_stream),
    OPERATION("DeleteEdgeConfiguration", "/deleteEdgeConfiguration", srv_aws_delete_edge),
    OPERATION("DeleteSignalingChannel", "/deleteSignalingChannel", srv_aws_delete_channel),
    OPERATION("DeleteStream", "/deleteStream", delete_stream),
    OPERATION("DescribeEdgeConfiguration", "/describeEdgeConfiguration", srv_aws_describe_edge),
    OPERATION("DescribeImageGenerationConfiguration", "/describeImageGenerationConfiguration",
              srv_aws_describe_images),
    OPERATION("DescribeMappedResourceConfiguration", "/describeMappedResourceConfiguration",
              srv_aws_describe_mapped),
    OPERATION("DescribeMediaStorageConfiguration", "/describeMediaStorageConfiguration",
              srv_aws_describe_storage),
    OPERATION("DescribeNotificationConfiguration", "/describeNotificationConfiguration",
              srv_aws_describe_notification),
    OPERATION("DescribeSignalingChannel", "/describeSignalingChannel", srv_aws_describe_channel),
    OPERATION("DescribeStream", "/describeStream", srv_aws_describe_stream),
    OPERATION("DescribeStreamStorageConfiguration", "/describeStreamStorageConfiguration",
              srv_aws_describe_tier),
    OPERATION("GetDataEndpoint", "/getDataEndpoint", srv_aws_data_endpoint),
    OPERATION("GetSignalingChannelEndpoint", "/getSignalingChannelEndpoint",
              srv_aws_channel_endpoint),
    OPERATION("ListEdgeAgentConfigurations", "/listEdgeAgentConfigurations", srv_aws_list_edge),
    OPERATION("ListSignalingChannels", "/listSignalingChannels", srv_aws_list_channels),
    OPERATION("ListStreams", "/listStreams", srv_aws_list_streams),
    OPERATION("ListTagsForResource", "/ListTagsForResource", srv_aws_list_resource_tags),
    OPERATION("ListTagsForStream", "/listTagsForStream", srv_aws_list_stream_tags),
    OPERATION("StartEdgeConfigurationUpdate", "/startEdgeConfigurationUpdate", srv_aws_start_edge),
    OPERATION("TagResource", "/TagResource", tag_resource),
    OPERATION("TagStream", "/tagStream", tag_stream),
    OPERATION("UntagResource", "/UntagResource", untag_resource),
    OPERATION("UntagStream", "/untagStream", untag_stream),
    OPERATION("UpdateDataRetention", "/updateDataRetention", update_retention),
    OPERATION("UpdateImageGenerationConfiguration", "/updateImageGenerationConfiguration",
              srv_aws_update_images),
    OPERATION("UpdateMediaStorageConfiguration", "/updateMediaStorageConfiguration",
              srv_aws_update_storage),
    OPERATION("UpdateNotificationConfiguration", "/updateNotificationConfiguration",
              srv_aws_update_notification),
    OPERATION("UpdateSignalingChannel", "/updateSignalingChannel", srv_aws_update_channel),
    OPERATION("UpdateStream", "/updateStream", update_stream),
    OPERATION("UpdateStreamStorageConfiguration", "/updateStreamStorageConfiguration",
              srv_aws_update_tier),
};

const struct srv_routes srv_aws_control_routes = {rows, KN_COUNT(rows), srv_aws_shape_error};
