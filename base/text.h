/* Text from strangers: what of it may be shown on a terminal or put into a line. Pure, any thread.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>

/* Bytes of the character at `text`, of which `left` bytes are there: 1 for printable ASCII, 2 to 4
 * for a well-formed UTF-8 character that shows as itself; 0 for anything else (control characters,
 * broken UTF-8, line separators, overrides of writing direction). */
size_t kn_text_character(const char *text, size_t left);

/* Copies as many whole characters as fit into `room` bytes with a NUL; each byte that is none
 * becomes
 * '?'. Stops at a NUL or after `size` bytes. Returns `plain`. */
const char *kn_text_plain(const char *text, size_t size, char *plain, size_t room);

/* The most bytes, at most `max`, after which `text` can be cut without cutting a character. */
size_t kn_text_cut(const char *text, size_t size, size_t max);

#endif
