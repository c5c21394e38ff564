/* The live end: what the tail tells, kept until it is given, and documents out of that. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "playback/media_inner.h"

#define WAITING_MOST_BYTES ((size_t)32 * 1024 * 1024)
#define HEADER_MAX_BYTES ((size_t)64 * 1024 * 1024)

/* ---- the fragment that is being recorded ---- */

static void drop_samples(struct play_media_live *live) {
    while (live->sample_count > 0) {
        kn_sample_unref(&live->samples[live->sample_first]);
        live->sample_first = (live->sample_first + 1) % KN_COUNT(live->samples);
        live->sample_count--;
    }
    kn_tracks_unref(live->tracks);
    live->tracks = NULL;
    live->follows = false;
    live->given = 0;
    live->building = (struct frag_number){0};
}

/* A sample of another fragment than the one before. Where samples of two sessions come mixed, that
 * of the lower number comes as a whole, once it is complete. */
static bool begin_building(struct play_media_live *live, const struct frag_tail_event *event) {
    if (event->number.sequence <= live->building.sequence) {
        return event->number.sequence == live->building.sequence;
    }
    bool begins = live->heard_sample;
    drop_samples(live);
    live->building = event->number;
    live->producer = event->producer;
    live->tracks = kn_tracks_ref(event->tracks);
    live->follows = begins;
    live->heard_sample = true;
    return true;
}

/* What does not fit comes with the whole fragment. */
static void take_sample(struct play_media_live *live, const struct frag_tail_event *event) {
    if (!begin_building(live, event) || !live->follows) {
        return;
    }
    if (live->sample_count == KN_COUNT(live->samples)) {
        live->follows = false;
        return;
    }
    size_t at = (live->sample_first + live->sample_count++) % KN_COUNT(live->samples);
    live->samples[at] = kn_sample_ref(&event->sample);
}

/* ---- fragments that are complete ---- */

static size_t weight_of(const struct frag_fragment *fragment) {
    return fragment->form.cluster != NULL ? fragment->form.cluster->size : fragment->bytes;
}

static void take_fragment(struct play_media *media, const struct frag_tail_event *event) {
    struct play_media_live *live = &media->live;
    struct frag_fragment *fragment = event->fragment;
    struct kn_wall end = {fragment->start.server.ns + fragment->duration_ns};
    media->head = end.ns > media->head.ns ? end : media->head;
    if (live->building.sequence == event->number.sequence) {
        drop_samples(live);
    }
    if (event->number.sequence <= media->after) {
        return; /* the tail keeps it still; it must not take the room of those behind it */
    }
    if (live->waiting_count == KN_COUNT(live->waiting) ||
        (live->waiting_count > 0 &&
         live->waiting_bytes + weight_of(fragment) > WAITING_MOST_BYTES)) {
        live->behind = true; /* from here on it is read from the store, or kept by the tail */
        return;
    }
    live->waiting[live->waiting_count++] = frag_fragment_ref(fragment);
    live->waiting_bytes += weight_of(fragment);
}

static struct frag_fragment *next_waiting(struct play_media_live *live) {
    struct frag_fragment *fragment = live->waiting[0];
    live->waiting_bytes -= weight_of(fragment);
    live->waiting_count--;
    memmove(live->waiting, live->waiting + 1, live->waiting_count * sizeof(live->waiting[0]));
    return fragment;
}

/* ---- the subscription ---- */

static void handle_event(const struct frag_tail_event *event, void *user) {
    struct play_media *media = user;
    struct play_media_live *live = &media->live;
    if (live->behind) {
        return;
    }
    switch (event->kind) {
    case FRAG_TAIL_SAMPLE:
        take_sample(live, event);
        break;
    case FRAG_TAIL_FRAGMENT:
        take_fragment(media, event);
        break;
    case FRAG_TAIL_END:
        live->ended = true;
        break;
    case FRAG_TAIL_MISSED:
        drop_samples(live);
        live->behind = true;
        break;
    case FRAG_TAIL_DURABLE:
    case FRAG_TAIL_FAILED:
    case FRAG_TAIL_GAP_OPEN:
    case FRAG_TAIL_GAP_CLOSE:
        return;
    }
    media->config.handle_wake(media->config.user);
}

