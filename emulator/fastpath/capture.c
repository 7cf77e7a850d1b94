/* SPDX-License-Identifier: BSD-3-Clause */
/* Every frame on the wire into a pcapng file, as emulator/wires/pcapng.py writes it; whole whenever the loop sleeps. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define ROOM (1u << 18)
#define ENHANCED_PACKET 6
#define EPB_FLAGS 2

struct fp_capture {
    int fd;
    size_t used;
    uint8_t blocks[ROOM];
};

struct head {
    uint32_t type, length, interface, time_high, time_low, captured, original;
};

struct tail {
    uint16_t flags_code, flags_size;
    uint32_t direction;
    uint16_t end_code, end_size;
    uint32_t length;
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
        c->used = 0;
    }
}

bool
fp_capture_on(const struct fp_wire *w)
{
    return w->capture->fd >= 0;
}

void
fp_capture_frame(struct fp_wire *w, const uint8_t *frame, size_t size, uint32_t direction)
{
    struct fp_capture *c = w->capture;
    size_t padded = (size + 3) & ~(size_t)3;
    uint32_t length = (uint32_t)(sizeof(struct head) + padded + sizeof(struct tail));
    struct tail tail = { EPB_FLAGS, 4, direction, 0, 0, length };
    struct timespec now;
    struct head head;
    uint64_t ns;

    if (c->fd < 0 || length > ROOM) {
        return;
    }
    if (c->used + length > ROOM) {
        fp_capture_flush(w);
        if (c->fd < 0) {
            return;
        }
    }
    clock_gettime(CLOCK_REALTIME, &now);
    ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    head = (struct head){ ENHANCED_PACKET, length, 0, (uint32_t)(ns >> 32), (uint32_t)ns, (uint32_t)size, (uint32_t)size };
    memcpy(c->blocks + c->used, &head, sizeof(head));
    memcpy(c->blocks + c->used + sizeof(head), frame, size);
    memset(c->blocks + c->used + sizeof(head) + size, 0, padded - size);
    memcpy(c->blocks + c->used + sizeof(head) + padded, &tail, sizeof(tail));
    c->used += length;
}
