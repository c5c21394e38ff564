#include "commands/command.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#include "base/error.h"
#include "base/path.h"
#include "commands/tell.h"
#include "server/server.h"

#define CERTIFICATE_NAME "kinora-cert.pem"
#define KEY_NAME "kinora-key.pem"

/* The first of the names that is none. */
static const char *wrong_name(const struct cmd_arguments *arguments) {
    for (size_t i = 0; i < arguments->name_count; i++) {
        if (!srv_cert_name_valid(arguments->names[i])) {
            return arguments->names[i];
        }
    }
    return "";
}

static int cert_refused(const struct cmd_arguments *arguments, int rc) {
    switch (rc) {
    case -EEXIST:
        fprintf(stderr,
                "kinora: there is a " CERTIFICATE_NAME " or a " KEY_NAME " in %s already; --force "
                "replaces them\n",
                cmd_plain(arguments->output_dir));
        return EXIT_FAILED;
    case -EINVAL:
        fprintf(stderr, "kinora: '%s' is neither a DNS name nor an address\n",
                cmd_plain(wrong_name(arguments)));
        return EXIT_USAGE;
    default:
        return cmd_refused(arguments->output_dir, rc);
    }
}

/* As they stand in kinora.yml, whose paths are from its own folder: whole ones. */
static void print_lines(const char *certificate, const char *key) {
    char whole_certificate[PATH_MAX], whole_key[PATH_MAX];
    bool found = kn_path_absolute(certificate, whole_certificate) == 0 &&
                 kn_path_absolute(key, whole_key) == 0;
    printf("\ntls:\n  certificate: %s\n", cmd_plain(found ? whole_certificate : certificate));
    printf("  key: %s\n  listen: 0.0.0.0:5467\n", cmd_plain(found ? whole_key : key));
}

static int run_cert_make(const struct cmd_arguments *arguments) {
    char certificate[PATH_MAX], key[PATH_MAX], fingerprint[SRV_CERT_FINGERPRINT_BYTES];
    const struct srv_cert_config config = {
        .certificate = certificate,
        .key = key,
        .names = arguments->names,
        .name_count = arguments->name_count,
        .now = arguments->now,
        .valid_ns = (int64_t)arguments->days * 86400 * KN_NS_PER_S,
        .replace = cmd_given(arguments, OPT_FORCE),
    };
    int size =
        snprintf(certificate, sizeof(certificate), "%s/" CERTIFICATE_NAME, arguments->output_dir);
    int rc = size < 0 || (size_t)size >= sizeof(certificate) ? -ENAMETOOLONG : 0;
    if (rc == 0) {
        /* It is shorter. */
        (void)snprintf(key, sizeof(key), "%s/" KEY_NAME, arguments->output_dir);
        rc = srv_cert_make(&config, fingerprint);
    }
    if (rc != 0) {
        return cert_refused(arguments, rc);
    }
    printf("certificate  %s\n", cmd_plain(certificate));
    printf("key          %s\n", cmd_plain(key));
    printf("SHA-256      %s\n", fingerprint);
    print_lines(certificate, key);
    return EXIT_FINE;
}

const struct cmd_command cmd_cert_make = {
    .name = "cert make",
    .usage = "--name NAME [--name NAME]... [-o DIR] [--days N] [--force]",
    .summary = "Make a self-signed certificate, for a first start with TLS.",
    .help = "Writes " CERTIFICATE_NAME " and " KEY_NAME ", which tls.certificate and tls.key of\n"
            "the configuration name, and prints these lines of it and the fingerprint by which a "
            "browser that warns can\n"
            "be told that it is the right one. The key is for its owner alone to read.\n\n",
    .options = WITH(NAME) | WITH(OUTPUT_DIR) | WITH(DAYS) | WITH(FORCE),
    .required = WITH(NAME),
    .run = run_cert_make,
};
