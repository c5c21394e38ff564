#include "server/auth/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "server/auth/digest.h"
#include "server/http/chars.h"

/* "kinora-key-1", a newline, the key in hexadecimal, a newline. */
#define BEGIN "kinora-key-1\n"
#define BEGIN_BYTES (sizeof(BEGIN) - 1)
#define FILE_BYTES (BEGIN_BYTES + 2 * (size_t)SRV_KEYFILE_KEY_BYTES + 1)
#define NONCE_BYTES 12u
#define TAG_BYTES 16u

_Static_assert(SRV_KEYFILE_KEY_BYTES == SRV_SHA256_BYTES, "a key is written as a hash is");
_Static_assert(NONCE_BYTES + TAG_BYTES == SRV_SEAL_BYTES, "what sealing adds");

/* ---- the file ---- */

static int write_whole(int fd, const char *data, size_t size) {
    while (size > 0) {
        ssize_t wrote = write(fd, data, size);
        if (wrote < 0 && errno != EINTR) {
            return -errno;
        }
        size_t step = wrote < 0 ? 0 : (size_t)wrote;
        data += step;
        size -= step;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* The name in the folder is durable too. */
static int sync_folder(const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path) + 1;
    if (size + 2 > sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, size);
    memcpy(folder + size, ".", 2);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = fsync(fd) < 0 ? -errno : 0;
    (void)close(fd); /* nothing was written through it */
    return rc;
}

static int make_content(char content[static FILE_BYTES + 1]) {
    struct srv_keyfile keyfile;
    int rc = srv_random(keyfile.key, sizeof(keyfile.key));
    if (rc < 0) {
        return rc;
    }
    memcpy(content, BEGIN, BEGIN_BYTES);
    (void)srv_sha256_hex(keyfile.key, content + BEGIN_BYTES);
    memcpy(content + FILE_BYTES - 1, "\n", 2);
    srv_keyfile_wipe(&keyfile);
    return 0;
}

/* Under another name first: what has its name is whole, whenever the power goes. */
static int create_as(const char *part, const char *path) {
    char content[FILE_BYTES + 1];
    int rc = make_content(content);
    if (rc < 0) {
        return rc;
    }
    if (unlink(part) < 0 && errno != ENOENT) { /* left by an earlier try */
        return -errno;
    }
    int fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        srv_wipe(content, sizeof(content));
        return -errno;
    }
    rc = write_whole(fd, content, FILE_BYTES);
    srv_wipe(content, sizeof(content));
    rc = close(fd) < 0 && rc == 0 ? -errno : rc;
    rc = rc == 0 && link(part, path) < 0 ? -errno : rc; /* -EEXIST: never over another file */
    (void)unlink(part);                                 /* the next try removes what stays */
    return rc < 0 ? rc : sync_folder(path);
}

int srv_keyfile_create(const char *path) {
    char part[PATH_MAX];
    int size = snprintf(part, sizeof(part), "%s.part", path);
    if (size < 0 || (size_t)size >= sizeof(part)) {
        return -ENAMETOOLONG;
    }
    return create_as(part, path);
}

static int read_whole(int fd, char *data, size_t room, size_t *ret_size) {
    size_t size = 0;
    while (size < room) {
        ssize_t got = read(fd, data + size, room - size);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        size += got < 0 ? 0 : (size_t)got;
    }
    *ret_size = size;
    return 0;
}

static int parse(const char *content, size_t size, struct srv_keyfile *ret_keyfile) {
    struct srv_keyfile keyfile;
    if (size != FILE_BYTES || memcmp(content, BEGIN, BEGIN_BYTES) != 0 ||
        content[FILE_BYTES - 1] != '\n') {
        return KN_E_MALFORMED;
    }
    for (size_t i = 0; i < sizeof(keyfile.key); i++) {
        int high = srv_http_hex_value(content[BEGIN_BYTES + 2 * i]);
        int low = srv_http_hex_value(content[BEGIN_BYTES + 2 * i + 1]);
        if (high < 0 || low < 0) {
            return KN_E_MALFORMED;
        }
        keyfile.key[i] = (uint8_t)(high * 16 + low);
    }
    *ret_keyfile = keyfile;
    srv_keyfile_wipe(&keyfile);
    return 0;
}

