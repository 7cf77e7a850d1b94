/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The account of all that comes to the card and all that it does, written into a file that is mapped, or followed: then
 * what the card asks is answered from it, and what it does must be what stands there. emulator/bundle/entries.py describes
 * the format and has the same kinds; emulator/bundle/log.py and reader.py are the twins in Python.
 */
#ifndef HILNIC_FASTPATH_LOG_H
#define HILNIC_FASTPATH_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fp_log_kind {
    FP_LOG_NOTHING = 0,
    FP_LOG_READ = 1, FP_LOG_WRITE = 2, FP_LOG_FRAME_IN = 7, FP_LOG_TIMER = 8, /* steps that the engine does by itself */
    FP_LOG_RESULT = 32, FP_LOG_DMA_READ = 33, FP_LOG_DMA_WRITE = 34, FP_LOG_FRAME_OUT = 35, FP_LOG_INTERRUPT = 36,
    FP_LOG_END = 64,
};

struct fp_log_head {
    uint8_t kind, x;
    uint16_t y;
    uint32_t size; /* of what follows */
} __attribute__((packed));

struct fp_log {
    bool follows;   /* else it is written */
    int fd;         /* written: the file whose bytes data are */
    uint32_t depth; /* steps within steps; 0: nothing is part of the log */
    uint8_t *data;
    size_t at;    /* where the next entry begins */
    size_t end;   /* written: no step begins behind this; followed: the log ends here */
    size_t room;  /* written: bytes that there are */
    size_t begun; /* where the step begins */
    size_t ready; /* bytes for which there is memory and place on the disk */
    bool full, muted; /* no step is written any more; this step is not */
    uint64_t steps, lost_steps, lost_bytes;
    bool differs; /* the card did `found` instead of what stands at `at` */
    struct fp_log_head found;
    uint8_t *found_body;
};

struct fp_engine;
struct fp_memory;

/* Write into `room` bytes of a file that is mapped at data, from byte `at` on; no step begins behind `end`. False: no memory. */
bool fp_log_write(struct fp_engine *e, int fd, uint8_t *data, size_t at, size_t end, size_t room);
/* Follow what is there, from byte `at` to `end`. */
bool fp_log_read(struct fp_engine *e, uint8_t *data, size_t at, size_t end);
void fp_log_close(struct fp_engine *e);
/* Something comes from outside, with this body behind the time: two parts. */
void fp_log_begin(struct fp_engine *e, int kind, int x, int y, const void *body, size_t size);
void fp_log_end(struct fp_engine *e);
/* The card does something. Returns x as it was when the log was written. */
int fp_log_put(struct fp_log *log, int kind, int x, int y, const void *first, size_t first_size, const void *second,
               size_t second_size);
bool fp_log_dma_read(struct fp_memory *m, uint64_t iova, void *to, size_t size);
bool fp_log_dma_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size, int at_once);
/* Follow the log as far as the engine can by itself; the next step, or the end, is Python's affair. */
void fp_log_follow(struct fp_engine *e);

#endif
