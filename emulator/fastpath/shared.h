/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Doorbells without a trap: a page of BAR 0 that the client maps, so that an access to it costs as much as one to memory.
 *
 * Nobody tells the engine of a write: it looks. At TDT whenever it is awake, at all the page's registers before each
 * access that does trap and whenever it wakes; a write between two looks that is overwritten before the second one has
 * never happened. Linux igb reads STATUS (E1000_WRITE_FLUSH) between switching a queue off and on again, so that no edge
 * of TXDCTL is lost.
 */
#ifndef HILNIC_FASTPATH_SHARED_H
#define HILNIC_FASTPATH_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FP_SHARED_AT 0x3000 /* TDBAL … TDWBAH of queues 0 to 3, by the addresses that Linux igb uses */
#define FP_SHARED_SIZE 0x1000
#define FP_SHARED_QUEUES 4

struct fp_shared {
    uint32_t *page; /* NULL: every access traps */
    uint32_t seen[FP_SHARED_SIZE / 4];
    uint16_t words[FP_SHARED_SIZE / 4]; /* where in the page registers lie */
    size_t count;
    bool busy;
};

struct fp_engine;

/* Map the page, whose file has all of BAR 0; false with errno. */
bool fp_shared_open(struct fp_engine *e, int fd);
void fp_shared_close(struct fp_engine *e);
/* Carry out what the guest has written to tails since the last look; true if it has. */
bool fp_look_at_tails(struct fp_engine *e);
/* The same for every register of the page; then show there what the card has changed. */
void fp_look_at_all(struct fp_engine *e);

#endif
