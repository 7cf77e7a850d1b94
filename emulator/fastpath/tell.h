/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine's account of what happened: device_model/events.py as records in a ring, which Python decodes when asked.
 */
#ifndef HILNIC_FASTPATH_TELL_H
#define HILNIC_FASTPATH_TELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fp_kind {
    FP_REGISTER_READ, FP_REGISTER_WRITTEN, FP_DMA_READ, FP_DMA_WRITE, FP_TX_DESCRIPTOR, FP_TX_WRITE_BACK,
    FP_RX_DESCRIPTOR, FP_RX_WRITE_BACK, FP_FRAME_EMITTED, FP_FRAME_ARRIVED, FP_FRAME_DELIVERED, FP_FRAME_DROPPED,
    FP_CAUSE_RAISED, FP_INTERRUPT_SENT, FP_INTERRUPT_WITHHELD, FP_AUTO_MASKED, FP_LINK_CHANGED, FP_PAUSE_FRAME,
    FP_DEVICE_RESET, FP_GUEST_ERROR, FP_KINDS,
};

/* The words of events, as numbers; Python has them in the same order (emulator/fastpath/events.py). */
enum fp_purpose { FP_RX_DESCRIPTORS, FP_TX_DESCRIPTORS, FP_TX_PAYLOAD, FP_RX_PAYLOAD, FP_RX_DONE, FP_TX_DONE, FP_TX_HEAD };
enum fp_reason {
    FP_DISABLED, FP_NO_LINK, FP_OVERSIZE, FP_ADDRESS, FP_NO_VLAN, FP_PAUSE, FP_MAC_CONTROL, FP_NO_DESCRIPTOR,
    FP_BUFFER_FULL,
};
enum fp_cause { FP_CAUSE_RX, FP_CAUSE_TX, FP_CAUSE_OTHER, FP_CAUSE_TCP_TIMER, FP_CAUSE_SOFTWARE };
enum fp_why { FP_EVENT, FP_UNMASK, FP_TIMER, FP_FAULT };
enum fp_held { FP_MASKED, FP_THROTTLED, FP_HELD, FP_DROPPED };

struct fp_record {
    uint32_t size; /* of the whole record, a multiple of 8 */
    uint16_t kind;
    uint16_t unused;
    uint32_t data_size;
    uint32_t unused2;
    int64_t t_ns;
    uint64_t a, b, c, d;
    uint8_t data[];
};

#define FP_TELL_BYTES (64u << 20)
#define FP_TELL_NUMBERS (1u << 18)

struct fp_tell {
    bool on;           /* somebody listens */
    uint32_t watched;  /* bit of each kind at which Python is called at once */
    uint32_t beside;   /* and of each kind at whose other side it is */
    uint32_t kept;     /* bit of each kind that is kept */
    uint64_t counts[FP_KINDS];
    uint64_t next;     /* number of the next record */
    uint64_t oldest;   /* number of the oldest record that is still there */
    uint64_t end;      /* bytes ever written */
    uint8_t *ring;     /* FP_TELL_BYTES and room for one record more */
    uint64_t *starts;  /* where record n begins, by n modulo FP_TELL_NUMBERS */
};

struct fp_engine;

bool fp_tell_open(struct fp_tell *t);
void fp_tell_close(struct fp_tell *t);
/* Tell of something; nobody listening costs one look (engine.h: fp_tell). */
void fp_tell_of(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *data,
                size_t size);
/* The other side of an act: before what is told after, after what is told before (engine.h: fp_other_side). */
void fp_other_side_of(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
/* A guest's nonsense, as a sentence. */
void fp_nonsense(struct fp_engine *e, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The record of this number, or NULL if it is not there (any more). */
const struct fp_record *fp_record_at(const struct fp_tell *t, uint64_t number);

#endif
