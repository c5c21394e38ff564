#include "tests/support/export_clip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct loading {
    struct export_clip *clip;
    int64_t after_ns;
};

_Noreturn static void die(const char *what) {
    (void)fprintf(stderr, "export_clip: %s\n", what);
    abort();
}

static int handle_fragment(const struct frag_mkv_fragment *from, void *user) {
    struct loading *loading = user;
    struct export_clip *clip = loading->clip;
    struct frag_loaded *loaded = calloc(1, sizeof(*loaded));
    struct kn_sample *samples = calloc(from->sample_count + 1, sizeof(*samples));
    if (loaded == NULL || samples == NULL || clip->count == EXPORT_CLIP_MAX) {
        die("no room");
    }
    for (size_t i = 0; i < from->sample_count; i++) {
        samples[i] = kn_sample_ref(&from->samples[i]);
    }
    uint64_t sequence = clip->count + 1;
    int64_t producer_ns = EXPORT_CLIP_BEGIN_NS + loading->after_ns + from->time_ns;
    loaded->entry = (struct frag_entry){
        .number = {.sequence = sequence, .server_ms = (uint64_t)(producer_ns / KN_NS_PER_MS)},
        .ordinal = sequence,
        .producer = {producer_ns},
        .server = {producer_ns + KN_NS_PER_S},
        .cluster_bytes = from->end_offset - from->cluster.offset,
    };
    loaded->tracks = kn_tracks_ref(from->tracks);
    loaded->samples = samples;
    loaded->sample_count = from->sample_count;
    clip->fragments[clip->count++] = loaded;
    return 0;
}

void export_clip_append(struct export_clip *clip, const char *path, int64_t after_ns) {
    static const struct frag_mkv_reader_handler handler = {.fragment = handle_fragment};
    struct loading loading = {.clip = clip, .after_ns = after_ns};
    const struct frag_mkv_reader_config config = {.handler = &handler, .user = &loading};
    struct frag_mkv_reader *reader = NULL;
    FILE *file = fopen(path, "rbe");
    if (file == NULL || frag_mkv_reader_create(&config, &reader) != 0) {
        die(path);
    }
    static uint8_t room[65536];
    size_t got = 0;
    int rc = 0;
    while (rc == 0 && (got = fread(room, 1, sizeof(room), file)) > 0) {
        rc = frag_mkv_reader_push(reader, room, got);
    }
    (void)fclose(file);
    frag_mkv_reader_destroy(reader);
    if (clip->count == 0) {
        die("no fragment");
    }
}

void export_clip_load(struct export_clip *clip, const char *path) {
    *clip = (struct export_clip){0};
    export_clip_append(clip, path, 0);
}

static void drop(struct frag_loaded *loaded) {
    if (loaded == NULL) {
        return;
    }
    struct kn_sample *samples = (struct kn_sample *)(uintptr_t)loaded->samples;
    for (size_t i = 0; i < loaded->sample_count; i++) {
        kn_sample_unref(&samples[i]);
    }
    kn_tracks_unref(loaded->tracks);
    free(samples);
    free(loaded);
}

void export_clip_finish(struct export_clip *clip) {
    if (clip->given != 0) {
        die("a fragment was not given back");
    }
    for (size_t i = 0; i < clip->count; i++) {
        drop(clip->fragments[i]);
    }
    *clip = (struct export_clip){0};
}

void export_clip_set_tracks(struct frag_loaded *fragment, const struct kn_track *items,
                            size_t count) {
    struct kn_tracks *tracks = NULL;
    if (kn_tracks_create(items, count, &tracks) != 0) {
        die("tracks");
    }
    kn_tracks_unref(fragment->tracks);
    fragment->tracks = tracks;
}

static int next(void *user, struct frag_loaded **ret_loaded) {
    struct export_clip *clip = user;
    if (clip->next == clip->count) {
        return clip->error == 0 ? PLAY_NEXT_END : clip->error;
    }
    struct frag_loaded *loaded = clip->fragments[clip->next++];
    if (loaded == NULL) {
        return PLAY_NEXT_LEFT_OUT;
    }
    clip->given++;
    *ret_loaded = loaded;
    return PLAY_NEXT_FRAGMENT;
}

static void give_back(void *user, struct frag_loaded *loaded) {
    (void)loaded;
    struct export_clip *clip = user;
    clip->given--;
}

struct play_source export_clip_source(struct export_clip *clip) {
    clip->next = 0;
    return (struct play_source){
        .next = next,
        .give_back = give_back,
        .user = clip,
        .stream_name = "front-door",
        .expected_bytes = 0,
    };
}
