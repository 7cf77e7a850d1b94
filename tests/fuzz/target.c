/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The native engine under a fuzzer. An input is a program: what a driver, a far end and a client of the vfio-user socket
 * may do, in any order and with any nonsense. What must hold is that nothing crashes, no sanitizer complains and the card
 * comes to rest.
 *
 * Built with clang it is libFuzzer's target. With -DREPLAY it has a main() that runs the files it is given.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine.h"

#define BASE 0x100000000u /* where guest memory begins */
#define MEMORY (256u << 10)
#define RINGS 0x8000u /* of queue 0, transmit; those of other queues and of the receiver follow */
#define RING (32u * FP_SLOT)
#define BUFFERS 0x10000u
#define QUEUES 4u
#define STEPS 512 /* of one input */
#define LONGEST 2048
#define IDLE 100000 /* timers that a card at rest has run long before */

struct laid { uint32_t offset, slot, rw, w1c, w1s, rc, sc; };
static const struct laid laid[] = {
#include "laid.inc" /* made by tests/fuzz/build.py from the declarations of the registers */
};
#define LAID (sizeof(laid) / sizeof(laid[0]))

static const uint32_t hot[] = { /* offsets of queue 0 */
    0x0100, 0x0400, 0x5008, 0x5000, 0x5004, 0x5818, 0x1524, 0x1528, 0x1520, 0x1580, 0x152C, 0x1530, 0x1514, 0x1680,
    0x1700, 0x1740, 0x00C0, 0x00C8, 0x00D0, 0x00D8, 0x5400, 0x5404, 0x5600, 0x5CB0, 0x5B50, 0x5C00, 0x0038, 0x3404,
};
static const uint32_t ringed[] = { /* one for each queue, 0x40 bytes apart */
    0xC000, 0xC004, 0xC008, 0xC00C, 0xC010, 0xC018, 0xC028, 0xC030, 0xE000, 0xE008, 0xE010, 0xE018, 0xE028, 0xE038, 0xE03C,
};

struct input { const uint8_t *at; size_t left; };

static uint8_t memory[MEMORY] __attribute__((aligned(4096)));
static int client[2], stream[2];

static uint64_t
take(struct input *in, size_t size)
{
    uint64_t value = 0;

    if (size > in->left) {
        size = in->left;
    }
    memcpy(&value, in->at, size);
    in->at += size;
    in->left -= size;
    return value;
}

static const uint8_t *
taken(struct input *in, size_t *size)
{
    const uint8_t *at = in->at;

    if (*size > in->left) {
        *size = in->left;
    }
    in->at += *size;
    in->left -= *size;
    return at;
}

/* -- the world around the card ---------------------------------------------------------------------------------- */

static void sent(void *h, uint32_t vector) { (void)h; assert(vector < FP_VECTORS); }
static void set_intx(void *h, int asserted) { (void)h; (void)asserted; }
static void see(void *h, const uint8_t *frame, size_t size)
{
    uint8_t sum = 0;

    (void)h;
    for (size_t n = 0; n < size; n++) { /* each byte must be there */
        sum ^= frame[n];
    }
    __asm__ volatile("" : : "r"(sum));
}
static int filled(void *h, size_t level) { (void)h; return level > 32768; }
static int stamp_rx(void *h, const uint8_t *frame, size_t size) { see(h, frame, size); return (int)(size & 1); }
static void stamp_tx(void *h) { (void)h; }

static const struct fp_upcalls up = {
    .send = sent, .set_intx = set_intx, .emit = see, .pause = see, .filled = filled, .stamp_rx = stamp_rx,
    .stamp_tx = stamp_tx, .wake = see,
};

static void
put(struct fp_engine *e, uint32_t offset, uint32_t value)
{
    fp_bar_write(e, offset, 4, value);
}

