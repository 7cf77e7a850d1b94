/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

#define END_ROOM 64        /* for the last entry */
#define AHEAD (1u << 19)   /* bytes for which memory is asked for at once */
#define FIRST_OUTCOME FP_LOG_RESULT

static struct fp_log *
open_log(struct fp_engine *e, uint8_t *data, size_t at, size_t end)
{
    struct fp_log *log = calloc(1, sizeof(*log));

    if (log != NULL) {
        log->data = data;
        log->at = at;
        log->end = end;
        e->log = e->memory.log = log;
        fp_tick(e);
    }
    return log;
}

bool
fp_log_write(struct fp_engine *e, int fd, uint8_t *data, size_t at, size_t end, size_t room)
{
    struct fp_log *log = open_log(e, data, at, end);

    if (log != NULL) {
        log->fd = fd;
        log->room = room;
    }
    return log != NULL;
}

bool
fp_log_read(struct fp_engine *e, uint8_t *data, size_t at, size_t end)
{
    struct fp_log *log = open_log(e, data, at, end);

    if (log != NULL) {
        log->follows = true;
    }
    return log != NULL;
}

void
fp_log_close(struct fp_engine *e)
{
    if (e->log != NULL) {
        free(e->log->found_body);
        free(e->log);
        e->log = e->memory.log = NULL;
    }
}

/* -- writing -------------------------------------------------------------------------------------------------- */

/* Have memory and place on the disk for what is written next: a page at a time costs thrice as much. */
static bool
make_ready(struct fp_log *log, size_t end)
{
    size_t from = log->ready, size = AHEAD;

    while (from + size < end) {
        size += AHEAD;
    }
    if (from + size > log->room) {
        size = log->room - from;
    }
    if (posix_fallocate(log->fd, (off_t)from, (off_t)size) != 0) {
        return false; /* the disk is full: touching the page would be a SIGBUS */
    }
#ifdef MADV_POPULATE_WRITE
    madvise(log->data + from, size, MADV_POPULATE_WRITE);
#endif
    log->ready = from + size;
    return true;
}

/* Forget the step, which does not fit. */
static void
give_up(struct fp_log *log)
{
    log->lost_bytes += log->at - log->begun;
    memset(log->data + log->begun, 0, log->at - log->begun);
    log->at = log->begun;
    log->full = log->muted = true;
    log->steps--;
    log->lost_steps++;
}

static void
append(struct fp_log *log, const struct fp_log_head *head, const void *first, size_t first_size, const void *second,
       size_t second_size)
{
    size_t whole = sizeof(*head) + head->size;
    uint8_t *to;

    if (!log->muted && (log->at + whole + END_ROOM > log->room ||
                        (log->at + whole + END_ROOM > log->ready && !make_ready(log, log->at + whole + END_ROOM)))) {
        give_up(log);
    }
    if (log->muted) {
        log->lost_bytes += whole;
        return;
    }
    to = log->data + log->at + sizeof(*head);
    if (first_size != 0) {
        memcpy(to, first, first_size);
    }
    if (second_size != 0) {
        memcpy(to + first_size, second, second_size);
    }
    memcpy(log->data + log->at, head, sizeof(*head));
    log->at += whole;
}

void
fp_log_begin(struct fp_engine *e, int kind, int x, int y, const void *body, size_t size)
{
    struct fp_log *log = e->log;
    struct fp_log_head head = { .kind = (uint8_t)kind, .x = (uint8_t)x, .y = (uint16_t)y, .size = (uint32_t)(8 + size) };

    if (log->depth++ != 0 || log->follows) {
        return;
    }
    fp_tick(e);
    log->full = log->full || log->at >= log->end;
    log->muted = log->full;
    if (log->muted) {
        log->lost_steps++;
    } else {
        log->steps++;
    }
    log->begun = log->at;
    append(log, &head, &e->now, sizeof(e->now), body, size);
}

void
fp_log_end(struct fp_engine *e)
{
    e->log->depth--;
}

/* -- following ------------------------------------------------------------------------------------------------- */

/* The head of the next entry; false at the end of the log. */
static bool
next(const struct fp_log *log, struct fp_log_head *head)
{
    if (log->at + sizeof(*head) > log->end) {
        return false;
    }
    memcpy(head, log->data + log->at, sizeof(*head));
    return head->kind != FP_LOG_NOTHING && log->at + sizeof(*head) + head->size <= log->end;
}

static const uint8_t *
body_of(const struct fp_log *log)
{
    return log->data + log->at + sizeof(struct fp_log_head);
}

/* The card did this, which does not stand there. */
static void
differ(struct fp_log *log, const struct fp_log_head *head, const void *first, size_t first_size, const void *second,
       size_t second_size)
{
    log->differs = true;
    log->found = *head;
    log->found_body = malloc(head->size + 1);
    if (log->found_body == NULL) {
        log->found.size = 0;
        return;
    }
    if (first_size != 0) {
        memcpy(log->found_body, first, first_size);
    }
    if (second_size != 0) {
        memcpy(log->found_body + first_size, second, second_size);
    }
}

