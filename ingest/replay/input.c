#include "ingest/replay/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libavutil/mem.h>

#include "base/error.h"
#include "base/time.h"

#define IO_BYTES 65536
#define PROBE_BYTES (5 * 1000 * 1000)
#define ANALYZE_US (5 * INT64_C(1000000))
#define STREAMS_MAX 64

/* Containers that are one file. Playlists and whatever else names files stays out (concat, hls,
 * dash, image2, imf, sdp ...), and so do formats that are programs' text or guesswork. */
static const char formats[] = "matroska,webm,mov,mp4,mpegts,mpeg,flv,live_flv,kux,avi,wav,w64,aiff,"
                              "au,caf,aac,ogg,h264,hevc,ivf,obu,av1,mjpeg,smjpeg,asf,mxf,gxf,nut,"
                              "dhav";

struct ing_input {
    int fd;
    uint64_t size, at;
    const atomic_bool *stop;
    AVIOContext *io;
    AVFormatContext *format;
};

/* ---- what libavformat reads from ---- */

static int is_stopped(void *user) {
    const struct ing_input *input = user;
    return input->stop != NULL && atomic_load(input->stop);
}

static int read_bytes(void *user, uint8_t *room, int size) {
    struct ing_input *input = user;
    uint64_t left = input->at < input->size ? input->size - input->at : 0;
    size_t wanted = (uint64_t)size < left ? (size_t)size : (size_t)left;
    ssize_t got;
    if (wanted == 0 || is_stopped(input)) {
        return wanted == 0 ? AVERROR_EOF : AVERROR_EXIT;
    }
    do {
        got = pread(input->fd, room, wanted, (off_t)input->at);
    } while (got < 0 && errno == EINTR);
    if (got <= 0) {
        return got == 0 ? AVERROR_EOF : AVERROR(errno);
    }
    input->at += (uint64_t)got;
    return (int)got;
}

static int64_t seek_bytes(void *user, int64_t offset, int whence) {
    struct ing_input *input = user;
    int64_t from = 0;
    switch (whence & ~AVSEEK_FORCE) {
    case AVSEEK_SIZE:
        return (int64_t)input->size;
    case SEEK_SET:
        break;
    case SEEK_CUR:
        from = (int64_t)input->at;
        break;
    case SEEK_END:
        from = (int64_t)input->size;
        break;
    default:
        return AVERROR(EINVAL);
    }
    if (offset > INT64_MAX - from || from + offset < 0) {
        return AVERROR(EINVAL);
    }
    input->at = (uint64_t)(from + offset);
    return from + offset;
}

static int refuse_open(AVFormatContext *format, AVIOContext **ret_io, const char *url, int flags,
                       AVDictionary **options) {
    (void)format, (void)ret_io, (void)url, (void)flags, (void)options;
    return AVERROR(EPERM);
}

/* ---- opening ---- */

/* libavformat's own codes lie below every errno. */
static int error_of(int av_error) {
    if (av_error == AVERROR(ENOMEM) ||
        (av_error > -4096 && av_error != AVERROR(EINVAL) && av_error != AVERROR(EPERM))) {
        return av_error;
    }
    return KN_E_MALFORMED;
}

static int open_file(struct ing_input *input, const char *path, uint64_t limit) {
    struct stat status;
    input->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a fifo would block */
    if (input->fd < 0 || fstat(input->fd, &status) < 0) {
        return -errno;
    }
    if (S_ISDIR(status.st_mode) || !S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    input->size = (uint64_t)status.st_size;
    if (limit > 0 && limit < input->size) {
        input->size = limit;
    }
    return 0;
}

static int create_io(struct ing_input *input) {
    uint8_t *room = av_malloc(IO_BYTES);
    if (room == NULL) {
        return -ENOMEM;
    }
    input->io = avio_alloc_context(room, IO_BYTES, 0, input, read_bytes, NULL, seek_bytes);
    if (input->io == NULL) {
        av_free(room);
        return -ENOMEM;
    }
    return 0;
}

static int create_format(struct ing_input *input) {
    AVFormatContext *format = avformat_alloc_context();
    if (format == NULL) {
        return -ENOMEM;
    }
    input->format = format;
    format->pb = input->io;
    format->io_open = refuse_open;
    format->interrupt_callback = (AVIOInterruptCB){.callback = is_stopped, .opaque = input};
    format->probesize = PROBE_BYTES;
    format->max_analyze_duration = ANALYZE_US;
    format->max_streams = STREAMS_MAX;
    format->format_whitelist = av_strdup(formats);
    format->protocol_whitelist = av_strdup(""); /* no protocol at all: the bytes are ours */
    return format->format_whitelist == NULL || format->protocol_whitelist == NULL ? -ENOMEM : 0;
}

/* The name is for formats that are told by their suffix; nothing is opened by it. */
static int open_format(struct ing_input *input, const char *path) {
    /* On failure it frees the context and sets it to NULL. */
    int rc = avformat_open_input(&input->format, path, NULL, NULL);
    rc = rc < 0 ? rc : avformat_find_stream_info(input->format, NULL);
    return rc < 0 ? error_of(rc) : 0;
}

int ing_input_open(const char *path, uint64_t limit, const atomic_bool *stop,
                   struct ing_input **ret_input) {
    struct ing_input *input = calloc(1, sizeof(*input));
    if (input == NULL) {
        return -ENOMEM;
    }
    input->fd = -1;
    input->stop = stop;
    int rc = open_file(input, path, limit);
    rc = rc == 0 ? create_io(input) : rc;
    rc = rc == 0 ? create_format(input) : rc;
    rc = rc == 0 ? open_format(input, path) : rc;
    if (rc != 0) {
        ing_input_close(input);
        return rc;
    }
    *ret_input = input;
    return 0;
}

void ing_input_close(struct ing_input *input) {
    if (input == NULL) {
        return;
    }
    avformat_close_input(&input->format); /* leaves the io alone: it is not its own */
    if (input->io != NULL) {
        av_freep(&input->io->buffer);
        avio_context_free(&input->io);
    }
    if (input->fd >= 0) {
        (void)close(input->fd); /* read only */
    }
    free(input);
}

/* ---- reading ---- */

AVFormatContext *ing_input_format(struct ing_input *input) {
    return input->format;
}

int64_t ing_input_duration_ns(const struct ing_input *input) {
    int64_t us = input->format->duration;
    /* Guessed from a bit rate it may be anything. */
    bool known = us > 0 && us < INT64_MAX / KN_NS_PER_US &&
                 input->format->duration_estimation_method != AVFMT_DURATION_FROM_BITRATE;
    return known ? us * KN_NS_PER_US : 0;
}

int ing_input_read(struct ing_input *input, AVPacket **ret_packet) {
    AVPacket *packet = av_packet_alloc();
    if (packet == NULL) {
        return -ENOMEM;
    }
    int rc = av_read_frame(input->format, packet);
    rc = rc == 0 ? av_packet_make_refcounted(packet) : rc;
    if (rc < 0) {
        av_packet_free(&packet);
        return rc == AVERROR_EOF || rc == AVERROR_EXIT ? 0 : error_of(rc);
    }
    *ret_packet = packet;
    return 1;
}
