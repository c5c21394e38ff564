/* kinora: one program for all. */
#include "commands/commands.h"

int main(int argc, char **argv) {
    return cmd_main(argc, argv);
}
