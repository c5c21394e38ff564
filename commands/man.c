#include "commands/man.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "commands/command.h"
#include "commands/tell.h"

#define CONFIG_PAGE "kinora.yml"

/* "DIR/kinora-hold-add.1" */
static int page_path(const char *folder, const struct cmd_command *command,
                     char path[static PATH_MAX]) {
    int size = snprintf(path, PATH_MAX, "%s/kinora-%s.1", folder, command->name);
    if (size < 0 || size >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    for (char *at = path + strlen(folder); *at != '\0'; at++) {
        *at = *at == ' ' ? '-' : *at;
    }
    return 0;
}

/* 0, or an exit code. */
static int close_page(const char *path, FILE *out) {
    bool failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    return failed ? cmd_refused(path, -EIO) : 0;
}

static int write_command(const char *folder, const struct cmd_command *command) {
    char path[PATH_MAX];
    int rc = page_path(folder, command, path);
    FILE *out = rc == 0 ? fopen(path, "we") : NULL;
    if (out == NULL) {
        return cmd_refused(folder, rc == 0 ? -errno : rc);
    }
    cmd_man_command(command, out);
    return close_page(path, out);
}

static int write_other(const char *folder, const char *name, void (*put)(FILE *out)) {
    char path[PATH_MAX];
    int size = snprintf(path, sizeof(path), "%s/%s", folder, name);
    bool fits = size >= 0 && (size_t)size < sizeof(path);
    FILE *out = fits ? fopen(path, "we") : NULL;
    if (out == NULL) {
        return cmd_refused(folder, fits ? -errno : -ENAMETOOLONG);
    }
    put(out);
    return close_page(path, out);
}

static int write_all(const char *folder) {
    int code = write_other(folder, "kinora.1", cmd_man_overview);
    if (code == 0) {
        code = write_other(folder, CONFIG_PAGE ".5", cmd_man_config);
    }
    for (size_t i = 0; cmd_at(i) != NULL && code == 0; i++) {
        code = write_command(folder, cmd_at(i));
    }
    return code;
}

static int run_man(const struct cmd_arguments *arguments) {
    char *words[OPERANDS_MAX];
    size_t count = arguments->operand_count;
    if (cmd_given(arguments, OPT_ALL)) {
        return write_all(arguments->all);
    }
    if (count == 0) {
        cmd_man_overview(stdout);
        return EXIT_FINE;
    }
    if (count == 1 && strcmp(arguments->operands[0], CONFIG_PAGE) == 0) {
        cmd_man_config(stdout);
        return EXIT_FINE;
    }
    for (size_t i = 0; i < count; i++) {
        words[i] = (char *)arguments->operands[i]; /* only read */
    }
    int used = 0;
    const struct cmd_command *command = cmd_find((int)count, words, &used);
    if (command == NULL || (size_t)used != count) {
        fprintf(stderr, "kinora: there is no such command; kinora --help lists them\n");
        return EXIT_USAGE;
    }
    cmd_man_command(command, stdout);
    return EXIT_FINE;
}

const struct cmd_command cmd_man = {
    .name = "man",
    .usage = "[COMMAND | kinora.yml | --all DIR]",
    .summary = "Print the man page of a command, of the configuration, or of kinora itself.",
    .help = "As the source of a page: kinora man export | man -l -\n\n"
            "  COMMAND                its one or two words\n",
    .options = WITH(ALL),
    .operands_max = 2,
    .run = run_man,
};
