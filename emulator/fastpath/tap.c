/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TAP interface with headers of virtio_net (Linux Documentation/networking/tuntap.rst, include/uapi/linux/virtio_net.h).
 * What a driver asked us to cut up crosses to the host in one piece, after each of its frames has been told, counted and
 * checked like any other; what the host has not cut up is cut up here, and arrives as the frames of a wire.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "checksum.h"
#include "engine.h"

#define NEEDS_CSUM 1
#define GSO_TCPV4 1
#define GSO_UDP_L4 5
#define GSO_TCPV6 4
#define GSO_ECN 0x80
#define HEADER 14
#define TAG 4
#define WHOLE_MOST (65535 + HEADER + TAG) /* what an IP length can say */
#define WHOLE_ROOM (WHOLE_MOST + FP_PACKET_ROOM)
#define FLAGS 13 /* of a TCP header */
#define CHECKSUM 16
#define CWR 0x80

/* struct virtio_net_hdr, of the host's byte order. */
struct vnet {
    uint8_t flags, gso_type;
    uint16_t header_len, gso_size, csum_start, csum_offset;
};
_Static_assert(sizeof(struct vnet) == FP_TAP_HEAD, "struct virtio_net_hdr");

struct fp_tap {
    uint8_t in[FP_TAP_HEAD + WHOLE_ROOM];
    uint8_t out[WHOLE_ROOM];
    size_t size;         /* of what is put together in `out` */
    size_t segments;     /* of which it consists; the next one has this number */
    uint32_t mac_len, ip_len, header_len, mss;
    bool ipv4;
};

bool
fp_tap_open(struct fp_wire *w)
{
    w->tap = calloc(1, sizeof(*w->tap));
    return w->tap != NULL;
}

void
fp_tap_close(struct fp_wire *w)
{
    free(w->tap);
    w->tap = NULL;
}

/* The checksum that TCP's and UDP's begin with: of addresses and protocol, and a length. */
static uint16_t
pseudo_sum(const uint8_t *frame, size_t l3_offset, bool ipv4, uint8_t protocol, uint32_t length)
{
    return fp_sum(frame + l3_offset + (ipv4 ? 12 : 8), ipv4 ? 8 : 32, (uint64_t)protocol + length);
}

/* -- out ------------------------------------------------------------------------------------------------------- */

/* EIO: the interface is down; EAGAIN, ENOBUFS: its queue is full. */
static bool
give(struct fp_wire *w, const struct vnet *head, const uint8_t *frame, size_t size)
{
    struct iovec pieces[] = { { (void *)head, sizeof(*head) }, { (void *)frame, size } };

    return writev(w->fd, pieces, 2) >= 0;
}

void
fp_tap_flush(struct fp_wire *w)
{
    struct fp_tap *t = w->tap;
    struct vnet head = { 0 };
    uint32_t l4_offset = t->mac_len + t->ip_len;

    if (t->segments == 0) {
        return;
    }
    if (t->segments > 1) {
        uint32_t l4_size = (uint32_t)(t->size - l4_offset);

        head.flags = NEEDS_CSUM;
        head.gso_type = t->ipv4 ? GSO_TCPV4 : GSO_TCPV6;
        if (t->out[l4_offset + FLAGS] & CWR) {
            head.gso_type |= GSO_ECN;
        }
        head.header_len = (uint16_t)t->header_len;
        head.gso_size = (uint16_t)t->mss;
        head.csum_start = (uint16_t)l4_offset;
        head.csum_offset = CHECKSUM;
        if (t->ipv4) {
            fp_put_word(t->out + t->mac_len + 2, t->ip_len + l4_size);
            fp_put_word(t->out + t->mac_len + 10, 0);
            fp_insert_ipv4_checksum(t->out, t->size, t->mac_len, t->ip_len);
        } else {
            fp_put_word(t->out + t->mac_len + 4, t->ip_len - 40 + l4_size);
        }
        fp_put_word(t->out + l4_offset + CHECKSUM, pseudo_sum(t->out, t->mac_len, t->ipv4, FP_TCP, l4_size));
    }
    if (give(w, &head, t->out, t->size)) {
        w->emitted += t->segments;
    } else {
        w->dropped += t->segments;
    }
    t->segments = 0;
}

void
fp_tap_emit(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note)
{
    static const struct vnet plain;

    fp_tap_flush(w);
    if (give(w, &plain, frame, size)) {
        w->emitted++;
        fp_capture_sent(w, frame, size, note);
    } else {
        w->dropped++;
    }
}

