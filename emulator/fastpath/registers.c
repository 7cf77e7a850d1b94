/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * BAR 0: access rules as in device_model/regfile.py, and the registers that have behaviour here. Everything else that
 * has behaviour is Python's (FP_COLD).
 */
#include "engine.h"

uint32_t
fp_hook_read(struct fp_engine *e, uint32_t slot)
{
    uint32_t n = e->element[slot];

    switch ((enum fp_hook)e->hooks[slot]) {
    case FP_ICR: return fp_read_icr(e);
    case FP_ICS: return fp_icr_as_read(e);
    case FP_IMC: return e->regs[SLOT_IMS];
    case FP_EICS: return e->regs[SLOT_EICR];
    case FP_EIMC: return e->regs[SLOT_EIMS];
    case FP_EICR: return fp_read_eicr(e);
    case FP_EITR: return fp_read_eitr(e, n);
    case FP_RDH: return e->rx[n].ring.head;
    case FP_TDH: return e->tx[n].ring.head;
    default: break;
    }
    {
        uint32_t value = e->regs[slot];

        e->regs[slot] = value & ~e->rules[slot].rc;
        return value;
    }
}

void
fp_hook_write(struct fp_engine *e, uint32_t slot, uint32_t old, uint32_t new)
{
    uint32_t n = e->element[slot];

    switch ((enum fp_hook)e->hooks[slot]) {
    case FP_ICR: fp_write_icr(e, old, new); break;
    case FP_ICS: fp_write_ics(e, new); break;
    case FP_IMS: fp_write_ims(e, old, new); break;
    case FP_IMC: fp_write_imc(e, new); break;
    case FP_EICS: fp_write_eics(e, new); break;
    case FP_EIMS: fp_write_eims(e, old, new); break;
    case FP_EIMC: fp_write_eimc(e, new); break;
    case FP_EITR: fp_write_eitr(e, n, new); break;
    case FP_RX_BASE: fp_rx_moved(e, n); break;
    case FP_RDT: fp_rx_doorbell(e, n, old, new); break;
    case FP_RXDCTL: fp_rx_control(e, n, old, new); break;
    case FP_RCTL: fp_rx_enable(e, old, new); break;
    case FP_TX_BASE: fp_tx_moved(e, n); break;
    case FP_TDT: fp_tx_doorbell(e, n, old, new); break;
    case FP_TXDCTL: fp_tx_control(e, n, old, new); break;
    case FP_TCTL: fp_tx_enable(e, old, new); break;
    case FP_EICR: case FP_RDH: case FP_TDH: break;
    case FP_PLAIN: case FP_COLD: fp_changed(e); break;
    }
}

int
fp_bar_read(void *engine, uint64_t offset, uint32_t size, uint64_t *value)
{
    struct fp_engine *e = engine;
    uint32_t place;

    if (!e->decodes || !e->answers || size != 4 || (offset & 3) != 0 || offset >= FP_BAR_WORDS * 4) {
        return 1;
    }
    fp_look_at_all(e);
    place = e->place[offset / 4];
    if (place != 0 && e->hooks[place - 1] == FP_COLD) {
        return 1;
    }
    fp_step_begins(e, FP_LOG_READ, 0, 4, &offset, sizeof(offset));
    fp_other_side(e, FP_REGISTER_READ, offset, 0, 0, 0);
    *value = place != 0 ? fp_hook_read(e, place - 1) : 0;
    fp_tell(e, FP_REGISTER_READ, offset, *value, 0, 0, NULL, 0);
    if (e->log != NULL) {
        fp_log_put(e->log, FP_LOG_RESULT, 0, 0, value, sizeof(*value), NULL, 0);
        fp_log_end(e);
    }
    return 0;
}

bool
fp_written(struct fp_engine *e, uint32_t offset, uint32_t value)
{
    const struct fp_rule *rule;
    uint32_t place = e->place[offset / 4], slot, old, new;

    if (place != 0 && e->hooks[place - 1] == FP_COLD) {
        return false;
    }
    if (e->log != NULL) {
        fp_log_begin(e, FP_LOG_WRITE, 0, 4, (const uint64_t[2]){ offset, value }, 16);
    }
    fp_tell(e, FP_REGISTER_WRITTEN, offset, value, 0, 0, NULL, 0);
    if (place != 0) {
        slot = place - 1;
        rule = &e->rules[slot];
        old = e->regs[slot];
        new = (old & ~rule->rw) | (value & rule->rw);
        new = (new & ~(value & rule->w1c)) | (value & rule->w1s);
        e->regs[slot] = new;
        fp_hook_write(e, slot, old, new | (value & rule->sc));
    }
    fp_other_side(e, FP_REGISTER_WRITTEN, offset, value, 0, 0);
    fp_step_ends(e);
    return true;
}

int
fp_bar_write(void *engine, uint64_t offset, uint32_t size, uint64_t value)
{
    struct fp_engine *e = engine;

    if (!e->decodes || !e->answers || size != 4 || (offset & 3) != 0 || offset >= FP_BAR_WORDS * 4) {
        return 1;
    }
    fp_now(e);
    fp_look_at_all(e);
    return fp_written(e, (uint32_t)offset, (uint32_t)value) ? 0 : 1;
}
