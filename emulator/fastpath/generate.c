/* SPDX-License-Identifier: BSD-3-Clause */
/* A wire on which frames come without end: given ones, in turn, at a rate or as fast as the rings take them. */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define UNREADY_NS 1000000 /* until we look again whether somebody receives */

struct fp_generator {
    uint8_t *frames;
    size_t size, count, next;
    int64_t interval_ns;
};

bool
fp_generate(struct fp_engine *e, const uint8_t *frames, size_t size, size_t count, uint64_t rate)
{
    struct fp_generator *g = calloc(1, sizeof(*g));

    if (g == NULL || (g->frames = malloc(size * count)) == NULL) {
        free(g);
        return false;
    }
    memcpy(g->frames, frames, size * count);
    g->size = size;
    g->count = count;
    g->interval_ns = rate ? 1000000000 / (int64_t)rate : 0;
    e->generator = g;
    fp_arm(e, &e->generation, fp_now(e));
    return true;
}

void
fp_generator_close(struct fp_engine *e)
{
    if (e->generator != NULL) {
        free(e->generator->frames);
        free(e->generator);
        e->generator = NULL;
    }
}

/* A batch, unless nobody receives or the packet buffer still holds what came before. */
void
fp_generate_batch(struct fp_engine *e)
{
    struct fp_generator *g = e->generator;
    uint8_t *frame = e->wire.in->frames[0];
    int64_t now = fp_wall(e);

    if (!fp_has(e, SLOT_RCTL, RCTL_EN_MASK) || !e->link.up) {
        fp_arm(e, &e->generation, now + UNREADY_NS);
        return;
    }
    for (int n = 0; n < FP_WIRE_BATCH && e->first_waiting == NULL; n++) {
        memcpy(frame, g->frames + g->next * g->size, g->size);
        g->next = g->next + 1 < g->count ? g->next + 1 : 0;
        fp_wire_arrived(e, frame, g->size);
    }
    fp_arm(e, &e->generation, e->first_waiting != NULL ? now + UNREADY_NS / 100 : now + FP_WIRE_BATCH * g->interval_ns);
}
