/* SPDX-License-Identifier: BSD-3-Clause */
/* Which frame moves which counter: the twin of device_model/igb/statistics.py. Lengths include the FCS. */
#include "engine.h"

#define FCS 4

static void
add_pair(struct fp_engine *e, uint32_t low, uint32_t high, size_t amount)
{
    uint64_t total = (uint64_t)e->regs[low] + amount;

    if (total > UINT32_MAX) {
        if (e->regs[high] == UINT32_MAX) {
            total = UINT32_MAX;
        } else {
            e->regs[high]++;
            total &= UINT32_MAX;
        }
    }
    e->regs[low] = (uint32_t)total;
}

static bool
is_broadcast(const uint8_t *frame)
{
    return (frame[0] & frame[1] & frame[2] & frame[3] & frame[4] & frame[5]) == 0xFF;
}

void
fp_count_arrived(struct fp_engine *e, size_t size)
{
    fp_count(e, SLOT_TPR);
    add_pair(e, SLOT_TORL, SLOT_TORH, size + FCS);
}

void
fp_count_received(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    size_t length = size + FCS;

    fp_count(e, SLOT_GPRC);
    fp_count(e, SLOT_RPTHC);
    fp_count(e, length <= 64 ? SLOT_PRC64 : length <= 127 ? SLOT_PRC127 : length <= 255 ? SLOT_PRC255
                : length <= 511 ? SLOT_PRC511 : length <= 1023 ? SLOT_PRC1023 : SLOT_PRC1522);
    add_pair(e, SLOT_GORCL, SLOT_GORCH, length);
    add_pair(e, SLOT_HGORCL, SLOT_HGORCH, length);
    if (frame[0] & 1) {
        fp_count(e, is_broadcast(frame) ? SLOT_BPRC : SLOT_MPRC);
    }
}

void
fp_count_pause(struct fp_engine *e, bool xoff)
{
    fp_count(e, xoff ? SLOT_XOFFTXC : SLOT_XONTXC);
    fp_count(e, SLOT_TPT);
    add_pair(e, SLOT_TOTL, SLOT_TOTH, 64);
}

void
fp_tally(struct fp_tally *t, const uint8_t *frame, size_t size)
{
    size_t length = size + FCS;

    t->frames++;
    t->bytes += length;
    t->by_length[length <= 64 ? 0 : length <= 127 ? 1 : length <= 255 ? 2 : length <= 511 ? 3 : length <= 1023 ? 4 : 5]++;
    if (frame[0] & 1) {
        if (is_broadcast(frame)) {
            t->broadcast++;
        } else {
            t->multicast++;
        }
    }
}

static void
count_many(struct fp_engine *e, uint32_t slot, uint32_t many)
{
    e->regs[slot] = many > UINT32_MAX - e->regs[slot] ? UINT32_MAX : e->regs[slot] + many;
}

void
fp_count_transmitted(struct fp_engine *e, const struct fp_tally *t)
{
    static const uint32_t by_length[] = { SLOT_PTC64, SLOT_PTC127, SLOT_PTC255, SLOT_PTC511, SLOT_PTC1023, SLOT_PTC1522 };

    count_many(e, SLOT_GPTC, t->frames);
    count_many(e, SLOT_TPT, t->frames);
    count_many(e, SLOT_HGPTC, t->frames);
    for (size_t n = 0; n < sizeof(by_length) / sizeof(by_length[0]); n++) {
        count_many(e, by_length[n], t->by_length[n]);
    }
    add_pair(e, SLOT_GOTCL, SLOT_GOTCH, t->bytes);
    add_pair(e, SLOT_TOTL, SLOT_TOTH, t->bytes);
    add_pair(e, SLOT_HGOTCL, SLOT_HGOTCH, t->bytes);
    count_many(e, SLOT_BPTC, t->broadcast);
    count_many(e, SLOT_MPTC, t->multicast);
}
