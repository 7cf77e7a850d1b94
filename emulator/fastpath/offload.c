/* SPDX-License-Identifier: BSD-3-Clause */
#include "offload.h"

#include <string.h>

#include "checksum.h"
#include "parse.h"
#include "registers.h"

#define FCS 4
#define HEADER 14
#define SHORTEST 60
#define TAG 4
#define TAG_AT 12
#define MOST_SEGMENTS 4096 /* no stack asks for more; a driver that does gets nothing */
#define FLAGS_OFFSET 13
#define FIN_PSH 0x09
#define CWR 0x80

#define FIELD(word, name) (uint32_t)(((word) & name##_MASK) >> name##_SHIFT)

/* Prepare to cut the packet up; false where the headers make no sense. */
static bool
begin_segments(struct fp_departure *d, uint64_t word1, uint64_t context0, uint64_t context1)
{
    uint32_t l4_offset, l4_len = FIELD(context1, TXCONTEXT_L4LEN), payload_len = FIELD(word1, TXDATA_PAYLEN);

    d->segmented = true;
    d->mac_len = FIELD(context0, TXCONTEXT_MACLEN);
    d->ip_len = FIELD(context0, TXCONTEXT_IPLEN);
    d->ipv4 = (context1 & TXCONTEXT_IPV4_MASK) != 0;
    d->tcp = FIELD(context1, TXCONTEXT_L4T) == 1;
    d->mss = FIELD(context1, TXCONTEXT_MSS);
    if ((size_t)d->mss * MOST_SEGMENTS < d->size) {
        d->mss = 0;
    }
    l4_offset = d->mac_len + d->ip_len;
    d->header_len = l4_offset + l4_len;
    if (d->mss == 0 || d->mac_len < HEADER || d->ip_len < (d->ipv4 ? 20u : 40u) || l4_len < (d->tcp ? 20u : 8u) ||
        d->header_len > d->size) {
        return false;
    }
    d->payload = d->size - d->header_len < payload_len ? d->size - d->header_len : payload_len;
    if (d->tcp) {
        const uint8_t *at = d->data + l4_offset + 4;

        d->sequence = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
        d->flags = d->data[l4_offset + FLAGS_OFFSET];
    }
    d->identification = fp_word(d->data + d->mac_len + 4);
    d->frames = (d->payload > 0 ? d->payload - 1 : 0) / d->mss + 1;
    return true;
}

static void
begin_advanced(struct fp_departure *d, uint64_t word1, uint64_t context0, uint64_t context1)
{
    static const uint8_t protocols[] = { FP_UDP, FP_TCP, FP_SCTP };
    uint32_t mac_len, ip_len, l4_type;

    d->frames = 1;
    if (!(word1 & (TXDATA_TSE_MASK | TXDATA_IXSM_MASK | TXDATA_TXSM_MASK | TXDATA_VLE_MASK))) {
        return;
    }
    mac_len = FIELD(context0, TXCONTEXT_MACLEN);
    ip_len = FIELD(context0, TXCONTEXT_IPLEN);
    l4_type = FIELD(context1, TXCONTEXT_L4T);
    if (word1 & TXDATA_TSE_MASK) {
        if (!begin_segments(d, word1, context0, context1)) {
            d->frames = 0;
        }
    } else {
        if (word1 & TXDATA_IXSM_MASK) {
            fp_insert_ipv4_checksum(d->data, d->size, mac_len, ip_len);
        }
        if ((word1 & TXDATA_TXSM_MASK) && l4_type < sizeof(protocols)) {
            fp_insert_l4_checksum(d->data, d->size, mac_len + ip_len, protocols[l4_type], 0);
        }
    }
    d->tagged = (word1 & TXDATA_VLE_MASK) && d->offload.vlan_insertion;
    d->tci = (uint16_t)FIELD(context0, TXCONTEXT_VLAN);
}

/* CSS, CSO, IC and VLE (82576 7.2.2.1). */
static void
begin_legacy(struct fp_departure *d, uint64_t word1)
{
    uint32_t start = FIELD(word1, TXLEGACY_CSS), offset = FIELD(word1, TXLEGACY_CSO);

    d->frames = 1;
    if ((word1 & TXLEGACY_IC_MASK) && offset != 0 && start < d->size && offset + 2 <= d->size) {
        fp_put_word(d->data + offset, (uint16_t)~fp_sum(d->data + start, d->size - start, 0));
    }
    d->tagged = (word1 & TXLEGACY_VLE_MASK) && d->offload.vlan_insertion;
    d->tci = (uint16_t)FIELD(word1, TXLEGACY_VLAN);
}

