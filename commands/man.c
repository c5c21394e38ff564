#include "commands/man.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "commands/command.h"
#include "commands/tell.h"

/* Each page: of a command, or (NULL) of all of them. */
static void print_page(const struct cmd_command *command, FILE *out) {
    if (command == NULL) {
        cmd_man_overview(out);
    } else {
        cmd_man_command(command, out);
    }
}

/* "DIR/kinora-hold-add.1" */
static int page_path(const char *folder, const struct cmd_command *command,
                     char path[static PATH_MAX]) {
    int size = command == NULL ? snprintf(path, PATH_MAX, "%s/kinora.1", folder)
                               : snprintf(path, PATH_MAX, "%s/kinora-%s.1", folder, command->name);
    if (size < 0 || size >= PATH_MAX) {
        return -ENAMETOOLONG;
    }
    for (char *at = path + strlen(folder); *at != '\0'; at++) {
        *at = *at == ' ' ? '-' : *at;
    }
    return 0;
}

/* 0, or an exit code. */
static int write_page(const char *folder, const struct cmd_command *command) {
    char path[PATH_MAX];
    int rc = page_path(folder, command, path);
    if (rc != 0) {
        return cmd_refused(folder, rc);
    }
    FILE *out = fopen(path, "we");
    if (out == NULL) {
        return cmd_refused(path, -errno);
    }
    print_page(command, out);
    bool failed = ferror(out) != 0;
    failed = fclose(out) != 0 || failed;
    return failed ? cmd_refused(path, -EIO) : 0;
}

static int write_all(const char *folder) {
    int code = write_page(folder, NULL);
    for (size_t i = 0; cmd_at(i) != NULL && code == 0; i++) {
        code = write_page(folder, cmd_at(i));
    }
    return code;
}

static int run_man(const struct cmd_arguments *arguments) {
    char *words[OPERANDS_MAX];
    size_t count = arguments->operand_count;
    if (cmd_given(arguments, OPT_ALL)) {
        return write_all(arguments->all);
    }
    for (size_t i = 0; i < count; i++) {
        words[i] = (char *)arguments->operands[i]; /* only read */
    }
    int used = 0;
    const struct cmd_command *command = count == 0 ? NULL : cmd_find((int)count, words, &used);
    if (count > 0 && (command == NULL || (size_t)used != count)) {
        fprintf(stderr, "kinora: there is no such command; kinora --help lists them\n");
        return EXIT_USAGE;
    }
    print_page(command, stdout);
    return EXIT_FINE;
}

const struct cmd_command cmd_man = {
    .name = "man",
    .usage = "[COMMAND | --all DIR]",
    .summary = "Print the man page of a command, or of kinora itself.",
    .help = "As the source of a page: kinora man export | man -l -\n\n"
            "  COMMAND                its one or two words\n",
    .options = WITH(ALL),
    .operands_max = 2,
    .run = run_man,
};
