/* SPDX-License-Identifier: BSD-3-Clause */
/* From cause to message: the twin of device_model/igb/interrupts.py (82576 7.3, 8.8). */
#include "engine.h"

#define INT_ASSERTED (1u << 31)
#define VALID 0x80u
#define VECTOR 0x1Fu
#define PACE 8           /* so many times as long as an answer takes until the next report of what was sent */
#define PACE_MOST_US 500 /* but never longer */

bool
fp_multiple(const struct fp_engine *e)
{
    return fp_has(e, SLOT_GPIE, GPIE_MULTIPLE_MSIX_MASK) && e->mode == FP_MSIX;
}

static void
withheld(struct fp_engine *e, uint32_t vector, enum fp_held why)
{
    fp_tell(e, FP_INTERRUPT_WITHHELD, vector, why, 0, 0, NULL, 0);
}

/* Put a message on its way, past Python where the PCI side has no say in it (emulator/msix.py). */
static void
message(struct fp_engine *e, uint32_t vector)
{
    bool follows = e->log != NULL && e->log->follows;

    if (e->mode == FP_MSIX && (e->trigger != NULL || follows)) {
        if (!e->master || vector >= e->messages) {
            return;
        }
        if ((e->masked >> vector & 1) == 0) {
            if (e->log != NULL) {
                fp_log_put(e->log, FP_LOG_INTERRUPT, 1, (int)vector, NULL, 0, NULL, 0);
            }
            if (!follows) {
                e->trigger(e->trigger_context, vector);
            }
            return;
        }
    }
    e->up.send(e->handle, vector);
}

static void
send(struct fp_engine *e, uint32_t vector, enum fp_why why)
{
    uint32_t more = vector < FP_VECTORS ? e->faults.duplicates[vector] : 0;

    if (more != 0) {
        e->faults.duplicates[vector] = 0;
    }
    do {
        if (vector < FP_VECTORS) {
            e->messages_sent[vector]++;
        }
        fp_tell(e, FP_INTERRUPT_SENT, vector, e->mode, why, 0, NULL, 0);
        message(e, vector);
        fp_other_side(e, FP_INTERRUPT_SENT, vector, e->mode, why, 0);
    } while (more-- != 0);
}

static bool
fault_drops(struct fp_engine *e, uint32_t *drops, uint32_t vector)
{
    if (drops[vector] == 0) {
        return false;
    }
    drops[vector]--;
    withheld(e, vector, FP_DROPPED);
    return true;
}

/* -- moderation (EITR) ------------------------------------------------------------------------------------- */

static bool
throttled(struct fp_engine *e, uint32_t vector)
{
    int64_t until = e->quiet_until[vector];

    if (until == 0 || e->faults.ignore_eitr || e->now >= until) {
        return false;
    }
    if (e->moderation[vector].when == FP_NEVER) {
        fp_arm(e, &e->moderation[vector], until);
    }
    withheld(e, vector, FP_THROTTLED);
    return true;
}

/* How many microseconds to leave at least after a message, where EITR asks for any. */
static uint32_t
least_gap_us(const struct fp_engine *e, uint32_t vector)
{
    int64_t pace_us = e->paced ? e->answer_ns[vector] * PACE / 1000 : 0;

    if (pace_us > PACE_MOST_US) {
        pace_us = PACE_MOST_US;
    }
    return pace_us > e->least_gap_us ? (uint32_t)pace_us : e->least_gap_us;
}

static void
start_moderation(struct fp_engine *e, uint32_t vector)
{
    uint32_t interval_us = (e->regs[SLOT_EITR + vector] & EITR_INTERVAL_MASK) >> EITR_INTERVAL_SHIFT;
    uint32_t gap_us = least_gap_us(e, vector);

    e->asked_until[vector] = e->now + (int64_t)interval_us * 1000;
    e->unseen[vector] = 0;
    if (interval_us != 0 && interval_us < gap_us) {
        interval_us = gap_us;
    }
    e->quiet_until[vector] = interval_us ? e->now + (int64_t)interval_us * 1000 : 0;
    e->sent_ns[vector] = e->now;
}

/* The guest unmasks a vector: remember how long its message has kept it busy, the newer times counting more. */
static void
answered(struct fp_engine *e, uint32_t vector)
{
    if (e->sent_ns[vector] != 0) {
        e->answer_ns[vector] += (e->now - e->sent_ns[vector] - e->answer_ns[vector]) / 4;
        e->sent_ns[vector] = 0;
    }
}

