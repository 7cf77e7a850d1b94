/* SPDX-License-Identifier: BSD-3-Clause */
#include "note.h"

#include <stdio.h>

#include "tell.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const kinds[] = {
    "none", "TCP/IPv4", "IPv4", "TCP/IPv6", "IPv6-Ex", "IPv6", "TCP/IPv6-Ex", "UDP/IPv4", "UDP/IPv6", "UDP/IPv6-Ex",
};

/* In the order of enum fp_reason. */
static const char *const reasons[] = {
    "disabled", "link", "oversize", "address", "vlan", "pause", "mac-control", "no-descriptor", "packet-buffer-full",
};

void
fp_note_text(const struct fp_note *n, char *text)
{
    char rss[64], slots[48];

    snprintf(rss, sizeof(rss), "RSS hash 0x%08x type %u (%s)", n->rss_hash, n->rss_type,
             n->rss_type < COUNT(kinds) ? kinds[n->rss_type] : "reserved");
    if (n->first == n->last) {
        snprintf(slots, sizeof(slots), "descriptor %u", n->last);
    } else {
        snprintf(slots, sizeof(slots), "descriptors %u-%u", n->first, n->last);
    }
    switch (n->fate) {
    case FP_FATE_DELIVERED:
        snprintf(text, FP_NOTE_ROOM, "rx queue %u, %s, %s", n->queue, slots, rss);
        break;
    case FP_FATE_WAITING:
        snprintf(text, FP_NOTE_ROOM, "rx queue %u, waits in the packet buffer for descriptors, %s", n->queue, rss);
        break;
    case FP_FATE_LOST:
        snprintf(text, FP_NOTE_ROOM, "lost: rx queue %u cannot be written back, %s", n->queue, rss);
        break;
    case FP_FATE_DROPPED:
        if (n->reason == FP_NO_DESCRIPTOR || n->reason == FP_BUFFER_FULL) {
            snprintf(text, FP_NOTE_ROOM, "dropped: %s, rx queue %u, %s", reasons[n->reason], n->queue, rss);
        } else {
            snprintf(text, FP_NOTE_ROOM, "dropped: %s", reasons[n->reason]);
        }
        break;
    case FP_FATE_SENT:
        if (n->frames > 1) {
            snprintf(text, FP_NOTE_ROOM, "tx queue %u, %s, frame %u of %u", n->queue, slots, n->frame, n->frames);
        } else {
            snprintf(text, FP_NOTE_ROOM, "tx queue %u, %s", n->queue, slots);
        }
        break;
    default:
        snprintf(text, FP_NOTE_ROOM, "from the card itself");
        break;
    }
}
