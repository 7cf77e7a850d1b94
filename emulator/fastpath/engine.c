/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "engine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* -- life --------------------------------------------------------------------------------------------------- */

static void
hook(struct fp_engine *e, uint32_t slot, uint32_t count, enum fp_hook hook)
{
    for (uint32_t n = 0; n < count; n++) {
        e->hooks[slot + n] = (uint8_t)hook;
        e->element[slot + n] = (uint8_t)n;
    }
}

static void
hook_up(struct fp_engine *e)
{
    hook(e, SLOT_ICR, 1, FP_ICR);
    hook(e, SLOT_ICS, 1, FP_ICS);
    hook(e, SLOT_IMS, 1, FP_IMS);
    hook(e, SLOT_IMC, 1, FP_IMC);
    hook(e, SLOT_EICS, 1, FP_EICS);
    hook(e, SLOT_EIMS, 1, FP_EIMS);
    hook(e, SLOT_EIMC, 1, FP_EIMC);
    hook(e, SLOT_EICR, 1, FP_EICR);
    hook(e, SLOT_EITR, FP_VECTORS, FP_EITR);
    hook(e, SLOT_RDBAL, FP_QUEUES, FP_RX_BASE);
    hook(e, SLOT_RDBAH, FP_QUEUES, FP_RX_BASE);
    hook(e, SLOT_RDLEN, FP_QUEUES, FP_RX_BASE);
    hook(e, SLOT_RDH, FP_QUEUES, FP_RDH);
    hook(e, SLOT_RDT, FP_QUEUES, FP_RDT);
    hook(e, SLOT_RXDCTL, FP_QUEUES, FP_RXDCTL);
    hook(e, SLOT_RCTL, 1, FP_RCTL);
    hook(e, SLOT_TDBAL, FP_QUEUES, FP_TX_BASE);
    hook(e, SLOT_TDBAH, FP_QUEUES, FP_TX_BASE);
    hook(e, SLOT_TDLEN, FP_QUEUES, FP_TX_BASE);
    hook(e, SLOT_TDH, FP_QUEUES, FP_TDH);
    hook(e, SLOT_TDT, FP_QUEUES, FP_TDT);
    hook(e, SLOT_TXDCTL, FP_QUEUES, FP_TXDCTL);
    hook(e, SLOT_TCTL, 1, FP_TCTL);
}

struct fp_engine *
fp_new(void *handle, const struct fp_upcalls *up)
{
    struct fp_engine *e = calloc(1, sizeof(*e));
    size_t room = FP_PACKET_MOST + FP_PACKET_ROOM;

    if (e == NULL) {
        return NULL;
    }
    e->handle = handle;
    e->up = *up;
    e->last_waiting = &e->first_waiting;
    e->rate_mbps = -1;
    e->pump.when = FP_NEVER;
    e->generation.when = FP_NEVER;
    e->mode = FP_INTX;
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        e->rx[n].ring.queue = e->tx[n].ring.queue = n;
        e->tx[n].ring.transmit = true;
    }
    for (uint32_t n = 0; n < FP_VECTORS; n++) {
        e->moderation[n].when = FP_NEVER;
    }
    hook_up(e);
    e->frame = malloc(room);
    e->inner = malloc(room);
    e->arrived = malloc(room);
    e->looped = malloc(room);
    if (e->frame == NULL || e->inner == NULL || e->arrived == NULL || e->looped == NULL || !fp_tell_open(&e->tell) ||
        !fp_wire_open(&e->wire) || fp_guard_install() != 0) {
        fp_free(e);
        return NULL;
    }
    fp_toeplitz_key(&e->filters.toeplitz, e->filters.key);
    return e;
}

