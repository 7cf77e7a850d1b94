/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that help the one that runs a card, for as long as one call lasts: work is split, done and put together again
 * before anything else happens. Between two calls no helper touches the card, so that whatever the card's thread does
 * there (registers, maps, unmaps, resets) can never meet a helper.
 */
#ifndef HILNIC_FASTPATH_TEAM_H
#define HILNIC_FASTPATH_TEAM_H

#include <stdbool.h>
#include <stddef.h>

#define FP_TEAM_MOST 16 /* threads, the card's own included */

struct fp_team;

/* A team of so many threads, the caller's included; NULL with errno where there is no memory or no thread. */
struct fp_team *fp_team_new(size_t threads);
void fp_team_free(struct fp_team *t);
/* Call job(context, n) once for each n below count (at most 65535), on any of the threads; return when all are done. */
void fp_team_do(struct fp_team *t, void (*job)(void *context, size_t n), void *context, size_t count);

#endif
