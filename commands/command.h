/* What a command is, and what it gets. */
#ifndef COMMANDS_COMMAND_H
#define COMMANDS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/options.h"
#include "base/time.h"
#include "fragments/fragments.h"
#include "ingest/ingest.h"
#include "playback/playback.h"
#include "server/server.h"

/* Documented in every --help; scripts build on them. */
enum exit_code {
    EXIT_FINE = 0,
    EXIT_FINDINGS = 1, /* the input is damaged or not whole; what could be done was done */
    EXIT_USAGE = 2,
    EXIT_FAILED = 3 /* the machine said no: a file missing, a disk full, no memory */
};

#define DATA_DEFAULT "kinora-data"
#define DAYS_DEFAULT 825u /* some clients take no longer ones */
#define STORAGE_MAX 15u   /* with `data` as many as a store has */
#define OPERANDS_MAX 2u
#define LISTEN_MAX 16u
#define NAMES_MAX 32u
#define NAMES_NEAR_MAX 5u
enum option_id {
    OPT_JSON,
    OPT_FRAMES,
    OPT_FORCE,
    OPT_DATA,
    OPT_STREAM,
    OPT_FROM,
    OPT_TO,
    OPT_CLOCK,
    OPT_OUTPUT,
    OPT_START,
    OPT_RATE,
    OPT_LOOP,
    OPT_FAULT,
    OPT_RETENTION,
    OPT_RETENTION_BYTES,
    OPT_TARGET,
    OPT_STORAGE,
    OPT_MIN_FREE,
    OPT_UNTIL,
    OPT_REASON,
    OPT_CONFIRM_CLOCK,
    OPT_GRANT,
    OPT_EXPIRES,
    OPT_ACCESS_KEY,
    OPT_SECRET_STDIN,
    OPT_PASSWORD_STDIN,
    OPT_NAME,
    OPT_OUTPUT_DIR,
    OPT_DAYS,
    OPT_ALL,
    OPT_CONFIG,
    OPT_LISTEN,
    OPT_DEMO,
    OPT_VERBOSE,
    OPT_HELP,
    OPTION_COUNT
};

#define WITH(option) (UINT64_C(1) << OPT_##option)
/* Every command that opens a store. */
#define WITH_STORE (WITH(DATA) | WITH(CONFIG) | WITH(VERBOSE))

struct cmd_command;
struct srv_client;

/* What the command line says. */
struct cmd_arguments {
    const struct cmd_command *command;
    const char *operands[OPERANDS_MAX];
    size_t operand_count;
    uint64_t given; /* options, as WITH() */
    struct kn_wall now;

    const char *data, *stream, *output, *reason;
    enum play_format format; /* of output */
    const char *storage[STORAGE_MAX];
    size_t storage_count;
    struct kn_wall from, to, start, until, expires;
    enum frag_clock clock;
    bool paced;
    uint64_t loops;
    struct ing_faults faults;
    int64_t retention_ns, target_ns;
    uint64_t retention_bytes, min_free_bytes;
    struct srv_grant grants[SRV_GRANTS_MAX];
    size_t grant_count;
    const char *access_key;
    const char *names[NAMES_MAX]; /* of a certificate */
    size_t name_count;
    const char *output_dir, *all;
    const char *config; /* a file */
    const char *listen[LISTEN_MAX];
    size_t listen_count;
    const char *key_file; /* NULL: the one in `data` */
    uint64_t memory_bytes;
    uint64_t days;
};

struct cmd_command {
    const char *name;
    const char *usage; /* what stands behind the name */
    const char *summary;
    const char *help; /* behind usage and summary, before the options */
    uint64_t options, required;
    size_t operands_min, operands_max;
    /* One of both; their answer is the exit code. `work` gets the store opened, as `mode` says. */
    int (*run)(const struct cmd_arguments *arguments);
    int (*work)(const struct cmd_arguments *arguments, struct frag_store *store);
    /* Instead of `work`, where a server has the store. NULL: it must not have it. */
    int (*ask)(const struct cmd_arguments *arguments, struct srv_client *client);
    enum frag_store_mode mode;
    bool reads_config; /* by itself; else --config or KINORA_ have named the store already */
    bool makes_store;  /* `work` for writing: where none is; else it is refused */
    /* What exit code 1 says, behind "1 "; NULL: it never ends so. */
    const char *findings;
};

/* By enum option_id. */
extern const struct kn_option cmd_option_rows[OPTION_COUNT];

bool cmd_given(const struct cmd_arguments *arguments, enum option_id option);

/* All of them, in the order of the overview; NULL behind the last one. */
const struct cmd_command *cmd_at(size_t at);
/* By its one or two words, of which it tells how many. NULL: there is none. */
const struct cmd_command *cmd_find(int argc, char **argv, int *ret_words);

extern const struct cmd_command cmd_inspect;
extern const struct cmd_command cmd_rewrite;
extern const struct cmd_command cmd_replay;
extern const struct cmd_command cmd_streams;
extern const struct cmd_command cmd_fragments;
extern const struct cmd_command cmd_gaps;
extern const struct cmd_command cmd_export;
extern const struct cmd_command cmd_hold_add;
extern const struct cmd_command cmd_hold_list;
extern const struct cmd_command cmd_hold_remove;
extern const struct cmd_command cmd_retention_plan;
extern const struct cmd_command cmd_retention_run;
extern const struct cmd_command cmd_check;
extern const struct cmd_command cmd_rebuild;
extern const struct cmd_command cmd_key_add;
extern const struct cmd_command cmd_key_list;
extern const struct cmd_command cmd_key_remove;
extern const struct cmd_command cmd_user_add;
extern const struct cmd_command cmd_user_list;
extern const struct cmd_command cmd_user_password;
extern const struct cmd_command cmd_user_remove;
extern const struct cmd_command cmd_token_add;
extern const struct cmd_command cmd_token_list;
extern const struct cmd_command cmd_token_remove;
extern const struct cmd_command cmd_cert_make;
extern const struct cmd_command cmd_config_check;
extern const struct cmd_command cmd_config_default;
extern const struct cmd_command cmd_config_print;
extern const struct cmd_command cmd_serve;
extern const struct cmd_command cmd_man;
extern const struct cmd_command cmd_version;

#endif
