/* The keys of a reel of records: does the index have those of its batches, and no others? */
#include "base/error.h"
#include "fragments/store/check_look.h"
#include "fragments/store/records.h"

struct comparing {
    struct frag_check_look *look;
    uint64_t keys;
};

static int compare_batch(uint64_t sequence, const struct frag_record_keys *keys, void *user) {
    struct comparing *comparing = user;
    struct frag_check_look *look = comparing->look;
    int rc = 1;
    for (size_t i = 0; i < keys->count && rc == 1; i++) {
        rc = frag_index_has_key(look->check->index, look->row.row, &keys->all[i], sequence);
    }
    comparing->keys += keys->count;
    return rc == 0 ? KN_E_CLOSED : rc < 0 ? rc : 0;
}

int frag_check_keys(struct frag_check_look *look) {
    struct comparing comparing = {.look = look};
    uint64_t damaged = 0;
    uint64_t count = 0;
    if ((look->identity.flags & FRAG_REEL_RECORDS) == 0 || !look->has_row || !look->has_table) {
        return 0;
    }
    int rc = frag_records_each_batch(look->check->io, look->path, &look->identity, &look->table,
                                     compare_batch, &comparing, &damaged);
    if (rc == 0) {
        rc = frag_index_count_keys(look->check->index, look->row.row, &count);
    }
    /* What is damaged in the reel was told, and may have had the others. */
    bool differs = rc == KN_E_CLOSED || (rc == 0 && damaged == 0 && count != comparing.keys);
    return differs ? frag_check_tell_index(look, FRAG_CHECK_DAMAGE,
                                           "the index has other keys of records than the reel")
                   : frag_check_after_index(look, rc);
}
