/* SQLite over a struct frag_io: its files stand in the same table as journal and reels, so that
 * their writes, truncates, syncs, deletes can be failed, stopped and cut with those of the store.
 *
 *     struct mem_io *mem = mem_io_create();
 *     struct fault_io fault;
 *     fault_io_init(&fault, mem_io(mem));
 *     vfs_io_register(&fault.io);            // for connections opened from now on
 *     ... frag_index_open("a/index.db", ...), fault.stop_at = 17, ...
 *     vfs_io_unregister();
 *
 * It does what SQLite's own does on a file system, WAL too: locks and shared memory are those of
 * one process, the shared memory on the heap until a file's last connection is closed. A file
 * without bytes is not there for xAccess, and the folder of a new journal or log is synced at its
 * first sync, as there. Any thread; one call at a time. Paths are taken as they are, and what
 * SQLite wants for itself in a temporary file it does not get. */
#ifndef TESTS_SUPPORT_VFS_IO_H
#define TESTS_SUPPORT_VFS_IO_H

#include "fragments/store/io.h"

/* Makes it the default. Not while another io is registered. */
void vfs_io_register(struct frag_io *io);
/* The one before is the default again. All connections are closed, but those that vfs_io_crash has
 * cut off. */
void vfs_io_unregister(void);
/* As if the process had ended: who opens a file from now on meets neither locks nor shared memory
 * of those who have it open. Nothing of theirs reaches a file any more (-EIO); they are closed now
 * or later, also when another io is registered, as long as the old one is there. */
void vfs_io_crash(void);

#endif