/* A card whose driver has done its work: four queues each way, buffers posted, link up. */
static struct fp_engine *
card(void)
{
    struct fp_engine *e = fp_new(NULL, &up);
    struct fp_region whole = {
        .iova = BASE, .size = MEMORY, .mapped = MEMORY, .address = (uintptr_t)memory, .readable = true, .writable = true,
    };

    assert(e != NULL);
    for (size_t n = 0; n < LAID; n++) {
        e->place[laid[n].offset / 4] = (uint16_t)(laid[n].slot + 1);
        e->rules[laid[n].slot] =
            (struct fp_rule){ laid[n].rw, laid[n].w1c, laid[n].w1s, laid[n].rc, laid[n].sc };
    }
    fp_set_clock(e, 1000000000);
    fp_map(&e->memory, &whole);
    e->memory.enabled = e->decodes = e->answers = true;
    e->mode = FP_MSIX;
    e->messages = FP_VECTORS;
    e->master = 1;
    e->link.up = 1;
    e->link.speed_mbps = e->link.loopback_speed_mbps = 1000;
    e->rate_mbps = 0;
    e->tell.on = true;
    e->tell.kept = UINT32_MAX;
    put(e, 0x1514, 0x10); /* GPIE: many vectors */
    put(e, 0x5818, 2 | 2); /* MRQC: RSS */
    put(e, 0x0100, 0x8002 | 0x18);
    put(e, 0x0400, 2);
    for (uint32_t q = 0; q < QUEUES; q++) {
        uint32_t tx = 0xE000 + 0x40 * q, rx = 0xC000 + 0x40 * q;

        put(e, tx, BASE + RINGS + q * RING);
        put(e, tx + 4, BASE >> 31 >> 1);
        put(e, tx + 8, RING);
        put(e, tx + 0x28, 1u << 25);
        put(e, rx, BASE + RINGS + (QUEUES + q) * RING);
        put(e, rx + 4, BASE >> 31 >> 1);
        put(e, rx + 8, RING);
        put(e, rx + 0x28, 1u << 25);
        put(e, rx + 0x18, 31);
    }
    return e;
}

/* -- what an input may do ----------------------------------------------------------------------------------------- */

static void
let_time_pass(struct fp_engine *e, int64_t ns)
{
    int64_t end = e->now + ns;
    int most = IDLE;

    while (fp_next_timer(e) <= end) {
        assert(most-- > 0); /* the card must come to rest */
        fp_set_clock(e, fp_next_timer(e) > e->now ? fp_next_timer(e) : e->now);
        fp_run_due(e);
    }
    fp_set_clock(e, end);
}

/* Descriptors in a transmit ring, half of them sensible, then its tail. */
static void
transmit(struct fp_engine *e, struct input *in)
{
    uint32_t queue = (uint32_t)take(in, 1) % QUEUES;
    uint32_t count = (uint32_t)take(in, 1) % 32;
    uint32_t tail = e->regs[SLOT_TDT + queue] % 32;

    for (uint32_t n = 0; n < count; n++, tail = (tail + 1) % 32) {
        uint64_t words[2];
        uint64_t shape = take(in, 1);

        words[0] = take(in, 8);
        words[1] = take(in, 8);
        if (shape & 1) { /* a buffer that is there */
            words[0] = BASE + BUFFERS + words[0] % (MEMORY - BUFFERS);
        }
        if (shape & 2) { /* an advanced data descriptor: DEXT, DTYP */
            words[1] = (words[1] & ~(0xFull << 20)) | 1ull << 29 | 3ull << 20;
        } else if (shape & 4) { /* a context */
            words[1] = (words[1] & ~(0xFull << 20)) | 1ull << 29 | 2ull << 20;
        }
        if (shape & 8) { /* no longer than a jumbo frame */
            words[1] = (words[1] & ~0xFFFFull) | (words[1] & 0x1FFF);
        }
        if (shape & 16) { /* the last of its packet, with a report */
            words[1] |= 9ull << 24;
        }
        memcpy(memory + RINGS + queue * RING + tail * FP_SLOT, words, sizeof(words));
    }
    put(e, 0xE018 + 0x40 * queue, tail);
}

/* The address of a group to which all listen. */
static const uint8_t to[6] = { 0x01, 0x00, 0x5E, 0x00, 0x00, 0x01 };

