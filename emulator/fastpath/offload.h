/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What transmit descriptors ask to be done to a packet's bytes, one frame at a time: the twin of
 * device_model/igb/offload.py and device_model/packet/segment.py (82576 7.2.4, 7.2.5).
 */
#ifndef HILNIC_FASTPATH_OFFLOAD_H
#define HILNIC_FASTPATH_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* VET, CTRL.VME, CTRL_EXT.EXT_VLAN and TCTL.PSP. */
struct fp_offload {
    uint16_t vlan_ethertype, outer_ethertype;
    bool vlan_insertion, pad_short, double_vlan;
};

/* One packet on its way out. */
struct fp_departure {
    uint8_t *data;
    size_t size;
    struct fp_offload offload;
    bool tagged, segmented, ipv4, tcp;
    uint16_t tci, identification;
    uint32_t mac_len, ip_len, header_len, mss, sequence;
    uint8_t flags;
    size_t payload; /* bytes to be cut into segments */
    size_t frame, frames;
};

/*
 * `data` is the packet, whose first data descriptor has this second word; the context is what that selects. Data may be
 * changed in place. Returns the number of frames; 0: the packet makes none.
 */
size_t fp_departure_begin(struct fp_departure *d, uint8_t *data, size_t size, uint64_t first_word1, uint64_t context0,
                          uint64_t context1, const struct fp_offload *offload);
/* The length of the next frame, 0 when there is none left. */
size_t fp_departure_peek(const struct fp_departure *d);
/* Write the next frame; return its length, 0 when there is none left. */
size_t fp_departure_next(struct fp_departure *d, uint8_t *out);

#endif
