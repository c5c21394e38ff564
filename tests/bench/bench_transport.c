/* What a connection costs and carries: resident memory of 1,000 idle connections, processor time of
 * 4,000 idle ones, bytes a second in both directions; plain and TLS. The other end is a child
 * process, so that its memory and time do not count.
 *
 *     bench_transport CERTIFICATE KEY      (without them: plain only) */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/time.h"
#include "server/transport/transport.h"

#define BYTES (512u << 20)
#define PIECE 65536u
#define IDLE_MEMORY 1000u
#define IDLE_TIME 4000u

enum job { JOB_IDLE, JOB_SEND, JOB_FILE, JOB_RECEIVE };

static struct bench {
    enum job job;
    int file;
    atomic_size_t opened, closed;
    unsigned char piece[PIECE];
} bench;

struct owner {
    struct srv_conn *conn;
    size_t at;
};

/* ---- the owner ---- */

static ssize_t send_some(struct owner *owner, size_t left) {
    if (bench.job == JOB_FILE) {
        return owner->conn->ops->send_file(owner->conn, bench.file, owner->at, left);
    }
    struct iovec part = {bench.piece, left < PIECE ? left : PIECE};
    return owner->conn->ops->send(owner->conn, &part, 1);
}

static void handle_room(void *user) {
    struct owner *owner = user;
    if (bench.job != JOB_SEND && bench.job != JOB_FILE) {
        return;
    }
    while (owner->at < BYTES) {
        size_t left = BYTES - owner->at;
        size_t asked = bench.job == JOB_FILE || left < PIECE ? left : PIECE;
        ssize_t sent = send_some(owner, left);
        if (sent < 0) {
            return;
        }
        owner->at += (size_t)sent;
        if ((size_t)sent < asked) {
            return;
        }
    }
    owner->conn->ops->finish(owner->conn);
}

static void *handle_opened(struct srv_conn *conn, struct kn_loop *loop, const struct srv_peer *peer,
                           void *user) {
    (void)loop, (void)peer, (void)user;
    struct owner *owner = calloc(1, sizeof(*owner));
    if (owner != NULL) {
        owner->conn = conn;
        conn->ops->wake(conn);
        atomic_fetch_add(&bench.opened, 1);
    }
    return owner;
}

static void handle_received(void *user, const void *data, size_t size) {
    (void)data;
    struct owner *owner = user;
    owner->at += size;
    if (bench.job == JOB_RECEIVE && owner->at == BYTES) {
        owner->conn->ops->finish(owner->conn);
    }
}

static void handle_ended(void *user) {
    struct owner *owner = user;
    owner->conn->ops->finish(owner->conn);
}

static void handle_closed(void *user) {
    free(user);
    atomic_fetch_add(&bench.closed, 1);
}

static const struct srv_conn_handler handler = {
    .opened = handle_opened,
    .received = handle_received,
    .ended = handle_ended,
    .room = handle_room,
    .closed = handle_closed,
};

/* ---- the child ---- */

static int connect_to(const char *address) {
    struct sockaddr_in to = {.sin_family = AF_INET};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        _exit(1);
    }
    return fd;
}

static SSL *shake_hands(SSL_CTX *context, int fd) {
    SSL *ssl = SSL_new(context);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
        _exit(2);
    }
    return ssl;
}

static void carry(int fd, SSL *ssl, bool out) {
    static unsigned char room[PIECE];
    for (size_t at = 0; at < BYTES;) {
        ssize_t moved;
        if (ssl != NULL) {
            moved = out ? SSL_write(ssl, room, PIECE) : SSL_read(ssl, room, PIECE);
        } else {
            moved = out ? write(fd, room, PIECE) : read(fd, room, PIECE);
        }
        if (moved <= 0) {
            _exit(3);
        }
        at += (size_t)moved;
    }
}

/* Opens so many, tells by a byte, does the job, and ends when the pipe does. */
static void be_peers(const char *address, bool tls, size_t count, int tell, int wait) {
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) {
        _exit(4);
    }
    int fd = -1;
    SSL *ssl = NULL;
    for (size_t i = 0; i < count; i++) {
        fd = connect_to(address);
        ssl = tls ? shake_hands(context, fd) : NULL;
    }
    if (bench.job != JOB_IDLE) {
        carry(fd, ssl, bench.job == JOB_RECEIVE);
    }
    char byte = 0;
    if (write(tell, &byte, 1) != 1 || read(wait, &byte, 1) < 0) {
        _exit(5);
    }
    _exit(0);
}

/* ---- measuring ---- */

static double resident_kib(void) {
    unsigned long pages = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%lu %lu", &pages, &resident) != 2) { // NOLINT(cert-err34-c)
        abort();
    }
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1024;
}

