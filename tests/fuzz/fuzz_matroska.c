/* All of fragments/matroska.h. The first byte chooses: bits 0-1 what is run (parser, reader, reader
 * and writer, decode times), bit 2 verify_crc, bit 3 cluster mode for the parser; the second seeds
 * the cuts. The rest is the document. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/crc.h"
#include "fragments/nal.h"
#include "tests/support/mkv_watch.h"

#define CLUSTER_MAX ((size_t)1 << 20)
#define SAMPLES_KEPT 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct choice {
    bool verify_crc, cluster_mode;
    uint64_t seed;
};

static size_t next_piece(uint64_t *seed) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    unsigned wide = (unsigned)(*seed >> 60);
    return 1 + (size_t)((*seed >> 33) % (UINT64_C(1) << (wide % 11)));
}

static bool out_of_memory(int result) {
    return result == -ENOMEM;
}

/* ---- parser: any cut gives the same events and the same end ---- */

static int parse(const uint8_t *data, size_t size, struct choice choice, struct kn_tracks *tracks,
                 bool in_cuts, struct mkv_outcome *ret_outcome) {
    struct mkv_watch watch = {.input = data,
                              .size = size,
                              .verify_crc = choice.verify_crc,
                              .copies = in_cuts,
                              .cluster_mode = tracks};
    if (mkv_watch_start(&watch) != 0) {
        return -ENOMEM;
    }
    while (in_cuts && watch.pushed < size) {
        size_t piece = next_piece(&choice.seed);
        mkv_watch_push(&watch, piece < size - watch.pushed ? piece : size - watch.pushed);
    }
    mkv_watch_push(&watch, size - watch.pushed);
    mkv_watch_end(&watch, ret_outcome);
    return ret_outcome->result;
}

static void run_parser(const uint8_t *data, size_t size, struct choice choice) {
    static const struct kn_track items[] = {
        {.number = 1, .media = KN_MEDIA_VIDEO},
        {.number = 2, .media = KN_MEDIA_AUDIO, .default_duration_ns = 20000000}};
    struct kn_tracks *tracks = NULL;
    struct mkv_outcome whole, cut;
    if (choice.cluster_mode && kn_tracks_create(items, KN_COUNT(items), &tracks) != 0) {
        return;
    }
    int rc = parse(data, size, choice, tracks, false, &whole);
    int rc_cut = parse(data, size, choice, tracks, true, &cut);
    if (!out_of_memory(rc) && !out_of_memory(rc_cut)) {
        KN_ASSERT(mkv_outcome_equal(&whole, &cut));
    }
    kn_tracks_unref(tracks);
}

/* ---- reader ---- */

struct told {
    struct kn_budget *budget;
    struct frag_mkv_packer *packer; /* NULL: only look */
    uint64_t scale_ns;
    uint64_t digest;
    bool memory_failed;
};

static void mix(struct told *told, uint64_t value) {
    told->digest = (told->digest ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    told->digest ^= told->digest >> 29;
}

static bool in_buffer(const struct kn_sample *sample) {
    const struct kn_buffer *buffer = sample->buffer;
    if (sample->size == 0) {
        return true;
    }
    return sample->data >= buffer->data && sample->size <= buffer->size &&
           (size_t)(sample->data - buffer->data) <= buffer->size - sample->size;
}

static void check_times(const struct frag_mkv_fragment *fragment) {
    int64_t last[KN_TRACKS_MAX];
    bool seen[KN_TRACKS_MAX] = {false};
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        KN_ASSERT(sample->dts_ns <= sample->pts_ns && sample->duration_ns >= 0);
        KN_ASSERT(!seen[sample->track] || sample->dts_ns >= last[sample->track]);
        last[sample->track] = sample->dts_ns;
        seen[sample->track] = true;
    }
}

static void check_fragment(struct told *told, const struct frag_mkv_fragment *fragment) {
    size_t malformed = 0;
    KN_ASSERT(fragment->sample_count <= FRAG_MAX_SAMPLES);
    KN_ASSERT(fragment->bytes->size == fragment->end_offset - fragment->cluster.offset);
    KN_ASSERT(fragment->bytes->size <= CLUSTER_MAX);
    mix(told, kn_crc32(0, fragment->bytes->data, fragment->bytes->size));
    mix(told, fragment->timecode);
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        KN_ASSERT(sample->track < fragment->tracks->count && in_buffer(sample));
        const struct kn_track *track = &fragment->tracks->items[sample->track];
        bool nal = track->codec == KN_CODEC_H264 || track->codec == KN_CODEC_H265;
        KN_ASSERT(nal || (sample->flags & KN_SAMPLE_MALFORMED) == 0);
        malformed += (sample->flags & KN_SAMPLE_MALFORMED) != 0;
        mix(told, kn_crc32(0, sample->data, sample->size));
        mix(told, (uint64_t)sample->pts_ns);
        mix(told, (uint64_t)sample->dts_ns);
        mix(told, (uint64_t)sample->discard_ns);
        mix(told, (uint64_t)sample->flags << 8 | sample->track);
    }
    KN_ASSERT(malformed == fragment->malformed);
    check_times(fragment);
}

