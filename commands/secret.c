#include "commands/secret.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/error.h"
#include "commands/stop.h"
#include "commands/tell.h"

void cmd_secret_wipe(char secret[static CMD_SECRET_BYTES]) {
    explicit_bzero(secret, CMD_SECRET_BYTES);
}

/* A line without its end, a byte each time: what is behind it is left for others. 0; -ENODATA: it
 * is empty; KN_E_LIMIT; -EINTR: a signal. */
static int read_line(char secret[static CMD_SECRET_BYTES]) {
    size_t size = 0;
    for (;;) {
        char byte;
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0) {
            return -errno;
        }
        if (got == 0 || byte == '\n') {
            break;
        }
        if (size == CMD_SECRET_BYTES - 1) {
            return KN_E_LIMIT;
        }
        if (byte == '\0') {
            return KN_E_MALFORMED;
        }
        secret[size++] = byte;
    }
    size -= size > 0 && secret[size - 1] == '\r';
    secret[size] = '\0';
    return size == 0 ? -ENODATA : 0;
}

int cmd_secret_read(char ret_secret[static CMD_SECRET_BYTES]) {
    int rc = read_line(ret_secret);
    if (rc == -ENODATA) {
        fprintf(stderr, "kinora: standard input has no line to read\n");
    } else if (rc != 0) {
        (void)cmd_refused("standard input", rc);
    }
    return rc;
}

static int ask_once(const char *question, char secret[static CMD_SECRET_BYTES]) {
    fprintf(stderr, "%s: ", question);
    int rc = read_line(secret);
    fprintf(stderr, "\n"); /* the one typed was not shown */
    return rc;
}

static int ask_twice(char secret[static CMD_SECRET_BYTES]) {
    char again[CMD_SECRET_BYTES];
    int rc = ask_once("Password", secret);
    if (rc != 0) {
        return rc;
    }
    rc = ask_once("The same again", again);
    if ((rc == 0 || rc == -ENODATA) && strcmp(secret, rc == 0 ? again : "") != 0) {
        fprintf(stderr, "kinora: these are two different ones\n");
        rc = -ECANCELED;
    }
    cmd_secret_wipe(again);
    return rc;
}

int cmd_secret_ask(char ret_secret[static CMD_SECRET_BYTES]) {
    struct termios before;
    if (tcgetattr(STDIN_FILENO, &before) != 0) {
        fprintf(stderr, "kinora: standard input is no terminal that could be asked: "
                        "--password-stdin reads the password from it\n");
        return -ENOTTY;
    }
    struct termios quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    cmd_stop_on_signals(); /* whoever is interrupted gets the echo back */
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0) {
        int failed = -errno;
        (void)cmd_refused("the terminal", failed);
        return failed;
    }
    int rc = ask_twice(ret_secret);
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before); /* it worked a moment ago */
    if (rc == -ENODATA) {
        fprintf(stderr, "kinora: an empty password is none\n");
    } else if (rc != 0 && rc != -ECANCELED) {
        (void)cmd_refused("the terminal", rc);
    }
    return rc;
}
