/* SPDX-License-Identifier: BSD-3-Clause */
#include "parse.h"

#include <string.h>

#include "checksum.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86DD
#define MAX_EXTENSIONS 16
#define OPTION_PAD1 0
#define OPTION_HOME_ADDRESS 0xC9
#define ROUTING_TYPE_2 2

enum { HOP_BY_HOP = 0, ROUTING = 43, FRAGMENT = 44, AUTHENTICATION = 51, DESTINATION_OPTIONS = 60, MOBILITY = 135 };

static bool
is_extension(uint8_t protocol)
{
    switch (protocol) {
    case HOP_BY_HOP: case ROUTING: case FRAGMENT: case AUTHENTICATION: case DESTINATION_OPTIONS: case MOBILITY:
        return true;
    default:
        return false;
    }
}

/* Protocol, ports and payload of the L4 header that begins at `offset` and may reach up to l4_end. */
static void
parse_l4(const uint8_t *frame, uint8_t protocol, struct fp_parsed *p)
{
    uint32_t minimum = protocol == FP_TCP ? 20 : protocol == FP_UDP ? 8 : protocol == FP_SCTP ? 12 : 0;
    uint32_t payload = p->l4_offset + minimum;

    p->l4_protocol = protocol;
    p->payload_offset = p->l4_offset;
    if (minimum == 0) {
        return;
    }
    if (payload > p->l4_end) {
        p->l4_protocol = 0;
        return;
    }
    p->source_port = fp_word(frame + p->l4_offset);
    p->destination_port = fp_word(frame + p->l4_offset + 2);
    if (protocol == FP_TCP) {
        uint32_t said = p->l4_offset + (uint32_t)(frame[p->l4_offset + 12] >> 4) * 4;

        if (said > payload) {
            payload = said;
        }
        if (payload > p->l4_end) {
            payload = p->l4_end;
        }
    }
    p->payload_offset = payload;
}

/* From an IPv4 header on (RFC 791); false when there is no whole header. */
static bool
parse_ipv4(const uint8_t *frame, uint32_t size, struct fp_parsed *p)
{
    const uint8_t *header = frame + p->l3_offset;
    uint32_t header_length, end;
    uint16_t fragment;

    if (p->l3_offset + 20 > size) {
        return false;
    }
    header_length = (uint32_t)(header[0] & 0xF) * 4;
    p->l4_offset = p->l3_offset + header_length;
    if (header[0] >> 4 != 4 || header_length < 20 || p->l4_offset > size) {
        return false;
    }
    end = p->l3_offset + fp_word(header + 2);
    fragment = fp_word(header + 6);
    p->is_ipv4 = true;
    p->ipv4_options = header_length > 20;
    p->is_fragment = (fragment & 0x3FFF) != 0;
    p->ip_header_ok = p->l4_offset <= end && end <= size && fp_sum(header, header_length, 0) == 0xFFFF;
    p->source = header + 12;
    p->destination = header + 16;
    p->address_length = 4;
    p->ipv4_id = fp_word(header + 4);
    p->l4_end = end < size ? end : size;
    if (p->l4_end < p->l4_offset) {
        p->l4_end = p->l4_offset;
    }
    parse_l4(frame, fragment & 0x1FFF ? 0 : header[9], p);
    return true;
}

/* The home address option (RFC 6275 6.3) among the destination options in [offset, end), or NULL. */
static const uint8_t *
home_address(const uint8_t *frame, uint32_t offset, uint32_t end)
{
    while (offset + 2 <= end) {
        uint32_t length;

        if (frame[offset] == OPTION_PAD1) {
            offset++;
            continue;
        }
        length = frame[offset + 1];
        if (frame[offset] == OPTION_HOME_ADDRESS && length == 16 && offset + 18 <= end) {
            return frame + offset + 2;
        }
        offset += 2 + length;
    }
    return NULL;
}

/*
 * Follow the extension headers from the first, of type `header`. Returns the L4 protocol, 0 when the chain is cut short,
 * too long, or continues in another fragment.
 */
static uint8_t
walk_extensions(const uint8_t *frame, uint8_t header, struct fp_parsed *p)
{
    const uint8_t *home = NULL, *routing = NULL;
    uint32_t offset = p->l4_offset, end = p->l4_end;
    uint8_t protocol = 0;

    for (int n = 0; n < MAX_EXTENSIONS; n++) {
        uint8_t kind = header;
        uint32_t length;

        if (!is_extension(header)) {
            protocol = header;
            break;
        }
        if (offset + 8 > end) {
            break;
        }
        header = frame[offset];
        length = ((uint32_t)frame[offset + 1] + 1) * 8;
        if (kind == FRAGMENT) {
            p->is_fragment = true;
            length = 8;
            if (fp_word(frame + offset + 2) & 0xFFF8) {
                offset += length;
                break;
            }
        } else if (kind == AUTHENTICATION) {
            length = ((uint32_t)frame[offset + 1] + 2) * 4;
        }
        if (offset + length > end) {
            break;
        }
        if (kind == ROUTING && frame[offset + 2] == ROUTING_TYPE_2 && length == 24) {
            routing = frame + offset + 8;
        } else if (kind == DESTINATION_OPTIONS) {
            const uint8_t *found = home_address(frame, offset + 2, offset + length);

            home = found != NULL ? found : home;
        }
        offset += length;
    }
    p->l4_offset = offset;
    if (home != NULL || routing != NULL) {
        p->ex_source = home != NULL ? home : p->source;
        p->ex_destination = routing != NULL ? routing : p->destination;
    }
    return protocol;
}

/* From an IPv6 header on (RFC 8200); false when there is no whole header. */
static bool
parse_ipv6(const uint8_t *frame, uint32_t size, struct fp_parsed *p)
{
    const uint8_t *header = frame + p->l3_offset;
    uint32_t end;
    uint8_t protocol;

    p->l4_offset = p->l3_offset + 40;
    if (p->l4_offset > size || header[0] >> 4 != 6) {
        return false;
    }
    end = p->l4_offset + fp_word(header + 4);
    protocol = header[6];
    p->is_ipv6 = true;
    p->ip_header_ok = end <= size;
    p->source = header + 8;
    p->destination = header + 24;
    p->address_length = 16;
    p->l4_end = end < size ? end : size;
    p->ipv6_extensions = is_extension(protocol);
    if (p->ipv6_extensions) {
        protocol = walk_extensions(frame, protocol, p);
    }
    parse_l4(frame, protocol, p);
    return true;
}

void
fp_parse(const uint8_t *frame, size_t size, uint16_t vlan_ethertype, struct fp_parsed *p)
{
    uint32_t whole = (uint32_t)size;

    memset(p, 0, sizeof(*p));
    p->vlan_tci = -1;
    p->l3_offset = p->l4_offset = p->l4_end = p->payload_offset = whole;
    if (size < 14) {
        return;
    }
    p->ethertype = fp_word(frame + 12);
    p->l3_offset = 14;
    if (p->ethertype == vlan_ethertype && size >= 18) {
        p->vlan_tci = fp_word(frame + 14);
        p->ethertype = fp_word(frame + 16);
        p->l3_offset = 18;
    }
    if ((p->ethertype == ETHERTYPE_IPV4 && parse_ipv4(frame, whole, p)) ||
        (p->ethertype == ETHERTYPE_IPV6 && parse_ipv6(frame, whole, p))) {
        return;
    }
    p->l4_offset = p->payload_offset = p->l3_offset;
    p->l4_end = whole;
}
