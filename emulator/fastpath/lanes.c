/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several queues at once: a batch of packets goes out of, or comes into, each queue on whichever thread is free, and what
 * concerns all of them (the wire, counters, causes) is done by the engine's own thread afterwards, in the order in which
 * one thread would have done everything. So a card with helpers is the card without them, down to the last byte, and no
 * queue waits for a lock. Whoever watches events sees packets one by one: then nothing is done here.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define PACKETS 64           /* that leave a queue in one batch */
#define BYTES (256u * 1024)  /* after so many no further packet is begun */
#define LEAST 32             /* descriptors or frames that are worth waking helpers for */
#define CHUNK 16             /* frames that are filtered and steered at once */
#define SHORTEST 60

/* A packet that has left its ring; its frames stand one after another in the lane's bytes, each behind its length. */
struct fp_gone {
    bool segmented, stamp;
    uint32_t frames, written_back;
    struct fp_note note;
    struct fp_departure departure;
};

/* What one thread does for one queue, and what the engine's thread finds when all are done. */
struct fp_lane {
    struct fp_memory memory; /* of its own: what was found last is remembered */
    uint32_t queue;

    /* transmit */
    bool dry; /* the driver has handed over no further packet */
    struct fp_packet packet;
    struct fp_gone gone[PACKETS];
    size_t count, used, room, next, at; /* next, at: what the engine's thread has passed on */
    uint8_t *bytes;
    uint32_t segmented;
    struct fp_tally tally;

    /* receive */
    uint32_t taken; /* descriptors that the frames before will use */
    size_t frame_count;
    uint8_t frames[FP_WIRE_BATCH];
};

bool
fp_set_threads(struct fp_engine *e, uint32_t threads)
{
    fp_team_free(e->team);
    e->team = NULL;
    for (uint32_t n = 0; e->lanes != NULL && n < FP_QUEUES; n++) {
        free(e->lanes[n].bytes);
        free(e->lanes[n].packet.report.slots);
    }
    free(e->lanes);
    free(e->batch);
    e->lanes = NULL;
    e->batch = NULL;
    if (threads < 2) {
        return true;
    }
    e->together_least = LEAST;
    e->lanes = calloc(FP_QUEUES, sizeof(*e->lanes));
    e->batch = calloc(FP_WIRE_BATCH, sizeof(*e->batch));
    e->team = e->lanes != NULL && e->batch != NULL ? fp_team_new(threads) : NULL;
    for (uint32_t n = 0; e->lanes != NULL && n < FP_QUEUES; n++) {
        e->lanes[n].queue = n;
    }
    return e->team != NULL;
}

/* -- transmit ----------------------------------------------------------------------------------------------- */

/* Room for so many bytes more; false: there is no memory. */
static bool
make_room(struct fp_lane *lane, size_t size)
{
    size_t room = lane->room;
    uint8_t *more;

    while (room - lane->used < size) {
        room = room ? room * 2 : 2 * (size_t)BYTES;
    }
    if (room != lane->room) {
        more = realloc(lane->bytes, room);
        if (more == NULL) {
            return false;
        }
        lane->bytes = more;
        lane->room = room;
    }
    return true;
}

/* Put the frames of the packet behind those that are there. */
static void
cut(struct fp_lane *lane, struct fp_gone *gone)
{
    struct fp_departure *d = &lane->packet.departure;

    if (gone->segmented) {
        gone->departure = *d;
    }
    for (uint32_t n = 0; n < lane->packet.left; n++) {
        uint32_t size;

        if (!make_room(lane, sizeof(size) + fp_departure_peek(d) + FP_PACKET_ROOM)) {
            return;
        }
        size = (uint32_t)fp_departure_next(d, lane->bytes + lane->used + sizeof(size));
        memcpy(lane->bytes + lane->used, &size, sizeof(size));
        fp_tally(&lane->tally, lane->bytes + lane->used + sizeof(size), size);
        lane->used += sizeof(size) + size;
        gone->frames++;
    }
}