static void
receive(struct fp_engine *e, struct input *in)
{
    static uint8_t frame[LONGEST * 8 + 64];
    uint64_t shape = take(in, 1);
    size_t size = (size_t)take(in, 2) % LONGEST;
    const uint8_t *bytes = taken(in, &size);

    memcpy(frame, bytes, size);
    if (shape & 1 && size >= 14) { /* addressed to all who listen */
        memcpy(frame, to, sizeof(to));
    }
    if (shape & 2 && size >= 14) { /* an EtherType that is looked into */
        static const uint16_t types[] = { 0x0008, 0xDD86, 0x0081, 0xF788, 0x0888, 0xA888 };
        memcpy(frame + 12, &types[shape >> 4 & 7 ? (shape >> 4 & 7) % 6 : 0], 2);
    }
    if (shape & 4) { /* longer than it looks */
        size_t more = size * 8 < sizeof(frame) - 64 ? size * 8 : sizeof(frame) - 64;
        memset(frame + size, 0xA5, more - size);
        size = more;
    }
    fp_arrive(e, frame, size, (shape & 8) != 0);
}

/* A batch as it comes off the wire, for a team of threads. */
static void
receive_many(struct fp_engine *e, struct input *in)
{
    struct fp_wire_batch *b = e->wire.in;

    b->count = (size_t)take(in, 1) % (FP_WIRE_BATCH + 1);
    for (size_t n = 0; n < b->count; n++) {
        size_t whole = (size_t)take(in, 2) % FP_WIRE_ROOM, size = whole < 200 ? whole : 200;
        const uint8_t *bytes = taken(in, &size);

        memset(b->frames[n], (int)n, sizeof(b->frames[n]));
        memcpy(b->frames[n], bytes, size);
        if (n & 1) {
            memcpy(b->frames[n], to, sizeof(to));
        }
        b->sizes[n] = whole;
    }
    fp_wire_arrived_many(e);
}