static void handle_closed(void *user) {
    struct play_media *media = user;
    if (media->closing > 0) {
        media->closing--;
    } else {
        media->live.subscription = NULL; /* the loop ends */
        media->live.ended = true;
    }
    play_media_unref(media);
}

int play_media_live_join(struct play_media *media) {
    struct play_media_live *live = &media->live;
    struct frag_number oldest;
    bool kept = false;
    const struct frag_subscription_config config = {
        .samples = true,
        .only_new = media->config.start == PLAY_MEDIA_NOW && !media->begun,
        .handle_event = handle_event,
        .handle_closed = handle_closed,
        .user = media,
    };
    int rc = frag_tail_subscribe(frag_stream_tail(media->config.stream), media->config.loop,
                                 &config, &kept, &oldest, &live->subscription);
    if (rc < 0) {
        live->subscription = NULL;
        return rc;
    }
    media->refs++;
    live->ended = play_media_is_deleted(media); /* nobody tells it any more */
    return 0;
}

void play_media_live_leave(struct play_media *media) {
    struct play_media_live *live = &media->live;
    if (live->subscription != NULL) {
        media->closing++;
        frag_tail_unsubscribe(live->subscription);
        live->subscription = NULL;
    }
    while (live->waiting_count > 0) {
        frag_fragment_unref(next_waiting(live));
    }
    drop_samples(live);
    live->behind = live->heard_sample = false;
}

/* ---- documents ---- */

static int add_cluster(struct play_media *media, const struct frag_fragment *fragment,
                       struct kn_writer *text) {
    const struct play_blocks blocks = {
        .tracks = fragment->tracks,
        .timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS,
        .producer = fragment->start.producer,
        .samples = fragment->samples,
        .count = fragment->sample_count,
    };
    int rc = play_pieces_add_text(&media->pieces, text);
    if (rc == 0 && fragment->form.cluster != NULL) {
        play_pieces_add(&media->pieces, kn_buffer_ref(fragment->form.cluster));
    } else if (rc == 0) {
        rc = play_document_blocks(&media->pieces, media->packer, &blocks, false);
    }
    return rc;
}

static int add_whole(struct play_media *media, const struct frag_fragment *fragment,
                     struct kn_writer *text) {
    const struct frag_form *form = &fragment->form;
    const struct frag_fragment_start *start = &fragment->start;
    const struct play_document_about about = {start->number, start->producer, start->server};
    const struct kn_buffer *header = form->header;
    play_document_header(text, header != NULL ? header->data : NULL,
                         header != NULL ? header->size : 0, fragment->tracks,
                         FRAG_MKV_DEFAULT_SCALE_NS);
    play_document_begin(text, &about);
    if (form->before_bytes > 0) {
        kn_write_bytes(text, form->around->data, form->before_bytes);
    }
    int rc = add_cluster(media, fragment, text);
    if (rc == 0 && form->after_bytes > 0) {
        kn_write_bytes(text, form->around->data + form->before_bytes, form->after_bytes);
    }
    return rc;
}

static int add_rest(struct play_media *media, const struct frag_fragment *fragment) {
    const struct play_blocks blocks = {
        .tracks = fragment->tracks,
        .timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS,
        .producer = fragment->start.producer,
        .samples = fragment->samples,
        .count = fragment->sample_count,
        .from = media->open_from,
    };
    return blocks.from < blocks.count
               ? play_document_blocks(&media->pieces, media->packer, &blocks, true)
               : 0;
}

static int add_document(struct play_media *media, const struct frag_fragment *fragment) {
    const struct frag_fragment_start *start = &fragment->start;
    struct kn_wall end = {start->server.ns + fragment->duration_ns};
    struct kn_writer text;
    bool is_open = media->open.sequence == start->number.sequence;
    kn_writer_init_growing(&text, HEADER_MAX_BYTES);
    int rc = is_open ? add_rest(media, fragment) : add_whole(media, fragment, &text);
    if (rc == 0) {
        play_document_end(&text, start->number, play_media_behind(media->head, end));
        rc = play_pieces_add_text(&media->pieces, &text);
    }
    kn_writer_finish(&text);
    media->fragments += is_open ? 0 : 1;
    media->open = (struct frag_number){0};
    return rc;
}

