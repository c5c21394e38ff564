/* What opening a store found and did, as a sentence. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "fragments/report_inner.h"

struct sentence {
    char text[FRAG_REPORT_OPENING_BYTES];
    size_t used;
};

/* Where `count` is 0 there is nothing to say. What does not fit is cut. */
KN_PRINTF(3, 4)
static void add(struct sentence *sentence, uint64_t count, const char *format, ...) {
    size_t room = sizeof(sentence->text) - sentence->used;
    if (count == 0 || room < 3) {
        return;
    }
    if (sentence->used > 0) {
        (void)snprintf(sentence->text + sentence->used, room, "; ");
        sentence->used += 2;
        room -= 2;
    }
    va_list list;
    va_start(list, format);
    int length = vsnprintf(sentence->text + sentence->used, room, format, list);
    va_end(list);
    size_t added = length < 0 ? 0 : (size_t)length;
    sentence->used += added < room ? added : room - 1;
}

static const char *plural(uint64_t count) {
    return count == 1 ? "" : "s";
}

const char *frag_report_opening(const struct frag_store_opening *opening, const char *data,
                                char text[static FRAG_REPORT_OPENING_BYTES]) {
    struct sentence sentence = {0};
    add(&sentence, opening->created, "made a new store in %s", data);
    add(&sentence, opening->recovered_reels,
        "the store had not been closed: looked through %" PRIu64 " open reel%s, found %" PRIu64
        " fragment%s that the index did not have yet",
        opening->recovered_reels, plural(opening->recovered_reels), opening->recovered_fragments,
        plural(opening->recovered_fragments));
    add(&sentence, opening->index_rebuilt,
        "made the index again: %" PRIu64 " reel%s, %" PRIu64 " fragment%s", opening->reels,
        plural(opening->reels), opening->fragments, plural(opening->fragments));
    add(&sentence, opening->lost_files, "%" PRIu64 " file%s lost: kinora gaps tells what was there",
        opening->lost_files, opening->lost_files == 1 ? " is" : "s are");
    add(&sentence, opening->damaged_files, "%" PRIu64 " file%s damaged: kinora check tells where",
        opening->damaged_files, opening->damaged_files == 1 ? " is" : "s are");
    add(&sentence, opening->foreign_files,
        "left %" PRIu64 " file%s alone that this store did not write", opening->foreign_files,
        plural(opening->foreign_files));
    add(&sentence, opening->finished_deletions, "finished deleting %" PRIu64 " reel%s",
        opening->finished_deletions, plural(opening->finished_deletions));
    add(&sentence, opening->offline_folders,
        "%" PRIu64 " storage director%s not there: what it has cannot be read for now",
        opening->offline_folders, opening->offline_folders == 1 ? "y is" : "ies are");
    return frag_report_plain(sentence.text, text, FRAG_REPORT_OPENING_BYTES);
}
