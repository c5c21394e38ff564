#include "ingest/replay/feed.h"

#include <errno.h>
#include <stdlib.h>

#include <libavutil/avstring.h>

#include "base/error.h"
#include "base/time.h"
#include "ingest/replay/input.h"
#include "ingest/replay/lane.h"

/* How far a file is looked into for tracks whose setup stands in their packets (MPEG-TS, raw
 * streams) and for where each begins. */
#define PRIME_PACKETS 4096u
#define PRIME_BYTES (32u * 1024u * 1024u)
/* Samples that wait for the time of a reordered picture before them. */
#define QUEUE_MAX 4096u
/* Longer counters do not wrap in any recording. */
#define WRAP_MAX_NS (INT64_C(366) * 86400 * KN_NS_PER_S)

struct item {
    struct ing_feed_sample out;
    bool waiting; /* its pts is not known yet */
};

struct ing_feed {
    struct ing_input *input;
    struct ing_lane lanes[KN_TRACKS_MAX];
    struct lane_state {
        bool seen; /* a packet of it came */
        int64_t first_dts_ns;
        bool kept, ordered;
        uint8_t track; /* in our set */
    } states[KN_TRACKS_MAX];
    size_t lane_count;
    struct ing_times times; /* by lane */
    int64_t zero_ns;        /* the file's first decode time */

    AVPacket *primed[PRIME_PACKETS];
    size_t primed_count, primed_at, primed_bytes;
    bool is_primed;
    bool has_times; /* else it is a raw stream, and times are counted */

    struct item *queue; /* ring */
    size_t queue_first, queue_count;
    uint64_t queue_id; /* of its first item; they count up */

    struct kn_tracks *next_tracks; /* for the next item */
    bool ended;
    int error; /* why it ended, told when the queue is empty */
};

/* ---- opening ---- */