/* No more waiting than EITR asks for. */
static void
end_gap(struct fp_engine *e, uint32_t vector)
{
    if (e->quiet_until[vector] > e->asked_until[vector]) {
        e->quiet_until[vector] = e->asked_until[vector];
        if (e->moderation[vector].when != FP_NEVER) {
            fp_arm(e, &e->moderation[vector], e->asked_until[vector]);
        }
    }
}

/* -- mode A: a vector for every IVAR entry ------------------------------------------------------------------ */

/* Send message `vector` if it is pending, unmasked and not moderated (7.3.4, EITR). */
static void
deliver(struct fp_engine *e, uint32_t vector, enum fp_why why)
{
    uint32_t bit = 1u << vector;

    if ((e->regs[SLOT_EICR] & bit) == 0) {
        return;
    }
    if ((e->regs[SLOT_EIMS] & bit) == 0) {
        withheld(e, vector, FP_MASKED);
        return;
    }
    if (e->faults.held_vectors & bit) {
        withheld(e, vector, FP_HELD);
        return;
    }
    if (throttled(e, vector)) {
        return;
    }
    if (fault_drops(e, e->faults.drop_before_mask, vector)) {
        e->regs[SLOT_EICR] &= ~bit;
        return;
    }
    if (e->regs[SLOT_EIAC] & bit) {
        e->regs[SLOT_EICR] &= ~bit;
    }
    if (fp_has(e, SLOT_GPIE, GPIE_EIAME_MASK) && (e->regs[SLOT_EIAM] & bit) && !e->faults.no_auto_mask) {
        e->regs[SLOT_EIMS] &= ~bit;
        fp_tell(e, FP_AUTO_MASKED, vector, 0, 0, 0, NULL, 0);
    }
    start_moderation(e, vector);
    if (fault_drops(e, e->faults.drop_after_mask, vector)) {
        return;
    }
    send(e, vector, why);
}

static void
event(struct fp_engine *e, uint32_t vector, enum fp_cause cause, uint32_t queue)
{
    if (vector >= FP_VECTORS) {
        return;
    }
    fp_tell(e, FP_CAUSE_RAISED, vector, cause, queue, 0, NULL, 0);
    e->regs[SLOT_EICR] |= 1u << vector;
    deliver(e, vector, FP_EVENT);
}

static void
raise_queue(struct fp_engine *e, uint32_t entry, uint32_t icr, enum fp_cause cause, uint32_t queue)
{
    if (fp_multiple(e)) {
        e->regs[SLOT_ICR] |= icr;
        if (entry & VALID) {
            event(e, entry & VECTOR, cause, queue);
        }
        return;
    }
    if (entry & VALID) {
        e->regs[SLOT_EICR] |= 1u << (entry & 0xF);
    }
    fp_raise_causes(e, icr);
}

/*
 * End what was added to EITR's interval for the entry's vector if half of a ring of this many bytes waits behind it, or
 * if what came cannot wait.
 */
static void
hurry(struct fp_engine *e, uint32_t entry, uint32_t many, uint32_t ring_bytes, bool at_once)
{
    uint32_t vector = entry & VECTOR;

    if (!(e->paced || e->least_gap_us != 0) || !fp_multiple(e) || !(entry & VALID) || vector >= FP_VECTORS) {
        return;
    }
    e->unseen[vector] += many;
    if (at_once || (uint64_t)e->unseen[vector] * FP_SLOT * 2 >= ring_bytes) {
        end_gap(e, vector);
    }
}

void
fp_raise_receive(struct fp_engine *e, uint32_t queue)
{
    uint32_t entry = e->regs[SLOT_IVAR + queue % 8] >> (queue < 8 ? 0 : 16) & 0xFF;

    hurry(e, entry, 1, e->regs[SLOT_RDLEN + queue], e->paced);
    raise_queue(e, entry, FP_RXDW, FP_CAUSE_RX, queue);
}

void
fp_raise_transmit(struct fp_engine *e, uint32_t queue, uint32_t many)
{
    uint32_t entry = e->regs[SLOT_IVAR + queue % 8] >> (queue < 8 ? 8 : 24) & 0xFF;

    hurry(e, entry, many, e->regs[SLOT_TDLEN + queue], false);
    raise_queue(e, entry, FP_TXDW, FP_CAUSE_TX, queue);
}

/* -- mode B: one message or line for all of ICR & IMS --------------------------------------------------------- */

