/* Checksums. Both: start with crc = 0 and feed the result back for the next piece. Pure, any
 * thread. */
#ifndef BASE_CRC_H
#define BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 as Matroska, zip and Ethernet use it (reflected 0x04C11DB7). */
uint32_t kn_crc32(uint32_t crc, const void *data, size_t size);

/* CRC-32C as iSCSI and SCTP use it (reflected 0x1EDC6F41): the store's own. With the machine's
 * instruction where it has one. */
uint32_t kn_crc32c(uint32_t crc, const void *data, size_t size);
/* The same without that instruction, so that tests reach it on every machine. */
uint32_t kn_crc32c_plain(uint32_t crc, const void *data, size_t size);

#endif