/* Something is missing between what was given and this one, and no store has it. */
static bool is_hole(const struct play_media *media, const struct frag_fragment *fragment) {
    return media->restarted && media->begun && !media->stored &&
           fragment->start.ordinal > media->ordinal + 1;
}

static int give_fragment(struct play_media *media) {
    struct frag_fragment *fragment = next_waiting(&media->live);
    const struct frag_fragment_start *start = &fragment->start;
    int rc = 0;
    bool passes = !media->begun && play_media_is_before(&media->config, start->producer,
                                                        start->server, fragment->duration_ns);
    if (start->number.sequence > media->after) {
        if (is_hole(media, fragment)) {
            media->phase = PLAY_MEDIA_OVER;
        } else if (!passes) {
            rc = add_document(media, fragment);
            media->begun = true;
        }
        media->after = start->number.sequence;
        media->ordinal = start->ordinal;
        media->restarted = false;
    }
    frag_fragment_unref(fragment);
    return rc < 0 ? rc : 1;
}

/* ---- samples as they come ---- */

static int begin_document(struct play_media *media) {
    const struct play_media_live *live = &media->live;
    struct kn_writer text;
    const struct play_document_about about = {
        live->building,
        live->producer,
        {(int64_t)live->building.server_ms * KN_NS_PER_MS},
    };
    kn_writer_init_growing(&text, HEADER_MAX_BYTES);
    play_document_header(&text, NULL, 0, live->tracks, FRAG_MKV_DEFAULT_SCALE_NS);
    play_document_begin(&text, &about);
    int rc = play_pieces_add_text(&media->pieces, &text);
    kn_writer_finish(&text);
    media->open = live->building;
    media->open_from = 0;
    media->fragments++;
    media->begun = true;
    return rc;
}

static int give_sample(struct play_media *media) {
    struct play_media_live *live = &media->live;
    struct kn_sample sample = live->samples[live->sample_first];
    int rc = 0;
    live->sample_first = (live->sample_first + 1) % KN_COUNT(live->samples);
    live->sample_count--;
    live->given++;
    if (media->open.sequence != live->building.sequence) {
        rc = begin_document(media);
    }
    /* A cluster's first block is packed with its head, all others without. */
    const struct kn_sample pair[2] = {sample, sample};
    const struct play_blocks blocks = {
        .tracks = live->tracks,
        .timecode_scale_ns = FRAG_MKV_DEFAULT_SCALE_NS,
        .producer = live->producer,
        .samples = pair,
        .count = media->open_from == 0 ? 1 : 2,
        .from = media->open_from == 0 ? 0 : 1,
    };
    rc = rc < 0 ? rc : play_document_blocks(&media->pieces, media->packer, &blocks, true);
    media->open_from++;
    kn_sample_unref(&sample);
    return rc < 0 ? rc : 1;
}

/* Whether it may go out before it is complete: its place in the order is sure. */
static bool may_give_samples(const struct play_media *media) {
    const struct play_media_live *live = &media->live;
    return live->sample_count > 0 && live->building.sequence > media->after && !media->restarted &&
           (media->begun || media->config.start == PLAY_MEDIA_NOW) &&
           (media->open.sequence == live->building.sequence || live->given == 0);
}

int play_media_live_step(struct play_media *media) {
    struct play_media_live *live = &media->live;
    if (live->waiting_count > 0) {
        return give_fragment(media);
    }
    if (live->behind) {
        play_media_live_leave(media);
        media->restarted = true;
        bool anew = media->config.start == PLAY_MEDIA_NOW && !media->begun;
        media->phase = anew ? PLAY_MEDIA_JOIN : PLAY_MEDIA_STORE;
        return 1;
    }
    if (may_give_samples(media)) {
        return give_sample(media);
    }
    if (live->ended) {
        media->phase = PLAY_MEDIA_OVER;
        return 1;
    }
    return 0;
}
