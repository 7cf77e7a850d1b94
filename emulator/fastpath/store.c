/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A received frame goes into its ring: buffers, then descriptors. The twin of device_model/igb/receive.py's _store() (82576
 * 7.1); its order of stores is what Linux igb_clean_rx_irq depends on. Any thread may do it, for a queue of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "rx_status.h"

#define TAG_AT 12
#define TAG 4
#define LEFT_OUT_FOR_EVER (1u << 16)

static uint32_t
buffer_size(const struct fp_engine *e, uint32_t n)
{
    static const uint32_t by_bsize[] = { 2048, 1024, 512, 256 };
    uint32_t srrctl = e->regs[SLOT_SRRCTL + n];
    uint32_t kib = (srrctl & SRRCTL_BSIZEPACKET_MASK) >> SRRCTL_BSIZEPACKET_SHIFT;

    return kib ? kib * 1024 : by_bsize[(e->regs[SLOT_RCTL] & RCTL_BSIZE_MASK) >> RCTL_BSIZE_SHIFT];
}

bool
fp_rx_room(const struct fp_engine *e, uint32_t queue, size_t size, uint32_t taken)
{
    const struct fp_ring *r = &e->rx[queue].ring;
    uint64_t waiting;

    if (!r->enabled || r->halted) {
        return false;
    }
    waiting = fp_ring_waiting(r);
    return waiting > taken && (waiting - taken) * buffer_size(e, queue) >= size;
}

static bool
leaves_length_out(struct fp_engine *e, uint32_t queue)
{
    uint32_t left = e->faults.zero_length_left[queue];

    if (left != 0 && left < LEFT_OUT_FOR_EVER) {
        e->faults.zero_length_left[queue]--;
    }
    return left != 0;
}

static void
keep_unfinished(struct fp_rx_queue *q, uint32_t index, uint64_t word1)
{
    if (q->unfinished.count == q->unfinished_room) {
        size_t more = q->unfinished_room ? q->unfinished_room * 2 : 64;
        uint64_t *words = realloc(q->unfinished_words, more * sizeof(*words));

        if (words == NULL) {
            return;
        }
        q->unfinished_words = words;
        q->unfinished_room = more;
    }
    q->unfinished_words[q->unfinished.count] = word1;
    fp_slots_add(&q->unfinished, index);
}

/* Store one buffer and its descriptor. False: the descriptor ring cannot be written, the queue halts. */
static bool
write_slot(struct fp_engine *e, struct fp_memory *m, struct fp_rx_queue *q, uint32_t index, uint64_t buffer,
           const uint8_t *chunk, size_t size, uint64_t word0, uint64_t word1)
{
    struct fp_ring *r = &q->ring;
    uint64_t iova = fp_ring_address(r, index);
    uint64_t failed = iova;

    fp_other_side(e, FP_DMA_WRITE, buffer, size, FP_RX_PAYLOAD, r->queue);
    if (!fp_write(m, buffer, chunk, size)) {
        fp_nonsense(e, "a buffer of rx[%u] cannot be written, the frame is marked bad: "
                    "DMA of %zu bytes at 0x%llx must lie in mapped guest memory, and does not",
                    r->queue, size, (unsigned long long)buffer);
        word1 |= RXWRITEBACK_RXE_MASK;
    }
    if (leaves_length_out(e, r->queue)) {
        keep_unfinished(q, index, word1);
        word1 &= ~(0xFFFFull << 32);
    }
    fp_other_side(e, FP_DMA_WRITE, iova, 16, FP_RX_DONE, r->queue);
    if (!fp_store64(m, iova, word0) || !(failed = iova + 8, fp_store64(m, iova + 8, word1))) {
        fp_ring_halt(r);
        fp_nonsense(e, "rx[%u] cannot be written back, the queue halts: "
                    "DMA of 8 bytes at 0x%llx must lie in mapped guest memory, and does not",
                    r->queue, (unsigned long long)failed);
        return false;
    }
    r->head = fp_ring_after(r, index);
    q->has_last = true;
    q->last_index = index;
    q->last_words[0] = word0;
    q->last_words[1] = word1;
    if (e->tell.on) {
        fp_tell(e, FP_DMA_WRITE, buffer, size, FP_RX_PAYLOAD, r->queue, NULL, 0);
        fp_tell(e, FP_DMA_WRITE, iova, 16, FP_RX_DONE, r->queue, NULL, 0);
        fp_tell(e, FP_RX_WRITE_BACK, r->queue, index, 0, 0, q->last_words, 16);
    }
    return true;
}

