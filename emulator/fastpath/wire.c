/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

struct fp_wire_batch {
    size_t count;
    struct mmsghdr messages[FP_WIRE_BATCH];
    struct iovec pieces[FP_WIRE_BATCH];
    uint8_t frames[FP_WIRE_BATCH][FP_WIRE_ROOM];
};

bool
fp_wire_open(struct fp_wire *w)
{
    w->kind = FP_WIRE_PYTHON;
    w->fd = -1;
    w->connected = true;
    w->out = calloc(1, sizeof(*w->out));
    w->in = calloc(1, sizeof(*w->in));
    if (w->out == NULL || w->in == NULL) {
        return false;
    }
    for (size_t n = 0; n < FP_WIRE_BATCH; n++) {
        w->out->pieces[n].iov_base = w->out->frames[n];
        w->out->messages[n].msg_hdr.msg_iov = &w->out->pieces[n];
        w->out->messages[n].msg_hdr.msg_iovlen = 1;
        w->in->pieces[n].iov_base = w->in->frames[n];
        w->in->pieces[n].iov_len = FP_WIRE_ROOM;
        w->in->messages[n].msg_hdr.msg_iov = &w->in->pieces[n];
        w->in->messages[n].msg_hdr.msg_iovlen = 1;
    }
    return true;
}

void
fp_wire_close(struct fp_wire *w)
{
    free(w->out);
    free(w->in);
    w->out = w->in = NULL;
}

/* emulator/wires/dgram.py: an absent peer and a full one lose the frame. */
static void
not_sent(struct fp_wire *w, int error)
{
    w->dropped++;
    w->connected = error != ECONNREFUSED && error != ENOENT;
}

static void
sent(struct fp_wire *w, size_t many)
{
    w->emitted += many;
    w->connected = true;
}

static void
flush_datagrams(struct fp_wire *w)
{
    struct fp_wire_batch *b = w->out;
    size_t at = 0;

    for (size_t n = 0; n < b->count; n++) {
        b->messages[n].msg_hdr.msg_name = w->address;
        b->messages[n].msg_hdr.msg_namelen = w->address_size;
    }
    while (at < b->count) {
        int done = sendmmsg(w->fd, b->messages + at, (unsigned)(b->count - at), MSG_DONTWAIT);

        if (done > 0) {
            sent(w, (size_t)done);
            at += (size_t)done;
        } else if (errno != EINTR) {
            not_sent(w, errno);
            at++;
        }
    }
}

void
fp_wire_flush(struct fp_engine *e)
{
    struct fp_wire *w = &e->wire;
    struct fp_wire_batch *b = w->out;

    if (b->count == 0) {
        return;
    }
    if (w->kind == FP_WIRE_DGRAM) {
        flush_datagrams(w);
    }
    b->count = 0;
}

static void
emit_big(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_wire *w = &e->wire;

    fp_wire_flush(e);
    if (sendto(w->fd, frame, size, MSG_DONTWAIT, (struct sockaddr *)w->address, w->address_size) >= 0) {
        sent(w, 1);
    } else {
        not_sent(w, errno);
    }
}

void
fp_emit(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_wire *w = &e->wire;
    struct fp_wire_batch *b = w->out;

    switch (w->kind) {
    case FP_WIRE_NULL:
        w->emitted++;
        break;
    case FP_WIRE_TAP:
        /* EIO: the interface is down; EAGAIN, ENOBUFS: its queue is full. */
        if (write(w->fd, frame, size) >= 0) {
            w->emitted++;
        } else {
            w->dropped++;
        }
        break;
    case FP_WIRE_DGRAM:
        if (size > FP_WIRE_ROOM) {
            emit_big(e, frame, size);
            break;
        }
        memcpy(b->frames[b->count], frame, size);
        b->pieces[b->count++].iov_len = size;
        if (b->count == FP_WIRE_BATCH) {
            fp_wire_flush(e);
        }
        break;
    default:
        e->up.emit(e->handle, frame, size);
        break;
    }
}

static void
arrived(struct fp_engine *e, uint8_t *frame, size_t size)
{
    if (size < FP_FRAME_MIN || size > FP_FRAME_MAX) {
        e->wire.malformed++;
        return;
    }
    e->wire.arrived++;
    if (fp_has(e, SLOT_WUC, WUC_PME_EN_MASK)) {
        e->up.wake(e->handle, frame, size);
    }
    fp_arrive_here(e, frame, size, false);
}

static size_t
poll_datagrams(struct fp_engine *e)
{
    struct fp_wire_batch *b = e->wire.in;
    int got = recvmmsg(e->wire.fd, b->messages, FP_WIRE_BATCH, MSG_DONTWAIT | MSG_TRUNC, NULL);

    for (int n = 0; n < got; n++) {
        arrived(e, b->frames[n], b->messages[n].msg_len);
    }
    return got > 0 ? (size_t)got : 0;
}

static size_t
poll_tap(struct fp_engine *e)
{
    struct fp_wire_batch *b = e->wire.in;
    size_t many = 0;

    while (many < FP_WIRE_BATCH) {
        ssize_t got = read(e->wire.fd, b->frames[0], FP_WIRE_ROOM);

        if (got < 0) {
            break;
        }
        many++;
        arrived(e, b->frames[0], (size_t)got);
    }
    return many;
}

size_t
fp_wire_poll(struct fp_engine *e)
{
    switch (e->wire.kind) {
    case FP_WIRE_DGRAM: return poll_datagrams(e);
    case FP_WIRE_TAP: return poll_tap(e);
    default: return 0;
    }
}
