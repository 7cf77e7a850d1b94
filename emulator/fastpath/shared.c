/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "shared.h"

#include <sys/mman.h>

#include "engine.h"

#define TAIL_WORD(queue) ((0x818u + 0x100u * (queue)) / 4)

bool
fp_shared_open(struct fp_engine *e, int fd)
{
    struct fp_shared *s = &e->shared;
    void *page = mmap(NULL, FP_SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, FP_SHARED_AT);

    if (page == MAP_FAILED) {
        return false;
    }
    s->page = page;
    for (uint16_t word = 0; word < FP_SHARED_SIZE / 4; word++) {
        if (e->place[FP_SHARED_AT / 4 + word] != 0) {
            s->words[s->count++] = word;
        }
    }
    fp_look_at_all(e);
    return true;
}

void
fp_shared_close(struct fp_engine *e)
{
    if (e->shared.page != NULL) {
        munmap(e->shared.page, FP_SHARED_SIZE);
        e->shared.page = NULL;
    }
}

static bool
is_tail(uint16_t word)
{
    return word % (0x100 / 4) == 0x18 / 4 && word >= TAIL_WORD(0) && word <= TAIL_WORD(FP_SHARED_QUEUES - 1);
}

/* What a read of the register would return; none of the page has a side effect of reading. */
static uint32_t
shown(struct fp_engine *e, uint16_t word)
{
    return fp_hook_read(e, e->place[FP_SHARED_AT / 4 + word] - 1u);
}

/* Carry out the guest's write of one word, if there was one. */
static bool
look(struct fp_engine *e, uint16_t word)
{
    struct fp_shared *s = &e->shared;
    uint32_t value = __atomic_load_n(&s->page[word], __ATOMIC_ACQUIRE);

    if (value == s->seen[word]) {
        return false;
    }
    s->seen[word] = value;
    fp_written(e, FP_SHARED_AT + word * 4u, value);
    return true;
}

bool
fp_look_at_tails(struct fp_engine *e)
{
    bool any = false;

    if (e->shared.page != NULL && e->decodes) {
        for (uint16_t queue = 0; queue < FP_SHARED_QUEUES; queue++) {
            any |= look(e, TAIL_WORD(queue));
        }
    }
    return any;
}

void
fp_look_at_all(struct fp_engine *e)
{
    struct fp_shared *s = &e->shared;

    if (s->page == NULL || s->busy) {
        return;
    }
    s->busy = true;
    /* Tails come last: a queue that was switched on meanwhile takes its own. */
    for (size_t n = 0; n < s->count && e->decodes; n++) {
        if (!is_tail(s->words[n])) {
            look(e, s->words[n]);
        }
    }
    fp_look_at_tails(e);
    for (size_t n = 0; n < s->count; n++) {
        uint16_t word = s->words[n];
        uint32_t now = shown(e, word), seen = s->seen[word];

        /* A write of the guest that comes in between is newer: it stays, and the next look finds it. */
        if (now != seen && __atomic_compare_exchange_n(&s->page[word], &seen, now, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            s->seen[word] = now;
        }
    }
    s->busy = false;
}
