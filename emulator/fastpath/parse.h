/* SPDX-License-Identifier: BSD-3-Clause */
/* The header parser of the receive path: the twin of device_model/packet/parse.py. */
#ifndef HILNIC_FASTPATH_PARSE_H
#define HILNIC_FASTPATH_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FP_TCP 6
#define FP_UDP 17
#define FP_SCTP 132

struct fp_parsed {
    int32_t vlan_tci; /* -1: untagged */
    uint16_t ethertype;
    uint32_t l3_offset, l4_offset, l4_end, payload_offset;
    bool is_ipv4, is_ipv6, ipv4_options, ipv6_extensions, is_fragment, ip_header_ok;
    uint8_t l4_protocol, address_length; /* of an IP address: 0, 4 or 16 */
    uint16_t source_port, destination_port, ipv4_id;
    const uint8_t *source, *destination;       /* IP addresses in the frame, or NULL */
    const uint8_t *ex_source, *ex_destination; /* with mobility headers applied; both NULL where there are none */
};

void fp_parse(const uint8_t *frame, size_t size, uint16_t vlan_ethertype, struct fp_parsed *out);

static inline void
fp_put_word(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline uint16_t fp_word(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

#endif
