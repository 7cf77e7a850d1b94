/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The transmit path: doorbell, fetch, assemble, offload, depart at the link's rate, write back. The twin of
 * device_model/igb/transmit.py (82576 7.2).
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define WIRE_OVERHEAD 24 /* preamble, frame check sequence and inter-frame gap (IEEE 802.3 4.2.3.2) */
#define STATUS_DWORD 12
#define DD 1
#define CONTEXT 2 /* DTYP of a context descriptor */
#define HEAD_WRITE_BACK_ADDRESS 0x3u

void
fp_slots_grow(struct fp_slots *s)
{
    size_t more = s->room ? s->room * 2 : 64;
    uint32_t *slots = realloc(s->slots, more * sizeof(*slots));

    if (slots != NULL) {
        s->slots = slots;
        s->room = more;
    }
}

static void
swap_slots(struct fp_slots *a, struct fp_slots *b)
{
    struct fp_slots c = *a;

    *a = *b;
    *b = c;
}

/* -- registers -------------------------------------------------------------------------------------------- */

/* Make ready for the next packet. */
static void
begin_packet(struct fp_tx_queue *q)
{
    q->size = 0;
    q->has_first = q->has_slot = q->broken = false;
    q->report.count = 0;
}

/* Drop everything that is under way. */
static void
forget(struct fp_tx_queue *q)
{
    memset(q->contexts, 0, sizeof(q->contexts));
    q->withheld.count = q->withheld_sizes.count = 0;
    q->done.count = 0;
    begin_packet(q);
}

void
fp_reset_transmit(struct fp_engine *e)
{
    e->pump.when = FP_NEVER;
    e->departing = false;
    e->departs_ns = e->free_ns = 0;
    memset(e->finished, 0, sizeof(e->finished));
    e->ready_count = e->ready_mask = 0;
    e->offload_stale = true;
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        fp_ring_stop(&e->tx[n].ring);
        e->tx[n].ring.enabled = fp_has(e, SLOT_TXDCTL + n, TXDCTL_ENABLE_MASK);
        forget(&e->tx[n]);
        fp_tx_moved(e, n);
    }
}

void
fp_kick(struct fp_engine *e)
{
    if (e->pump.when == FP_NEVER) {
        fp_arm(e, &e->pump, fp_now(e));
    }
}

void
fp_tx_moved(struct fp_engine *e, uint32_t n)
{
    struct fp_ring *r = &e->tx[n].ring;

    r->base = (uint64_t)e->regs[SLOT_TDBAH + n] << 32 | e->regs[SLOT_TDBAL + n];
    r->count = e->regs[SLOT_TDLEN + n] / FP_SLOT;
}

static void
make_ready(struct fp_engine *e, uint32_t n)
{
    if ((e->ready_mask >> n & 1) == 0) {
        e->ready_mask |= 1u << n;
        e->ready[(e->ready_first + e->ready_count++) % FP_QUEUES] = (uint8_t)n;
    }
}

void
fp_tx_doorbell(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new)
{
    if (!e->tx[n].ring.enabled) {
        e->regs[SLOT_TDT + n] = old;
        return;
    }
    fp_ring_set_tail(e, &e->tx[n].ring, new);
    make_ready(e, n);
    if (e->faults.prompt_doorbells) {
        e->pump.when = FP_NEVER; /* whoever rings waits for the work (F24) */
        fp_pump(e);
    } else {
        fp_kick(e);
    }
}

static void write_back(struct fp_engine *e, uint32_t n);

void
fp_tx_control(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new)
{
    uint32_t enable = TXDCTL_ENABLE_MASK;

    if ((new & enable) && !(old & enable)) {
        fp_ring_start(&e->tx[n].ring);
        e->regs[SLOT_TDT + n] = 0;
    } else if ((old & enable) && !(new & enable)) {
        fp_ring_stop(&e->tx[n].ring);
        forget(&e->tx[n]);
        if (e->departing && e->packet.queue == n) {
            e->departing = false;
        }
    } else if (new & TXDCTL_SWFLSH_MASK) {
        write_back(e, n);
    }
}

void
fp_tx_enable(struct fp_engine *e, uint32_t old, uint32_t new)
{
    e->offload_stale = true;
    if (new & TCTL_EN_MASK) {
        fp_kick(e);
    } else if (old & TCTL_EN_MASK) {
        e->departing = false;
        for (uint32_t n = 0; n < FP_QUEUES; n++) {
            e->tx[n].done.count = 0;
            e->tx[n].withheld.count = e->tx[n].withheld_sizes.count = 0;
        }
    }
}

/* -- write-back --------------------------------------------------------------------------------------------- */

