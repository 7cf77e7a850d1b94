/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

#define FEW 4 /* frames that fit the packet buffer above the mark at which we ask for a pause (Linux igb_reset) */

bool
fp_wire_open(struct fp_wire *w)
{
    w->kind = FP_WIRE_PYTHON;
    w->fd = -1;
    w->connected = true;
    w->out = calloc(1, sizeof(*w->out));
    w->in = calloc(1, sizeof(*w->in));
    return w->out != NULL && w->in != NULL && fp_stream_open(w) && fp_tap_open(w) && fp_capture_open(w);
}

void
fp_wire_close(struct fp_wire *w)
{
    free(w->out);
    free(w->in);
    w->out = w->in = NULL;
    fp_stream_close(w);
    fp_tap_close(w);
    fp_capture_close(w);
}

bool
fp_wire_wants_out(const struct fp_wire *w)
{
    return w->kind == FP_WIRE_STREAM && fp_stream_unsent(w);
}

bool
fp_wire_held(const struct fp_engine *e)
{
    return e->pause_obeyed && e->link.xoff;
}

bool
fp_wire_backlog(const struct fp_engine *e)
{
    return e->wire.kind == FP_WIRE_STREAM && fp_stream_backlog(&e->wire) && !fp_wire_held(e);
}

/* -- out ------------------------------------------------------------------------------------------------------ */

/* emulator/wires/dgram.py: an absent peer and a full one lose the frame. */
static void
not_sent(struct fp_wire *w, int error)
{
    w->dropped++;
    w->connected = error != ECONNREFUSED && error != ENOENT;
}

static void
sent(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note)
{
    w->emitted++;
    w->connected = true;
    fp_capture_sent(w, frame, size, note);
}