static double processor_s(void) {
    struct rusage use;
    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double now_s(void) {
    const struct kn_clock *clock = kn_clock_system();
    return (double)clock->mono(clock).ns / 1e9;
}

static void wait_for(atomic_size_t *value, size_t wanted) {
    while (atomic_load(value) != wanted) {
        struct timespec moment = {.tv_nsec = 1000000};
        (void)nanosleep(&moment, NULL);
    }
}

struct result {
    double kib_each, wall_s, processor_s, idle_processor_s;
};

static struct result run(const char *address, bool tls, enum job job, size_t count) {
    bench.job = job;
    atomic_store(&bench.opened, 0);
    atomic_store(&bench.closed, 0);
    int tell[2];
    int wait[2];
    if (pipe2(tell, O_CLOEXEC) != 0 || pipe2(wait, O_CLOEXEC) != 0) {
        abort();
    }
    double memory = resident_kib();
    double wall = now_s();
    double processor = processor_s();
    pid_t child = fork();
    if (child == 0) {
        (void)close(wait[1]);
        be_peers(address, tls, count, tell[1], wait[0]);
    }
    (void)close(tell[1]);
    char byte;
    if (child < 0 || read(tell[0], &byte, 1) != 1) {
        (void)fprintf(stderr, "the peers failed\n");
        exit(1); // NOLINT(concurrency-mt-unsafe): nobody else ends the program
    }
    struct result result = {.wall_s = now_s() - wall, .processor_s = processor_s() - processor};
    struct timespec second = {.tv_sec = 1};
    wait_for(&bench.opened, count); /* the kernel's queue counts as connected */
    if (job == JOB_IDLE) {
        result.kib_each = (resident_kib() - memory) / (double)count;
        processor = processor_s();
        (void)nanosleep(&second, NULL);
        result.idle_processor_s = processor_s() - processor;
    }
    (void)close(wait[1]);
    (void)close(wait[0]);
    (void)close(tell[0]);
    (void)waitpid(child, NULL, 0);
    wait_for(&bench.closed, count);
    return result;
}

static void print_rate(const char *name, const char *address, bool tls, enum job job) {
    struct result result = run(address, tls, job, 1);
    printf(",\"%s_mb_per_s\":%.0f,\"%s_mb_per_core_s\":%.0f", name, BYTES / 1e6 / result.wall_s,
           name, BYTES / 1e6 / result.processor_s);
}

static void print_kind(const char *name, const char *address, bool tls) {
    struct result memory = run(address, tls, JOB_IDLE, IDLE_MEMORY);
    struct result idle = run(address, tls, JOB_IDLE, IDLE_TIME);
    printf("\"%s\":{\"idle_kib_each\":%.1f,\"idle_4000_processor_s_per_s\":%.4f", name,
           memory.kib_each, idle.idle_processor_s);
    print_rate("send", address, tls, JOB_SEND);
    print_rate("send_file", address, tls, JOB_FILE);
    print_rate("receive", address, tls, JOB_RECEIVE);
    printf("}");
}

int main(int argc, char **argv) {
    struct rlimit files;
    (void)getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < 16384 ? files.rlim_max : 16384;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    char path[] = "/tmp/kinora-bench-XXXXXX";
    bench.file = mkostemp(path, O_CLOEXEC);
    if (bench.file < 0 || unlink(path) != 0 || ftruncate(bench.file, BYTES) != 0) {
        return 1;
    }
    bool tls = argc == 3;
    struct kn_loop_config loop_config = kn_loop_config_defaults();
    struct kn_loop *loop;
    if (kn_loop_create(&loop_config, &loop) < 0 || kn_loop_start(loop) < 0) {
        return 1;
    }
    struct srv_listen listen[] = {{.address = "127.0.0.1:0"},
                                  {.address = "127.0.0.1:0", .tls = true}};
    struct srv_transport_config config = srv_transport_config_defaults();
    config.loops = &loop;
    config.loop_count = 1;
    config.listen = listen;
    config.listen_count = tls ? 2 : 1;
    config.certificate = tls ? argv[1] : NULL;
    config.key = tls ? argv[2] : NULL;
    config.handler = &handler;
    struct srv_transport *transport;
    char problem[SRV_PROBLEM_BYTES];
    if (srv_transport_open(&config, &transport, problem) < 0) {
        (void)fprintf(stderr, "%s\n", problem);
        return 1;
    }
    printf("{\"bench\":\"transport\",");
    print_kind("plain", srv_transport_address(transport, 0), false);
    if (tls) {
        printf(",");
        print_kind("tls", srv_transport_address(transport, 1), true);
    }
    printf("}\n");
    srv_transport_close(transport);
    kn_loop_destroy(loop);
    return 0;
}
