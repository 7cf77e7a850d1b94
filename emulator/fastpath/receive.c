/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive path: filter, steer, store, write back, interrupt. The twin of device_model/igb/receive.py (82576 7.1);
 * its order of stores is what Linux igb_clean_rx_irq depends on.
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "rx_status.h"

#define SHORTEST 60
#define HEADER 14
#define TAG_AT 12
#define TAG 4
#define PTP_ETHERTYPE 0x88F7
#define PTP_EVENT_PORT 319
#define MAC_LOOPBACK 1
#define LEFT_OUT_FOR_EVER (1u << 16)

/* -- registers -------------------------------------------------------------------------------------------- */

bool
fp_loopback(const struct fp_engine *e)
{
    return e->link.phy_loopback || (e->regs[SLOT_RCTL] & RCTL_LBM_MASK) >> RCTL_LBM_SHIFT == MAC_LOOPBACK;
}

static void
dropped(struct fp_engine *e, enum fp_reason reason, size_t size, uint32_t queue)
{
    e->placed.fate = FP_FATE_DROPPED;
    e->placed.reason = (uint8_t)reason;
    e->drops[reason]++;
    fp_tell(e, FP_FRAME_DROPPED, reason, size, queue, 0, NULL, 0);
}

static void
drop_waiting(struct fp_engine *e)
{
    while (e->first_waiting != NULL) {
        struct fp_waiting *gone = e->first_waiting;

        e->first_waiting = gone->next;
        dropped(e, FP_DISABLED, gone->size, gone->queue);
        free(gone);
    }
    e->last_waiting = &e->first_waiting;
    e->waiting_bytes = 0;
}

/* Ask our partner to pause for so many quanta, or with 0 to go on: the twin of flow_control.py's _send(). */
static void
send_pause(struct fp_engine *e, uint32_t quanta)
{
    uint8_t frame[60] = { 0 };
    uint32_t words[] = { e->regs[SLOT_FCAL], e->regs[SLOT_FCAH], e->regs[SLOT_RAL], e->regs[SLOT_RAH] };
    uint32_t type = (e->regs[SLOT_FCT] & FCT_VALUE_MASK) >> FCT_VALUE_SHIFT;

    memcpy(frame, &words[0], 4);
    memcpy(frame + 4, &words[1], 2);
    memcpy(frame + 6, &words[2], 4);
    memcpy(frame + 10, &words[3], 2);
    fp_put_word(frame + 12, type);
    frame[15] = 1; /* the opcode */
    fp_put_word(frame + 16, quanta);
    fp_count_pause(e, quanta != 0);
    fp_emit(e, frame, sizeof(frame));
}

/* Whether a passed threshold means a frame and nothing else: nobody listens, XOFF need not be repeated. */
static bool
pause_is_plain(const struct fp_engine *e)
{
    uint32_t left = (e->regs[SLOT_FCRTV] & FCRTV_VALUE_MASK) >> FCRTV_VALUE_SHIFT;
    uint32_t whole = (e->regs[SLOT_FCTTV] & FCTTV_TTV_MASK) >> FCTTV_TTV_SHIFT;

    return !e->tell.on && e->link.up && e->link.full_duplex && !e->link.refreshing && !(left != 0 && left < whole);
}

/*
 * The packet buffer holds another number of bytes. What follows from that is flow control's affair, and Python's; only
 * where a threshold was passed has it something to do. With igb's thresholds that is every few frames of a flood, so
 * the plain case is done here.
 */
static void
filled(struct fp_engine *e)
{
    uint32_t high = e->regs[SLOT_FCRTH] & FCRTH_RTH_MASK, low = e->regs[SLOT_FCRTL] & FCRTL_RTL_MASK;

    if (!fp_has(e, SLOT_CTRL, CTRL_TFCE_MASK)) {
        return;
    }
    if (e->link.xoff ? e->waiting_bytes >= low : high == 0 || e->waiting_bytes < high) {
        return;
    }
    if (!pause_is_plain(e)) {
        e->link.xoff = (uint8_t)e->up.filled(e->handle, e->waiting_bytes);
        return;
    }
    e->link.xoff = !e->link.xoff;
    if (e->link.xoff) {
        send_pause(e, (e->regs[SLOT_FCTTV] & FCTTV_TTV_MASK) >> FCTTV_TTV_SHIFT);
    } else if (fp_has(e, SLOT_FCRTL, FCRTL_XONE_MASK)) {
        send_pause(e, 0);
    }
}

void
fp_reset_receive(struct fp_engine *e)
{
    drop_waiting(e);
    e->filters.stale = true;
    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        struct fp_rx_queue *q = &e->rx[n];

        q->unfinished.count = 0;
        q->has_last = false;
        fp_ring_stop(&q->ring);
        q->ring.enabled = fp_has(e, SLOT_RXDCTL + n, RXDCTL_ENABLE_MASK);
        fp_rx_moved(e, n);
    }
}

