/* The log as the configuration has it. */
#ifndef COMMANDS_LOG_FILE_H
#define COMMANDS_LOG_FILE_H

#include "base/attributes.h"

struct srv_config;

/* Level and file. First before other threads start; then again whenever the configuration was read
 * again or the file was moved away: lines go on into the new one. 0 or a negative errno: they go
 * where they went. */
KN_MUST_CHECK int cmd_log_file_take(const struct srv_config *config);

#endif