static int read_key(int fd, struct srv_keyfile *ret_keyfile) {
    struct stat about;
    char content[FILE_BYTES + 1]; /* one more, to see that there is none */
    size_t size = 0;
    if (fstat(fd, &about) < 0) {
        return -errno;
    }
    if (!S_ISREG(about.st_mode)) {
        return KN_E_MALFORMED;
    }
    if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0 ||
        (about.st_uid != geteuid() && about.st_uid != 0)) {
        return -EPERM;
    }
    int rc = read_whole(fd, content, sizeof(content), &size);
    rc = rc < 0 ? rc : parse(content, size, ret_keyfile);
    srv_wipe(content, sizeof(content));
    return rc;
}

int srv_keyfile_open(const char *path, struct srv_keyfile *ret_keyfile) {
    /* Not to wait for a fifo's other end. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int rc = read_key(fd, ret_keyfile);
    (void)close(fd); /* it was only read */
    return rc;
}

void srv_keyfile_wipe(struct srv_keyfile *keyfile) {
    srv_wipe(keyfile, sizeof(*keyfile));
}

/* ---- sealing: nonce, encrypted text, tag ---- */

static bool seal_with(EVP_CIPHER_CTX *cipher, const struct srv_keyfile *keyfile, const char *what,
                      const void *plain, size_t size, uint8_t *sealed) {
    uint8_t *text = sealed + NONCE_BYTES;
    int length = 0;
    return EVP_EncryptInit_ex2(cipher, EVP_aes_256_gcm(), keyfile->key, sealed, NULL) == 1 &&
           EVP_EncryptUpdate(cipher, NULL, &length, (const uint8_t *)what, (int)strlen(what)) ==
               1 &&
           EVP_EncryptUpdate(cipher, text, &length, plain, (int)size) == 1 &&
           EVP_EncryptFinal_ex(cipher, text + size, &length) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + size) == 1;
}

int srv_seal(const struct srv_keyfile *keyfile, const char *what, const void *plain, size_t size,
             uint8_t *sealed) {
    KN_ASSERT(size <= INT_MAX - SRV_SEAL_BYTES && strlen(what) <= INT_MAX);
    int rc = srv_random(sealed, NONCE_BYTES);
    if (rc < 0) {
        return rc;
    }
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool good = cipher != NULL && seal_with(cipher, keyfile, what, plain, size, sealed);
    EVP_CIPHER_CTX_free(cipher);
    return good ? 0 : -ENOMEM;
}

static bool unseal_with(EVP_CIPHER_CTX *cipher, const struct srv_keyfile *keyfile, const char *what,
                        const uint8_t *sealed, size_t size, uint8_t *plain) {
    const uint8_t *text = sealed + NONCE_BYTES;
    uint8_t tag[TAG_BYTES];
    int length = 0;
    memcpy(tag, text + size, TAG_BYTES);
    return EVP_DecryptInit_ex2(cipher, EVP_aes_256_gcm(), keyfile->key, sealed, NULL) == 1 &&
           EVP_DecryptUpdate(cipher, NULL, &length, (const uint8_t *)what, (int)strlen(what)) ==
               1 &&
           EVP_DecryptUpdate(cipher, plain, &length, text, (int)size) == 1 &&
           EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) == 1 &&
           EVP_DecryptFinal_ex(cipher, plain + size, &length) == 1;
}

int srv_unseal(const struct srv_keyfile *keyfile, const char *what, const uint8_t *sealed,
               size_t size, void *plain) {
    KN_ASSERT(size <= INT_MAX && strlen(what) <= INT_MAX);
    if (size < SRV_SEAL_BYTES) {
        return -EKEYREJECTED;
    }
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    if (cipher == NULL) {
        return -ENOMEM;
    }
    size_t plain_bytes = size - SRV_SEAL_BYTES;
    bool good = unseal_with(cipher, keyfile, what, sealed, plain_bytes, plain);
    EVP_CIPHER_CTX_free(cipher);
    if (!good) {
        srv_wipe(plain, plain_bytes); /* what was not vouched for */
    }
    return good ? 0 : -EKEYREJECTED;
}
