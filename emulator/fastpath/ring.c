/* SPDX-License-Identifier: BSD-3-Clause */
#include "ring.h"

#include <string.h>

#include "engine.h"

void
fp_ring_stop(struct fp_ring *r)
{
    r->enabled = r->halted = false;
    r->head = r->fetched = r->tail = 0;
    r->cache_count = 0;
}

void
fp_ring_start(struct fp_ring *r)
{
    fp_ring_stop(r);
    r->enabled = true;
}

void
fp_ring_set_tail(struct fp_engine *e, struct fp_ring *r, uint32_t tail)
{
    if (tail < r->count) {
        r->tail = tail;
    } else if (r->count != 0) {
        fp_nonsense(e, "tail of %s[%u] must be below %u, not %u; ignored", fp_ring_kind(r), r->queue, r->count, tail);
    }
}

void
fp_ring_halt(struct fp_ring *r)
{
    r->halted = true;
    r->cache_count = 0;
}

/* Read a batch of descriptors, up to the tail or the end of the ring. */
static void
fetch(struct fp_engine *e, struct fp_memory *m, struct fp_ring *r)
{
    uint32_t many, first = r->fetched;
    uint64_t iova;

    if (!r->enabled || r->halted || r->count == 0) {
        return;
    }
    many = fp_ring_distance(r, first, r->tail);
    if (many > FP_FETCH) {
        many = FP_FETCH;
    }
    if (first >= r->count) {
        return; /* the driver has made the ring shorter than what was fetched */
    }
    if (many > r->count - first) {
        many = r->count - first;
    }
    if (many == 0) {
        return;
    }
    iova = fp_ring_address(r, first);
    fp_other_side(e, FP_DMA_READ, iova, (uint64_t)many * FP_SLOT, r->transmit ? FP_TX_DESCRIPTORS : FP_RX_DESCRIPTORS,
                  r->queue);
    if (!fp_read(m, iova, r->cache, (size_t)many * FP_SLOT)) {
        fp_ring_halt(r);
        fp_nonsense(e, "%s[%u] descriptors cannot be fetched, the queue halts: "
                    "DMA of %u bytes at 0x%llx must lie in mapped guest memory, and does not",
                    fp_ring_kind(r), r->queue, many * FP_SLOT, (unsigned long long)iova);
        return;
    }
    r->fetched = (first + many) % r->count;
    r->cache_first = 0;
    r->cache_count = many;
    r->cache_index = first;
    if (e->tell.on) {
        enum fp_kind kind = r->transmit ? FP_TX_DESCRIPTOR : FP_RX_DESCRIPTOR;

        fp_tell(e, FP_DMA_READ, iova, (uint64_t)many * FP_SLOT, r->transmit ? FP_TX_DESCRIPTORS : FP_RX_DESCRIPTORS,
                r->queue, NULL, 0);
        for (uint32_t n = 0; n < many; n++) {
            fp_tell(e, kind, r->queue, first + n, 0, 0, r->cache[n], FP_SLOT);
        }
    }
}

int64_t
fp_ring_take(struct fp_engine *e, struct fp_memory *m, struct fp_ring *r, uint64_t words[2])
{
    uint32_t n;

    if (r->cache_count == 0) {
        fetch(e, m, r);
        if (r->cache_count == 0) {
            return -1;
        }
    }
    n = r->cache_first++;
    r->cache_count--;
    words[0] = r->cache[n][0];
    words[1] = r->cache[n][1];
    return (int64_t)r->cache_index + n;
}
