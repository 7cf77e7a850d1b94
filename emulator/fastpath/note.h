/* SPDX-License-Identifier: BSD-3-Clause */
/* What became of one frame in the card: the twin of device_model/igb/note.py. */
#ifndef HILNIC_FASTPATH_NOTE_H
#define HILNIC_FASTPATH_NOTE_H

#include <stdbool.h>
#include <stdint.h>

#define FP_NOTE_ROOM 160 /* bytes of the longest note in words, with its end */

enum fp_fate { FP_FATE_OURS, FP_FATE_DELIVERED, FP_FATE_WAITING, FP_FATE_DROPPED, FP_FATE_LOST, FP_FATE_SENT };

struct fp_note {
    uint8_t fate, reason, rss_type; /* enum fp_fate, enum fp_reason */
    bool has_slots;
    uint16_t queue;
    uint32_t first, last; /* slots of its descriptors */
    uint32_t rss_hash;
    uint32_t frame, frames; /* of a packet that was cut up, from 1 */
};

static inline void
fp_note_slot(struct fp_note *n, uint32_t index)
{
    if (!n->has_slots) {
        n->has_slots = true;
        n->first = index;
    }
    n->last = index;
}

/* The note in words, in FP_NOTE_ROOM bytes. */
void fp_note_text(const struct fp_note *n, char *text);

#endif
