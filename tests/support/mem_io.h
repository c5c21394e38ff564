/* A file system in memory behind struct frag_io: quick, and nobody else's. Its own memory does not
 * come from malloc, so that tests of failing allocations count only what they test; it stops the
 * program where there is none.
 *
 *     struct mem_io *mem = mem_io_create();
 *     struct frag_io *io = mem_io(mem);
 *     ... io->make_folder(io, "a"); ...
 *     mem_io_destroy(mem);
 *
 * One thread. Folders have no parents: "a" and "a/b" are made as they come. */
#ifndef TESTS_SUPPORT_MEM_IO_H
#define TESTS_SUPPORT_MEM_IO_H

#include <stddef.h>
#include <stdint.h>

#include "fragments/store/io.h"

struct mem_io;

struct mem_io *mem_io_create(void);
/* Everything opened was closed; else it stops the program. */
void mem_io_destroy(struct mem_io *mem);
struct frag_io *mem_io(struct mem_io *mem);

/* All bytes of a file, until it is changed; NULL when there is none. */
uint8_t *mem_io_peek(struct mem_io *mem, const char *path, size_t *ret_size);
/* Makes or replaces a file. */
void mem_io_set(struct mem_io *mem, const char *path, const void *data, size_t size);
/* Folders and contents of `from` over those of `mem`. */
void mem_io_copy(struct mem_io *mem, const struct mem_io *from);

#endif
