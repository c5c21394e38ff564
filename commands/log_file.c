#include "commands/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "server/server.h"

/* Stays the same for the program's life, whatever file is behind it: no line gets lost, and no
 * thread needs a lock. -1: lines go to standard error. */
static int descriptor = -1;

static void write_line(const char *line, size_t bytes, void *user) {
    (void)user;
    (void)!write(descriptor, line, bytes); /* a log that cannot be written has nowhere to say so */
}

static int put_in_place(int fd) {
    if (descriptor < 0) {
        descriptor = fd;
        kn_log_set_sink(write_line, NULL);
        return 0;
    }
    int rc = dup3(fd, descriptor, O_CLOEXEC) < 0 ? -errno : 0;
    (void)close(fd); /* nothing was written to it */
    return rc;
}

int cmd_log_file_take(const struct srv_config *config) {
    kn_log_set_level((enum kn_log_level)config->log.level);
    if (config->log.file == NULL && descriptor < 0) {
        return 0;
    }
    int fd = config->log.file == NULL
                 ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0)
                 : open(config->log.file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : put_in_place(fd);
}
