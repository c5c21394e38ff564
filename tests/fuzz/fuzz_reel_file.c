/* Reel files as a damaged disk gives them back: scan and recovery over a real reel of four
 * fragments with the input's edits. The first byte: bit 0 the reel was closed; bit 1 the input
 * replaces everything behind the head instead. Else each three bytes are an edit: a place (low byte
 * first) and what is xored into it, 0 cuts the file there.
 *
 * Whatever the edits: no fragment is told that was not appended, and a recovered reel scans as it
 * was told. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "fragments/matroska.h"
#include "fragments/store/reel.h"
#include "tests/support/mem_io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FOLDER "disk"
#define FRAGMENTS 4
#define INPUT_MOST 20000u

struct world {
    struct mem_io *mem;
    char path[FRAG_REEL_PATH_BYTES + sizeof(FOLDER)];
    struct frag_reel_row rows[FRAGMENTS];
    size_t count;
    size_t told, damages;
    bool believe_any; /* the bytes are the input's own */
};

/* ---- the reel ---- */

static const struct frag_reel_identity identity = {.store_id = {1},
                                                   .stream_id = {2},
                                                   .reel_id = {3},
                                                   .session_id = {4},
                                                   .epoch = 1,
                                                   .opened = {INT64_C(1795209820000000000)},
                                                   .timecode_scale_ns = 1000000,
                                                   .number_low = 5};

static struct frag_reel_row row_of(size_t i) {
    int64_t time_ns = identity.opened.ns + (int64_t)i * 2000000000;
    return (struct frag_reel_row){
        .number = {.sequence = i + 1, .server_ms = (uint64_t)(time_ns / 1000000), .low = 5},
        .ordinal = i + 1,
        .producer = {time_ns},
        .server = {time_ns},
        .duration_ns = 2000000000,
        .frames = 1,
    };
}

static int append(struct world *world, struct frag_reel *reel, struct frag_mkv_packer *packer,
                  const struct kn_tracks *tracks) {
    static const uint8_t payload[90] = {0xE7, 0x12, 0x54, 0xC3, 0x67};
    const struct kn_sample sample = {
        .data = payload, .size = sizeof(payload), .flags = KN_SAMPLE_KEY};
    struct frag_mkv_cluster cluster;
    struct frag_reel_row row = row_of(world->count);
    int rc = frag_mkv_pack_cluster(packer, tracks, 0, world->count * 2000, &sample, 1, &cluster);
    if (rc == 0) {
        rc =
            frag_reel_append(reel, &row, cluster.iov, cluster.iov_count, cluster.bytes, NULL, NULL);
    }
    if (rc == 0) {
        world->rows[world->count++] = row;
    }
    return rc;
}

static int fill(struct world *world, struct frag_reel *reel, const struct kn_tracks *tracks) {
    struct frag_mkv_packer *packer = NULL;
    int rc = frag_mkv_packer_create(&packer);
    while (rc == 0 && world->count < FRAGMENTS) {
        rc = append(world, reel, packer, tracks);
    }
    frag_mkv_packer_destroy(packer);
    return rc == 0 ? frag_reel_sync(reel) : rc;
}

static int make_reel(struct world *world, bool closed) {
    const struct kn_track item = {
        .number = 1, .media = KN_MEDIA_VIDEO, .codec_id = "V_MJPEG", .width = 64, .height = 48};
    struct kn_tracks *tracks = NULL;
    int rc = kn_tracks_create(&item, 1, &tracks);
    if (rc != 0) {
        return rc;
    }
    const struct frag_reel_config config = {.io = mem_io(world->mem),
                                            .folder = FOLDER,
                                            .identity = identity,
                                            .stream_name = "gate",
                                            .tracks = tracks};
    struct frag_reel *reel = NULL;
    rc = frag_reel_create(&config, &reel);
    if (rc == 0) {
        char path[FRAG_REEL_PATH_BYTES];
        (void)snprintf(world->path, sizeof(world->path), FOLDER "/%s",
                       frag_reel_path_of(&identity, "gate", path));
        rc = fill(world, reel, tracks);
        uint64_t bytes = 0;
        if (rc == 0 && closed) {
            rc = frag_reel_close(reel, &bytes);
        } else {
            frag_reel_abandon(reel);
        }
    }
    kn_tracks_unref(tracks);
    return rc;
}

