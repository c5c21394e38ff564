/* What AWS clients say of streams and channels beside a stream's own settings: JSON documents in
 * the journal, by name.
 *
 *     srv_documents_lock -> srv_document_get -> change it -> srv_document_put ->
 * srv_documents_unlock
 *
 * Whoever only reads needs no lock. All of them block. */
#ifndef SERVER_AWS_DOCUMENTS_H
#define SERVER_AWS_DOCUMENTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/attributes.h"

struct frag_store;

/* Append only: stored. Principals have the kind before. */
enum srv_document_kind {
    SRV_DOCUMENT_STREAM = 65, /* by the stream's name */
    SRV_DOCUMENT_CHANNEL      /* by the channel's name */
};

/* The most bytes of one, as JSON. */
#define SRV_DOCUMENT_MAX ((size_t)64 * 1024)

/* One change at a time. */
void srv_documents_lock(void);
void srv_documents_unlock(void);

/* 0 with a new reference; -ENOENT; KN_E_MALFORMED, KN_E_UNSUPPORTED: it is damaged, or of a newer
 * version; -ENOMEM; else as frag_store_get. */
KN_MUST_CHECK int srv_document_get(struct frag_store *store, enum srv_document_kind kind,
                                   const char *name, json_t **ret_document);
/* KN_E_LIMIT: more than SRV_DOCUMENT_MAX, or the journal is full. -ENOMEM also where `document` is
 * NULL. */
KN_MUST_CHECK int srv_document_put(struct frag_store *store, enum srv_document_kind kind,
                                   const char *name, const json_t *document);
/* Also where there is none. */
KN_MUST_CHECK int srv_document_forget(struct frag_store *store, enum srv_document_kind kind,
                                      const char *name);

/* Those behind `after` whose names begin with `prefix` ("": any), in order of names; the array is
 * the caller's, each row {"name":..,"document":..}. */
KN_MUST_CHECK int srv_document_list(struct frag_store *store, enum srv_document_kind kind,
                                    const char *after, const char *prefix, json_t **ret_rows);

#endif
