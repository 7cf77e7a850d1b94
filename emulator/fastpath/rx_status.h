/* SPDX-License-Identifier: BSD-3-Clause */
/* What a receive descriptor says of a frame: the twin of device_model/igb/rx_status.py (82576 7.1.5, 7.1.11). */
#ifndef HILNIC_FASTPATH_RX_STATUS_H
#define HILNIC_FASTPATH_RX_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "parse.h"

/* The 13 bits from bit 4 of the descriptor's first dword on. */
uint32_t fp_packet_type(const struct fp_parsed *parsed);
/* Status and error bits of the second quadword, without DD, EOP, VP and length. */
uint64_t fp_rx_status(const uint8_t *frame, const struct fp_parsed *parsed, uint32_t rxcsum, bool stamped);
/* The second quadword of a legacy descriptor that says what `advanced` says. */
uint64_t fp_legacy_word(uint64_t advanced, uint32_t length);

#endif