/* Report finished descriptors: the head by itself where TDWBAL asks for it, else DD in each. */
uint32_t
fp_write_back(struct fp_engine *e, struct fp_memory *m, uint32_t n)
{
    struct fp_tx_queue *q = &e->tx[n];
    struct fp_ring *r = &q->ring;
    uint32_t low = e->regs[SLOT_TDWBAL + n];
    uint32_t many = (uint32_t)q->done.count;
    uint64_t iova = 0;
    bool good = true;

    if (many == 0) {
        return 0;
    }
    if (low & TDWBAL_HEAD_WB_EN_MASK) {
        iova = (uint64_t)e->regs[SLOT_TDWBAH + n] << 32 | (low & ~HEAD_WRITE_BACK_ADDRESS);
        fp_other_side(e, FP_DMA_WRITE, iova, 4, FP_TX_HEAD, n);
        good = fp_store32(m, iova, r->head);
        if (good) {
            fp_tell(e, FP_DMA_WRITE, iova, 4, FP_TX_HEAD, n, NULL, 0);
        }
    } else {
        for (size_t i = 0; i < q->done.count && good; i++) {
            iova = fp_ring_address(r, q->done.slots[i]) + STATUS_DWORD;
            fp_other_side(e, FP_DMA_WRITE, iova, 4, FP_TX_DONE, n);
            good = fp_store32(m, iova, DD);
            if (good && e->tell.on) {
                fp_tell(e, FP_DMA_WRITE, iova, 4, FP_TX_DONE, n, NULL, 0);
                fp_tell(e, FP_TX_WRITE_BACK, n, q->done.slots[i], 0, 0, NULL, 0);
            }
        }
    }
    q->done.count = 0;
    if (!good) {
        fp_ring_halt(r);
        fp_nonsense(e, "tx[%u] cannot be written back, the queue halts: "
                    "DMA of 4 bytes at 0x%llx must lie in mapped guest memory, and does not",
                    n, (unsigned long long)iova);
    }
    return many;
}

static void
write_back(struct fp_engine *e, uint32_t n)
{
    e->finished[n] += fp_write_back(e, &e->memory, n);
}

/* Raise one cause for each queue that reported something. What was sent has left by then. */
void
fp_raise_finished(struct fp_engine *e)
{
    bool flushed = false;

    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        uint32_t many = e->finished[n];

        if (many != 0) {
            if (!flushed) {
                fp_wire_flush(e);
                flushed = true;
            }
            e->finished[n] = 0;
            fp_raise_transmit(e, n, many);
        }
    }
}

/* WTHRESH says how many slots may gather (8.12.14). */
uint32_t
fp_report(struct fp_engine *e, struct fp_memory *m, uint32_t n, const struct fp_packet *p)
{
    struct fp_tx_queue *q = &e->tx[n];

    q->ring.head = fp_ring_after(&q->ring, p->last);
    if (e->faults.withheld_queues >> n & 1) {
        for (size_t i = 0; i < p->report.count; i++) {
            fp_slots_add(&q->withheld, p->report.slots[i]);
        }
        fp_slots_add(&q->withheld_sizes, (uint32_t)p->report.count);
        return 0;
    }
    if (p->report.count == 0) {
        return 0;
    }
    for (size_t i = 0; i < p->report.count; i++) {
        fp_slots_add(&q->done, p->report.slots[i]);
    }
    if (q->done.count >= (e->regs[SLOT_TXDCTL + n] & TXDCTL_WTHRESH_MASK) >> TXDCTL_WTHRESH_SHIFT) {
        return fp_write_back(e, m, n);
    }
    return 0;
}

/* -- putting a packet together -------------------------------------------------------------------------------- */

static void
gather(struct fp_engine *e, struct fp_memory *m, uint32_t n, struct fp_tx_queue *q, uint64_t iova, uint64_t word1)
{
    size_t size = word1 & TXDATA_DTALEN_MASK;

    if (q->broken || size == 0) {
        return;
    }
    if (q->size + size > FP_PACKET_MOST) {
        q->broken = true;
        fp_nonsense(e, "a packet on tx[%u] must not exceed %u bytes; dropped", n, FP_PACKET_MOST);
        return;
    }
    if (q->data == NULL && (q->data = malloc(FP_PACKET_MOST + FP_PACKET_ROOM)) == NULL) {
        q->broken = true;
        return;
    }
    fp_other_side(e, FP_DMA_READ, iova, size, FP_TX_PAYLOAD, n);
    if (!fp_read(m, iova, q->data + q->size, size)) {
        q->broken = true;
        fp_nonsense(e, "a buffer of tx[%u] cannot be read, the packet is dropped: "
                    "DMA of %zu bytes at 0x%llx must lie in mapped guest memory, and does not",
                    n, size, (unsigned long long)iova);
        return;
    }
    q->size += size;
    fp_tell(e, FP_DMA_READ, iova, size, FP_TX_PAYLOAD, n, NULL, 0);
}