static void
send_lane(void *context, size_t index)
{
    struct fp_engine *e = context;
    struct fp_lane *lane = &e->lanes[e->ready[(e->ready_first + index) % FP_QUEUES]];
    struct fp_packet *p = &lane->packet;

    while (lane->count < PACKETS && lane->used < BYTES) {
        struct fp_gone *gone = &lane->gone[lane->count];

        if (!fp_assemble(e, &lane->memory, lane->queue, p)) {
            lane->dry = true;
            return;
        }
        *gone = (struct fp_gone){ .segmented = p->segmented, .stamp = p->stamp, .note = p->note };
        cut(lane, gone);
        lane->segmented += p->segmented;
        gone->written_back = fp_report(e, &lane->memory, lane->queue, p);
        lane->count++;
    }
}

/* After a frame: let the guest know of what is finished as often as if frames went one by one. */
static void
passed(struct fp_engine *e, uint32_t *frames)
{
    if (++*frames % FP_SLICE == 0) {
        fp_raise_finished(e);
    }
}

/* The next packet of the lane goes onto the wire. */
static void
pass_on(struct fp_engine *e, struct fp_lane *lane, uint32_t *frames)
{
    struct fp_gone *gone = &lane->gone[lane->next++];

    e->leaving = gone->note;
    for (uint32_t n = 0; n < gone->frames; n++) {
        const uint8_t *frame = lane->bytes + lane->at + sizeof(uint32_t);
        uint32_t size;

        memcpy(&size, lane->bytes + lane->at, sizeof(size));
        lane->at += sizeof(size) + size;
        e->leaving.frame = (uint32_t)(n + 1);
        e->sent[lane->queue]++;
        e->sent_bytes[lane->queue] += size;
        if (gone->stamp && n == 0) {
            e->up.stamp_tx(e->handle);
        }
        if (gone->segmented) {
            gone->departure.frame = n + 1;
            fp_emit_segment(e, &gone->departure, frame, size);
        } else {
            fp_emit(e, frame, size);
        }
        if (n + 1 < gone->frames) {
            passed(e, frames);
        }
    }
    e->leaving.fate = FP_FATE_OURS;
    e->finished[lane->queue] += gone->written_back;
    passed(e, frames);
}

static bool
worth_sending(const struct fp_engine *e)
{
    uint64_t waiting = 0;

    for (uint32_t n = 0; n < e->ready_count; n++) {
        waiting += fp_ring_waiting(&e->tx[e->ready[(e->ready_first + n) % FP_QUEUES]].ring);
    }
    return waiting >= e->together_least;
}

bool
fp_send_together(struct fp_engine *e)
{
    struct fp_lane *lanes[FP_QUEUES];
    uint32_t count = e->ready_count, frames = 0;
    bool more = true;

    if (e->tell.on || e->log != NULL || count < 2 || e->departing || e->link.paused || fp_loopback(e) ||
        e->faults.transmit_nothing || e->faults.withheld_queues != 0 || !worth_sending(e)) {
        return false;
    }
    if (e->offload_stale) {
        fp_decode_offload(e);
    }
    for (uint32_t n = 0; n < count; n++) {
        struct fp_lane *lane = lanes[n] = &e->lanes[e->ready[(e->ready_first + n) % FP_QUEUES]];

        lane->memory = e->memory;
        lane->dry = false;
        lane->count = lane->used = lane->next = lane->at = 0;
        lane->segmented = 0;
        lane->tally = (struct fp_tally){ 0 };
    }
    fp_team_do(e->team, send_lane, e, count);
    while (more) {
        more = false;
        for (uint32_t n = 0; n < count; n++) {
            if (lanes[n]->next < lanes[n]->count) {
                pass_on(e, lanes[n], &frames);
                more = true;
            }
        }
    }
    e->ready_count = e->ready_mask = 0;
    for (uint32_t n = 0; n < count; n++) {
        struct fp_lane *lane = lanes[n];

        fp_count_transmitted(e, &lane->tally);
        for (uint32_t i = 0; i < lane->segmented; i++) {
            fp_count(e, SLOT_TSCTC);
        }
        e->together += lane->count;
        if (!lane->dry) {
            e->ready_mask |= 1u << lane->queue;
            e->ready[(e->ready_first + e->ready_count++) % FP_QUEUES] = (uint8_t)lane->queue;
        }
    }
    return true;
}

