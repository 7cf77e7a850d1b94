/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive side scaling: the twin of device_model/packet/toeplitz.py (82576 7.1.1.7). */
#ifndef HILNIC_FASTPATH_RSS_H
#define HILNIC_FASTPATH_RSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parse.h"

#define FP_RSS_INPUT 36 /* bytes of the longest input: two IPv6 addresses and the ports */

struct fp_toeplitz {
    uint32_t table[FP_RSS_INPUT][256]; /* the hash of one byte alone, by its position */
};

void fp_toeplitz_key(struct fp_toeplitz *t, const uint8_t key[40]);
uint32_t fp_toeplitz_hash(const struct fp_toeplitz *t, const uint8_t *data, size_t size);
/* The RSS type of the receive descriptor: what is hashed by MRQC's enables; 0 is nothing. */
uint8_t fp_rss_type(const struct fp_parsed *parsed, uint32_t mrqc, bool ipv6_ex_disabled);
/* Write what is hashed; return its length. */
size_t fp_rss_input(const struct fp_parsed *parsed, uint8_t type, uint8_t out[FP_RSS_INPUT]);

#endif
