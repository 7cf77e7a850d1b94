/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum (RFC 1071) and CRC32c (RFC 9260 appendix A): the twin of device_model/packet/checksum.py. */
#ifndef HILNIC_FASTPATH_CHECKSUM_H
#define HILNIC_FASTPATH_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fp_parsed;

/* The ones' complement sum of `initial` and the data, zero-padded to 16-bit words; 0 only where all of it is 0. */
uint16_t fp_sum(const uint8_t *data, size_t size, uint64_t initial);
uint32_t fp_crc32c(const uint8_t *data, size_t size);
/* The same with the four bytes at `zeroed` taken as 0. */
uint32_t fp_crc32c_without(const uint8_t *data, size_t size, size_t zeroed);
/* Check the TCP, UDP or SCTP checksum of a received frame (7.1.11): 1, 0, or -1 where there is nothing to check. */
int fp_l4_checksum_ok(const uint8_t *frame, const struct fp_parsed *parsed);
/* Store the L4 checksum of what begins at l4_offset; false, and nothing changed, where there is no place for it. */
bool fp_insert_l4_checksum(uint8_t *frame, size_t size, size_t l4_offset, uint8_t protocol, uint32_t initial);
bool fp_insert_ipv4_checksum(uint8_t *frame, size_t size, size_t l3_offset, size_t header_len);

#endif
