#include "server/auth/cert.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/new_file.h"
#include "server/auth/digest.h"
#include "server/http/chars.h"

#define SERIAL_BYTES 16
#define EARLIER_NS (3600 * KN_NS_PER_S) /* for clients whose clocks are late */
#define CN_MAX 64u
#define CN_OTHERWISE "kinora"
#define DNS_MAX 253u
#define LABEL_MAX 63u
#define ADDRESS_MAX 16u

/* ---- names ---- */

/* Bytes of an address; 0: it is none. */
static size_t read_address(const char *name, uint8_t address[static ADDRESS_MAX]) {
    if (inet_pton(AF_INET, name, address) == 1) {
        return 4;
    }
    return inet_pton(AF_INET6, name, address) == 1 ? 16 : 0;
}

static bool is_label(const char *label, size_t size) {
    for (size_t i = 0; i < size; i++) {
        char c = srv_http_lower(label[i]);
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-') {
            return false;
        }
    }
    return size > 0 && size <= LABEL_MAX && label[0] != '-' && label[size - 1] != '-';
}

/* The last label of digits alone would be an address gone wrong. */
static bool is_dns_name(const char *name) {
    const char *label = strncmp(name, "*.", 2) == 0 ? name + 2 : name;
    if (strnlen(name, DNS_MAX + 1) > DNS_MAX) {
        return false;
    }
    for (;;) {
        size_t size = strcspn(label, ".");
        if (!is_label(label, size)) {
            return false;
        }
        if (label[size] == '\0') {
            return strspn(label, "0123456789") < size;
        }
        label += size + 1;
    }
}

bool srv_cert_name_valid(const char *name) {
    uint8_t address[ADDRESS_MAX];
    return read_address(name, address) > 0 || is_dns_name(name);
}

static bool are_names(const struct srv_cert_config *config) {
    bool good = config->name_count > 0 && config->name_count <= SRV_CERT_NAMES_MAX;
    for (size_t i = 0; i < config->name_count && good; i++) {
        good = srv_cert_name_valid(config->names[i]);
    }
    return good;
}

/* ---- what stands in it. False: libcrypto failed, for want of memory ---- */

/* Of type GEN_DNS, or GEN_IPADD with an address's bytes. */
static GENERAL_NAME *general_name(const char *name) {
    uint8_t address[ADDRESS_MAX];
    size_t address_bytes = read_address(name, address);
    bool is_address = address_bytes > 0;
    const void *data = is_address ? (const void *)address : name;
    int size = is_address ? (int)address_bytes : (int)strlen(name);
    GENERAL_NAME *made = GENERAL_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(is_address ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);
    if (made == NULL || value == NULL || ASN1_STRING_set(value, data, size) != 1) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(made);
        return NULL;
    }
    GENERAL_NAME_set0_value(made, is_address ? GEN_IPADD : GEN_DNS, value);
    return made;
}

static bool add_names(X509 *cert, const struct srv_cert_config *config) {
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    bool good = names != NULL;
    for (size_t i = 0; i < config->name_count && good; i++) {
        GENERAL_NAME *name = general_name(config->names[i]);
        good = name != NULL && sk_GENERAL_NAME_push(names, name) > 0;
        if (!good) {
            GENERAL_NAME_free(name);
        }
    }
    good = good && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
    GENERAL_NAMES_free(names);
    return good;
}

static bool add_extension(X509 *cert, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static bool set_serial(X509 *cert) {
    uint8_t random[SERIAL_BYTES];
    if (srv_random(random, sizeof(random)) < 0) {
        return false;
    }
    random[0] = (random[0] & 0x3f) | 0x40; /* positive, and never short of its length */
    BIGNUM *number = BN_bin2bn(random, sizeof(random), NULL);
    bool good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
    BN_free(number);
    return good;
}

static bool set_times(X509 *cert, const struct srv_cert_config *config) {
    time_t from = (time_t)((config->now.ns - EARLIER_NS) / KN_NS_PER_S);
    time_t until = (time_t)(config->now.ns / KN_NS_PER_S + config->valid_ns / KN_NS_PER_S);
    return ASN1_TIME_set(X509_getm_notBefore(cert), from) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(cert), until) != NULL;
}

static bool set_subject(X509 *cert, const char *first) {
    const char *cn = strlen(first) <= CN_MAX ? first : CN_OTHERWISE;
    X509_NAME *subject = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, (const uint8_t *)cn,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const struct srv_cert_config *config) {
    return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
           set_times(cert, config) && set_subject(cert, config->names[0]) &&
           X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, NID_subject_key_identifier, "hash") && add_names(cert, config) &&
           X509_sign(cert, key, EVP_sha256()) > 0;
}

