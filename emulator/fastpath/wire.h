/* SPDX-License-Identifier: BSD-3-Clause */
/* Our end of the cable, in batches: datagrams, a stream, TAP, nobody; every other wire is emulator/wires in Python. */
#ifndef HILNIC_FASTPATH_WIRE_H
#define HILNIC_FASTPATH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "note.h"

#define FP_WIRE_BATCH 64
#define FP_FRAME_MIN 14
#define FP_FRAME_MAX (9728 + 8)
#define FP_WIRE_ROOM 9760 /* bytes of one frame in a batch: the longest and what is cut off behind it */
#define FP_WIRE_HEAD 4    /* before it: a stream's length */
#define FP_TAP_HEAD 10    /* bytes of a virtio_net header, before each frame on a TAP interface */

enum fp_wire_kind { FP_WIRE_PYTHON, FP_WIRE_NULL, FP_WIRE_DGRAM, FP_WIRE_TAP, FP_WIRE_STREAM };

/* Why a stream is over. */
enum fp_stream_end { FP_STREAM_GOES_ON, FP_STREAM_CLOSED, FP_STREAM_FAILED, FP_STREAM_LOST };

struct fp_engine;
struct fp_wire_batch;
struct fp_stream;
struct fp_capture;
struct fp_tap;
struct fp_departure;

struct fp_wire {
    int kind, fd;
    bool connected;
    uint64_t emitted, arrived, dropped, malformed; /* emulator/wires/end.py WireCounts */
    uint8_t address[128];                          /* of the datagrams' far end */
    uint32_t address_size;
    struct fp_wire_batch *out, *in;
    bool offload; /* a TAP interface takes and gives packets that are not cut up */
    struct fp_tap *tap;
    struct fp_stream *stream;
    int stream_end;      /* enum fp_stream_end; then Python looks for another partner */
    struct fp_capture *capture;
    bool capture_failed;
};

struct fp_engine;

bool fp_wire_open(struct fp_wire *w);
void fp_wire_close(struct fp_wire *w);
/* Write every frame from now on into this pcapng file, whose head is there; -1: no more. */
void fp_capture_to(struct fp_wire *w, int fd);
/* A stream's connection: begin with nothing unsent and nothing half received. */
void fp_stream_begin(struct fp_wire *w, int fd);
bool fp_wire_wants_out(const struct fp_wire *w);
/* Nothing is to be taken off the wire now: our partner has been told to pause, and obeys. */
bool fp_wire_held(const struct fp_engine *e);
/* There are frames that were held, and may come now. */
bool fp_wire_backlog(const struct fp_engine *e);
/* A frame leaves, at the latest with the next fp_wire_flush(). Never blocks. */
void fp_emit(struct fp_engine *e, const uint8_t *frame, size_t size);
/* The same for the frame that was cut off a packet last. */
void fp_emit_segment(struct fp_engine *e, const struct fp_departure *d, const uint8_t *frame, size_t size);
void fp_wire_flush(struct fp_engine *e);
/* Take up to a batch of frames off the wire into the receiver; return how many there were. */
size_t fp_wire_poll(struct fp_engine *e);

/* -- between the files of the wire ----------------------------------------------------------------------------- */
struct fp_wire_batch {
    size_t count;
    size_t sizes[FP_WIRE_BATCH];
    struct fp_note notes[FP_WIRE_BATCH];
    uint8_t frames[FP_WIRE_BATCH][FP_WIRE_HEAD + FP_WIRE_ROOM];
};
bool fp_stream_open(struct fp_wire *w);
void fp_stream_close(struct fp_wire *w);
void fp_stream_flush(struct fp_wire *w);
size_t fp_stream_poll(struct fp_engine *e);
bool fp_stream_unsent(const struct fp_wire *w);
bool fp_stream_backlog(const struct fp_wire *w);
bool fp_tap_open(struct fp_wire *w);
void fp_tap_close(struct fp_wire *w);
void fp_tap_flush(struct fp_wire *w);
void fp_tap_emit(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note);
/* Put one more segment of a packet together with those before; false: it must be emitted by itself. */
bool fp_tap_segment(struct fp_wire *w, const struct fp_departure *d, const uint8_t *frame, size_t size);
size_t fp_tap_poll(struct fp_engine *e);
bool fp_capture_open(struct fp_wire *w);
bool fp_capture_on(const struct fp_wire *w);
void fp_capture_close(struct fp_wire *w);
void fp_capture_flush(struct fp_wire *w);
/* A frame has left. */
void fp_capture_sent(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note);
/* A frame comes, and then it is known what became of it; what leaves in between stands behind it. */
void fp_capture_arrives(struct fp_wire *w, const uint8_t *frame, size_t size);
void fp_capture_placed(struct fp_wire *w, const struct fp_note *note);
/* A frame came; it may be changed, and has room for 60 bytes. */
void fp_wire_arrived(struct fp_engine *e, uint8_t *frame, size_t size);
/* Those of the batch that comes in have. */
void fp_wire_arrived_many(struct fp_engine *e);

#endif
