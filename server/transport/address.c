#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "server/transport/inner.h"

#define BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */
#define UNIX_PREFIX "unix:"
#define UNIX_PREFIX_BYTES (sizeof(UNIX_PREFIX) - 1)

/* ---- text ---- */

static int parse_port(const char *text, in_port_t *ret_port) {
    unsigned port = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 5 || text[digits] != '\0') {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < digits; i++) {
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port > UINT16_MAX) {
        return KN_E_MALFORMED;
    }
    *ret_port = htons((uint16_t)port);
    return 0;
}

static int parse_local(const char *path, struct srv_address *ret_address) {
    struct srv_address address = {.size = sizeof(address.sock.local)};
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof(address.sock.local.sun_path)) {
        return KN_E_MALFORMED;
    }
    address.sock.local.sun_family = AF_UNIX;
    memcpy(address.sock.local.sun_path, path, size + 1);
    *ret_address = address;
    return 0;
}

static int parse_v6(const char *host, const char *port, struct srv_address *ret_address) {
    struct srv_address address = {.size = sizeof(address.sock.v6)};
    address.sock.v6.sin6_family = AF_INET6;
    if (inet_pton(AF_INET6, host, &address.sock.v6.sin6_addr) != 1 ||
        parse_port(port, &address.sock.v6.sin6_port) < 0) {
        return KN_E_MALFORMED;
    }
    *ret_address = address;
    return 0;
}

static int parse_v4(const char *host, const char *port, struct srv_address *ret_address) {
    struct srv_address address = {.size = sizeof(address.sock.v4)};
    address.sock.v4.sin_family = AF_INET;
    if (inet_pton(AF_INET, host, &address.sock.v4.sin_addr) != 1 ||
        parse_port(port, &address.sock.v4.sin_port) < 0) {
        return KN_E_MALFORMED;
    }
    *ret_address = address;
    return 0;
}

int srv_address_parse(const char *text, struct srv_address *ret_address) {
    if (strncmp(text, UNIX_PREFIX, UNIX_PREFIX_BYTES) == 0) {
        return parse_local(text + UNIX_PREFIX_BYTES, ret_address);
    }
    bool bracketed = text[0] == '[';
    const char *host = bracketed ? text + 1 : text;
    const char *end = bracketed ? strstr(host, "]:") : strchr(host, ':');
    char copy[INET6_ADDRSTRLEN];
    if (end == NULL || (size_t)(end - host) >= sizeof(copy)) {
        return KN_E_MALFORMED;
    }
    memcpy(copy, host, (size_t)(end - host));
    copy[end - host] = '\0';
    return bracketed ? parse_v6(copy, end + 2, ret_address) : parse_v4(copy, end + 1, ret_address);
}

void srv_address_print(const struct srv_address *address, char text[static SRV_LISTEN_BYTES]) {
    char host[INET6_ADDRSTRLEN] = "";
    switch (address->sock.any.sa_family) {
    case AF_UNIX:
        (void)snprintf(text, SRV_LISTEN_BYTES, UNIX_PREFIX "%s", address->sock.local.sun_path);
        return;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &address->sock.v6.sin6_addr, host, sizeof(host));
        (void)snprintf(text, SRV_LISTEN_BYTES, "[%s]:%u", host, srv_address_port(address));
        return;
    default:
        (void)inet_ntop(AF_INET, &address->sock.v4.sin_addr, host, sizeof(host));
        (void)snprintf(text, SRV_LISTEN_BYTES, "%s:%u", host, srv_address_port(address));
    }
}

uint16_t srv_address_port(const struct srv_address *address) {
    switch (address->sock.any.sa_family) {
    case AF_INET:
        return ntohs(address->sock.v4.sin_port);
    case AF_INET6:
        return ntohs(address->sock.v6.sin6_port);
    default:
        return 0;
    }
}

bool srv_address_is_loopback(const struct srv_address *address) {
    switch (address->sock.any.sa_family) {
    case AF_INET:
        return ntohl(address->sock.v4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(&address->sock.v6.sin6_addr);
    default:
        return false;
    }
}

/* ---- listening ---- */

static bool same_place(const struct srv_address *asked, const struct srv_address *bound) {
    if (asked->sock.any.sa_family != bound->sock.any.sa_family) {
        return false;
    }
    if (asked->sock.any.sa_family == AF_UNIX) {
        return strcmp(asked->sock.local.sun_path, bound->sock.local.sun_path) == 0;
    }
    if (srv_address_port(asked) != 0 && srv_address_port(asked) != srv_address_port(bound)) {
        return false;
    }
    if (asked->sock.any.sa_family == AF_INET) {
        return asked->sock.v4.sin_addr.s_addr == bound->sock.v4.sin_addr.s_addr;
    }
    return memcmp(&asked->sock.v6.sin6_addr, &bound->sock.v6.sin6_addr, sizeof(struct in6_addr)) ==
           0;
}

/* A file there that nobody answers at was left by a process that is gone. */
static int remove_stale(const struct srv_address *address) {
    struct stat file;
    if (lstat(address->sock.local.sun_path, &file) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(file.st_mode)) {
        return -EEXIST;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    int rc = connect(fd, &address->sock.any, address->size) < 0 ? -errno : 0;
    (void)close(fd); /* it was never written to */
    if (rc != -ECONNREFUSED) {
        return -EADDRINUSE; /* it answers, or its queue is full, or we may not ask */
    }
    return unlink(address->sock.local.sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int set_options(int fd, int family) {
    int on = 1;
    if (family == AF_UNIX) {
        /* The mode its file will have: bind takes it from the socket. A umask would do the same to
         * whatever other threads create meanwhile. */
        return fchmod(fd, S_IRUSR | S_IWUSR) < 0 ? -errno : 0;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)) {
        return -errno;
    }
    return 0;
}

static int bind_and_listen(int fd, const struct srv_address *address,
                           struct srv_address *ret_bound) {
    struct srv_address bound = {.size = sizeof(bound.sock)};
    if (bind(fd, &address->sock.any, address->size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, &bound.sock.any, &bound.size) < 0) {
        return -errno;
    }
    if (!same_place(address, &bound)) {
        return -EADDRNOTAVAIL;
    }
    *ret_bound = bound;
    return 0;
}

int srv_address_listen(const struct srv_address *address, int *ret_fd,
                       struct srv_address *ret_bound) {
    int family = address->sock.any.sa_family;
    int rc = family == AF_UNIX ? remove_stale(address) : 0;
    if (rc < 0) {
        return rc;
    }
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    rc = set_options(fd, family);
    if (rc == 0) {
        rc = bind_and_listen(fd, address, ret_bound);
    }
    if (rc < 0) {
        (void)close(fd); /* nothing was sent by it */
        return rc;
    }
    *ret_fd = fd;
    return 0;
}