static int open_lanes(struct ing_feed *feed) {
    AVFormatContext *format = ing_input_format(feed->input);
    for (unsigned i = 0; i < format->nb_streams; i++) {
        AVStream *stream = format->streams[i];
        bool recorded = false;
        if (feed->lane_count < KN_TRACKS_MAX) {
            int rc = ing_lane_init(&feed->lanes[feed->lane_count], stream, &recorded);
            feed->lane_count += recorded ? 1 : 0;
            if (rc != 0) {
                return rc;
            }
        }
        stream->discard = recorded ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    return feed->lane_count == 0 ? KN_E_UNSUPPORTED : 0;
}

static int64_t find_wrap(const AVStream *stream) {
    int bits = stream->pts_wrap_bits;
    if (bits <= 0 || bits >= 62) {
        return 0;
    }
    int64_t ns = av_rescale_q(INT64_C(1) << bits, stream->time_base, (AVRational){1, 1000000000});
    return ns > 0 && ns <= WRAP_MAX_NS ? ns : 0;
}

static void init_times(struct ing_feed *feed) {
    const AVFormatContext *format = ing_input_format(feed->input);
    feed->has_times = av_match_name(format->iformat->name, "h264,hevc") == 0;
    feed->times.may_jump = (format->iformat->flags & AVFMT_TS_DISCONT) != 0;
    for (size_t i = 0; i < feed->lane_count; i++) {
        const struct ing_lane *lane = &feed->lanes[i];
        feed->times.tracks[i] = (struct ing_times_track){
            .step_ns = lane->step_ns,
            .reorder_ns = ing_lane_reorder_ns(lane),
            .wrap_ns = find_wrap(lane->stream),
        };
    }
}

int ing_feed_open(const char *path, uint64_t limit, const atomic_bool *stop,
                  struct ing_feed **ret_feed) {
    struct ing_feed *feed = calloc(1, sizeof(*feed));
    if (feed == NULL) {
        return -ENOMEM;
    }
    feed->queue = calloc(QUEUE_MAX, sizeof(*feed->queue));
    int rc = feed->queue == NULL ? -ENOMEM : ing_input_open(path, limit, stop, &feed->input);
    rc = rc == 0 ? open_lanes(feed) : rc;
    if (rc != 0) {
        ing_feed_close(feed);
        return rc;
    }
    init_times(feed);
    *ret_feed = feed;
    return 0;
}

void ing_feed_sample_unref(struct ing_feed_sample *sample) {
    kn_sample_unref(&sample->sample);
    kn_tracks_unref(sample->tracks);
    sample->tracks = NULL;
}

static struct item *peek_item(struct ing_feed *feed, size_t at) {
    return &feed->queue[(feed->queue_first + at) % QUEUE_MAX];
}

static void drop_primed(struct ing_feed *feed) {
    while (feed->primed_at < feed->primed_count) {
        av_packet_free(&feed->primed[feed->primed_at++]);
    }
}

void ing_feed_close(struct ing_feed *feed) {
    if (feed == NULL) {
        return;
    }
    for (size_t i = 0; i < feed->queue_count; i++) {
        ing_feed_sample_unref(&peek_item(feed, i)->out);
    }
    drop_primed(feed);
    for (size_t i = 0; i < KN_COUNT(feed->lanes); i++) {
        ing_lane_finish(&feed->lanes[i]);
    }
    kn_tracks_unref(feed->next_tracks);
    ing_input_close(feed->input);
    free(feed->queue);
    free(feed);
}

void ing_feed_each_left_out(const struct ing_feed *feed,
                            void (*each)(unsigned track, const char *media, const char *codec,
                                         void *user),
                            void *user) {
    const AVFormatContext *format = ing_input_format(feed->input);
    size_t lane = 0;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        const AVStream *stream = format->streams[i];
        if (lane < feed->lane_count && feed->lanes[lane].stream == stream) {
            lane++; /* they have the order of the file */
            continue;
        }
        const AVCodecParameters *codec = stream->codecpar;
        const char *media = av_get_media_type_string(codec->codec_type);
        if (codec->codec_type != AVMEDIA_TYPE_ATTACHMENT &&
            (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0) {
            each(i + 1, media == NULL ? "unknown" : media, avcodec_get_name(codec->codec_id), user);
        }
    }
}

int64_t ing_feed_duration_ns(const struct ing_feed *feed) {
    return ing_input_duration_ns(feed->input);
}

/* ---- tracks ---- */

/* The set as it is now, for the next item. */
static int renew_tracks(struct ing_feed *feed) {
    struct kn_track items[KN_TRACKS_MAX];
    struct kn_tracks *tracks = NULL;
    size_t count = 0;
    for (size_t i = 0; i < feed->lane_count; i++) {
        if (feed->states[i].kept) {
            items[count] = feed->lanes[i].track;
            items[count].number = count + 1;
            items[count].uid = count + 1;
            feed->states[i].track = (uint8_t)count;
            count++;
        }
    }
    if (count == 0) {
        return KN_E_UNSUPPORTED;
    }
    int rc = kn_tracks_create(items, count, &tracks);
    if (rc == 0) {
        kn_tracks_unref(feed->next_tracks);
        feed->next_tracks = tracks;
    }
    return rc;
}

/* ---- priming ---- */

static struct ing_lane *find_lane(struct ing_feed *feed, const AVPacket *packet, size_t *ret_at) {
    for (size_t i = 0; i < feed->lane_count; i++) {
        if (feed->lanes[i].stream->index == packet->stream_index) {
            *ret_at = i;
            return &feed->lanes[i];
        }
    }
    return NULL;
}

static bool is_timeless(const struct ing_feed *feed, const struct ing_stamp *stamp) {
    return feed->has_times && stamp->pts_ns == ING_TIME_NONE && stamp->dts_ns == ING_TIME_NONE;
}

/* AVI tells when to decode, not when to show; MPEG-PS tells either of some pictures only; raw
 * streams tell neither. */
static bool is_unordered(const struct ing_feed *feed, const struct ing_lane *lane) {
    bool nal = lane->track.codec == KN_CODEC_H264 || lane->track.codec == KN_CODEC_H265;
    const char *format = ing_input_format(feed->input)->iformat->name;
    return nal && av_match_name(format, "h264,hevc,avi,mpeg") != 0;
}

/* Where the lane begins, and whether its pictures have times of their own. */
static void note_first(struct ing_feed *feed, size_t at, const AVPacket *packet) {
    const struct ing_lane *lane = &feed->lanes[at];
    struct lane_state *state = &feed->states[at];
    struct ing_stamp stamp = ing_lane_stamp(lane, packet);
    struct ing_times_track of = feed->times.tracks[at];
    if (is_timeless(feed, &stamp)) {
        return;
    }
    state->seen = true;
    state->ordered = is_unordered(feed, lane);
    state->first_dts_ns = stamp.dts_ns;
    if (stamp.dts_ns == ING_TIME_NONE) {
        state->first_dts_ns = (stamp.pts_ns == ING_TIME_NONE ? 0 : stamp.pts_ns) - of.reorder_ns;
    }
}

static bool is_waited_for(const struct ing_feed *feed) {
    for (size_t i = 0; i < feed->lane_count; i++) {
        if (!feed->states[i].seen || !ing_lane_is_ready(&feed->lanes[i])) {
            return true;
        }
    }
    return false;
}

/* Keeps the packet for later, and looks at it where its lane waits for its setup. */
static int prime_with(struct ing_feed *feed, AVPacket *packet) {
    size_t at;
    struct ing_lane *lane = find_lane(feed, packet, &at);
    if (lane == NULL) {
        av_packet_free(&packet);
        return 0;
    }
    feed->primed[feed->primed_count++] = packet;
    feed->primed_bytes += (size_t)packet->size;
    if (!feed->states[at].seen) {
        note_first(feed, at, packet);
    }
    struct ing_lane_frame frame;
    return ing_lane_is_ready(lane) ? 0 : ing_lane_look(lane, packet, &frame);
}

static int read_primed(struct ing_feed *feed) {
    while (is_waited_for(feed) && feed->primed_count < PRIME_PACKETS &&
           feed->primed_bytes < PRIME_BYTES && !feed->ended) {
        AVPacket *packet = NULL;
        int rc = ing_input_read(feed->input, &packet);
        if (rc <= 0) {
            feed->ended = true;
            feed->error = rc;
            return rc == -ENOMEM ? rc : 0;
        }
        rc = prime_with(feed, packet);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* Tracks whose setup did not come cannot be decoded, and those without a packet are empty: both are
 * left out. */
static int prime(struct ing_feed *feed) {
    int64_t zero_ns = INT64_MAX;
    int rc = read_primed(feed);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < feed->lane_count; i++) {
        struct lane_state *state = &feed->states[i];
        state->kept = state->seen && ing_lane_is_ready(&feed->lanes[i]);
        if (!state->kept) {
            continue;
        }
        zero_ns = state->first_dts_ns < zero_ns ? state->first_dts_ns : zero_ns;
        rc = state->ordered ? ing_lane_begin_order(&feed->lanes[i]) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    feed->zero_ns = zero_ns;
    feed->is_primed = true;
    rc = renew_tracks(feed);
    return rc == KN_E_UNSUPPORTED && feed->error != 0 ? feed->error : rc;
}

/* ---- the queue ---- */

static void settle_shown(struct ing_feed *feed, const struct ing_order_shown *shown, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t at = shown[i].id - feed->queue_id;
        KN_ASSERT(at < feed->queue_count); /* what waits does not leave */
        struct item *item = peek_item(feed, (size_t)at);
        item->out.sample.pts_ns = shown[i].pts_ns;
        item->waiting = false;
    }
}

static void reset_order(struct ing_feed *feed, size_t lane) {
    struct ing_order_shown shown[ING_ORDER_DEPTH_MAX + 1];
    size_t count = ing_order_reset(&feed->lanes[lane].order, shown);
    settle_shown(feed, shown, count);
    ing_lane_renew_order(&feed->lanes[lane]);
}

static void reset_orders(struct ing_feed *feed) {
    for (size_t i = 0; i < feed->lane_count; i++) {
        reset_order(feed, i);
    }
}

/* The item at the end of the queue is a picture of this lane. */
static void order_picture(struct ing_feed *feed, size_t lane, int64_t count, bool resets,
                          int64_t dts_ns) {
    struct ing_order_shown shown[ING_ORDER_DEPTH_MAX + 1];
    uint64_t id = feed->queue_id + feed->queue_count - 1;
    if (resets) {
        reset_order(feed, lane);
    }
    peek_item(feed, feed->queue_count - 1)->waiting = true;
    size_t found = ing_order_put(&feed->lanes[lane].order, id, count, dts_ns, shown);
    settle_shown(feed, shown, found);
}

static struct item *push_item(struct ing_feed *feed) {
    if (feed->queue_count == QUEUE_MAX) {
        return NULL;
    }
    struct item *item = peek_item(feed, feed->queue_count++);
    *item = (struct item){.out.tracks = feed->next_tracks};
    feed->next_tracks = NULL;
    return item;
}

/* ---- packets ---- */

/* Uses up the packet. */
static int queue_sample(struct ing_feed *feed, size_t lane, AVPacket *packet,
                        const struct ing_lane_frame *frame) {
    const struct lane_state *state = &feed->states[lane];
    struct ing_stamp told = ing_lane_stamp(&feed->lanes[lane], packet), stamp;
    struct ing_feed_sample out = {0};
    if (state->ordered) {
        told.pts_ns = ING_TIME_NONE;
    }
    int64_t count = state->ordered ? ing_lane_order_count(&feed->lanes[lane], packet) : 0;
    int rc = ing_times_put(&feed->times, (unsigned)lane, &told, &stamp, &out.step_ns, &out.jumped);
    if (rc != 0) {
        av_packet_free(&packet);
        return rc;
    }
    rc = ing_lane_sample(&feed->lanes[lane], packet, frame, &out.sample);
    if (rc != 0) {
        return rc;
    }
    out.sample.track = state->track;
    out.sample.pts_ns = stamp.pts_ns - feed->zero_ns;
    out.sample.dts_ns = stamp.dts_ns - feed->zero_ns;
    out.sample.duration_ns = stamp.duration_ns;
    struct item *item = push_item(feed);
    KN_ASSERT(item != NULL); /* ing_feed_next leaves room */
    out.tracks = item->out.tracks;
    item->out = out;
    if (state->ordered) {
        order_picture(feed, lane, count, frame->resets_order, out.sample.dts_ns);
    }
    return 0;
}

/* Uses up the packet. */
static int take_packet(struct ing_feed *feed, AVPacket *packet) {
    size_t at;
    struct ing_lane *lane = find_lane(feed, packet, &at);
    if (lane == NULL || !feed->states[at].kept) {
        av_packet_free(&packet);
        return 0;
    }
    struct ing_lane_frame frame;
    struct ing_stamp stamp = ing_lane_stamp(lane, packet);
    int rc = ing_lane_look(lane, packet, &frame);
    if (rc == 0 && frame.changed) {
        rc = renew_tracks(feed);
    }
    /* A cut file may begin in the middle of something, which then has no time. */
    if (rc != 0 || frame.nothing || (!feed->times.tracks[at].begun && is_timeless(feed, &stamp))) {
        av_packet_free(&packet);
        return rc;
    }
    return queue_sample(feed, at, packet, &frame);
}

static int next_packet(struct ing_feed *feed, AVPacket **ret_packet) {
    if (feed->primed_at < feed->primed_count) {
        *ret_packet = feed->primed[feed->primed_at++];
        return 1;
    }
    return feed->ended ? feed->error : ing_input_read(feed->input, ret_packet);
}

static int read_more(struct ing_feed *feed) {
    AVPacket *packet = NULL;
    int rc = next_packet(feed, &packet);
    bool over = packet == NULL;
    rc = over ? rc : take_packet(feed, packet);
    if (over || rc < 0) {
        feed->ended = true;
        feed->error = rc;
        drop_primed(feed);
        reset_orders(feed);
    }
    return rc == -ENOMEM ? rc : 0;
}

static bool has_next(struct ing_feed *feed) {
    if (feed->queue_count == QUEUE_MAX) {
        reset_orders(feed); /* no order is that deep: better a wrong time than none */
    }
    return feed->queue_count > 0 && !peek_item(feed, 0)->waiting;
}

int ing_feed_next(struct ing_feed *feed, struct ing_feed_sample *ret_sample) {
    int rc = feed->is_primed ? 0 : prime(feed);
    if (rc != 0) {
        return rc;
    }
    while (!has_next(feed)) {
        if (feed->ended && feed->primed_at == feed->primed_count) {
            return feed->error;
        }
        rc = read_more(feed);
        if (rc != 0) {
            return rc;
        }
    }
    *ret_sample = peek_item(feed, 0)->out;
    feed->queue_first = (feed->queue_first + 1) % QUEUE_MAX;
    feed->queue_count--;
    feed->queue_id++;
    return 1;
}
