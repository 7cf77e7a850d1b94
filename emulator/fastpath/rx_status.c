/* SPDX-License-Identifier: BSD-3-Clause */
#include "rx_status.h"

#include "checksum.h"
#include "registers.h"

enum {
    TYPE_IPV4 = 1 << 0, TYPE_IPV4_OPTIONS = 1 << 1, TYPE_IPV6 = 1 << 2, TYPE_IPV6_EXTENSIONS = 1 << 3,
    TYPE_TCP = 1 << 4, TYPE_UDP = 1 << 5, TYPE_SCTP = 1 << 6, TYPE_VLAN = 1 << 12,
};

uint32_t
fp_packet_type(const struct fp_parsed *p)
{
    uint32_t type = 0;

    if (p->is_ipv4) {
        type = TYPE_IPV4 | (p->ipv4_options ? TYPE_IPV4_OPTIONS : 0);
    } else if (p->is_ipv6) {
        type = TYPE_IPV6 | (p->ipv6_extensions ? TYPE_IPV6_EXTENSIONS : 0);
    }
    if (!p->is_fragment) {
        type |= p->l4_protocol == FP_TCP    ? TYPE_TCP
                : p->l4_protocol == FP_UDP  ? TYPE_UDP
                : p->l4_protocol == FP_SCTP ? TYPE_SCTP
                                            : 0;
    }
    return type | (p->vlan_tci >= 0 ? TYPE_VLAN : 0);
}

uint64_t
fp_rx_status(const uint8_t *frame, const struct fp_parsed *p, uint32_t rxcsum, bool stamped)
{
    uint64_t status = stamped ? RXWRITEBACK_TS_MASK : 0;

    if (p->is_ipv4 && (rxcsum & RXCSUM_IPOFL_MASK)) {
        status |= RXWRITEBACK_IPCS_MASK;
        if (!p->ip_header_ok) {
            return status | RXWRITEBACK_IPE_MASK;
        }
    }
    if ((rxcsum & RXCSUM_TUOFL_MASK) && (p->l4_protocol != FP_SCTP || (rxcsum & RXCSUM_CRCOFL_MASK))) {
        int good = fp_l4_checksum_ok(frame, p);

        if (good >= 0) {
            status |= RXWRITEBACK_L4CS_MASK;
            if (p->l4_protocol == FP_UDP) {
                status |= RXWRITEBACK_UDPCS_MASK;
            }
            if (good == 0) {
                status |= RXWRITEBACK_L4E_MASK;
            }
        }
    }
    return status;
}

uint64_t
fp_legacy_word(uint64_t advanced, uint32_t length)
{
    uint64_t status = advanced & 0xFF, errors = advanced >> 24 & 0xFF, tag = advanced >> 48;

    return length | status << 32 | errors << 40 | tag << 48;
}
