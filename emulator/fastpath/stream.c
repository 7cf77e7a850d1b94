/* SPDX-License-Identifier: BSD-3-Clause */
/* A wire over a byte stream once it has a partner: QEMU's -netdev stream, as emulator/wires/stream.py has it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "engine.h"

#define LENGTH_MAX (4096 + 65536) /* QEMU's NET_BUFSIZE: no sender of this format has longer frames */
#define READ (1u << 17)           /* bytes of one read */
#define SHORTEST 60

struct fp_stream {
    size_t in_size, rest_size;
    bool held; /* there are whole frames, and our partner is to pause */
    uint8_t in[READ + FP_WIRE_HEAD + LENGTH_MAX];
    uint8_t rest[FP_WIRE_HEAD + FP_WIRE_ROOM]; /* of a frame that went out in part */
};

bool
fp_stream_open(struct fp_wire *w)
{
    w->stream = calloc(1, sizeof(*w->stream));
    return w->stream != NULL;
}

void
fp_stream_close(struct fp_wire *w)
{
    free(w->stream);
    w->stream = NULL;
}

void
fp_stream_begin(struct fp_wire *w, int fd)
{
    w->fd = fd;
    w->kind = fd < 0 ? FP_WIRE_PYTHON : FP_WIRE_STREAM;
    w->stream_end = FP_STREAM_GOES_ON;
    w->stream->in_size = w->stream->rest_size = 0;
    w->stream->held = false;
    w->out->count = 0;
}

bool
fp_stream_backlog(const struct fp_wire *w)
{
    return w->stream->held;
}

bool
fp_stream_unsent(const struct fp_wire *w)
{
    return w->stream->rest_size != 0;
}

static void
end(struct fp_wire *w, enum fp_stream_end why)
{
    w->stream_end = (int)why;
    w->stream->rest_size = 0;
}

/* Take note of what of the batch went: `gone` bytes of it; the frame that went in part is kept, those behind it drop. */
static void
account(struct fp_wire *w, size_t gone)
{
    struct fp_wire_batch *b = w->out;

    for (size_t n = 0; n < b->count; n++) {
        size_t whole = FP_WIRE_HEAD + b->sizes[n];

        if (gone == 0) {
            w->dropped++;
            continue;
        }
        w->emitted++;
        fp_capture_sent(w, b->frames[n] + FP_WIRE_HEAD, b->sizes[n], &b->notes[n]);
        if (gone >= whole) {
            gone -= whole;
            continue;
        }
        w->stream->rest_size = whole - gone;
        memcpy(w->stream->rest, b->frames[n] + gone, w->stream->rest_size);
        gone = 0;
    }
}

void
fp_stream_flush(struct fp_wire *w)
{
    struct iovec pieces[FP_WIRE_BATCH];
    struct msghdr message = { .msg_iov = pieces };
    struct fp_wire_batch *b = w->out;
    ssize_t gone;

    for (size_t n = 0; n < b->count; n++) {
        uint32_t length = __builtin_bswap32((uint32_t)b->sizes[n]);

        memcpy(b->frames[n], &length, sizeof(length));
        pieces[n].iov_base = b->frames[n];
        pieces[n].iov_len = FP_WIRE_HEAD + b->sizes[n];
    }
    message.msg_iovlen = b->count;
    gone = sendmsg(w->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    account(w, gone > 0 ? (size_t)gone : 0);
    if (gone < 0 && errno != EAGAIN) {
        end(w, FP_STREAM_FAILED);
    }
}

static void
send_rest(struct fp_wire *w)
{
    struct fp_stream *s = w->stream;
    ssize_t gone = send(w->fd, s->rest, s->rest_size, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (gone > 0) {
        s->rest_size -= (size_t)gone;
        memmove(s->rest, s->rest + gone, s->rest_size);
    } else if (gone < 0 && errno != EAGAIN) {
        end(w, FP_STREAM_FAILED);
    }
}

/* The next whole frame from `at` on, or NULL. */
static uint8_t *
whole(struct fp_engine *e, size_t at, uint32_t *length)
{
    struct fp_stream *s = e->wire.stream;

    if (s->in_size - at < FP_WIRE_HEAD) {
        return NULL;
    }
    memcpy(length, s->in + at, sizeof(*length));
    *length = __builtin_bswap32(*length);
    if (*length > LENGTH_MAX) {
        end(&e->wire, FP_STREAM_LOST);
        return NULL;
    }
    return s->in_size - at - FP_WIRE_HEAD < *length ? NULL : s->in + at + FP_WIRE_HEAD;
}

/* Hand as many frames from `at` on as the team takes to it; return where the next one begins. */
static size_t
deframe_together(struct fp_engine *e, size_t at)
{
    size_t count = 0, taken, next = at;
    uint32_t length;
    uint8_t *frame;

    while (count < FP_WIRE_BATCH && (frame = whole(e, next, &length)) != NULL) {
        if (length < SHORTEST) { /* there is no room behind it: the next frame begins there */
            frame = memcpy(e->wire.in->frames[count], frame, length);
        }
        e->batch[count].bytes = frame;
        e->batch[count++].size = length;
        next += FP_WIRE_HEAD + length;
    }
    taken = fp_receive_together(e, count);
    for (size_t n = 0; n < taken; n++) {
        memcpy(&length, e->wire.stream->in + at, sizeof(length));
        at += FP_WIRE_HEAD + __builtin_bswap32(length);
    }
    return at;
}

/* Hand the whole frames at the head of the buffer to the receiver. */
static void
deframe(struct fp_engine *e)
{
    struct fp_stream *s = e->wire.stream;
    size_t at = 0, before;
    uint32_t length;
    uint8_t *frame;

    s->held = false;
    while (e->team != NULL && e->first_waiting == NULL && !fp_wire_held(e)) {
        before = at;
        at = deframe_together(e, at);
        if (at == before) {
            break;
        }
    }
    while ((frame = whole(e, at, &length)) != NULL) {
        if (fp_wire_held(e)) {
            s->held = true;
            break;
        }
        if (length < SHORTEST) {
            frame = memcpy(e->wire.in->frames[0], frame, length);
        }
        fp_wire_arrived(e, frame, length);
        at += FP_WIRE_HEAD + length;
    }
    s->in_size -= at;
    memmove(s->in, s->in + at, s->in_size);
}

/* Do what is due with the connection. At its end 0 is returned, so that Python looks at it. */
size_t
fp_stream_poll(struct fp_engine *e)
{
    struct fp_wire *w = &e->wire;
    struct fp_stream *s = w->stream;
    ssize_t got;

    if (s->rest_size != 0) {
        send_rest(w);
    }
    if (s->held) {
        deframe(e);
        return w->stream_end == FP_STREAM_GOES_ON ? 1 : 0;
    }
    got = recv(w->fd, s->in + s->in_size, READ, MSG_DONTWAIT);
    if (got > 0) {
        s->in_size += (size_t)got;
        deframe(e);
    } else if (got == 0 || errno != EAGAIN) {
        end(w, got == 0 ? FP_STREAM_CLOSED : FP_STREAM_FAILED);
    }
    return w->stream_end == FP_STREAM_GOES_ON ? 1 : 0;
}
