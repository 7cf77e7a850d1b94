/* SPDX-License-Identifier: BSD-3-Clause */
/* Our end of the cable, in batches: datagrams, TAP, nobody; every other wire is emulator/wires in Python. */
#ifndef HILNIC_FASTPATH_WIRE_H
#define HILNIC_FASTPATH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FP_WIRE_BATCH 64
#define FP_FRAME_MIN 14
#define FP_FRAME_MAX (9728 + 8)
#define FP_WIRE_ROOM 9760 /* bytes of one frame in a batch: the longest and what is cut off behind it */

enum fp_wire_kind { FP_WIRE_PYTHON, FP_WIRE_NULL, FP_WIRE_DGRAM, FP_WIRE_TAP };

struct fp_wire_batch;

struct fp_wire {
    int kind, fd;
    bool connected;
    uint64_t emitted, arrived, dropped, malformed; /* emulator/wires/end.py WireCounts */
    uint8_t address[128];                          /* of the datagrams' far end */
    uint32_t address_size;
    struct fp_wire_batch *out, *in;
};

struct fp_engine;

bool fp_wire_open(struct fp_wire *w);
void fp_wire_close(struct fp_wire *w);
/* A frame leaves, at the latest with the next fp_wire_flush(). Never blocks. */
void fp_emit(struct fp_engine *e, const uint8_t *frame, size_t size);
void fp_wire_flush(struct fp_engine *e);
/* Take up to a batch of frames off the wire into the receiver; return how many there were. */
size_t fp_wire_poll(struct fp_engine *e);

#endif