void
fp_free(struct fp_engine *e)
{
    if (e == NULL) {
        return;
    }
    fp_reset_receive(e);
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        free(e->tx[n].data);
        free(e->tx[n].report.slots);
        free(e->tx[n].done.slots);
        free(e->tx[n].withheld.slots);
        free(e->tx[n].withheld_sizes.slots);
        free(e->rx[n].unfinished.slots);
        free(e->rx[n].unfinished_words);
    }
    free(e->packet.report.slots);
    fp_set_threads(e, 1);
    fp_forget_memory(&e->memory);
    fp_log_close(e);
    fp_tell_close(&e->tell);
    fp_shared_close(e);
    fp_wire_close(&e->wire);
    fp_generator_close(e);
    free(e->frame);
    free(e->inner);
    free(e->arrived);
    free(e->looped);
    free(e);
}

void
fp_changed(struct fp_engine *e)
{
    e->filters.stale = true;
    e->offload_stale = true;
    fp_look_at_all(e);
}

/* -- time ----------------------------------------------------------------------------------------------------- */

static int64_t
monotonic(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t
fp_now(struct fp_engine *e)
{
    return e->log == NULL ? fp_tick(e) : e->now;
}

int64_t
fp_tick(struct fp_engine *e)
{
    if (!e->fake_clock) {
        e->now = monotonic();
    }
    return e->now;
}

int64_t
fp_wall(struct fp_engine *e)
{
    return e->log == NULL || e->fake_clock ? fp_now(e) : monotonic();
}

void
fp_set_clock(struct fp_engine *e, int64_t now)
{
    e->fake_clock = true;
    e->now = now;
}

void
fp_arm(struct fp_engine *e, struct fp_timer *timer, int64_t when)
{
    timer->when = when;
    timer->order = e->timer_order++;
}

int64_t
fp_next_timer(const struct fp_engine *e)
{
    int64_t next = e->pump.when < e->generation.when ? e->pump.when : e->generation.when;

    for (uint32_t n = 0; n < FP_VECTORS; n++) {
        if (e->moderation[n].when < next) {
            next = e->moderation[n].when;
        }
    }
    return next;
}

static struct fp_timer *
timer_at(struct fp_engine *e, uint32_t n)
{
    return n < FP_VECTORS ? &e->moderation[n] : n == FP_VECTORS ? &e->pump : &e->generation;
}

/* The next timer that is due and was armed before this round, or NULL. */
static struct fp_timer *
next_due(struct fp_engine *e, int64_t now, uint64_t limit)
{
    struct fp_timer *first = NULL;

    for (uint32_t n = 0; n < FP_VECTORS + 2; n++) {
        struct fp_timer *t = timer_at(e, n);

        if (t->when <= now && t->when != FP_NEVER && t->order < limit &&
            (first == NULL || t->when < first->when || (t->when == first->when && t->order < first->order))) {
            first = t;
        }
    }
    return first;
}

static void
fire(struct fp_engine *e, struct fp_timer *timer)
{
    timer->when = FP_NEVER;
    if (timer == &e->pump) {
        fp_pump(e);
    } else {
        fp_moderation_over(e, (uint32_t)(timer - e->moderation));
    }
}

bool
fp_fire(struct fp_engine *e, int64_t when)
{
    struct fp_timer *first = NULL;

    for (uint32_t n = 0; n <= FP_VECTORS; n++) {
        struct fp_timer *t = timer_at(e, n);

        if (t->when == when && when != FP_NEVER && (first == NULL || t->order < first->order)) {
            first = t;
        }
    }
    if (first != NULL) {
        fire(e, first);
    }
    return first != NULL;
}

/* Run what is due, in order of time and then of request; what is armed meanwhile waits for the next round. */
void
fp_run_due(struct fp_engine *e)
{
    int64_t now = fp_wall(e);
    uint64_t limit = e->timer_order;
    struct fp_timer *timer;

    if (fp_next_timer(e) > now) {
        return;
    }
    while ((timer = next_due(e, now, limit)) != NULL) {
        if (timer == &e->generation) { /* its frames are steps, each by itself */
            timer->when = FP_NEVER;
            fp_generate_batch(e);
            continue;
        }
        fp_step_begins(e, FP_LOG_TIMER, 0, 0, &timer->when, sizeof(timer->when));
        fire(e, timer);
        fp_step_ends(e);
    }
}
