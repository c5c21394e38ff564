/* What power cuts leave of a record. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault_io.h"
#include "tests/support/fault_io_inner.h"

#define PAGE_BYTES 4096u

enum fate { FATE_DONE, FATE_UNDONE, FATE_HEAD, FATE_TAIL, FATE_ZEROS, FATE_PAGES, FATES };

/* What the next sync says of what came before it. */
enum sureness { SURE_NOT, SURE, SURE_FAILED };

struct image_file {
    uint8_t *data; /* owned */
    size_t size, room;
};

struct image {
    const struct fault_io *fault;
    size_t steps;
    uint64_t random;
    struct image_file *files; /* by inode */
    bool *sure;               /* by step */
    struct fault_names names;
    struct fault_names lost_folders;
};

static uint64_t next_random(struct image *image) {
    uint64_t z = image->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* ---- what is sure ---- */

/* By file, and by folder: names whose `inode` is an enum sureness. */
struct syncs {
    bool folders_recover;
    enum sureness *files;
    struct fault_names folders;
};

static bool is_in_folder(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return strncmp(path, folder, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

static bool is_folder_sure(const struct syncs *syncs, const char *path) {
    for (size_t i = 0; i < syncs->folders.count; i++) {
        const struct fault_name *folder = &syncs->folders.all[i];
        if (*folder->path != '\0' && is_in_folder(path, folder->path)) {
            return folder->inode == SURE;
        }
    }
    return false;
}

/* From the last step to the first: `syncs` has what the nearest later ones were. */
static bool is_sure(struct syncs *syncs, const struct fault_step *step) {
    switch (step->kind) {
    case STEP_WRITE:
    case STEP_TRUNCATE:
        return syncs->files[step->inode] == SURE;
    case STEP_CREATE:
    case STEP_UNLINK:
    case STEP_MAKE_FOLDER:
    case STEP_REMOVE_FOLDER:
        return is_folder_sure(syncs, step->path);
    case STEP_RENAME:
        return is_folder_sure(syncs, step->to);
    case STEP_SYNC:
        syncs->files[step->inode] = step->failed ? SURE_FAILED : SURE;
        return true;
    case STEP_SYNC_FOLDER:
        if (step->failed && syncs->folders_recover) {
            return true;
        }
        (void)fault_set_name(&syncs->folders, step->path, step->failed ? SURE_FAILED : SURE);
        return true;
    }
    return false;
}

static void find_sure(struct image *image) {
    const struct fault_io *fault = image->fault;
    struct syncs syncs = {.folders_recover = fault->folders_recover};
    image->sure = fault_get_memory(image->steps * sizeof(*image->sure));
    syncs.files = fault_get_memory(fault->inode_count * sizeof(*syncs.files));
    memset(syncs.files, 0, fault->inode_count * sizeof(*syncs.files));
    for (size_t i = image->steps; i-- > 0;) {
        image->sure[i] = is_sure(&syncs, &fault->steps[i]);
    }
    free(syncs.files);
    free(syncs.folders.all);
}

/* ---- doing steps over ---- */

static void set_size(struct image_file *file, size_t size) {
    if (size > file->room) {
        file->room = 2 * size;
        file->data = fault_more_memory(file->data, file->size, file->room);
    }
    if (size > file->size) {
        memset(file->data + file->size, 0, size - file->size);
    }
    file->size = size;
}

/* Bytes `from` to `to` of the write, or zeros in their place. */
static void do_part(struct image_file *file, const struct fault_step *step, size_t from, size_t to,
                    bool zeros) {
    if (step->offset + to > file->size) {
        set_size(file, (size_t)step->offset + to);
    }
    if (to > from && zeros) {
        memset(file->data + step->offset + from, 0, to - from);
    } else if (to > from) {
        memcpy(file->data + step->offset + from, step->data + from, to - from);
    }
}

static void do_pages(struct image *image, const struct fault_step *step) {
    size_t from = 0;
    while (from < step->size) {
        size_t page = PAGE_BYTES - (size_t)((step->offset + from) % PAGE_BYTES);
        size_t to = page < step->size - from ? from + page : step->size;
        uint64_t drawn = next_random(image) % 3;
        if (drawn > 0) {
            do_part(&image->files[step->inode], step, from, to, drawn == 2);
        }
        from = to;
    }
}

static void do_write(struct image *image, const struct fault_step *step, enum fate fate) {
    struct image_file *file = &image->files[step->inode];
    size_t cut = (size_t)(next_random(image) % (step->size + 1));
    if (fate == FATE_PAGES) {
        do_pages(image, step);
    } else {
        do_part(file, step, fate == FATE_TAIL ? cut : 0, fate == FATE_HEAD ? cut : step->size,
                fate == FATE_ZEROS);
    }
}

static void clear_name(struct fault_names *names, const char *path, size_t inode) {
    struct fault_name *name = fault_find_name(names, path);
    if (name != NULL && name->inode == inode) {
        *name = (struct fault_name){.path = ""};
    }
}

static void do_step(struct image *image, const struct fault_step *step, enum fate fate) {
    switch (step->kind) {
    case STEP_WRITE:
        do_write(image, step, fate);
        break;
    case STEP_TRUNCATE:
        set_size(&image->files[step->inode], (size_t)step->offset);
        break;
    case STEP_CREATE:
        (void)fault_set_name(&image->names, step->path, step->inode);
        break;
    case STEP_RENAME:
        clear_name(&image->names, step->path, step->inode);
        (void)fault_set_name(&image->names, step->to, step->inode);
        break;
    case STEP_UNLINK:
        clear_name(&image->names, step->path, step->inode);
        break;
    case STEP_MAKE_FOLDER:
        clear_name(&image->lost_folders, step->path, 0);
        break;
    case STEP_REMOVE_FOLDER:
        (void)fault_set_name(&image->lost_folders, step->path, 0);
        break;
    case STEP_SYNC:
    case STEP_SYNC_FOLDER:
        break;
    }
}

static bool is_lost(const struct image *image, const char *path) {
    for (size_t i = 0; i < image->lost_folders.count; i++) {
        const char *folder = image->lost_folders.all[i].path;
        size_t length = strlen(folder);
        if (length > 0 && strncmp(path, folder, length) == 0 &&
            (path[length] == '/' || path[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static void pour(const struct image *image, struct frag_io *to) {
    for (size_t i = 0; i < image->steps; i++) {
        const struct fault_step *step = &image->fault->steps[i];
        if (step->kind == STEP_MAKE_FOLDER && !is_lost(image, step->path)) {
            KN_ASSERT(to->make_folder(to, step->path) == 0);
        }
    }
    for (size_t i = 0; i < image->names.count; i++) {
        const struct fault_name *name = &image->names.all[i];
        if (*name->path != '\0' && !is_lost(image, name->path)) {
            const struct image_file *file = &image->files[name->inode];
            int fd = to->open(to, name->path, FRAG_IO_CREATE);
            KN_ASSERT(fd >= 0);
            KN_ASSERT(frag_io_write_bytes(to, fd, file->data, file->size, 0) == 0);
            KN_ASSERT(to->close(to, fd) == 0);
        }
    }
}

static void finish_image(struct image *image) {
    for (size_t i = 0; i < image->fault->inode_count; i++) {
        free(image->files[i].data);
    }
    free(image->files);
    free(image->sure);
    free(image->names.all);
    free(image->lost_folders.all);
}

void fault_io_power_cut(const struct fault_io *fault, size_t steps, uint64_t seed,
                        struct frag_io *to) {
    KN_ASSERT(steps <= fault->step_count);
    struct image image = {.fault = fault, .steps = steps, .random = seed};
    size_t bytes = fault->inode_count * sizeof(*image.files);
    image.files = fault_get_memory(bytes);
    memset(image.files, 0, bytes);
    find_sure(&image);
    for (size_t i = 0; i < steps; i++) {
        const struct fault_step *step = &fault->steps[i];
        /* Only writes are torn. */
        enum fate fate = (enum fate)(next_random(&image) % (step->kind == STEP_WRITE ? FATES : 2));
        fate = image.sure[i] ? FATE_DONE : fate;
        if (step->kind == STEP_MAKE_FOLDER && fate == FATE_UNDONE) {
            (void)fault_set_name(&image.lost_folders, step->path, 0);
        }
        if (fate != FATE_UNDONE) {
            do_step(&image, step, fate);
        }
    }
    pour(&image, to);
    finish_image(&image);
}

size_t fault_io_next_sync(const struct fault_io *fault, size_t from) {
    for (size_t i = from; i < fault->step_count; i++) {
        if (fault->steps[i].kind == STEP_SYNC || fault->steps[i].kind == STEP_SYNC_FOLDER) {
            return i + 1;
        }
    }
    return 0;
}
