#include "commands/commands.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/options.h"
#include "commands/ask.h"
#include "commands/command.h"
#include "commands/configuration.h"
#include "commands/help.h"
#include "commands/place.h"
#include "commands/tell.h"
#include "fragments/fragments.h"
#include "server/server.h"

/* Another program writes it: the server does what is asked; of others it is told who may. */
static int ask_server(const struct cmd_arguments *arguments, const struct cmd_place *place,
                      const struct frag_store_opening *opening) {
    bool told = false;
    struct srv_client *client = cmd_ask_open(place, &told);
    if (client != NULL) {
        int code = arguments->command->ask(arguments, client);
        srv_client_close(client);
        return code;
    }
    if (!told) {
        cmd_place_refused(place, opening, -EBUSY);
    }
    return EXIT_FAILED;
}

static int work_there(const struct cmd_arguments *arguments, const struct cmd_place *place) {
    const struct cmd_command *command = arguments->command;
    struct frag_store_opening opening = {0};
    struct frag_store *store = NULL;
    if (command->mode == FRAG_STORE_WRITE && cmd_place_become_owner(place) != 0) {
        return EXIT_FAILED;
    }
    int rc = frag_store_open(&place->config, &store, &opening);
    if (rc == -EBUSY && command->ask != NULL) {
        return ask_server(arguments, place, &opening);
    }
    if (rc != 0) {
        cmd_place_refused(place, &opening, rc);
        return EXIT_FAILED;
    }
    cmd_place_tell(place, &opening);
    if (opening.created) {
        fprintf(stderr, "kinora: no server has used it yet; one on another store does not see this "
                        "(-c or --data names that one)\n");
    }
    int code = command->work(arguments, store);
    frag_store_close(store);
    return code;
}

/* Without threads: nothing else goes on in the store meanwhile, retention least of all. */
static int work_on_store(const struct cmd_arguments *arguments) {
    struct cmd_place place;
    int code = EXIT_FAILED;
    if (cmd_place_find(arguments, arguments->command->mode, &place) == 0) {
        place.config.threads = false;
        place.config.existing = !arguments->command->makes_store;
        code = work_there(arguments, &place);
    }
    cmd_place_finish(&place);
    return code;
}

/* On the store that the command line, KINORA_ variables or a configuration name, in that order: the
 * same one as a server's that is started so. */
static int run_here(struct cmd_arguments *arguments) {
    const struct cmd_command *command = arguments->command;
    const struct srv_config *config = NULL;
    int code = EXIT_FINE;
    if ((command->options & WITH(CONFIG)) != 0 && !command->reads_config) {
        code = cmd_config_load_place(arguments, &config);
        if (code == EXIT_FINE) {
            code = cmd_config_take(arguments, config);
        }
    }
    if (code == EXIT_FINE) {
        code = command->run != NULL ? command->run(arguments) : work_on_store(arguments);
    }
    srv_config_unref(config);
    return code;
}

/* Says what is missing. */
static bool has_all_required(const struct cmd_arguments *arguments) {
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((arguments->command->required & ~arguments->given & UINT64_C(1) << i) != 0) {
            fprintf(stderr, "kinora %s: --%s %s is missing\n", arguments->command->name,
                    cmd_option_rows[i].name, cmd_option_rows[i].value);
            return false;
        }
    }
    if (arguments->from.ns > arguments->to.ns) {
        fprintf(stderr, "kinora %s: --from is later than --to\n", arguments->command->name);
        return false;
    }
    return true;
}

static int run_with(const struct cmd_command *command, int argc, char **argv) {
    const struct kn_clock *clock = kn_clock_system();
    struct cmd_arguments arguments = {
        .command = command,
        .now = clock->wall(clock),
        .data = DATA_DEFAULT,
        .from = {INT64_MIN},
        .to = {INT64_MAX},
        .expires = SRV_NEVER,
        .output_dir = ".",
        .days = DAYS_DEFAULT,
        .loops = 1,
        .faults = {.seed = 1},
        .min_free_bytes = FRAG_STORE_MIN_FREE_DEFAULT,
    };
    arguments.until.ns = arguments.now.ns + 86400 * KN_NS_PER_S;
    const struct kn_options options = cmd_options_of(command);
    int first = 0;
    if (kn_options_parse(&options, argc, argv, &arguments, &arguments.given, &first) < 0) {
        return cmd_wrong_usage(command);
    }
    if (cmd_given(&arguments, OPT_HELP)) {
        return cmd_print_help(command);
    }
    size_t operands = (size_t)(argc - first);
    if (operands < command->operands_min || operands > command->operands_max) {
        return cmd_wrong_usage(command);
    }
    for (size_t i = 0; i < operands; i++) {
        arguments.operands[arguments.operand_count++] = argv[(size_t)first + i];
    }
    if (!has_all_required(&arguments)) {
        return cmd_wrong_usage(command);
    }
    kn_log_set_level(cmd_given(&arguments, OPT_VERBOSE) ? KN_LOG_INFO : KN_LOG_WARN);
    return run_here(&arguments);
}