bool
fp_tap_segment(struct fp_wire *w, const struct fp_departure *d, const uint8_t *frame, size_t size)
{
    struct fp_tap *t = w->tap;
    uint32_t tag = d->tagged ? TAG : 0, header_len = d->header_len + tag;
    size_t number = d->frame - 1;

    if (!w->offload || !d->tcp || d->frames == 1 || fp_capture_on(w) || size < header_len || size > WHOLE_MOST) {
        return false;
    }
    if (number == 0) {
        fp_tap_flush(w);
        t->mac_len = d->mac_len + tag;
        t->ip_len = d->ip_len;
        t->header_len = header_len;
        t->mss = d->mss;
        t->ipv4 = d->ipv4;
        memcpy(t->out, frame, size);
        t->size = size;
        t->segments = 1;
        return true;
    }
    if (t->segments != number || t->size + size - header_len > WHOLE_MOST) {
        return false; /* its beginning has been sent already */
    }
    memcpy(t->out + t->size, frame + header_len, size - header_len);
    t->size += size - header_len;
    t->out[t->mac_len + t->ip_len + FLAGS] |= frame[t->mac_len + t->ip_len + FLAGS];
    t->segments++;
    if (d->frame == d->frames) {
        fp_tap_flush(w);
    }
    return true;
}

/* -- in -------------------------------------------------------------------------------------------------------- */

/* Complete the checksum that the host has left to its interface; the field holds that of addresses and length. */
static void
complete(const struct vnet *head, uint8_t *frame, size_t size)
{
    size_t start = head->csum_start, field = start + head->csum_offset;
    uint16_t value;

    if (start >= size || field + 2 > size) {
        return;
    }
    value = (uint16_t)~fp_sum(frame + start, size - start, 0);
    fp_put_word(frame + field, value != 0 ? value : 0xFFFF); /* zero says that UDP has none; to TCP both are the same */
}

/* Cut up what the host has left whole; false where it makes no sense. */
static bool
cut(struct fp_engine *e, const struct vnet *head, uint8_t *frame, size_t size)
{
    struct fp_departure d = { .data = frame, .size = size, .segmented = true, .mss = head->gso_size };
    struct fp_parsed p;
    uint8_t type = head->gso_type & (uint8_t)~GSO_ECN;
    uint8_t *l4;

    fp_parse(frame, size, 0x8100, &p);
    d.tcp = type == GSO_TCPV4 || type == GSO_TCPV6;
    if (!(d.tcp || type == GSO_UDP_L4) || d.mss == 0 || p.l4_protocol != (d.tcp ? FP_TCP : FP_UDP) || p.is_fragment ||
        p.payload_offset <= p.l4_offset || p.payload_offset > size) {
        return false;
    }
    l4 = frame + p.l4_offset;
    d.ipv4 = p.is_ipv4;
    d.mac_len = p.l3_offset;
    d.ip_len = p.l4_offset - p.l3_offset;
    d.header_len = p.payload_offset;
    d.payload = size - d.header_len;
    d.identification = fp_word(frame + d.mac_len + 4);
    if (d.tcp) {
        d.sequence = (uint32_t)fp_word(l4 + 4) << 16 | fp_word(l4 + 6);
        d.flags = l4[FLAGS];
    }
    d.frames = (d.payload > 0 ? d.payload - 1 : 0) / d.mss + 1;
    if (d.ipv4) {
        fp_put_word(frame + d.mac_len + 10, 0); /* as a driver leaves it to its card */
    }
    fp_put_word(l4 + (d.tcp ? CHECKSUM : 6), pseudo_sum(frame, d.mac_len, d.ipv4, p.l4_protocol, 0));
    for (size_t n = d.frames; n > 0; n--) {
        size_t got = fp_departure_peek(&d);

        if (got > FP_FRAME_MAX) {
            return false;
        }
        fp_wire_arrived(e, e->wire.in->frames[0], fp_departure_next(&d, e->wire.in->frames[0]));
    }
    return true;
}

size_t
fp_tap_poll(struct fp_engine *e)
{
    struct fp_wire *w = &e->wire;
    uint8_t *in = w->tap->in, *frame = in + FP_TAP_HEAD;
    size_t many = 0;

    while (many < FP_WIRE_BATCH && !(many > 0 && e->first_waiting != NULL)) {
        ssize_t got = read(w->fd, in, FP_TAP_HEAD + WHOLE_MOST);
        struct vnet head;

        if (got < FP_TAP_HEAD) {
            break;
        }
        many++;
        memcpy(&head, in, sizeof(head));
        got -= FP_TAP_HEAD;
        if (head.gso_type != 0) {
            if (!cut(e, &head, frame, (size_t)got)) {
                w->malformed++;
            }
            continue;
        }
        if (head.flags & NEEDS_CSUM) {
            complete(&head, frame, (size_t)got);
        }
        fp_wire_arrived(e, frame, (size_t)got);
    }
    return many;
}
