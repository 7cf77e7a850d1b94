/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every frame on the wire into a pcapng file, as emulator/wires/pcapng.py writes it; whole whenever the loop sleeps. What
 * becomes of a frame that comes is known a little later, so it is kept until then, and put before what has left meanwhile.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define ROOM (1u << 18)
#define ENHANCED_PACKET 6
#define OPT_COMMENT 1
#define EPB_FLAGS 2
#define INBOUND 1
#define OUTBOUND 2

struct head {
    uint32_t type, length, interface, time_high, time_low, captured, original;
};

struct tail {
    uint16_t flags_code, flags_size;
    uint32_t direction;
    uint16_t end_code, end_size;
    uint32_t length;
};

#define BESIDE (sizeof(struct head) + 4 + 4 + FP_NOTE_ROOM + sizeof(struct tail)) /* of a block, besides the frame */

struct fp_capture {
    int fd;
    size_t used, before; /* before: how much was there when the frame came that is arriving */
    bool arriving;
    uint64_t arrived_ns;
    size_t arriving_size;
    uint8_t arriving_frame[FP_FRAME_MAX];
    uint8_t moved[BESIDE + FP_FRAME_MAX];
    uint8_t blocks[ROOM];
};

bool
fp_capture_open(struct fp_wire *w)
{
    w->capture = calloc(1, sizeof(*w->capture));
    if (w->capture != NULL) {
        w->capture->fd = -1;
    }
    return w->capture != NULL;
}

void
fp_capture_close(struct fp_wire *w)
{
    free(w->capture);
    w->capture = NULL;
}

void
fp_capture_to(struct fp_wire *w, int fd)
{
    fp_capture_flush(w);
    w->capture->fd = fd;
}

void
fp_capture_flush(struct fp_wire *w)
{
    struct fp_capture *c = w->capture;

    if (c->used != 0) {
        if (write(c->fd, c->blocks, c->used) != (ssize_t)c->used) {
            c->fd = -1; /* the disk is full: what is there is there */
            w->capture_failed = true;
        }
        c->used = c->before = 0;
    }
}

bool
fp_capture_on(const struct fp_wire *w)
{
    return w->capture->fd >= 0;
}

static uint64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Copy so many bytes and fill up to 32 bits; return what is behind. */
static uint8_t *
put(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    memset(at + size, 0, -size & 3);
    return at + size + (-size & 3);
}

/* Append a block; its size, or 0 if there was no place for it. */
static size_t
append(struct fp_wire *w, const uint8_t *frame, size_t size, uint32_t direction, uint64_t ns, const struct fp_note *note)
{
    struct fp_capture *c = w->capture;
    struct tail tail = { EPB_FLAGS, 4, direction, 0, 0, 0 };
    char text[FP_NOTE_ROOM];
    uint16_t comment[2] = { OPT_COMMENT, 0 };
    struct head head;
    uint32_t length;
    uint8_t *at;

    if (size + BESIDE > ROOM) {
        return 0;
    }
    if (c->used + size + BESIDE > ROOM) {
        fp_capture_flush(w);
        if (c->fd < 0) {
            return 0;
        }
    }
    fp_note_text(note, text);
    comment[1] = (uint16_t)strlen(text);
    length = (uint32_t)(sizeof(head) + ((size + 3) & ~(size_t)3) + sizeof(comment) + ((comment[1] + 3u) & ~3u) + sizeof(tail));
    tail.length = length;
    head = (struct head){ ENHANCED_PACKET, length, 0, (uint32_t)(ns >> 32), (uint32_t)ns, (uint32_t)size, (uint32_t)size };
    at = put(c->blocks + c->used, &head, sizeof(head));
    at = put(at, frame, size);
    at = put(at, comment, sizeof(comment));
    at = put(at, text, comment[1]);
    put(at, &tail, sizeof(tail));
    c->used += length;
    return length;
}

void
fp_capture_sent(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note)
{
    if (fp_capture_on(w)) {
        append(w, frame, size, OUTBOUND, now_ns(), note);
    }
}

void
fp_capture_arrives(struct fp_wire *w, const uint8_t *frame, size_t size)
{
    struct fp_capture *c = w->capture;

    if (fp_capture_on(w)) {
        c->arriving = true;
        c->arrived_ns = now_ns();
        c->before = c->used;
        c->arriving_size = size;
        memcpy(c->arriving_frame, frame, size);
    }
}

void
fp_capture_placed(struct fp_wire *w, const struct fp_note *note)
{
    struct fp_capture *c = w->capture;
    size_t size, behind;

    if (!c->arriving) {
        return;
    }
    c->arriving = false;
    if (!fp_capture_on(w)) {
        return;
    }
    size = append(w, c->arriving_frame, c->arriving_size, INBOUND, c->arrived_ns, note);
    behind = c->used - size - c->before;
    if (size != 0 && behind != 0) {
        memcpy(c->moved, c->blocks + c->used - size, size);
        memmove(c->blocks + c->before + size, c->blocks + c->before, behind);
        memcpy(c->blocks + c->before, c->moved, size);
    }
}
