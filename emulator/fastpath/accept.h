/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests of the layer 2 acceptance filters: the twin of device_model/packet/accept.py (82576 7.1.1). */
#ifndef HILNIC_FASTPATH_ACCEPT_H
#define HILNIC_FASTPATH_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The 12-bit index into the multicast table; mo (RCTL.MO) picks the address bits (Linux igb_hash_mc_addr). */
uint32_t fp_multicast_hash(const uint8_t *destination, unsigned mo);
bool fp_is_pause(const uint8_t *frame, size_t size, const uint8_t station[6], const uint8_t destination[6],
                 uint16_t ethertype);

#endif