static void
drive_line(struct fp_engine *e, bool asserted)
{
    if (asserted != e->line) {
        e->line = asserted;
        e->up.set_intx(e->handle, asserted);
    }
}

static void
legacy(struct fp_engine *e, enum fp_why why)
{
    bool line = e->mode == FP_INTX;

    if ((e->regs[SLOT_ICR] & e->regs[SLOT_IMS] & ~INT_ASSERTED) == 0) {
        e->owed = false;
        drive_line(e, false);
        return;
    }
    if ((line && e->line) || !(line || e->owed)) {
        return;
    }
    if (e->faults.held_vectors & 1) {
        withheld(e, 0, FP_HELD);
        return;
    }
    if (throttled(e, 0)) {
        return;
    }
    e->owed = false;
    start_moderation(e, 0);
    if (fault_drops(e, e->faults.drop_before_mask, 0)) {
        return;
    }
    if (!line) {
        send(e, 0, why);
        return;
    }
    e->messages_sent[0]++;
    fp_tell(e, FP_INTERRUPT_SENT, 0, FP_INTX, why, 0, NULL, 0);
    drive_line(e, true);
    fp_other_side(e, FP_INTERRUPT_SENT, 0, FP_INTX, why, 0);
}

/* Causes `gained` are new or newly unmasked; those that stand in ICR and `mask` interrupt. */
static void
unmask_causes(struct fp_engine *e, uint32_t gained, uint32_t mask, enum fp_why why)
{
    uint32_t pending = e->regs[SLOT_ICR] & mask & gained;

    if (fp_multiple(e)) {
        uint32_t entries = e->regs[SLOT_IVAR_MISC];

        if ((pending & ICR_TCP_TIMER_MASK) && (entries & VALID)) {
            event(e, entries & VECTOR, FP_CAUSE_TCP_TIMER, 0);
        }
        if ((pending & ~(uint32_t)ICR_TCP_TIMER_MASK) && (entries >> 8 & VALID)) {
            event(e, entries >> 8 & VECTOR, FP_CAUSE_OTHER, 0);
        }
    } else if (pending) {
        e->owed = true;
        legacy(e, why);
    }
}

void
fp_raise_causes(struct fp_engine *e, uint32_t causes)
{
    uint32_t old = e->regs[SLOT_ICR];

    e->regs[SLOT_ICR] = old | causes;
    unmask_causes(e, causes & ~old, e->regs[SLOT_IMS], FP_EVENT);
}

/* -- what Python and faults ask for ---------------------------------------------------------------------------- */

void
fp_reset_interrupts(struct fp_engine *e)
{
    for (uint32_t n = 0; n < FP_VECTORS; n++) {
        e->moderation[n].when = FP_NEVER;
        e->quiet_until[n] = e->asked_until[n] = 0;
        e->sent_ns[n] = e->answer_ns[n] = 0;
        e->unseen[n] = 0;
    }
    e->owed = false;
    drive_line(e, false);
}

void
fp_mode_changed(struct fp_engine *e)
{
    if (e->mode != FP_INTX) {
        e->line = false;
    }
    if (!fp_multiple(e)) {
        legacy(e, FP_EVENT);
    }
}

void
fp_deliver_pending(struct fp_engine *e, uint32_t vector)
{
    if (fp_multiple(e)) {
        deliver(e, vector, FP_EVENT);
    } else {
        legacy(e, FP_EVENT);
    }
}

void
fp_send_spurious(struct fp_engine *e, uint32_t vector)
{
    send(e, vector, FP_FAULT);
}

void
fp_moderation_over(struct fp_engine *e, uint32_t vector)
{
    if (fp_multiple(e)) {
        deliver(e, vector, FP_TIMER);
    } else {
        legacy(e, FP_TIMER);
    }
}

/* -- the legacy registers --------------------------------------------------------------------------------------- */

uint32_t
fp_icr_as_read(const struct fp_engine *e)
{
    uint32_t icr = e->regs[SLOT_ICR] & ~INT_ASSERTED;

    return !fp_multiple(e) && (icr & e->regs[SLOT_IMS]) ? icr | INT_ASSERTED : icr;
}

/* EICR's "other" bit is the summary of ICR & IMS: it falls with them. */
static void
drop_other_summary(struct fp_engine *e)
{
    uint32_t entry = e->regs[SLOT_IVAR_MISC] >> 8 & 0xFF;

    if ((entry & VALID) && (e->regs[SLOT_ICR] & e->regs[SLOT_IMS]) == 0) {
        e->regs[SLOT_EICR] &= ~(1u << (entry & VECTOR));
    }
}

