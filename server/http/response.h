/* The response to one request -> bytes. The bytes go behind what stands in the caller's kn_writer;
 * the caller sends them, in order, and may send while the request's body is still being read.
 *
 *     struct srv_http_response response;
 *     srv_http_response_init(&response, request, date)
 *     srv_http_response_continue         where request->expects_continue and the body is wanted
 *     srv_http_response_head             status, fields, how the body is delimited
 *     srv_http_response_body...          or srv_http_response_frame and the caller's own writev,
 *                                        or sendfile, where bytes should not be copied
 *     srv_http_response_end
 *     srv_http_response_keeps            whether the connection can carry another request
 *
 * The writer decides what belongs to the connection: Content-Length, Transfer-Encoding, Connection
 * and Date are its own. To HEAD, and with 204 and 304, the body is left out; the calls stay the
 * same. A call that fails (below 0) has written nothing; what is wrong
 * with the writer itself stands in kn_writer_status. */
#ifndef SERVER_HTTP_RESPONSE_H
#define SERVER_HTTP_RESPONSE_H

#include "base/bytes.h"
#include "base/time.h"
#include "server/http/request.h"

/* "Sat, 21 Nov 2026 01:46:56 GMT" and its NUL. Only years 1970 to 2262 occur. */
#define SRV_HTTP_DATE_BYTES 30

const char *srv_http_date_format(struct kn_wall wall, char text[static SRV_HTTP_DATE_BYTES]);

/* "Not Found"; "" for what has no name here. */
const char *srv_http_status_phrase(int status);

/* Unknown length: chunked in HTTP/1.1, up to the close in HTTP/1.0. */
#define SRV_HTTP_UNKNOWN_LENGTH UINT64_MAX

enum srv_http_response_state {
    SRV_HTTP_RESPONSE_BEGUN, /* nothing but 100 Continue is written */
    SRV_HTTP_RESPONSE_BODY,  /* the head is */
    SRV_HTTP_RESPONSE_ENDED, /* everything is */
    SRV_HTTP_RESPONSE_BROKEN /* ended early: the peer must see the close */
};

/* The caller's storage; its members are for reading. */
struct srv_http_response {
    enum srv_http_response_state state;
    const char *date; /* borrowed; NULL: no Date */
    int status;       /* once there is a head */
    bool http_1_0, head_only, upgrades;
    bool close;            /* after this response */
    bool expects_continue; /* nobody has told the peer to go on */
    bool bodiless, chunked;
    uint64_t left; /* of the length; SRV_HTTP_UNKNOWN_LENGTH: not known */
    uint64_t body_bytes;
};

/* Only reads `request` during the call. NULL: there was none that could be read; the answer closes.
 */
void srv_http_response_init(struct srv_http_response *response,
                            const struct srv_http_request *request, const char *date);

/* 100 Continue. Without it the response to a request that expects it closes the connection, since
 * nobody knows whether the body will come. Writes nothing when the request does not expect it, or
 * for the second time. -EALREADY: behind the head. */
KN_MUST_CHECK int srv_http_response_continue(struct srv_http_response *response,
                                             struct kn_writer *writer);

/* This is the last response: said in the head, if that is still to be written. For a server that
 * shuts down, and for a request whose body nobody will read. */
void srv_http_response_close(struct srv_http_response *response);

/* Status line and fields. -EINVAL, with nothing written: a status that is none, a field that is not
 * the caller's to give or that HTTP cannot carry (so nothing in a value can split a response), 101
 * to a request that asks for no upgrade. -EALREADY: there is a head. `length` of the body, or
 * SRV_HTTP_UNKNOWN_LENGTH. With 101 the fields must have Upgrade; no body follows, and the state is
 * ENDED at once. */
KN_MUST_CHECK int srv_http_response_head(struct srv_http_response *response,
                                         struct kn_writer *writer, int status,
                                         const struct srv_http_field *fields, size_t count,
                                         uint64_t length);

/* What goes around `size` body bytes that the caller sends itself: send `before`, the bytes,
 * `after`. `send` false: send none of it. -EINVAL: not between head and end; KN_E_LIMIT: over the
 * length. */
struct srv_http_frame {
    char before[20];
    size_t before_bytes;
    const char *after;
    size_t after_bytes;
    bool send;
};
KN_MUST_CHECK int srv_http_response_frame(struct srv_http_response *response, uint64_t size,
                                          struct srv_http_frame *ret_frame);

/* The same with the bytes copied into the writer. */
KN_MUST_CHECK int srv_http_response_body(struct srv_http_response *response,
                                         struct kn_writer *writer, const void *data, size_t size);

/* The body is complete. KN_E_TRUNCATED: bytes of the length are missing; the connection must close,
 * the peer then sees that the body is not whole. -EINVAL: there is no head, or an end. */
KN_MUST_CHECK int srv_http_response_end(struct srv_http_response *response,
                                        struct kn_writer *writer);

/* The body breaks off and the peer shall see it: write nothing more, close. */
void srv_http_response_break(struct srv_http_response *response);

/* Ended, not upgraded, and neither side wants to close. The owner closes as well when it did not
 * read the request's END. */
bool srv_http_response_keeps(const struct srv_http_response *response);

/* The whole answer to a fault: status, the phrase as plain text, close. -EALREADY: a head is
 * already written, only closing is left. */
KN_MUST_CHECK int srv_http_response_fault(struct srv_http_response *response,
                                          struct kn_writer *writer,
                                          const struct srv_http_fault *fault);

#endif
