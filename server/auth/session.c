/* A session is the sealed text of its user, so that nothing is stored, and a restart ends none:
 *     version (1 byte, 1), expires (8), user's created (8), of the password's hash (16), name */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "server/auth/base64.h"
#include "server/auth/door_inner.h"

#define PREFIX "kinora-session_"
#define PREFIX_CHARS (sizeof(PREFIX) - 1)
#define WHAT "session of a user"
#define VERSION 1
#define HASH_BYTES 16u
#define FIXED_BYTES (1 + 8 + 8 + (size_t)HASH_BYTES)
#define PLAIN_MAX (FIXED_BYTES + SRV_PRINCIPAL_NAME_BYTES - 1)
#define SEALED_MAX (PLAIN_MAX + SRV_SEAL_BYTES)

_Static_assert(PREFIX_CHARS + SRV_BASE64_URL_CHARS(SEALED_MAX) < SRV_SESSION_BYTES,
               "the longest session and its NUL");
_Static_assert(HASH_BYTES <= sizeof(((struct srv_password *)0)->hash), "a part of it");

static size_t write_plain(const struct srv_principal *user, struct kn_wall expires,
                          uint8_t plain[static PLAIN_MAX]) {
    struct kn_writer writer;
    kn_writer_init(&writer, plain, PLAIN_MAX);
    kn_write_u8(&writer, VERSION);
    kn_write_be64(&writer, (uint64_t)expires.ns);
    kn_write_be64(&writer, (uint64_t)user->created.ns);
    kn_write_bytes(&writer, user->password.hash, HASH_BYTES);
    kn_write_bytes(&writer, user->name, strlen(user->name));
    KN_ASSERT(kn_writer_status(&writer) == 0); /* a name has its maximum */
    return writer.size;
}

int srv_session_make(struct srv_gate *gate, const struct srv_principal *principal,
                     struct kn_wall now, char ret_session[static SRV_SESSION_BYTES],
                     struct kn_wall *ret_expires) {
    uint8_t plain[PLAIN_MAX];
    uint8_t sealed[SEALED_MAX];
    struct kn_wall expires = principal->expires;
    KN_ASSERT(principal->kind == SRV_PRINCIPAL_USER);
    if (expires.ns - gate->session_ns > now.ns) { /* never before the user itself is over */
        expires.ns = now.ns + gate->session_ns;
    }
    size_t size = write_plain(principal, expires, plain);
    int rc = srv_seal(&gate->keyfile, WHAT, plain, size, sealed);
    srv_wipe(plain, sizeof(plain));
    if (rc < 0) {
        return rc;
    }
    memcpy(ret_session, PREFIX, PREFIX_CHARS);
    size_t chars = srv_base64_write(sealed, size + SRV_SEAL_BYTES, ret_session + PREFIX_CHARS);
    ret_session[PREFIX_CHARS + chars] = '\0';
    *ret_expires = expires;
    return 0;
}

bool srv_session_is(struct srv_http_text text) {
    return text.size > PREFIX_CHARS && memcmp(text.data, PREFIX, PREFIX_CHARS) == 0;
}

/* ---- reading ---- */

struct session {
    struct kn_wall expires, created;
    uint8_t hash[HASH_BYTES];
    char name[SRV_PRINCIPAL_NAME_BYTES];
};

/* Only what was sealed here comes so far. */
static bool read_plain(const uint8_t *plain, size_t size, struct session *session) {
    struct kn_reader reader;
    kn_reader_init(&reader, plain, size);
    uint8_t version = kn_read_u8(&reader);
    session->expires.ns = (int64_t)kn_read_be64(&reader);
    session->created.ns = (int64_t)kn_read_be64(&reader);
    const uint8_t *hash = kn_read_bytes(&reader, HASH_BYTES);
    size_t name_bytes = kn_reader_left(&reader);
    const uint8_t *name = kn_read_bytes(&reader, name_bytes);
    if (kn_reader_status(&reader) < 0 || version != VERSION || name_bytes == 0 ||
        name_bytes >= sizeof(session->name)) {
        return false;
    }
    memcpy(session->hash, hash, HASH_BYTES);
    memcpy(session->name, name, name_bytes);
    session->name[name_bytes] = '\0';
    return true;
}

static int unseal(const struct srv_gate *gate, struct srv_http_text text, struct session *session) {
    uint8_t sealed[SEALED_MAX];
    uint8_t plain[PLAIN_MAX];
    size_t size = 0;
    if (!srv_session_is(text)) {
        return -EACCES;
    }
    text = (struct srv_http_text){text.data + PREFIX_CHARS, text.size - PREFIX_CHARS};
    if (srv_base64_read(SRV_BASE64_URL, text, sealed, sizeof(sealed), &size) < 0 ||
        size < SRV_SEAL_BYTES) {
        return -EACCES;
    }
    int rc = srv_unseal(&gate->keyfile, WHAT, sealed, size, plain);
    if (rc == 0 && !read_plain(plain, size - SRV_SEAL_BYTES, session)) {
        rc = -EACCES;
    }
    srv_wipe(plain, sizeof(plain));
    return rc == -EKEYREJECTED ? -EACCES : rc;
}

int srv_session_read(struct srv_gate *gate, struct srv_http_text text, struct kn_wall now,
                     const struct srv_principal **ret_principal) {
    struct session session = {0};
    const struct srv_principal *user = NULL;
    int rc = unseal(gate, text, &session);
    if (rc == 0 && session.expires.ns <= now.ns) {
        rc = -EKEYEXPIRED;
    }
    rc = rc < 0 ? rc : srv_principals_find_user(gate->principals, session.name, now, &user);
    if (rc == 0 && (user->created.ns != session.created.ns ||
                    !srv_equal_secretly(user->password.hash, session.hash, HASH_BYTES))) {
        srv_principal_unref(user);
        rc = -EACCES;
    }
    srv_wipe(&session, sizeof(session));
    if (rc == 0) {
        *ret_principal = user;
    }
    return rc == -ENOENT ? -EACCES : rc;
}
