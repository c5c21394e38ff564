#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "server/transport/inner.h"

#define MAX_CHAIN 16

void srv_cert_destroy(struct srv_cert *cert) {
    if (cert == NULL) {
        return;
    }
    X509_free(cert->leaf);
    EVP_PKEY_free(cert->key);
    sk_X509_pop_free(cert->chain, X509_free);
    free(cert);
}

/* A key file with a password is none: nobody is there to be asked. */
static int no_password(char *room, int size, int writing, void *user) {
    (void)room, (void)size, (void)writing, (void)user;
    return -1;
}

/* The file name is not a secret; what OpenSSL says of a key file might quote it, so it is not. */
static int tell(char problem[static SRV_PROBLEM_BYTES], const char *path, const char *what,
                int rc) {
    ERR_clear_error();
    (void)snprintf(problem, SRV_PROBLEM_BYTES, "%.300s %s", path, what);
    return rc;
}

static FILE *open_file(const char *path, int *ret_rc, char problem[static SRV_PROBLEM_BYTES]) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        int rc = -errno;
        char what[128];
        (void)snprintf(what, sizeof(what), "cannot be read: %s", kn_error_text(rc)); /* fits */
        *ret_rc = tell(problem, path, what, rc);
    }
    return file;
}

static int read_chain(struct srv_cert *cert, FILE *file) {
    cert->chain = sk_X509_new_null();
    if (cert->chain == NULL) {
        return -ENOMEM;
    }
    X509 *next;
    while ((next = PEM_read_X509(file, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_num(cert->chain) == MAX_CHAIN || sk_X509_push(cert->chain, next) == 0) {
            X509_free(next);
            return KN_E_MALFORMED;
        }
    }
    unsigned long error = ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE
               ? 0
               : KN_E_MALFORMED;
}

static int read_certificate(struct srv_cert *cert, const char *path,
                            char problem[static SRV_PROBLEM_BYTES]) {
    int rc = 0;
    FILE *file = open_file(path, &rc, problem);
    if (file == NULL) {
        return rc;
    }
    ERR_clear_error();
    cert->leaf = PEM_read_X509_AUX(file, NULL, no_password, NULL);
    rc = cert->leaf == NULL ? KN_E_MALFORMED : read_chain(cert, file);
    (void)fclose(file); /* it was only read */
    if (rc < 0) {
        return tell(problem, path, "is no certificate in PEM, with its chain", rc);
    }
    ERR_clear_error(); /* the end of the file counts as an error there */
    return 0;
}

static int read_key(struct srv_cert *cert, const char *path,
                    char problem[static SRV_PROBLEM_BYTES]) {
    int rc = 0;
    FILE *file = open_file(path, &rc, problem);
    if (file == NULL) {
        return rc;
    }
    cert->key = PEM_read_PrivateKey(file, NULL, no_password, NULL);
    (void)fclose(file); /* it was only read */
    if (cert->key == NULL) {
        return tell(problem, path, "is no private key in PEM without a password", KN_E_MALFORMED);
    }
    return 0;
}

/* What a handshake will do with it, before one does: OpenSSL refuses short keys only here. */
static int try_it(const struct srv_cert *cert, const char *path,
                  char problem[static SRV_PROBLEM_BYTES]) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL) {
        return tell(problem, path, "cannot be taken: no memory", -ENOMEM);
    }
    int fits = SSL_CTX_use_cert_and_key(context, cert->leaf, cert->key, cert->chain, 1);
    SSL_CTX_free(context);
    return fits == 1 ? 0
                     : tell(problem, path, "is a certificate that OpenSSL refuses", KN_E_MALFORMED);
}

int srv_cert_read(const char *certificate, const char *key, struct srv_cert **ret_cert,
                  char problem[static SRV_PROBLEM_BYTES]) {
    struct srv_cert *cert = calloc(1, sizeof(*cert));
    if (cert == NULL) {
        return tell(problem, certificate, "cannot be taken: no memory", -ENOMEM);
    }
    int rc = read_certificate(cert, certificate, problem);
    if (rc == 0) {
        rc = read_key(cert, key, problem);
    }
    if (rc == 0 && X509_check_private_key(cert->leaf, cert->key) != 1) {
        rc = tell(problem, key, "is not the key of that certificate", KN_E_MALFORMED);
    }
    if (rc == 0) {
        rc = try_it(cert, certificate, problem);
    }
    if (rc < 0) {
        srv_cert_destroy(cert);
        return rc;
    }
    *ret_cert = cert;
    return 0;
}