/* The frame without its outer one of two tags. */
const uint8_t *
fp_without_outer(struct fp_engine *e, const uint8_t *frame, size_t *size)
{
    memcpy(e->inner, frame, TAG_AT);
    memcpy(e->inner + TAG_AT, frame + TAG_AT + TAG, *size - TAG_AT - TAG);
    *size -= TAG;
    return e->inner;
}

static uint64_t
status_of(struct fp_engine *e, const uint8_t *frame, const struct fp_parsed *parsed, uint32_t rxcsum, bool stamped)
{
    uint64_t status = e->faults.has_forced_checksum ? e->faults.forced_checksum
                                                    : fp_rx_status(frame, parsed, rxcsum, stamped);

    return status | e->faults.force_rx_errors;
}

/* Whether the receiver takes the frame's tag out. */
static bool
takes_tag_out(const struct fp_engine *e, const struct fp_frame *f)
{
    return f->parsed.vlan_tci >= 0 && fp_has(e, SLOT_CTRL, CTRL_VME_MASK);
}

uint32_t
fp_rx_buffers(const struct fp_engine *e, const struct fp_frame *f)
{
    uint32_t size = buffer_size(e, f->steering.queue);

    return (f->size - (takes_tag_out(e, f) ? TAG : 0) + size - 1) / size;
}

void
fp_store(struct fp_engine *e, struct fp_memory *m, struct fp_frame *f, struct fp_note *note)
{
    uint32_t queue = f->steering.queue;
    struct fp_rx_queue *q = &e->rx[queue];
    struct fp_ring *r = &q->ring;
    const struct fp_parsed *parsed = &f->parsed;
    uint8_t *frame = f->bytes;
    bool tagged = takes_tag_out(e, f);
    bool outer = fp_has_outer_tag(e, frame, f->size);
    size_t inner_size = f->size, payload_size = f->size;
    const uint8_t *inner = outer ? fp_without_outer(e, frame, &inner_size) : frame;
    uint32_t rxcsum = e->regs[SLOT_RXCSUM], srrctl = e->regs[SLOT_SRRCTL + queue];
    uint32_t size = buffer_size(e, queue);
    bool is_legacy = (srrctl & SRRCTL_DESCTYPE_MASK) == 0;
    uint32_t low = ((srrctl & SRRCTL_RDMTS_MASK) >> SRRCTL_RDMTS_SHIFT) * 16;
    uint64_t status = status_of(e, inner, parsed, rxcsum, f->stamped);
    uint64_t word0 = f->steering.rss_type | (uint64_t)fp_packet_type(parsed) << 4;
    uint64_t tci = 0;
    uint8_t *payload = frame;

    if (tagged) {
        size_t at = TAG_AT + (outer ? TAG : 0);

        status |= RXWRITEBACK_VP_MASK;
        tci = (uint64_t)frame[at + 2] << 8 | frame[at + 3];
        /* The addresses (and an outer tag) move up behind the tag that goes. */
        memmove(frame + TAG, frame, at);
        payload = frame + TAG;
        payload_size -= TAG;
    }
    if (outer) {
        status |= RXWRITEBACK_IPIDV_MASK;
    }
    word0 |= (uint64_t)(rxcsum & RXCSUM_PCSD_MASK ? f->steering.rss_hash : parsed->ipv4_id) << 32;
    for (size_t start = 0; start < payload_size; start += size) {
        uint64_t words[2], done = RXWRITEBACK_DD_MASK;
        size_t chunk = payload_size - start < size ? payload_size - start : size;
        bool last = start + size >= payload_size;
        int64_t index = fp_ring_take(e, m, r, words);
        bool good;

        if (index < 0) {
            f->stored = FP_STORED_NOT;
            return;
        }
        if (last) {
            done |= status | RXWRITEBACK_EOP_MASK | tci << 48;
        }
        if (is_legacy) {
            good = write_slot(e, m, q, (uint32_t)index, words[0], payload + start, chunk, words[0],
                              fp_legacy_word(done, (uint32_t)chunk));
        } else {
            good = write_slot(e, m, q, (uint32_t)index, words[0], payload + start, chunk, last ? word0 : 0,
                              done | (uint64_t)chunk << 32);
        }
        if (!good) {
            f->stored = FP_STORED_LOST;
            return;
        }
        fp_note_slot(note, (uint32_t)index);
    }
    f->stored = FP_STORED;
    f->stored_size = (uint32_t)payload_size;
    f->low = low != 0 && fp_ring_waiting(r) == low;
}