static void
acknowledge(struct fp_engine *e, uint32_t cleared)
{
    uint32_t asserted = e->regs[SLOT_ICR] & e->regs[SLOT_IMS] & ~INT_ASSERTED;

    e->regs[SLOT_ICR] &= ~cleared;
    if (fp_has(e, SLOT_GPIE, GPIE_NSICR_MASK) || asserted) {
        e->regs[SLOT_IMS] &= ~e->regs[SLOT_IAM];
    }
    if (fp_multiple(e)) {
        drop_other_summary(e);
    } else {
        legacy(e, FP_EVENT);
    }
}

uint32_t
fp_read_icr(struct fp_engine *e)
{
    uint32_t value = fp_icr_as_read(e);

    if (fp_has(e, SLOT_GPIE, GPIE_NSICR_MASK) || e->regs[SLOT_IMS] == 0 || (e->regs[SLOT_ICR] & e->regs[SLOT_IMS])) {
        acknowledge(e, UINT32_MAX);
    }
    return value;
}

void
fp_write_icr(struct fp_engine *e, uint32_t old, uint32_t new)
{
    e->regs[SLOT_ICR] = old;
    acknowledge(e, old & ~new);
}

void
fp_write_ics(struct fp_engine *e, uint32_t new)
{
    if (!e->faults.ignore_eics) {
        fp_raise_causes(e, new & ~INT_ASSERTED);
    }
}

void
fp_write_ims(struct fp_engine *e, uint32_t old, uint32_t new)
{
    unmask_causes(e, new & ~old, new, FP_UNMASK);
}

void
fp_write_imc(struct fp_engine *e, uint32_t new)
{
    e->regs[SLOT_IMS] &= ~new;
    if (fp_multiple(e)) {
        drop_other_summary(e);
    } else {
        legacy(e, FP_EVENT);
    }
}

/* -- the extended registers --------------------------------------------------------------------------------------- */

void
fp_write_eics(struct fp_engine *e, uint32_t new)
{
    if (e->faults.ignore_eics) {
        return;
    }
    for (uint32_t vector = 0; vector < 32; vector++) {
        if (new >> vector & 1) {
            if (fp_multiple(e)) {
                event(e, vector, FP_CAUSE_SOFTWARE, 0);
            } else {
                e->regs[SLOT_EICR] |= 1u << vector;
            }
        }
    }
}

void
fp_write_eims(struct fp_engine *e, uint32_t old, uint32_t new)
{
    uint32_t gained = new & ~old, fired = gained & e->regs[SLOT_EICR];

    if (!fp_multiple(e)) {
        return;
    }
    for (uint32_t vector = 0; vector < FP_VECTORS; vector++) {
        if (gained >> vector & 1) {
            answered(e, vector);
        }
        if (fired >> vector & 1) {
            deliver(e, vector, FP_UNMASK);
        }
    }
}

void
fp_write_eimc(struct fp_engine *e, uint32_t new)
{
    e->regs[SLOT_EIMS] &= ~new;
}

uint32_t
fp_read_eicr(struct fp_engine *e)
{
    uint32_t value = e->regs[SLOT_EICR];

    if (!fp_multiple(e)) {
        e->regs[SLOT_EICR] = 0;
    }
    return value;
}

uint32_t
fp_read_eitr(struct fp_engine *e, uint32_t n)
{
    int64_t left = e->quiet_until[n] - fp_now(e);
    uint64_t counter = left > 0 ? (uint64_t)(left / 1000) >> 2 : 0;
    uint32_t most = (uint32_t)(EITR_COUNTER_MASK >> EITR_COUNTER_SHIFT);
    uint32_t kept = e->regs[SLOT_EITR + n] & ~(uint32_t)(EITR_CNT_INGR_MASK | EITR_COUNTER_MASK);

    return kept | (uint32_t)(counter < most ? counter : most) << EITR_COUNTER_SHIFT;
}

void
fp_write_eitr(struct fp_engine *e, uint32_t n, uint32_t new)
{
    if (new & EITR_CNT_INGR_MASK) {
        return;
    }
    e->quiet_until[n] = e->asked_until[n] = fp_now(e) + (int64_t)((new & EITR_COUNTER_MASK) >> EITR_COUNTER_SHIFT << 2) * 1000;
    e->moderation[n].when = FP_NEVER;
    fp_deliver_pending(e, n);
}