/* -- receive ------------------------------------------------------------------------------------------------ */

static void
classify(void *context, size_t chunk)
{
    struct fp_engine *e = context;

    for (size_t n = chunk * CHUNK; n < (chunk + 1) * CHUNK && n < FP_WIRE_BATCH && e->batch[n].bytes != NULL; n++) {
        struct fp_frame *f = &e->batch[n];

        f->apart = f->size < FP_FRAME_MIN || f->size > FP_FRAME_MAX;
        if (f->apart) {
            continue;
        }
        if (f->size < SHORTEST) {
            memset(f->bytes + f->size, 0, SHORTEST - f->size);
            f->size = SHORTEST;
        }
        f->apart = fp_asks_for_pause(e, f->bytes, f->size);
        f->stamped = false;
        fp_classify(e, f);
    }
}

/* The lanes that have work. */
struct fp_busy {
    struct fp_engine *engine;
    size_t count;
    uint8_t queues[FP_QUEUES];
};

static void
store_lane(void *context, size_t index)
{
    const struct fp_busy *busy = context;
    struct fp_engine *e = busy->engine;
    struct fp_lane *lane = &e->lanes[busy->queues[index]];
    struct fp_note unused = { 0 };

    for (size_t n = 0; n < lane->frame_count; n++) {
        fp_store(e, &lane->memory, &e->batch[lane->frames[n]], &unused);
    }
}

/* Whether the ring can be read and written from end to end, so that its queue will not halt half-way. */
static bool
sound(struct fp_lane *lane, const struct fp_ring *r)
{
    return fp_memory_holds(&lane->memory, r->base, (size_t)r->count * FP_SLOT);
}

/* Give the frame to its lane; false where it must wait or be dropped. */
static bool
assign(struct fp_engine *e, struct fp_busy *busy, size_t n)
{
    struct fp_frame *f = &e->batch[n];
    struct fp_lane *lane = &e->lanes[f->steering.queue];

    if (!fp_rx_room(e, f->steering.queue, f->size, lane->taken) ||
        (lane->frame_count == 0 && !sound(lane, &e->rx[f->steering.queue].ring))) {
        return false;
    }
    if (lane->frame_count == 0) {
        busy->queues[busy->count++] = (uint8_t)f->steering.queue;
    }
    lane->taken += fp_rx_buffers(e, f);
    lane->frames[lane->frame_count++] = (uint8_t)n;
    return true;
}

size_t
fp_receive_together(struct fp_engine *e, size_t count)
{
    struct fp_busy busy = { .engine = e };
    size_t plain;

    if (e->team == NULL || count < e->together_least || count < 2 || fp_capture_on(&e->wire) || !fp_receives_plainly(e)) {
        return 0;
    }
    if (e->filters.stale) {
        fp_decode_filters(e);
    }
    if (count < FP_WIRE_BATCH) {
        e->batch[count].bytes = NULL;
    }
    fp_team_do(e->team, classify, e, (count + CHUNK - 1) / CHUNK);
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        e->lanes[n].memory = e->memory;
        e->lanes[n].taken = 0;
        e->lanes[n].frame_count = 0;
    }
    for (plain = 0; plain < count; plain++) {
        struct fp_frame *f = &e->batch[plain];

        if (f->apart || (f->reason < 0 && !assign(e, &busy, plain))) {
            break;
        }
        e->wire.arrived++;
        fp_count_arrived(e, f->size);
        if (f->reason < 0) {
            fp_count_received(e, f->bytes, f->size);
        }
    }
    fp_team_do(e->team, store_lane, &busy, busy.count);
    for (size_t n = 0; n < plain; n++) {
        struct fp_frame *f = &e->batch[n];

        if (f->reason >= 0) {
            fp_refused(e, f);
        } else {
            fp_stored(e, f);
        }
    }
    e->together += plain;
    return plain;
}