void
fp_rx_moved(struct fp_engine *e, uint32_t n)
{
    struct fp_ring *r = &e->rx[n].ring;

    r->base = (uint64_t)e->regs[SLOT_RDBAH + n] << 32 | e->regs[SLOT_RDBAL + n];
    r->count = e->regs[SLOT_RDLEN + n] / FP_SLOT;
}

void
fp_rx_control(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new)
{
    struct fp_rx_queue *q = &e->rx[n];
    uint32_t enable = RXDCTL_ENABLE_MASK;

    if ((new & enable) && !(old & enable)) {
        fp_ring_start(&q->ring);
        e->regs[SLOT_RDT + n] = 0;
    } else if ((old & enable) && !(new & enable)) {
        fp_ring_stop(&q->ring);
        q->unfinished.count = 0;
        q->has_last = false;
    }
}

void
fp_rx_enable(struct fp_engine *e, uint32_t old, uint32_t new)
{
    e->filters.stale = true;
    if ((old & RCTL_EN_MASK) && !(new & RCTL_EN_MASK)) {
        drop_waiting(e);
        filled(e);
    }
}

/* -- into the ring ---------------------------------------------------------------------------------------- */

static uint32_t
buffer_size(const struct fp_engine *e, uint32_t n)
{
    static const uint32_t by_bsize[] = { 2048, 1024, 512, 256 };
    uint32_t srrctl = e->regs[SLOT_SRRCTL + n];
    uint32_t kib = (srrctl & SRRCTL_BSIZEPACKET_MASK) >> SRRCTL_BSIZEPACKET_SHIFT;

    return kib ? kib * 1024 : by_bsize[(e->regs[SLOT_RCTL] & RCTL_BSIZE_MASK) >> RCTL_BSIZE_SHIFT];
}

