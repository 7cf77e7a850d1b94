/* SPDX-License-Identifier: BSD-3-Clause */
#include "rss.h"

#include <string.h>

#include "registers.h"

enum {
    NONE, TCP_IPV4, IPV4, TCP_IPV6, IPV6_EX, IPV6, TCP_IPV6_EX, UDP_IPV4, UDP_IPV6, UDP_IPV6_EX,
};

void
fp_toeplitz_key(struct fp_toeplitz *t, const uint8_t key[40])
{
    for (size_t position = 0; position < FP_RSS_INPUT; position++) {
        uint64_t window = 0;

        for (int n = 0; n < 5; n++) {
            window = window << 8 | key[position + (size_t)n]; /* 40 bits: 32 for each bit of the byte here */
        }
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t hash = 0;

            for (int bit = 0; bit < 8; bit++) {
                if (byte & (0x80u >> bit)) {
                    hash ^= (uint32_t)(window >> (8 - bit));
                }
            }
            t->table[position][byte] = hash;
        }
    }
}

uint32_t
fp_toeplitz_hash(const struct fp_toeplitz *t, const uint8_t *data, size_t size)
{
    uint32_t hash = 0;

    for (size_t n = 0; n < size; n++) {
        hash ^= t->table[n][data[n]];
    }
    return hash;
}

static uint8_t
ipv6_type(uint8_t protocol, uint32_t mrqc, bool extensions, bool ex_disabled)
{
    if (!(extensions && ex_disabled)) {
        if (protocol == FP_TCP) {
            if ((mrqc & MRQC_TCP_IPV6_MASK) && !extensions) {
                return TCP_IPV6;
            }
            if (mrqc & MRQC_TCP_IPV6_EX_MASK) {
                return TCP_IPV6_EX;
            }
        } else if (protocol == FP_UDP) {
            if ((mrqc & MRQC_UDP_IPV6_MASK) && !extensions) {
                return UDP_IPV6;
            }
            if (mrqc & MRQC_UDP_IPV6_EX_MASK) {
                return UDP_IPV6_EX;
            }
        }
        if ((mrqc & MRQC_IPV6_EX_MASK) && (extensions || !(mrqc & MRQC_IPV6_MASK))) {
            return IPV6_EX;
        }
    }
    return mrqc & MRQC_IPV6_MASK ? IPV6 : NONE;
}

uint8_t
fp_rss_type(const struct fp_parsed *p, uint32_t mrqc, bool ipv6_ex_disabled)
{
    uint8_t protocol = p->is_fragment ? 0 : p->l4_protocol;

    if (p->is_ipv4) {
        if (protocol == FP_TCP && (mrqc & MRQC_TCP_IPV4_MASK)) {
            return TCP_IPV4;
        }
        if (protocol == FP_UDP && (mrqc & MRQC_UDP_IPV4_MASK)) {
            return UDP_IPV4;
        }
        return mrqc & MRQC_IPV4_MASK ? IPV4 : NONE;
    }
    return p->is_ipv6 ? ipv6_type(protocol, mrqc, p->ipv6_extensions, ipv6_ex_disabled) : NONE;
}

static bool
is_ex(uint8_t type)
{
    return type == IPV6_EX || type == TCP_IPV6_EX || type == UDP_IPV6_EX;
}

static bool
has_ports(uint8_t type)
{
    return type == TCP_IPV4 || type == UDP_IPV4 || type == TCP_IPV6 || type == UDP_IPV6 || type == TCP_IPV6_EX ||
           type == UDP_IPV6_EX;
}

size_t
fp_rss_input(const struct fp_parsed *p, uint8_t type, uint8_t out[FP_RSS_INPUT])
{
    bool ex = is_ex(type) && p->ex_source != NULL;
    size_t size = p->address_length;

    if (type == NONE) {
        return 0;
    }
    memcpy(out, ex ? p->ex_source : p->source, size);
    memcpy(out + size, ex ? p->ex_destination : p->destination, size);
    size *= 2;
    if (has_ports(type)) {
        out[size++] = (uint8_t)(p->source_port >> 8);
        out[size++] = (uint8_t)p->source_port;
        out[size++] = (uint8_t)(p->destination_port >> 8);
        out[size++] = (uint8_t)p->destination_port;
    }
    return size;
}
