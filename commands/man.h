/* Man pages, from the texts that --help prints. */
#ifndef COMMANDS_MAN_H
#define COMMANDS_MAN_H

#include <stdio.h>

struct cmd_command;

/* ".TH KINORA-HOLD-ADD 1 ..." and the section NAME. */
void cmd_man_begin(const char *name, const char *section, const char *summary, FILE *out);
/* Text of one or several lines, escaped; words that begin with '-' are bold. */
void cmd_man_text(const char *text, size_t size, FILE *out);
/* Paragraphs, and lists where lines are indented by two spaces. */
void cmd_man_body(const char *text, FILE *out);

void cmd_man_command(const struct cmd_command *command, FILE *out);
void cmd_man_overview(FILE *out);

#endif