/* Whether the driver has handed over descriptors for a whole frame. */
static bool
room(const struct fp_engine *e, const struct fp_ring *r, size_t size)
{
    uint64_t waiting;

    if (!r->enabled || r->halted) {
        return false;
    }
    waiting = fp_ring_waiting(r);
    return waiting > 0 && waiting * buffer_size(e, r->queue) >= size;
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
write_slot(struct fp_engine *e, struct fp_rx_queue *q, uint32_t index, uint64_t buffer, const uint8_t *chunk, size_t size,
           uint64_t word0, uint64_t word1)
{
    struct fp_ring *r = &q->ring;
    uint64_t iova = fp_ring_address(r, index);
    uint64_t failed = iova;

    fp_other_side(e, FP_DMA_WRITE, buffer, size, FP_RX_PAYLOAD, r->queue);
    if (!fp_write(&e->memory, buffer, chunk, size)) {
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
    if (!fp_store64(&e->memory, iova, word0) || !(failed = iova + 8, fp_store64(&e->memory, iova + 8, word1))) {
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
static const uint8_t *
without_outer(struct fp_engine *e, const uint8_t *frame, size_t *size)
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

/* Write a frame into its buffers and report it, the reported length of each buffer last. */
static void
store(struct fp_engine *e, uint32_t queue, uint8_t *frame, size_t frame_size, const struct fp_parsed *parsed,
      const struct fp_steering *steering, bool stamped)
{
    struct fp_rx_queue *q = &e->rx[queue];
    struct fp_ring *r = &q->ring;
    bool tagged = parsed->vlan_tci >= 0 && fp_has(e, SLOT_CTRL, CTRL_VME_MASK);
    bool outer = fp_has_outer_tag(e, frame, frame_size);
    size_t inner_size = frame_size, payload_size = frame_size;
    const uint8_t *inner = outer ? without_outer(e, frame, &inner_size) : frame;
    uint32_t rxcsum = e->regs[SLOT_RXCSUM], srrctl = e->regs[SLOT_SRRCTL + queue];
    uint32_t size = buffer_size(e, queue);
    bool is_legacy = (srrctl & SRRCTL_DESCTYPE_MASK) == 0;
    uint32_t low = ((srrctl & SRRCTL_RDMTS_MASK) >> SRRCTL_RDMTS_SHIFT) * 16;
    uint64_t status = status_of(e, inner, parsed, rxcsum, stamped);
    uint64_t word0 = steering->rss_type | (uint64_t)fp_packet_type(parsed) << 4;
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
    word0 |= (uint64_t)(rxcsum & RXCSUM_PCSD_MASK ? steering->rss_hash : parsed->ipv4_id) << 32;
    for (size_t start = 0; start < payload_size; start += size) {
        uint64_t words[2], done = RXWRITEBACK_DD_MASK;
        size_t chunk = payload_size - start < size ? payload_size - start : size;
        bool last = start + size >= payload_size;
        int64_t index = fp_ring_take(e, r, words);
        bool good;

        if (index < 0) {
            dropped(e, FP_NO_DESCRIPTOR, frame_size, queue);
            return;
        }
        if (last) {
            done |= status | RXWRITEBACK_EOP_MASK | tci << 48;
        }
        if (is_legacy) {
            good = write_slot(e, q, (uint32_t)index, words[0], payload + start, chunk, words[0],
                              fp_legacy_word(done, (uint32_t)chunk));
        } else {
            good = write_slot(e, q, (uint32_t)index, words[0], payload + start, chunk, last ? word0 : 0,
                              done | (uint64_t)chunk << 32);
        }
        if (!good) {
            e->placed.fate = FP_FATE_LOST;
            return;
        }
        fp_note_slot(&e->placed, (uint32_t)index);
    }
    e->placed.fate = FP_FATE_DELIVERED;
    e->delivered[queue]++;
    e->delivered_bytes[queue] += payload_size;
    fp_tell(e, FP_FRAME_DELIVERED, queue, payload_size, steering->rss_type, steering->rss_hash, NULL, 0);
    fp_raise_receive(e, queue);
    if (low != 0 && fp_ring_waiting(r) == low) {
        fp_count(e, SLOT_RXDMTC);
        fp_raise_causes(e, FP_RXDMT0);
    }
}

/* -- a frame arrives ---------------------------------------------------------------------------------------- */

/* Keep a frame in the packet buffer until the driver posts descriptors; count what does not fit. */
static void
keep(struct fp_engine *e, const uint8_t *frame, size_t size, const struct fp_steering *steering, bool stamped)
{
    uint64_t limit = (uint64_t)((e->regs[SLOT_RXPBS] & RXPBS_SIZE_MASK) >> RXPBS_SIZE_SHIFT) * 1024;
    struct fp_waiting *w = NULL;

    fp_count(e, SLOT_RNBC);
    if (e->waiting_bytes + size <= limit) {
        w = malloc(sizeof(*w) + size);
    }
    if (w == NULL) {
        fp_count(e, SLOT_MPC);
        dropped(e, FP_BUFFER_FULL, size, steering->queue);
        fp_raise_causes(e, FP_RXO);
        return;
    }
    fp_count_received(e, frame, size);
    e->placed.fate = FP_FATE_WAITING;
    w->next = NULL;
    w->size = (uint32_t)size;
    w->queue = (uint16_t)steering->queue;
    w->rss_type = (uint8_t)steering->rss_type;
    w->rss_hash = steering->rss_hash;
    w->stamped = stamped;
    memcpy(w->frame, frame, size);
    *e->last_waiting = w;
    e->last_waiting = &w->next;
    e->waiting_bytes += size;
    filled(e);
}

/* Deliver from the packet buffer, in order, as far as there are descriptors. */
static void
drain(struct fp_engine *e)
{
    struct fp_waiting *w;

    while ((w = e->first_waiting) != NULL && room(e, &e->rx[w->queue].ring, w->size)) {
        struct fp_steering steering = { w->queue, w->rss_type, w->rss_hash };
        struct fp_parsed parsed;
        const uint8_t *inner = w->frame;
        size_t size = w->size;

        e->first_waiting = w->next;
        if (w->next == NULL) {
            e->last_waiting = &e->first_waiting;
        }
        e->waiting_bytes -= w->size;
        filled(e);
        if (fp_has_outer_tag(e, w->frame, size)) {
            inner = without_outer(e, w->frame, &size);
        }
        fp_parse(inner, size, e->filters.vlan_ethertype, &parsed);
        store(e, w->queue, w->frame, w->size, &parsed, &steering, w->stamped);
        free(w);
    }
}

void
fp_rx_doorbell(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new)
{
    struct fp_ring *r = &e->rx[n].ring;

    if (!r->enabled) {
        e->regs[SLOT_RDT + n] = old;
        return;
    }
    fp_ring_set_tail(e, r, new);
    if (e->first_waiting != NULL) {
        drain(e);
    }
}

/* PTP event messages are rare: which of them are stamped is decided in Python. */
static bool
stamp(struct fp_engine *e, const uint8_t *frame, size_t size, const struct fp_parsed *parsed)
{
    uint32_t control = e->regs[SLOT_TSYNCRXCTL];

    if (!(control & TSYNCRXCTL_ENABLE_MASK) || (control & TSYNCRXCTL_VALID_MASK)) {
        return false;
    }
    if (parsed->ethertype != PTP_ETHERTYPE &&
        !(parsed->l4_protocol == 17 &&
          (parsed->destination_port == PTP_EVENT_PORT || parsed->source_port == PTP_EVENT_PORT))) {
        return false;
    }
    return e->up.stamp_rx(e->handle, frame, size) != 0;
}

/* `frame` has room for SHORTEST bytes, and may be changed. */
static void
take(struct fp_engine *e, uint8_t *frame, size_t size, bool looped)
{
    struct fp_steering steering;
    struct fp_parsed parsed;
    const uint8_t *inner = frame;
    size_t inner_size = size;
    struct fp_ring *r;
    bool stamped;
    int reason;

    fp_count_arrived(e, size);
    if (!looped && fp_asks_for_pause(e, frame, size)) {
        e->up.pause(e->handle, frame, size);
    }
    reason = fp_refusal(e, frame, size);
    if (reason >= 0) {
        if (reason == FP_OVERSIZE) {
            fp_count(e, SLOT_ROC);
        }
        dropped(e, (enum fp_reason)reason, size, 0);
        return;
    }
    if (fp_has_outer_tag(e, frame, size)) {
        inner = without_outer(e, frame, &inner_size);
    }
    fp_parse(inner, inner_size, e->filters.vlan_ethertype, &parsed);
    steering = fp_steer(e, &parsed);
    if (e->faults.has_forced_queue) {
        steering.queue = e->faults.forced_queue;
    }
    if (e->faults.has_forced_type) {
        steering.rss_type = e->faults.forced_type;
    }
    if (e->faults.has_forced_hash) {
        steering.rss_hash = e->faults.forced_hash;
    }
    e->placed.queue = (uint16_t)steering.queue;
    e->placed.rss_type = (uint8_t)steering.rss_type;
    e->placed.rss_hash = steering.rss_hash;
    stamped = stamp(e, inner, inner_size, &parsed);
    r = &e->rx[steering.queue].ring;
    if (e->first_waiting == NULL && room(e, r, size)) {
        fp_count_received(e, frame, size);
        store(e, steering.queue, frame, size, &parsed, &steering, stamped);
    } else if (fp_has(e, SLOT_SRRCTL + steering.queue, SRRCTL_DROP_EN_MASK) && !room(e, r, size)) {
        fp_count_received(e, frame, size);
        fp_count(e, SLOT_RQDPC + steering.queue);
        dropped(e, FP_NO_DESCRIPTOR, size, steering.queue);
    } else {
        keep(e, frame, size, &steering, stamped);
    }
}

void
fp_arrive_here(struct fp_engine *e, uint8_t *frame, size_t size, bool looped)
{
    e->placed = (struct fp_note){ 0 };
    fp_tell(e, FP_FRAME_ARRIVED, 0, 0, 0, 0, frame, size);
    if (!fp_has(e, SLOT_RCTL, RCTL_EN_MASK) || size < HEADER) {
        dropped(e, FP_DISABLED, size, 0);
        return;
    }
    if (looped != fp_loopback(e) || !(looped || e->link.up)) {
        dropped(e, FP_NO_LINK, size, 0);
        return;
    }
    if (size < SHORTEST) {
        memset(frame + size, 0, SHORTEST - size);
        size = SHORTEST;
    }
    take(e, frame, size, looped);
}

void
fp_arrive(struct fp_engine *e, const uint8_t *frame, size_t size, bool looped)
{
    uint8_t *copy = looped ? e->looped : e->arrived;

    if (!looped) {
        fp_now(e);
    }
    if (size <= FP_PACKET_MOST + FP_PACKET_ROOM) {
        memcpy(copy, frame, size);
        fp_arrive_here(e, copy, size, looped);
    }
}

/* -- what faults ask for -------------------------------------------------------------------------------------- */

static void
store_second(struct fp_engine *e, struct fp_ring *r, uint32_t index, uint64_t word1)
{
    uint64_t iova = fp_ring_address(r, index) + 8;

    if (!fp_store64(&e->memory, iova, word1)) {
        fp_nonsense(e, "rx[%u] cannot be written back: DMA of 8 bytes at 0x%llx must lie in mapped guest memory, and does not",
                    r->queue, (unsigned long long)iova);
    }
}

void
fp_finish_write_back(struct fp_engine *e, uint32_t queue)
{
    struct fp_rx_queue *q = &e->rx[queue];
    size_t count = q->unfinished.count;

    q->unfinished.count = 0;
    for (size_t n = 0; n < count; n++) {
        store_second(e, &q->ring, q->unfinished.slots[n], q->unfinished_words[n]);
    }
    if (count != 0) {
        fp_raise_receive(e, queue);
    }
}

void
fp_rewrite_old_slot(struct fp_engine *e, uint32_t queue)
{
    struct fp_rx_queue *q = &e->rx[queue];
    uint32_t stale = fp_ring_after(&q->ring, q->last_index);

    if (q->has_last && fp_store64(&e->memory, fp_ring_address(&q->ring, stale), q->last_words[0])) {
        store_second(e, &q->ring, stale, q->last_words[1]);
        fp_raise_receive(e, queue);
    }
}