/* Made once each, open and closed: what is tried here is reading them. */
static struct prepared {
    bool made;
    struct world world;
    uint8_t bytes[32768];
    size_t size;
} prepared[2];

static const struct prepared *prepare(bool closed) {
    struct prepared *found = &prepared[closed ? 1 : 0];
    if (found->made) {
        return found;
    }
    struct world world = {.mem = mem_io_create()};
    struct frag_io *io = mem_io(world.mem);
    KN_ASSERT(io->make_folder(io, FOLDER) == 0);
    if (make_reel(&world, closed) == 0) { /* else memory was made to fail: next time */
        const uint8_t *bytes = mem_io_peek(world.mem, world.path, &found->size);
        KN_ASSERT(bytes != NULL && found->size <= sizeof(found->bytes));
        memcpy(found->bytes, bytes, found->size);
        found->world = world;
        found->made = true;
    }
    mem_io_destroy(world.mem);
    return found->made ? found : NULL;
}

/* ---- the damage ---- */

static void damage(struct world *world, const struct prepared *from, const uint8_t *data,
                   size_t size) {
    static uint8_t copy[sizeof(from->bytes) + INPUT_MOST];
    size_t bytes = from->size;
    memcpy(copy, from->bytes, bytes);
    if (world->believe_any) {
        bytes = (size_t)world->rows[0].cluster_at + size;
        memcpy(copy + bytes - size, data, size);
        size = 0;
    }
    for (size_t i = 0; i + 3 <= size; i += 3) {
        size_t at = data[i] | (size_t)data[i + 1] << 8;
        if (at < bytes && data[i + 2] == 0) {
            bytes = at;
        } else if (at < bytes) {
            copy[at] ^= data[i + 2];
        }
    }
    mem_io_set(world->mem, world->path, copy, bytes);
}

/* ---- what may be told ---- */

static int see_fragment(const struct frag_reel_row *row, void *user) {
    struct world *world = user;
    world->told++;
    bool known = world->believe_any;
    for (size_t i = 0; i < world->count; i++) {
        known = known || (row->cluster_at == world->rows[i].cluster_at &&
                          row->cluster_bytes == world->rows[i].cluster_bytes &&
                          row->cluster_crc32c == world->rows[i].cluster_crc32c &&
                          row->number.sequence == world->rows[i].number.sequence &&
                          row->producer.ns == world->rows[i].producer.ns);
    }
    KN_ASSERT(known);
    return 0;
}

static int see_damage(uint64_t from, uint64_t to, const char *what, void *user) {
    struct world *world = user;
    KN_ASSERT(from <= to && what != NULL);
    world->damages++;
    return 0;
}

static const struct frag_reel_handler handler = {.fragment = see_fragment, .damage = see_damage};

static int scan(struct world *world, struct frag_reel_scanned *state) {
    world->told = 0;
    world->damages = 0;
    return frag_reel_scan(mem_io(world->mem), world->path, 0, true, &handler, world, state);
}

static void run(struct world *world) {
    struct frag_reel_scanned state = {0};
    struct frag_io *io = mem_io(world->mem);
    int rc = scan(world, &state);
    KN_ASSERT(rc != 0 || state.fragments == world->told);
    size_t found = world->told;
    struct kn_writer table;
    struct frag_reel_identity again;
    kn_writer_init_growing(&table, (size_t)1 << 20);
    (void)frag_reel_read_footer(io, world->path, &again, &table); /* any answer will do */
    kn_writer_finish(&table);
    bool recovered =
        rc == 0 && frag_reel_recover(io, world->path, 0, NULL, 0, &handler, world, &state) == 0;
    if (recovered) {
        rc = scan(world, &state);
        KN_ASSERT(rc == -ENOMEM || (rc == 0 && world->told == found));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0 || size > INPUT_MOST) {
        return 0;
    }
    const struct prepared *from = prepare((data[0] & 1) != 0);
    if (from == NULL) {
        return 0;
    }
    struct world world = from->world;
    world.mem = mem_io_create();
    world.believe_any = (data[0] & 2) != 0;
    damage(&world, from, data + 1, size - 1);
    run(&world);
    mem_io_destroy(world.mem);
    return 0;
}