/* ---- reader, writer and back ---- */

struct again {
    const struct frag_mkv_fragment *fragment;
    int64_t scale_ns;
    bool came;
};

static int64_t to_ticks(int64_t ns, int64_t scale_ns) {
    __extension__ typedef __int128 wide;
    wide half = scale_ns / 2;
    return (int64_t)(ns < 0 ? -((-(wide)ns + half) / scale_ns) : ((wide)ns + half) / scale_ns);
}

static int64_t expected_duration(const struct kn_sample *sample, const struct kn_track *track,
                                 int64_t scale_ns) {
    int64_t ticks = to_ticks(sample->duration_ns, scale_ns);
    int64_t duration = 0;
    if (sample->duration_ns <= 0 || sample->duration_ns == track->default_duration_ns ||
        ticks == 0) {
        return track->default_duration_ns;
    }
    /* What the parser calls too long is none. */
    return kn_i64_mul(ticks, scale_ns, &duration) && duration <= INT64_MAX / 2 ? duration : 0;
}

static void check_same(const struct again *again, const struct kn_sample *a,
                       const struct kn_sample *b) {
    const struct kn_track *track = &again->fragment->tracks->items[a->track];
    bool lasts = a->duration_ns > 0 && a->duration_ns != track->default_duration_ns &&
                 to_ticks(a->duration_ns, again->scale_ns) > 0;
    bool grouped = lasts || a->discard_ns != 0;
    unsigned lost = grouped ? KN_SAMPLE_DISPOSABLE : 0; /* a BlockGroup has no place for it */
    KN_ASSERT(a->track == b->track && a->size == b->size && a->discard_ns == b->discard_ns);
    KN_ASSERT(a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
    KN_ASSERT((a->flags & ~lost) == b->flags);
    KN_ASSERT(to_ticks(a->pts_ns, again->scale_ns) * again->scale_ns == b->pts_ns);
    KN_ASSERT(b->duration_ns == expected_duration(a, track, again->scale_ns));
}

static int handle_again(const struct frag_mkv_fragment *fragment, void *user) {
    struct again *again = user;
    KN_ASSERT(!again->came && fragment->sample_count == again->fragment->sample_count);
    KN_ASSERT(fragment->timecode == again->fragment->timecode && fragment->converted == 0);
    KN_ASSERT(fragment->malformed == again->fragment->malformed);
    again->came = true;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        check_same(again, &again->fragment->samples[i], &fragment->samples[i]);
    }
    return 0;
}

static int read_again(struct again *again, const struct frag_mkv_cluster *cluster) {
    static const struct frag_mkv_reader_handler handler = {.fragment = handle_again};
    struct frag_mkv_reader_config config = {.handler = &handler,
                                            .user = again,
                                            .tracks = again->fragment->tracks,
                                            .timecode_scale_ns = (uint64_t)again->scale_ns};
    struct frag_mkv_reader *reader = NULL;
    size_t bytes = 0;
    int rc = frag_mkv_reader_create(&config, &reader);
    for (size_t i = 0; i < cluster->iov_count && rc == 0; i++) {
        KN_ASSERT(cluster->iov[i].iov_len > 0);
        bytes += cluster->iov[i].iov_len;
        rc = frag_mkv_reader_push(reader, cluster->iov[i].iov_base, cluster->iov[i].iov_len);
    }
    if (rc == 0) {
        KN_ASSERT(bytes == cluster->bytes);
        rc = frag_mkv_reader_finish(reader);
    }
    if (rc == KN_E_MALFORMED) {
        /* Rounding may lead over the last time that is read, nothing else may be refused. */
        KN_ASSERT(frag_mkv_reader_error(reader)->fault == FRAG_MKV_BAD_TIME);
        KN_ASSERT(again->fragment->time_ns > INT64_MAX / 2 - INT64_MAX / 8);
    }
    frag_mkv_reader_destroy(reader);
    return rc;
}

/* Does a slice of the cluster lie in the samples, or in the packer? Each payload is one of ours. */
static void check_no_copy(const struct frag_mkv_fragment *fragment,
                          const struct frag_mkv_cluster *cluster) {
    size_t at = 0;
    for (size_t i = 0; i < fragment->sample_count; i++) {
        const struct kn_sample *sample = &fragment->samples[i];
        if (sample->size > 0) {
            while (at < cluster->iov_count && cluster->iov[at].iov_base != sample->data) {
                at++;
            }
            KN_ASSERT(at < cluster->iov_count && cluster->iov[at].iov_len == sample->size);
            at++;
        }
    }
}

static int pack_and_read(struct told *told, const struct frag_mkv_fragment *fragment) {
    struct frag_mkv_cluster cluster;
    struct again again = {.fragment = fragment, .scale_ns = (int64_t)told->scale_ns};
    int rc =
        frag_mkv_pack_cluster(told->packer, fragment->tracks, told->scale_ns, fragment->timecode,
                              fragment->samples, fragment->sample_count, &cluster);
    if (rc == -ERANGE) {
        return 0; /* a lace longer than a cluster reaches */
    }
    if (rc == 0) {
        check_no_copy(fragment, &cluster);
        rc = read_again(&again, &cluster);
        KN_ASSERT(rc != 0 || again.came);
    }
    told->memory_failed = told->memory_failed || out_of_memory(rc);
    KN_ASSERT(rc == 0 || out_of_memory(rc) || rc == KN_E_MALFORMED);
    return 0;
}