void
fp_decode_offload(struct fp_engine *e)
{
    uint32_t vet = e->regs[SLOT_VET];

    e->offload_stale = false;
    e->offload.vlan_ethertype = (uint16_t)vet;
    e->offload.outer_ethertype = (uint16_t)(vet >> 16);
    e->offload.double_vlan = fp_has(e, SLOT_CTRL_EXT, CTRL_EXT_EXT_VLAN_MASK);
    e->offload.vlan_insertion = fp_has(e, SLOT_CTRL, CTRL_VME_MASK);
    e->offload.pad_short = fp_has(e, SLOT_TCTL, TCTL_PSP_MASK);
}

/* The packet is whole. */
static void
finish(struct fp_engine *e, uint32_t n, struct fp_tx_queue *q, uint32_t index, struct fp_packet *p)
{
    uint64_t word1 = q->first[1];
    const uint64_t *context = q->contexts[(word1 & TXDATA_IDX_MASK) >> TXDATA_IDX_SHIFT & 1];
    bool advanced = (word1 & TXDATA_DEXT_MASK) != 0;

    p->left = 0;
    if (!q->broken && q->size != 0) {
        if (e->offload_stale) {
            fp_decode_offload(e);
        }
        p->left = (uint32_t)fp_departure_begin(&p->departure, q->data, q->size, word1, context[0], context[1], &e->offload);
    }
    p->queue = n;
    p->last = index;
    p->segmented = advanced && (word1 & TXDATA_TSE_MASK) && p->left != 0;
    p->stamp = advanced && (word1 & TXDATA_MAC_TS_MASK);
    p->note = (struct fp_note){ .fate = FP_FATE_SENT, .queue = (uint16_t)n, .has_slots = true, .first = q->slot,
                                .last = index, .frames = p->left };
    swap_slots(&p->report, &q->report);
    begin_packet(q);
}

/* Take descriptors up to the end of a packet; false when the driver has not handed over the rest. */
bool
fp_assemble(struct fp_engine *e, struct fp_memory *m, uint32_t n, struct fp_packet *p)
{
    struct fp_tx_queue *q = &e->tx[n];
    struct fp_ring *r = &q->ring;
    uint64_t words[2];
    int64_t slot;

    while ((slot = fp_ring_take(e, m, r, words)) >= 0) {
        uint32_t index = (uint32_t)slot;

        if (!q->has_slot) {
            q->has_slot = true;
            q->slot = index;
        }
        if ((words[1] & TXDATA_DEXT_MASK) && (words[1] & TXDATA_DTYP_MASK) >> TXDATA_DTYP_SHIFT == CONTEXT) {
            memcpy(q->contexts[(words[1] & TXCONTEXT_IDX_MASK) >> TXCONTEXT_IDX_SHIFT & 1], words, sizeof(words));
            if (!q->has_first && r->head == index) {
                r->head = fp_ring_after(r, index);
            }
            continue;
        }
        if (!q->has_first) {
            q->has_first = true;
            q->first[0] = words[0];
            q->first[1] = words[1];
        }
        gather(e, m, n, q, words[0], words[1]);
        if (words[1] & TXDATA_RS_MASK) {
            fp_slots_add(&q->report, index);
        }
        if (words[1] & TXDATA_EOP_MASK) {
            finish(e, n, q, index, p);
            return true;
        }
    }
    return false;
}

/* Take the next whole packet, queue by queue in turn; a queue with nothing left waits for its doorbell. */
static bool
next_packet(struct fp_engine *e)
{
    while (e->ready_count != 0) {
        uint32_t n = e->ready[e->ready_first];

        e->ready_first = (e->ready_first + 1) % FP_QUEUES;
        e->ready_count--;
        e->ready_mask &= ~(1u << n);
        if (fp_assemble(e, &e->memory, n, &e->packet)) {
            e->departing = true;
            e->departing_begun = false;
            make_ready(e, n);
            return true;
        }
    }
    return false;
}

/* -- the engine ----------------------------------------------------------------------------------------------- */

static uint64_t
rate_bps(const struct fp_engine *e)
{
    uint64_t mbps;

    if (e->rate_mbps >= 0) {
        mbps = (uint64_t)e->rate_mbps;
    } else if (e->link.up) {
        mbps = e->link.speed_mbps;
    } else {
        mbps = fp_loopback(e) ? e->link.loopback_speed_mbps : 0;
    }
    return mbps * 1000000;
}

