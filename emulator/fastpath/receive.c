/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive path: filter, steer, store (store.c), interrupt; the packet buffer. The twin of device_model/igb/receive.py
 * (82576 7.1).
 */
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#define SHORTEST 60
#define HEADER 14
#define PTP_ETHERTYPE 0x88F7
#define PTP_EVENT_PORT 319
#define MAC_LOOPBACK 1

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

/* -- a frame is stored ------------------------------------------------------------------------------------- */

void
fp_stored(struct fp_engine *e, const struct fp_frame *f)
{
    uint32_t queue = f->steering.queue;

    if (f->stored == FP_STORED_NOT) {
        dropped(e, FP_NO_DESCRIPTOR, f->size, queue);
        return;
    }
    if (f->stored == FP_STORED_LOST) {
        e->placed.fate = FP_FATE_LOST;
        return;
    }
    e->placed.fate = FP_FATE_DELIVERED;
    e->delivered[queue]++;
    e->delivered_bytes[queue] += f->stored_size;
    fp_tell(e, FP_FRAME_DELIVERED, queue, f->stored_size, f->steering.rss_type, f->steering.rss_hash, NULL, 0);
    fp_raise_receive(e, queue);
    if (f->low) {
        fp_count(e, SLOT_RXDMTC);
        fp_raise_causes(e, FP_RXDMT0);
    }
}

static void
store(struct fp_engine *e, struct fp_frame *f)
{
    fp_store(e, &e->memory, f, &e->placed);
    fp_stored(e, f);
}

/* -- a frame arrives ---------------------------------------------------------------------------------------- */

/* Keep a frame in the packet buffer until the driver posts descriptors; count what does not fit. */
static void
keep(struct fp_engine *e, const struct fp_frame *f)
{
    const uint8_t *frame = f->bytes;
    size_t size = f->size;
    const struct fp_steering *steering = &f->steering;
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
    w->stamped = f->stamped;
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

    while ((w = e->first_waiting) != NULL && fp_rx_room(e, w->queue, w->size, 0)) {
        struct fp_frame f = { .bytes = w->frame, .size = w->size, .stamped = w->stamped,
                              .steering = { w->queue, w->rss_type, w->rss_hash } };
        const uint8_t *inner = w->frame;
        size_t size = w->size;

        e->first_waiting = w->next;
        if (w->next == NULL) {
            e->last_waiting = &e->first_waiting;
        }
        e->waiting_bytes -= w->size;
        filled(e);
        if (fp_has_outer_tag(e, w->frame, size)) {
            inner = fp_without_outer(e, w->frame, &size);
        }
        fp_parse(inner, size, e->filters.vlan_ethertype, &f.parsed);
        store(e, &f);
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
stamp(struct fp_engine *e, const struct fp_frame *f)
{
    const struct fp_parsed *parsed = &f->parsed;
    uint32_t control = e->regs[SLOT_TSYNCRXCTL];
    const uint8_t *frame = f->bytes;
    size_t size = f->size;

    if (!(control & TSYNCRXCTL_ENABLE_MASK) || (control & TSYNCRXCTL_VALID_MASK)) {
        return false;
    }
    if (parsed->ethertype != PTP_ETHERTYPE &&
        !(parsed->l4_protocol == 17 &&
          (parsed->destination_port == PTP_EVENT_PORT || parsed->source_port == PTP_EVENT_PORT))) {
        return false;
    }
    if (fp_has_outer_tag(e, frame, size)) {
        frame = fp_without_outer(e, frame, &size);
    }
    return e->up.stamp_rx(e->handle, frame, size) != 0;
}

void
fp_refused(struct fp_engine *e, const struct fp_frame *f)
{
    if (f->reason == FP_OVERSIZE) {
        fp_count(e, SLOT_ROC);
    }
    dropped(e, (enum fp_reason)f->reason, f->size, 0);
}

void
fp_classify(struct fp_engine *e, struct fp_frame *f)
{
    const uint8_t *inner = f->bytes;
    size_t inner_size = f->size;

    f->reason = fp_refusal(e, f->bytes, f->size);
    if (f->reason >= 0) {
        return;
    }
    if (fp_has_outer_tag(e, f->bytes, f->size)) {
        inner = fp_without_outer(e, f->bytes, &inner_size);
    }
    fp_parse(inner, inner_size, e->filters.vlan_ethertype, &f->parsed);
    f->steering = fp_steer(e, &f->parsed);
    if (e->faults.has_forced_queue) {
        f->steering.queue = e->faults.forced_queue;
    }
    if (e->faults.has_forced_type) {
        f->steering.rss_type = e->faults.forced_type;
    }
    if (e->faults.has_forced_hash) {
        f->steering.rss_hash = e->faults.forced_hash;
    }
}

static void
take(struct fp_engine *e, uint8_t *frame, size_t size, bool looped)
{
    struct fp_frame f = { .bytes = frame, .size = (uint32_t)size };
    uint32_t queue;

    fp_count_arrived(e, size);
    if (!looped && fp_asks_for_pause(e, frame, size)) {
        e->up.pause(e->handle, frame, size);
    }
    fp_classify(e, &f);
    if (f.reason >= 0) {
        fp_refused(e, &f);
        return;
    }
    queue = f.steering.queue;
    e->placed.queue = (uint16_t)queue;
    e->placed.rss_type = (uint8_t)f.steering.rss_type;
    e->placed.rss_hash = f.steering.rss_hash;
    f.stamped = stamp(e, &f);
    if (e->first_waiting == NULL && fp_rx_room(e, queue, size, 0)) {
        fp_count_received(e, frame, size);
        store(e, &f);
    } else if (fp_has(e, SLOT_SRRCTL + queue, SRRCTL_DROP_EN_MASK) && !fp_rx_room(e, queue, size, 0)) {
        fp_count_received(e, frame, size);
        fp_count(e, SLOT_RQDPC + queue);
        dropped(e, FP_NO_DESCRIPTOR, size, queue);
    } else {
        keep(e, &f);
    }
}

bool
fp_receives_plainly(const struct fp_engine *e)
{
    uint32_t left_out = 0;

    for (uint32_t n = 0; n < FP_QUEUES; n++) {
        left_out |= e->faults.zero_length_left[n];
    }
    return !e->tell.on && e->log == NULL && left_out == 0 && e->first_waiting == NULL && e->link.up && !fp_loopback(e) &&
           fp_has(e, SLOT_RCTL, RCTL_EN_MASK) && !fp_has(e, SLOT_CTRL_EXT, CTRL_EXT_EXT_VLAN_MASK) &&
           !fp_has(e, SLOT_WUC, WUC_PME_EN_MASK) && !fp_has(e, SLOT_TSYNCRXCTL, TSYNCRXCTL_ENABLE_MASK);
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