/* ---- driving the reader ---- */

static int handle_fragment(const struct frag_mkv_fragment *fragment, void *user) {
    struct told *told = user;
    check_fragment(told, fragment);
    return told->packer == NULL ? 0 : pack_and_read(told, fragment);
}

static int handle_info(const struct frag_mkv_info *info, void *user) {
    ((struct told *)user)->scale_ns = info->timecode_scale_ns;
    return 0;
}

static int handle_tag(const struct frag_mkv_tag *tag, void *user) {
    struct told *told = user;
    mix(told, kn_crc32(0, tag->name, strlen(tag->name)));
    mix(told, kn_crc32(0, tag->value, tag->value_bytes));
    return 0;
}

static const struct frag_mkv_reader_handler reader_handler = {
    .fragment = handle_fragment, .info = handle_info, .tag = handle_tag};

static int read_document(struct told *told, const uint8_t *data, size_t size, struct choice choice,
                         bool in_cuts) {
    struct frag_mkv_reader_config config = {.handler = &reader_handler,
                                            .user = told,
                                            .verify_crc = choice.verify_crc,
                                            .max_cluster_bytes = CLUSTER_MAX,
                                            .budget = told->budget};
    struct frag_mkv_reader *reader = NULL;
    int rc = frag_mkv_reader_create(&config, &reader);
    size_t pushed = 0;
    while (rc == 0 && pushed < size) {
        size_t piece = in_cuts ? next_piece(&choice.seed) : size;
        piece = piece < size - pushed ? piece : size - pushed;
        rc = frag_mkv_reader_push(reader, data + pushed, piece);
        pushed += piece;
    }
    if (rc == 0) {
        rc = frag_mkv_reader_finish(reader);
    }
    KN_ASSERT(reader == NULL || frag_mkv_reader_error(reader)->result == rc);
    frag_mkv_reader_destroy(reader);
    return rc;
}

static void run_reader(const uint8_t *data, size_t size, struct choice choice) {
    struct told whole = {.scale_ns = FRAG_MKV_DEFAULT_SCALE_NS};
    struct told cut = whole;
    struct kn_budget *budget = NULL;
    if (kn_budget_create(CLUSTER_MAX * 8, NULL, &budget) != 0) {
        return;
    }
    whole.budget = cut.budget = budget;
    int rc = read_document(&whole, data, size, choice, false);
    KN_ASSERT(kn_budget_used(budget) == 0);
    int rc_cut = read_document(&cut, data, size, choice, true);
    KN_ASSERT(kn_budget_used(budget) == 0 && kn_budget_refused(budget) == 0);
    if (!out_of_memory(rc) && !out_of_memory(rc_cut)) {
        KN_ASSERT(rc == rc_cut && whole.digest == cut.digest);
    }
    kn_budget_unref(budget);
}

static void run_writer(const uint8_t *data, size_t size, struct choice choice) {
    struct told told = {.scale_ns = FRAG_MKV_DEFAULT_SCALE_NS};
    if (frag_mkv_packer_create(&told.packer) != 0) {
        return;
    }
    (void)read_document(&told, data, size, choice, false); /* any end will do */
    frag_mkv_packer_destroy(told.packer);
}

/* ---- decode times: eight bytes a sample, of tracks 0 to 3 ---- */

static void run_dts(const uint8_t *data, size_t size, struct choice choice) {
    static struct kn_sample samples[SAMPLES_KEPT];
    size_t count = size / 8 < SAMPLES_KEPT ? size / 8 : SAMPLES_KEPT;
    struct kn_reader reader;
    kn_reader_init(&reader, data, size);
    for (size_t i = 0; i < count; i++) {
        uint64_t value = kn_read_be64(&reader);
        int64_t pts_ns = 0;
        memcpy(&pts_ns, &value, sizeof(pts_ns));
        samples[i] = (struct kn_sample){.pts_ns = pts_ns, .track = (uint8_t)(value & 3)};
    }
    struct frag_mkv_fragment fragment = {.samples = samples, .sample_count = count};
    for (uint8_t track = 0; track < 4; track++) {
        int reorder = (int)(choice.seed >> (2 * track) & 3) * 6 - 1;
        if (frag_assign_dts(samples, count, track, reorder) != 0) {
            return;
        }
    }
    check_times(&fragment);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct choice choice = {
        .verify_crc = (data[0] & 4) != 0, .cluster_mode = (data[0] & 8) != 0, .seed = data[1]};
    switch (data[0] & 3) {
    case 0:
        run_parser(data + 2, size - 2, choice);
        break;
    case 1:
        run_reader(data + 2, size - 2, choice);
        break;
    case 2:
        run_writer(data + 2, size - 2, choice);
        break;
    default:
        run_dts(data + 2, size - 2, choice);
        break;
    }
    return 0;
}