static void
step(struct fp_engine *e, struct input *in)
{
    uint64_t value;
    size_t size;

    switch (take(in, 1) % 16) {
    case 0:
    case 1: {
        uint32_t offset = hot[take(in, 1) % (sizeof(hot) / sizeof(hot[0]))];
        offset += 4 * (uint32_t)(take(in, 1) % 16);
        put(e, offset, (uint32_t)take(in, 4));
        break;
    }
    case 2:
    case 3: {
        uint32_t offset = ringed[take(in, 1) % (sizeof(ringed) / sizeof(ringed[0]))];
        offset += 0x40 * (uint32_t)(take(in, 1) % FP_QUEUES);
        put(e, offset, (uint32_t)take(in, 4));
        break;
    }
    case 4:
        value = take(in, 2);
        put(e, laid[value % LAID].offset, (uint32_t)take(in, 4));
        break;
    case 5: {
        uint64_t got;
        fp_bar_read(e, laid[take(in, 2) % LAID].offset, 4, &got);
        break;
    }
    case 6: { /* any access at all */
        uint64_t got, offset = take(in, 3);
        uint32_t bytes = 1u << take(in, 1) % 4; /* in order: what an input means must not depend on the compiler */
        if (fp_bar_read(e, offset, bytes, &got) == 0) {
            fp_bar_write(e, offset, bytes, take(in, 8));
        }
        break;
    }
    case 7:
        value = take(in, 2) * 16 % MEMORY;
        size = (size_t)take(in, 1);
        {
            const uint8_t *bytes = taken(in, &size);
            memcpy(memory + value, bytes, value + size > MEMORY ? MEMORY - value : size);
        }
        break;
    case 8:
    case 9: transmit(e, in); break;
    case 10: receive(e, in); break;
    case 11:
        if (e->team != NULL) {
            receive_many(e, in);
        } else {
            receive(e, in);
        }
        break;
    case 12: let_time_pass(e, (int64_t)(take(in, 4) & 0x3FFFFFF)); break;
    case 13: { /* the client's side */
        uint64_t what = take(in, 1);
        uint64_t iova = BASE + take(in, 3) % MEMORY;
        struct fp_region part = { .iova = iova & ~0xFFFull, .size = 0x1000, .mapped = 0x1000, .readable = (what & 8) != 0,
                                  .writable = (what & 16) != 0 };
        part.address = (uintptr_t)memory + (uintptr_t)(part.iova - BASE);
        switch (what & 7) {
        case 0: fp_unmap(&e->memory, BASE, MEMORY); break;
        case 1: fp_map(&e->memory, &part); break;
        case 2: e->memory.enabled = (what & 8) != 0; break;
        case 3: e->mode = what >> 3 & 1 ? FP_MSIX : what >> 4 & 1 ? FP_MSI : FP_INTX; fp_mode_changed(e); break;
        case 4: e->masked = (uint32_t)take(in, 4); fp_deliver_pending(e, (uint32_t)iova % FP_VECTORS); break;
        case 5: e->link.up = what >> 3 & 1; e->link.phy_loopback = what >> 4 & 1; e->link.paused = what >> 5 & 1; fp_kick(e); break;
        case 6: fp_reset_transmit(e); fp_reset_receive(e); fp_reset_interrupts(e); break;
        default: e->least_gap_us = (uint32_t)iova & 0xFF; break;
        }
        break;
    }
    case 14: { /* faults */
        uint8_t *faults = (uint8_t *)&e->faults;
        value = take(in, 2) % sizeof(e->faults);
        faults[value] = (uint8_t)take(in, 1);
        for (uint32_t n = 0; n < FP_VECTORS; n++) {
            e->faults.duplicates[n] &= 0xFF; /* whoever asks for millions gets them, and waits */
        }
        fp_release_completions(e, (uint32_t)value % FP_QUEUES, (int64_t)(value % 7) - 1);
        fp_complete_now(e, (uint32_t)value % FP_QUEUES, (uint32_t)value >> 4);
        fp_finish_write_back(e, (uint32_t)value % FP_QUEUES);
        fp_rewrite_old_slot(e, (uint32_t)value % FP_QUEUES);
        break;
    }
    default: { /* bytes on the sockets */
        int *pair = take(in, 1) & 1 ? client : stream;
        size = (size_t)take(in, 1);
        {
            const uint8_t *bytes = taken(in, &size);
            if (write(pair[0], bytes, size) < 0) {
                break;
            }
        }
        if (pair == client) {
            uint8_t rest[512];
            while (fp_take_posted(e, client[1]) > 0) {
            }
            while (recv(client[1], rest, sizeof(rest), MSG_DONTWAIT) > 0) {
            }
        } else {
            int kind = e->wire.kind;
            e->wire.kind = FP_WIRE_STREAM;
            fp_stream_begin(&e->wire, stream[1]);
            fp_wire_poll(e);
            e->wire.kind = kind;
        }
        break;
    }
    }
}

static void
run(struct input in, uint32_t threads)
{
    struct fp_engine *e;

    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client) == 0);
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, stream) == 0);
    memset(memory, 0, sizeof(memory));
    for (uint32_t n = 0; n < QUEUES * 32; n++) {
        uint64_t buffer = BASE + BUFFERS + n * 1024;
        memcpy(memory + RINGS + QUEUES * RING + n * FP_SLOT, &buffer, sizeof(buffer));
    }
    e = card();
    if (threads > 1) {
        assert(fp_set_threads(e, threads));
        e->together_least = 2;
        e->tell.on = false; /* whoever listens sees packets one by one */
    }
    for (int n = 0; n < STEPS && in.left > 0; n++) {
        step(e, &in);
    }
    e->faults.held_vectors = 0;
    let_time_pass(e, 1000000000);
    fp_free(e);
    for (int n = 0; n < 2; n++) {
        close(client[n]);
        close(stream[n]);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run((struct input){ data, size }, 1);
    run((struct input){ data, size }, 3);
    return 0;
}

#ifdef REPLAY
int
main(int count, char **names)
{
    static uint8_t data[1 << 20];

    for (int n = 1; n < count; n++) {
        FILE *file = fopen(names[n], "rb");
        size_t size = file != NULL ? fread(data, 1, sizeof(data), file) : 0;
        uint8_t *exact = malloc(size ? size : 1); /* so that a read behind its end is seen */

        if (file == NULL || exact == NULL) {
            perror(names[n]);
            return 2;
        }
        fclose(file);
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
#endif