static void
flush_datagrams(struct fp_wire *w)
{
    struct mmsghdr messages[FP_WIRE_BATCH];
    struct iovec pieces[FP_WIRE_BATCH];
    struct fp_wire_batch *b = w->out;
    size_t at = 0;

    memset(messages, 0, b->count * sizeof(messages[0]));
    for (size_t n = 0; n < b->count; n++) {
        pieces[n].iov_base = b->frames[n] + FP_WIRE_HEAD;
        pieces[n].iov_len = b->sizes[n];
        messages[n].msg_hdr.msg_iov = &pieces[n];
        messages[n].msg_hdr.msg_iovlen = 1;
        messages[n].msg_hdr.msg_name = w->address;
        messages[n].msg_hdr.msg_namelen = w->address_size;
    }
    while (at < b->count) {
        int done = sendmmsg(w->fd, messages + at, (unsigned)(b->count - at), MSG_DONTWAIT);

        if (done > 0) {
            for (int n = 0; n < done; n++, at++) {
                sent(w, b->frames[at] + FP_WIRE_HEAD, b->sizes[at], &b->notes[at]);
            }
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

    if (w->kind == FP_WIRE_TAP) {
        fp_tap_flush(w);
    }
    if (w->out->count != 0) {
        if (w->kind == FP_WIRE_DGRAM) {
            flush_datagrams(w);
        } else if (w->kind == FP_WIRE_STREAM) {
            fp_stream_flush(w);
        }
        w->out->count = 0;
    }
    fp_capture_flush(w);
}

static void
keep_for_flush(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_wire_batch *b = e->wire.out;

    memcpy(b->frames[b->count] + FP_WIRE_HEAD, frame, size);
    b->notes[b->count] = e->leaving;
    b->sizes[b->count++] = size;
    if (b->count == FP_WIRE_BATCH) {
        fp_wire_flush(e);
    }
}

/* A wire of Python's takes down by itself what leaves (wire.py). */
static void
take_down(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    if (e->log != NULL && e->wire.kind != FP_WIRE_PYTHON) {
        fp_log_put(e->log, FP_LOG_FRAME_OUT, 0, 0, frame, size, NULL, 0);
    }
}

static void
emit(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_wire *w = &e->wire;

    switch (w->kind) {
    case FP_WIRE_NULL:
        sent(w, frame, size, &e->leaving);
        break;
    case FP_WIRE_TAP:
        fp_tap_emit(w, frame, size, &e->leaving);
        break;
    case FP_WIRE_STREAM:
        if (size > FP_WIRE_ROOM || fp_stream_unsent(w) || w->stream_end != FP_STREAM_GOES_ON) {
            w->dropped++;
        } else {
            keep_for_flush(e, frame, size);
        }
        break;
    case FP_WIRE_DGRAM:
        if (size <= FP_WIRE_ROOM) {
            keep_for_flush(e, frame, size);
            break;
        }
        fp_wire_flush(e);
        if (sendto(w->fd, frame, size, MSG_DONTWAIT, (struct sockaddr *)w->address, w->address_size) >= 0) {
            sent(w, frame, size, &e->leaving);
        } else {
            not_sent(w, errno);
        }
        break;
    default:
        e->up.emit(e->handle, frame, size);
        break;
    }
}

void
fp_emit(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    take_down(e, frame, size);
    emit(e, frame, size);
}

void
fp_emit_segment(struct fp_engine *e, const struct fp_departure *d, const uint8_t *frame, size_t size)
{
    take_down(e, frame, size);
    if (e->wire.kind != FP_WIRE_TAP || !fp_tap_segment(&e->wire, d, frame, size)) {
        emit(e, frame, size);
    }
}

/* -- in ------------------------------------------------------------------------------------------------------- */

void
fp_wire_arrived(struct fp_engine *e, uint8_t *frame, size_t size)
{
    if (size < FP_FRAME_MIN || size > FP_FRAME_MAX) {
        e->wire.malformed++;
        return;
    }
    e->wire.arrived++;
    fp_capture_arrives(&e->wire, frame, size);
    fp_step_begins(e, FP_LOG_FRAME_IN, 0, 0, frame, size);
    if (fp_has(e, SLOT_WUC, WUC_PME_EN_MASK)) {
        e->up.wake(e->handle, frame, size);
    }
    fp_arrive_here(e, frame, size, false);
    fp_capture_placed(&e->wire, &e->placed);
    fp_step_ends(e);
}

void
fp_wire_arrived_many(struct fp_engine *e)
{
    struct fp_wire_batch *b = e->wire.in;
    size_t at = 0;

    if (e->team != NULL) {
        for (size_t n = 0; n < b->count; n++) {
            e->batch[n].bytes = b->frames[n];
            e->batch[n].size = (uint32_t)b->sizes[n];
        }
        at = fp_receive_together(e, b->count);
    }
    for (; at < b->count; at++) {
        fp_wire_arrived(e, b->frames[at], b->sizes[at]);
    }
}

static size_t
poll_datagrams(struct fp_engine *e)
{
    struct mmsghdr messages[FP_WIRE_BATCH];
    struct iovec pieces[FP_WIRE_BATCH];
    struct fp_wire_batch *b = e->wire.in;
    unsigned most = e->pause_obeyed && e->first_waiting != NULL ? FEW : FP_WIRE_BATCH;
    int got;

    memset(messages, 0, sizeof(messages));
    for (size_t n = 0; n < FP_WIRE_BATCH; n++) {
        pieces[n].iov_base = b->frames[n];
        pieces[n].iov_len = FP_WIRE_ROOM;
        messages[n].msg_hdr.msg_iov = &pieces[n];
        messages[n].msg_hdr.msg_iovlen = 1;
    }
    got = recvmmsg(e->wire.fd, messages, most, MSG_DONTWAIT | MSG_TRUNC, NULL);
    b->count = got > 0 ? (size_t)got : 0;
    for (size_t n = 0; n < b->count; n++) {
        b->sizes[n] = messages[n].msg_len;
    }
    fp_wire_arrived_many(e);
    return b->count;
}

size_t
fp_wire_poll(struct fp_engine *e)
{
    fp_now(e);
    switch (e->wire.kind) {
    case FP_WIRE_DGRAM: return poll_datagrams(e);
    case FP_WIRE_TAP: return fp_tap_poll(e);
    case FP_WIRE_STREAM: return fp_stream_poll(e);
    default: return 0;
    }
}