int
fp_log_put(struct fp_log *log, int kind, int x, int y, const void *first, size_t first_size, const void *second,
           size_t second_size)
{
    struct fp_log_head there, head = { .kind = (uint8_t)kind, .x = (uint8_t)x, .y = (uint16_t)y };
    bool x_is_told = kind == FP_LOG_DMA_WRITE || kind == FP_LOG_INTERRUPT;

    head.size = (uint32_t)(first_size + second_size);
    if (log->depth == 0) {
        return x;
    }
    if (!log->follows) {
        append(log, &head, first, first_size, second, second_size);
        return x;
    }
    if (log->differs) {
        return 0;
    }
    if (!next(log, &there) || there.kind != head.kind || (!x_is_told && there.x != head.x) || there.y != head.y ||
        there.size != head.size || (first_size != 0 && memcmp(body_of(log), first, first_size) != 0) ||
        (second_size != 0 && memcmp(body_of(log) + first_size, second, second_size) != 0)) {
        differ(log, &head, first, first_size, second, second_size);
        return 0;
    }
    log->at += sizeof(there) + there.size;
    return there.x;
}

static bool
follow_read(struct fp_log *log, uint64_t iova, void *to, size_t size)
{
    struct fp_log_head there, head = { .kind = FP_LOG_DMA_READ, .size = 16 };
    uint64_t wanted[2] = { iova, size }, was[2] = { 0, 0 };

    if (log->differs) {
        return false;
    }
    if (next(log, &there) && there.kind == FP_LOG_DMA_READ && there.size >= 8) {
        memcpy(was, body_of(log), there.size < 16 ? 8 : 16);
        if (was[0] == iova && there.x != 0 && there.size == 8 + size) {
            memcpy(to, body_of(log) + 8, size);
            log->at += sizeof(there) + there.size;
            return true;
        }
        if (was[0] == iova && there.x == 0 && there.size == 16 && was[1] == size) {
            log->at += sizeof(there) + there.size;
            return false;
        }
    }
    differ(log, &head, wanted, sizeof(wanted), NULL, 0);
    return false;
}

/* -- guest memory ----------------------------------------------------------------------------------------------- */

bool
fp_log_dma_read(struct fp_memory *m, uint64_t iova, void *to, size_t size)
{
    struct fp_log *log = m->log;
    uint64_t wanted = size;
    bool done;

    if (log->follows && log->depth != 0) {
        return follow_read(log, iova, to, size);
    }
    done = fp_memory_read(m, iova, to, size);
    if (done) {
        fp_log_put(log, FP_LOG_DMA_READ, 1, 0, &iova, sizeof(iova), to, size);
    } else {
        fp_log_put(log, FP_LOG_DMA_READ, 0, 0, &iova, sizeof(iova), &wanted, sizeof(wanted));
    }
    return done;
}

bool
fp_log_dma_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size, int at_once)
{
    struct fp_log *log = m->log;
    bool done = true;

    if (!log->follows || log->depth == 0) {
        done = fp_memory_write(m, iova, from, size, at_once);
        if (log->follows) {
            return done;
        }
    }
    return fp_log_put(log, FP_LOG_DMA_WRITE, done, at_once, &iova, sizeof(iova), from, size) != 0;
}

/* -- doing it again ------------------------------------------------------------------------------------------------ */

/* Do the step whose head was read, which begins behind it; false: it is Python's. */
static bool
do_again(struct fp_engine *e, const struct fp_log_head *head, const uint8_t *body)
{
    uint64_t words[3] = { 0, 0, 0 }, value;
    size_t size = head->size - 8;
    bool done;

    memcpy(words, body, head->size < sizeof(words) ? head->size : sizeof(words));
    switch (head->kind) {
    case FP_LOG_READ:
        return head->size == 16 && head->x == 0 && fp_bar_read(e, words[1], head->y, &value) == 0;
    case FP_LOG_WRITE:
        return head->size == 24 && head->x == 0 && fp_bar_write(e, words[1], head->y, words[2]) == 0;
    case FP_LOG_FRAME_IN:
        if (size < FP_FRAME_MIN || size > FP_FRAME_MAX) {
            return false;
        }
        memcpy(e->wire.in->frames[0], body + 8, size);
        fp_wire_arrived(e, e->wire.in->frames[0], size);
        return true;
    case FP_LOG_TIMER:
        e->log->depth++;
        done = head->size == 16 && fp_fire(e, (int64_t)words[1]);
        e->log->depth--;
        return done;
    default:
        return false;
    }
}

void
fp_log_follow(struct fp_engine *e)
{
    struct fp_log *log = e->log;
    struct fp_log_head head;

    e->attention = false;
    while (!log->differs && !e->attention && next(log, &head) && head.kind < FIRST_OUTCOME && head.size >= 8) {
        const uint8_t *body = body_of(log);
        size_t before = log->at;
        int64_t now = e->now;

        memcpy(&e->now, body, sizeof(e->now));
        log->begun = before;
        log->at += sizeof(head) + head.size;
        if (!do_again(e, &head, body)) {
            log->at = before;
            e->now = now;
            return;
        }
        log->steps++;
    }
}