static bool tell_fingerprint(const X509 *cert, char text[static SRV_CERT_FINGERPRINT_BYTES]) {
    static const char digits[] = "0123456789ABCDEF";
    uint8_t hash[SRV_SHA256_BYTES];
    if (X509_digest(cert, EVP_sha256(), hash, NULL) != 1) {
        return false;
    }
    for (size_t i = 0; i < sizeof(hash); i++) {
        text[3 * i] = digits[hash[i] >> 4];
        text[3 * i + 1] = digits[hash[i] & 15];
        text[3 * i + 2] = i + 1 < sizeof(hash) ? ':' : '\0';
    }
    return true;
}

/* ---- files ---- */

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
    return 0;
}

/* PEM of one of the two; freeing the BIO wipes it. */
static int write_pem(int fd, X509 *cert, EVP_PKEY *key) {
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    int rc = -ENOMEM;
    if (bio != NULL && (cert == NULL || PEM_write_bio_X509(bio, cert) == 1) &&
        (key == NULL || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1)) {
        long size = BIO_get_mem_data(bio, &data);
        rc = write_whole(fd, data, (size_t)size);
    }
    BIO_free(bio);
    return rc;
}

/* A second name for the old key, so that it comes back if the new certificate does not get there.
 */
static int set_aside(const char *path, char old[static PATH_MAX], bool *ret_aside) {
    int size = snprintf(old, PATH_MAX, "%s.old", path);
    if (size < 0 || size >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    if (unlink(old) < 0 && errno != ENOENT) { /* of an earlier run that was killed */
        return -errno;
    }
    *ret_aside = link(path, old) == 0;
    return *ret_aside || errno == ENOENT ? 0 : -errno;
}

/* Takes both files. The key first: a certificate whose key is not there helps nobody. */
static int keep_both(const struct srv_cert_config *config, struct kn_new_file *key,
                     struct kn_new_file *cert) {
    char old[PATH_MAX];
    bool aside = false;
    int rc = config->replace ? set_aside(config->key, old, &aside) : 0;
    if (rc < 0) {
        kn_new_file_drop(key);
        kn_new_file_drop(cert);
        return rc;
    }
    rc = kn_new_file_keep(key, config->key, config->replace);
    bool has_key = rc == 0;
    if (has_key) {
        rc = kn_new_file_keep(cert, config->certificate, config->replace);
    } else {
        kn_new_file_drop(cert);
    }
    if (rc < 0 && aside) {
        (void)rename(old, config->key); /* nothing more can be done where this fails too */
    } else if (rc < 0 && has_key) {
        (void)unlink(config->key);
    }
    if (aside) {
        (void)unlink(old); /* the next run removes what stays */
    }
    return rc;
}

static int write_both(const struct srv_cert_config *config, X509 *cert, EVP_PKEY *key) {
    struct kn_new_file key_file;
    struct kn_new_file cert_file;
    int rc = kn_new_file_open_private(config->key, &key_file);
    if (rc < 0) {
        return rc;
    }
    rc = kn_new_file_open(config->certificate, &cert_file);
    if (rc < 0) {
        kn_new_file_drop(&key_file);
        return rc;
    }
    rc = write_pem(key_file.fd, NULL, key);
    rc = rc < 0 ? rc : write_pem(cert_file.fd, cert, NULL);
    if (rc < 0) {
        kn_new_file_drop(&key_file);
        kn_new_file_drop(&cert_file);
        return rc;
    }
    return keep_both(config, &key_file, &cert_file);
}

/* ---- all of it ---- */

int srv_cert_make(const struct srv_cert_config *config,
                  char ret_fingerprint[static SRV_CERT_FINGERPRINT_BYTES]) {
    char fingerprint[SRV_CERT_FINGERPRINT_BYTES];
    if (!are_names(config) || config->valid_ns < KN_NS_PER_S ||
        strcmp(config->certificate, config->key) == 0) {
        return -EINVAL;
    }
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    bool good = key != NULL && cert != NULL && fill(cert, key, config) &&
                tell_fingerprint(cert, fingerprint);
    int rc = good ? write_both(config, cert, key) : -ENOMEM;
    X509_free(cert);
    EVP_PKEY_free(key);
    if (rc == 0) {
        memcpy(ret_fingerprint, fingerprint, sizeof(fingerprint));
    }
    return rc;
}
