#include <string.h>

#include "base/error.h"
#include "server/auth/principals_inner.h"

#define VERSION 1u
#define FLAG_SESSION 1u
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

/* ---- what is valid ---- */

static bool text_valid(const char *text, size_t room, const char *letters) {
    size_t size = strnlen(text, room);
    return size > 0 && size < room && strspn(text, letters) == size;
}

/* What climbs in the paths of URLs could be added, but never shown or removed there. */
static bool name_valid(const struct srv_principal *principal) {
    const char *name = principal->name;
    return text_valid(name, sizeof(principal->name), LETTERS "@") && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

bool srv_principal_valid_beside_secret(const struct srv_principal *principal) {
    if (!name_valid(principal) || principal->grant_count > SRV_GRANTS_MAX) {
        return false;
    }
    for (size_t i = 0; i < principal->grant_count; i++) {
        if (!srv_grant_valid(&principal->grants[i])) {
            return false;
        }
    }
    switch (principal->kind) {
    case SRV_PRINCIPAL_KEY:
        return text_valid(principal->access_key, sizeof(principal->access_key), LETTERS);
    case SRV_PRINCIPAL_USER:
        return srv_password_valid(&principal->password);
    case SRV_PRINCIPAL_TOKEN:
        return true;
    }
    return false;
}

static bool secret_valid(const struct srv_principal *principal) {
    if (principal->secret_bytes < SRV_SECRET_LEAST || principal->secret_bytes > SRV_SECRET_MAX) {
        return false;
    }
    for (size_t i = 0; i < principal->secret_bytes; i++) {
        if (principal->secret[i] <= ' ' || principal->secret[i] > '~') {
            return false;
        }
    }
    return true;
}

bool srv_principal_valid(const struct srv_principal *principal) {
    return srv_principal_valid_beside_secret(principal) &&
           (principal->kind != SRV_PRINCIPAL_KEY || secret_valid(principal));
}

static bool sealed_valid(const struct srv_principal *principal,
                         const struct srv_sealed_secret *sealed) {
    return principal->kind == SRV_PRINCIPAL_KEY
               ? sealed->size >= SRV_SECRET_LEAST + SRV_SEAL_BYTES &&
                     sealed->size <= sizeof(sealed->bytes)
               : sealed->size == 0;
}

/* ---- writing ---- */

static void write_text(struct kn_writer *writer, const char *text) {
    size_t size = strlen(text);
    kn_write_be16(writer, (uint16_t)size);
    kn_write_bytes(writer, text, size);
}

static void write_key(struct kn_writer *writer, const struct srv_principal *principal,
                      const struct srv_sealed_secret *sealed) {
    write_text(writer, principal->access_key);
    kn_write_u8(writer, principal->has_session ? FLAG_SESSION : 0);
    if (principal->has_session) {
        kn_write_bytes(writer, principal->session_sha256, sizeof(principal->session_sha256));
    }
    kn_write_be16(writer, (uint16_t)sealed->size);
    kn_write_bytes(writer, sealed->bytes, sealed->size);
}

static void write_password(struct kn_writer *writer, const struct srv_password *password) {
    kn_write_u8(writer, password->log2_n);
    kn_write_u8(writer, password->r);
    kn_write_u8(writer, password->p);
    kn_write_bytes(writer, password->salt, sizeof(password->salt));
    kn_write_bytes(writer, password->hash, sizeof(password->hash));
}

void srv_principal_write(struct kn_writer *writer, const struct srv_principal *principal,
                         const struct srv_sealed_secret *sealed) {
    if (!srv_principal_valid_beside_secret(principal) || !sealed_valid(principal, sealed)) {
        writer->error = writer->error == 0 ? KN_E_MALFORMED : writer->error;
        return;
    }
    kn_write_be16(writer, VERSION);
    kn_write_u8(writer, (uint8_t)principal->kind);
    write_text(writer, principal->name);
    kn_write_be64(writer, (uint64_t)principal->created.ns);
    kn_write_be64(writer, (uint64_t)principal->expires.ns);
    kn_write_u8(writer, (uint8_t)principal->grant_count);
    for (size_t i = 0; i < principal->grant_count; i++) {
        kn_write_be32(writer, principal->grants[i].actions);
        write_text(writer, principal->grants[i].pattern);
    }
    switch (principal->kind) {
    case SRV_PRINCIPAL_KEY:
        write_key(writer, principal, sealed);
        break;
    case SRV_PRINCIPAL_USER:
        write_password(writer, &principal->password);
        break;
    case SRV_PRINCIPAL_TOKEN:
        kn_write_bytes(writer, principal->token_sha256, sizeof(principal->token_sha256));
        break;
    }
}

/* ---- reading ---- */

struct value {
    struct kn_reader reader;
    bool bad;
};

static void read_bytes(struct value *value, void *room, size_t size) {
    const uint8_t *bytes = kn_read_bytes(&value->reader, size);
    if (bytes != NULL) {
        memcpy(room, bytes, size);
    }
}

/* The bytes of a length that stands before them; more than `room` are none. */
static size_t read_sized(struct value *value, void *room, size_t room_bytes) {
    size_t size = kn_read_be16(&value->reader);
    const uint8_t *bytes = kn_read_bytes(&value->reader, size);
    if (bytes == NULL) {
        return 0;
    }
    if (size > room_bytes) {
        value->bad = true;
        return 0;
    }
    memcpy(room, bytes, size);
    return size;
}

/* A NUL in it would hide the rest. `room` is zeroed. */
static void read_text(struct value *value, char *room, size_t room_bytes) {
    size_t size = read_sized(value, room, room_bytes - 1);
    if (memchr(room, '\0', size) != NULL) {
        value->bad = true;
    }
}

static void read_grants(struct value *value, struct srv_principal *principal) {
    size_t count = kn_read_u8(&value->reader);
    if (count > SRV_GRANTS_MAX) {
        value->bad = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct srv_grant *grant = &principal->grants[i];
        grant->actions = kn_read_be32(&value->reader);
        read_text(value, grant->pattern, sizeof(grant->pattern));
    }
    principal->grant_count = count;
}

static void read_key(struct value *value, struct srv_principal *principal,
                     struct srv_sealed_secret *sealed) {
    read_text(value, principal->access_key, sizeof(principal->access_key));
    uint8_t flags = kn_read_u8(&value->reader);
    if ((flags & ~FLAG_SESSION) != 0) {
        value->bad = true;
    }
    principal->has_session = (flags & FLAG_SESSION) != 0;
    if (principal->has_session) {
        read_bytes(value, principal->session_sha256, sizeof(principal->session_sha256));
    }
    sealed->size = read_sized(value, sealed->bytes, sizeof(sealed->bytes));
}

static void read_password(struct value *value, struct srv_password *password) {
    password->log2_n = kn_read_u8(&value->reader);
    password->r = kn_read_u8(&value->reader);
    password->p = kn_read_u8(&value->reader);
    read_bytes(value, password->salt, sizeof(password->salt));
    read_bytes(value, password->hash, sizeof(password->hash));
}

static void read_kind(struct value *value, struct srv_principal *principal,
                      struct srv_sealed_secret *sealed) {
    switch (principal->kind) {
    case SRV_PRINCIPAL_KEY:
        read_key(value, principal, sealed);
        return;
    case SRV_PRINCIPAL_USER:
        read_password(value, &principal->password);
        return;
    case SRV_PRINCIPAL_TOKEN:
        read_bytes(value, principal->token_sha256, sizeof(principal->token_sha256));
        return;
    }
    value->bad = true;
}

int srv_principal_read(const uint8_t *data, size_t size, struct srv_principal *ret_principal,
                       struct srv_sealed_secret *ret_sealed) {
    struct value value = {0};
    struct srv_principal principal = {0};
    struct srv_sealed_secret sealed = {0};
    kn_reader_init(&value.reader, data, size);
    uint16_t version = kn_read_be16(&value.reader);
    int rc = kn_reader_status(&value.reader);
    if (rc < 0 || version != VERSION) {
        return rc < 0 ? rc : version == 0 ? KN_E_MALFORMED : KN_E_UNSUPPORTED;
    }
    principal.kind = (enum srv_principal_kind)kn_read_u8(&value.reader);
    read_text(&value, principal.name, sizeof(principal.name));
    principal.created.ns = (int64_t)kn_read_be64(&value.reader);
    principal.expires.ns = (int64_t)kn_read_be64(&value.reader);
    read_grants(&value, &principal);
    if (!value.bad) {
        read_kind(&value, &principal, &sealed);
    }
    rc = kn_reader_status(&value.reader);
    if (rc < 0) {
        return rc;
    }
    if (value.bad || kn_reader_left(&value.reader) > 0 ||
        !srv_principal_valid_beside_secret(&principal) || !sealed_valid(&principal, &sealed)) {
        return KN_E_MALFORMED;
    }
    *ret_principal = principal;
    *ret_sealed = sealed;
    return 0;
}
