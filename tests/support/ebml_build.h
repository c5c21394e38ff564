/* Matroska bytes from a line of text, for tests of what a parser must take or refuse.
 *
 *     struct ebml_document document;
 *     ebml_build(&document, "EBML{DocType='webm'} Segment:?{ !Cluster{Time=5 Simple<81 0000 80>}
 * }");
 *     ... document.data, document.size; document.mark is where the Cluster begins ...
 *     ebml_free(&document);
 *
 *     element  [!] id [size] [body] [*count]     ! : document.mark is its first byte
 *     id       a name of ebml_build.c, or # and the id's hexadecimal digits
 *     size     :3  in three bytes    :?  unknown, one byte   :8?  unknown, eight bytes
 *              :8~99  eight bytes that say 99, whatever the body is
 *     body     {elements}   =12  the shortest number   ='text'   =f2.5  eight bytes of float
 *              <00 01*300 'text'>  bytes, repeated, as text; none: no body
 *     count    how often it stands there (the mark is the first one's)
 *     <bytes>  also stands among elements: what is no element. !<..> marks it
 *     Crc      a CRC-32 of what follows it in its parent; BadCrc: a wrong one
 *
 * The end of the text closes what is still open, for documents that are cut short. A mistake in
 * the text ends the program. */
#ifndef TESTS_SUPPORT_EBML_BUILD_H
#define TESTS_SUPPORT_EBML_BUILD_H

#include <stddef.h>
#include <stdint.h>

struct ebml_document {
    uint8_t *data;
    size_t size;
    uint64_t mark; /* UINT64_MAX: none */
};

void ebml_build(struct ebml_document *ret_document, const char *text);
void ebml_free(struct ebml_document *document);

#endif