/* Bytes of frame `n` before tag and padding. */
static size_t
bare(const struct fp_departure *d, size_t n)
{
    size_t left;

    if (!d->segmented) {
        return d->size;
    }
    left = d->payload - n * d->mss;
    return d->header_len + (left < d->mss ? left : d->mss);
}

size_t
fp_departure_begin(struct fp_departure *d, uint8_t *data, size_t size, uint64_t word1, uint64_t context0,
                   uint64_t context1, const struct fp_offload *offload)
{
    memset(d, 0, sizeof(*d));
    d->data = data;
    d->size = size;
    d->offload = *offload;
    if (!(word1 & TXDATA_IFCS_MASK)) {
        d->size = size > FCS ? size - FCS : 0;
    }
    if (word1 & TXDATA_DEXT_MASK) {
        begin_advanced(d, word1, context0, context1);
    } else {
        begin_legacy(d, word1);
    }
    /* What is not even an Ethernet header is no frame. A tag makes a frame of what was ten bytes long. */
    if (d->frames != 0 && bare(d, 0) + (d->tagged ? TAG : 0) < HEADER) {
        d->frames = 0;
    }
    return d->frames;
}

size_t
fp_departure_peek(const struct fp_departure *d)
{
    size_t length;

    if (d->frame >= d->frames) {
        return 0;
    }
    length = bare(d, d->frame) + (d->tagged ? TAG : 0);
    return d->offload.pad_short && length < SHORTEST ? SHORTEST : length;
}

/* Complete the headers of segment `n`, whose bytes are at `frame`. */
static void
finish_segment(const struct fp_departure *d, uint8_t *frame, size_t size, size_t n)
{
    uint32_t l4_offset = d->mac_len + d->ip_len, l4_total = (uint32_t)(size - l4_offset);

    if (d->ipv4) {
        fp_put_word(frame + d->mac_len + 2, d->ip_len + l4_total);
        fp_put_word(frame + d->mac_len + 4, d->identification + (uint32_t)n);
        fp_insert_ipv4_checksum(frame, size, d->mac_len, d->ip_len);
    } else {
        fp_put_word(frame + d->mac_len + 4, d->ip_len - 40 + l4_total);
    }
    if (d->tcp) {
        uint32_t sequence = d->sequence + (uint32_t)(n * d->mss);
        uint8_t dropped = (n > 0 ? CWR : 0) | (n + 1 < d->frames ? FIN_PSH : 0);

        fp_put_word(frame + l4_offset + 4, sequence >> 16);
        fp_put_word(frame + l4_offset + 6, sequence);
        frame[l4_offset + FLAGS_OFFSET] = d->flags & (uint8_t)~dropped;
    } else {
        fp_put_word(frame + l4_offset + 4, l4_total);
    }
    fp_insert_l4_checksum(frame, size, l4_offset, d->tcp ? FP_TCP : FP_UDP, l4_total);
}

/* Put the tag in behind the addresses, or behind an outer tag that is there already. Returns the new length. */
static size_t
insert_tag(const struct fp_departure *d, uint8_t *frame, size_t size)
{
    size_t at = TAG_AT;

    if (d->offload.double_vlan && size >= TAG_AT + TAG && fp_word(frame + TAG_AT) == d->offload.outer_ethertype) {
        at += TAG;
    }
    if (at > size) {
        at = size; /* as Python's slices have it */
    }
    memmove(frame + at + TAG, frame + at, size - at);
    fp_put_word(frame + at, d->offload.vlan_ethertype);
    fp_put_word(frame + at + 2, d->tci);
    return size + TAG;
}

size_t
fp_departure_next(struct fp_departure *d, uint8_t *out)
{
    size_t n = d->frame, size;

    if (n >= d->frames) {
        return 0;
    }
    size = bare(d, n);
    if (d->segmented) {
        memcpy(out, d->data, d->header_len);
        memcpy(out + d->header_len, d->data + d->header_len + n * d->mss, size - d->header_len);
        finish_segment(d, out, size, n);
    } else {
        memcpy(out, d->data, size);
    }
    if (d->tagged) {
        size = insert_tag(d, out, size);
    }
    if (d->offload.pad_short && size < SHORTEST) {
        memset(out + size, 0, SHORTEST - size);
        size = SHORTEST;
    }
    d->frame++;
    return size;
}
