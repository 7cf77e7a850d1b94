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

static const uint8_t *
next_frame(struct fp_generator *g)
{
    const uint8_t *frame = g->frames + g->next * g->size;

    g->next = g->next + 1 < g->count ? g->next + 1 : 0;
    return frame;
}

/* A batch, unless nobody receives or the packet buffer still holds what came before. */
void
fp_generate_batch(struct fp_engine *e)
{
    struct fp_generator *g = e->generator;
    uint8_t *frame = e->wire.in->frames[0];
    int64_t now = fp_wall(e);
    size_t many = 0;

    if (!fp_has(e, SLOT_RCTL, RCTL_EN_MASK) || !e->link.up) {
        fp_arm(e, &e->generation, now + UNREADY_NS);
        return;
    }
    if (e->team != NULL) {
        size_t next = g->next;

        for (size_t n = 0; n < FP_WIRE_BATCH; n++) {
            e->batch[n].bytes = e->wire.in->frames[n];
            e->batch[n].size = (uint32_t)g->size;
            memcpy(e->batch[n].bytes, next_frame(g), g->size);
        }
        many = fp_receive_together(e, FP_WIRE_BATCH);
        g->next = (next + many) % g->count;
    }
    for (; many < FP_WIRE_BATCH && e->first_waiting == NULL; many++) {
        memcpy(frame, next_frame(g), g->size);
        fp_wire_arrived(e, frame, g->size);
    }
    fp_arm(e, &e->generation, e->first_waiting != NULL ? now + UNREADY_NS / 100 : now + FP_WIRE_BATCH * g->interval_ns);
}
