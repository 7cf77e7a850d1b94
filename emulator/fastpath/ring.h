/* SPDX-License-Identifier: BSD-3-Clause */
/* A descriptor ring in guest memory: the twin of device_model/ring.py. */
#ifndef HILNIC_FASTPATH_RING_H
#define HILNIC_FASTPATH_RING_H

#include <stdbool.h>
#include <stdint.h>

#define FP_SLOT 16 /* bytes of one descriptor */
#define FP_FETCH 64

struct fp_ring {
    uint64_t base;
    uint32_t count, head, fetched, tail;
    uint32_t queue;
    bool transmit, enabled, halted;
    uint32_t cache_first, cache_count, cache_index; /* cache_index: slot of the first cached descriptor */
    uint64_t cache[FP_FETCH][2];
};

struct fp_engine;
struct fp_memory;

void fp_ring_stop(struct fp_ring *r);
void fp_ring_start(struct fp_ring *r);
void fp_ring_set_tail(struct fp_engine *e, struct fp_ring *r, uint32_t tail);
/* The next descriptor: its slot, or -1 when there is none. */
int64_t fp_ring_take(struct fp_engine *e, struct fp_memory *m, struct fp_ring *r, uint64_t words[2]);
/* Touch the ring no more until it is enabled afresh. */
void fp_ring_halt(struct fp_ring *r);

static inline const char *fp_ring_kind(const struct fp_ring *r) { return r->transmit ? "tx" : "rx"; }
static inline uint64_t fp_ring_address(const struct fp_ring *r, uint32_t index) { return r->base + (uint64_t)index * FP_SLOT; }
static inline uint32_t fp_ring_after(const struct fp_ring *r, uint32_t index)
{
    return r->count == 0 ? 0 : index + 1 < r->count ? index + 1 : (index + 1) % r->count;
}
/* Python's (a - b) % count. */
static inline uint32_t fp_ring_distance(const struct fp_ring *r, uint32_t from, uint32_t to)
{
    int64_t d;

    if (r->count == 0) {
        return 0;
    }
    d = ((int64_t)to - (int64_t)from) % (int64_t)r->count;
    return (uint32_t)(d < 0 ? d + r->count : d);
}
static inline uint32_t fp_ring_waiting(const struct fp_ring *r)
{
    return r->cache_count + fp_ring_distance(r, r->fetched, r->tail);
}

#endif