/* In the order of the overview. */
static const struct cmd_command *const commands[] = {
    &cmd_serve,          &cmd_inspect,     &cmd_rewrite,      &cmd_replay,
    &cmd_streams,        &cmd_fragments,   &cmd_gaps,         &cmd_export,
    &cmd_hold_add,       &cmd_hold_list,   &cmd_hold_remove,  &cmd_retention_plan,
    &cmd_retention_run,  &cmd_check,       &cmd_rebuild,      &cmd_key_add,
    &cmd_key_list,       &cmd_key_remove,  &cmd_user_add,     &cmd_user_list,
    &cmd_user_password,  &cmd_user_remove, &cmd_token_add,    &cmd_token_list,
    &cmd_token_remove,   &cmd_cert_make,   &cmd_config_check, &cmd_config_print,
    &cmd_config_default, &cmd_man,         &cmd_version,
};

static int print_overview(FILE *out) {
    fprintf(out, "Kinora keeps video as timestamped fragments. Usage: kinora COMMAND ...\n\n");
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        fprintf(out, "  %-15s %s\n", commands[i]->name, commands[i]->summary);
    }
    fprintf(out, "\nkinora COMMAND --help tells more.\n");
    cmd_print_exit_codes(NULL, out);
    return fflush(out) == 0 ? EXIT_FINE : EXIT_FAILED;
}

/* The commands that begin with this word; "hold" is none itself. */
static bool print_group(const char *word, FILE *out) {
    size_t size = strlen(word);
    size_t count = 0;
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        if (strncmp(commands[i]->name, word, size) == 0 && commands[i]->name[size] == ' ') {
            if (count++ == 0) {
                fprintf(out, "Usage: kinora %s COMMAND ...\n\n", word);
            }
            fprintf(out, "  %-15s %s\n", commands[i]->name, commands[i]->summary);
        }
    }
    return count > 0;
}

static bool asks_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

const struct cmd_command *cmd_at(size_t at) {
    return at < KN_COUNT(commands) ? commands[at] : NULL;
}

const struct cmd_command *cmd_find(int argc, char **argv, int *ret_words) {
    for (size_t i = 0; i < KN_COUNT(commands); i++) {
        const char *name = commands[i]->name;
        size_t first = strcspn(name, " ");
        bool two = name[first] != '\0';
        if (strncmp(name, argv[0], first) == 0 && argv[0][first] == '\0' &&
            (!two || (argc > 1 && strcmp(name + first + 1, argv[1]) == 0))) {
            *ret_words = two ? 2 : 1;
            return commands[i];
        }
    }
    return NULL;
}

/* No command, perhaps a group of them. */
static int without_command(int argc, char **argv) {
    if (argc > 1 && asks_help(argv[1]) && print_group(argv[0], stdout)) {
        cmd_print_exit_codes(NULL, stdout);
        return EXIT_FINE;
    }
    if (argc == 1 && print_group(argv[0], stderr)) {
        return EXIT_USAGE;
    }
    fprintf(stderr, "kinora: there is no command '%s", cmd_plain(argv[0]));
    if (argc > 1 && argv[1][0] != '-' && argv[1][0] != '\0') {
        fprintf(stderr, " %s", cmd_plain(argv[1]));
    }
    fprintf(stderr, "'; kinora --help lists them\n");
    return EXIT_USAGE;
}

static int run_help(int argc, char **argv) {
    int words = 0;
    if (argc == 0) {
        return print_overview(stdout);
    }
    const struct cmd_command *command = cmd_find(argc, argv, &words);
    if (command != NULL) {
        return cmd_print_help(command);
    }
    char help[] = "--help";
    char *group[] = {argv[0], help};
    return without_command(2, group);
}

/* `argv` begins with the command's name. */
static int run_command(int argc, char **argv) {
    if (asks_help(argv[0]) || strcmp(argv[0], "help") == 0) {
        return run_help(argc - 1, argv + 1);
    }
    char version[] = "version";
    if (strcmp(argv[0], "--version") == 0) {
        argv[0] = version;
    }
    int words = 0;
    const struct cmd_command *command = cmd_find(argc, argv, &words);
    if (command == NULL) {
        return without_command(argc, argv);
    }
    char title[64]; /* what getopt_long names in its complaints */
    (void)snprintf(title, sizeof(title), "kinora %s", command->name);
    argv[words - 1] = title;
    return run_with(command, argc - words + 1, argv + words - 1);
}

int cmd_main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is a failure to write */
    if (argc < 2) {
        (void)print_overview(stderr); /* wrong usage either way */
        return EXIT_USAGE;
    }
    int code = run_command(argc - 1, argv + 1);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code != EXIT_FAILED) {
        return cmd_refused("standard output", errno == 0 ? -EIO : -errno);
    }
    return code;
}