static void
emit(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_packet *p = &e->packet;
    struct fp_tally tally = { 0 };
    bool looped = fp_loopback(e);

    p->note.frame++;
    if (e->faults.transmit_nothing) {
        return;
    }
    fp_tally(&tally, frame, size);
    fp_count_transmitted(e, &tally);
    e->sent[p->queue]++;
    e->sent_bytes[p->queue] += size;
    if (p->stamp) {
        e->up.stamp_tx(e->handle);
        p->stamp = false;
    }
    fp_tell(e, FP_FRAME_EMITTED, p->queue, looped, 0, 0, frame, size);
    if (!looped) {
        e->leaving = p->note;
        if (p->segmented) {
            fp_emit_segment(e, &p->departure, frame, size);
        } else {
            fp_emit(e, frame, size);
        }
        e->leaving.fate = FP_FATE_OURS;
        return;
    }
    if (e->faults.corrupt_loopback) {
        size_t at = size / 2 + 10 < size - 1 ? size / 2 + 10 : size - 1;

        e->frame[at] ^= 0xFF; /* frame is e->frame */
    }
    fp_arrive(e, frame, size, true);
}

/* One frame has left; after the packet's last one its slots are reported. */
static void
depart(struct fp_engine *e)
{
    struct fp_packet *p = &e->packet;
    size_t size;

    e->free_ns = e->departs_ns;
    if (p->left != 0) {
        p->left--;
        size = fp_departure_next(&p->departure, e->frame);
        emit(e, e->frame, size);
    }
    if (p->left != 0) {
        e->departing_begun = false;
        return;
    }
    e->departing = false;
    if (p->segmented) {
        fp_count(e, SLOT_TSCTC);
    }
    e->finished[p->queue] += fp_report(e, &e->memory, p->queue, p);
}

/* Nothing may be sent, or nothing is left to send: report what WTHRESH kept back. */
static void
idle(struct fp_engine *e)
{
    e->departs_ns = 0;
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        write_back(e, n);
    }
    fp_raise_finished(e);
}

/* Let the next frame begin; false while flow control forbids it or there is none. */
static bool
begin(struct fp_engine *e, int64_t now, uint64_t rate)
{
    uint64_t length;

    if (e->link.paused || !(e->departing || next_packet(e))) {
        return false;
    }
    if (e->departs_ns == 0 && e->free_ns < now) {
        e->free_ns = now;
    }
    length = e->packet.left != 0 ? fp_departure_peek(&e->packet.departure) + WIRE_OVERHEAD : 0;
    e->departs_ns = e->free_ns + (rate ? (int64_t)(length * 8000000000ull / rate) : 0);
    e->departing_begun = true;
    return true;
}

void
fp_pump(struct fp_engine *e)
{
    int64_t now = fp_now(e);
    uint64_t rate = rate_bps(e);

    if (!fp_has(e, SLOT_TCTL, TCTL_EN_MASK) || !(e->link.up || fp_loopback(e))) {
        return;
    }
    if (e->team != NULL && rate == 0 && fp_send_together(e)) {
        e->free_ns = e->departs_ns = now;
        if (e->ready_count == 0) {
            idle(e);
        } else {
            fp_raise_finished(e);
            fp_arm(e, &e->pump, now);
        }
        return;
    }
    for (int frames = 0; frames < FP_SLICE; frames++) {
        if (!(e->departing && e->departing_begun) && !begin(e, now, rate)) {
            idle(e);
            return;
        }
        if (e->departs_ns > now) {
            fp_raise_finished(e);
            fp_arm(e, &e->pump, e->departs_ns);
            return;
        }
        depart(e);
    }
    fp_raise_finished(e);
    fp_arm(e, &e->pump, now);
}

/* -- what faults ask for ------------------------------------------------------------------------------------------ */

uint32_t
fp_release_completions(struct fp_engine *e, uint32_t n, int64_t count)
{
    struct fp_tx_queue *q = &e->tx[n];
    size_t released = 0, slots = 0;

    while (released < q->withheld_sizes.count && (count < 0 || (int64_t)released < count)) {
        for (uint32_t i = 0; i < q->withheld_sizes.slots[released]; i++) {
            fp_slots_add(&q->done, q->withheld.slots[slots++]);
        }
        released++;
    }
    if (released != 0) {
        q->withheld.count -= slots;
        memmove(q->withheld.slots, q->withheld.slots + slots, q->withheld.count * sizeof(uint32_t));
        q->withheld_sizes.count -= released;
        memmove(q->withheld_sizes.slots, q->withheld_sizes.slots + released, q->withheld_sizes.count * sizeof(uint32_t));
    }
    write_back(e, n);
    fp_raise_finished(e);
    return (uint32_t)released;
}

void
fp_complete_now(struct fp_engine *e, uint32_t n, uint32_t index)
{
    struct fp_tx_queue *q = &e->tx[n];

    if (q->ring.count != 0) {
        fp_slots_add(&q->done, index % q->ring.count);
        write_back(e, n);
        fp_raise_finished(e);
    }
}
