/* SPDX-License-Identifier: BSD-3-Clause */
/* Which frames the receiver takes, and which queue they go to: the twin of device_model/igb/filters.py (82576 7.1). */
#include <string.h>

#include "accept.h"
#include "engine.h"

#define FCS 4
#define LONGEST 9728 /* the longest frame that the 82576 can handle at all, with its frame check sequence */
#define RSS_MODE 2
#define MAC_CONTROL 0x8808
#define TAG 4

static uint64_t
address(const uint8_t *bytes)
{
    uint64_t value = 0;

    memcpy(&value, bytes, 6);
    return value;
}

static void
put_address(uint8_t to[6], uint32_t low, uint32_t high)
{
    memcpy(to, &low, 4);
    memcpy(to + 4, &high, 2);
}

static void
decode_addresses(struct fp_engine *e, uint32_t low, uint32_t high, uint32_t count)
{
    struct fp_filters *f = &e->filters;

    for (uint32_t n = 0; n < count; n++) {
        uint32_t upper = e->regs[high + n];

        if (upper & RAH_AV_MASK) {
            f->exact[f->exact_count++] = (uint64_t)(upper & 0xFFFF) << 32 | e->regs[low + n];
        }
    }
}

void
fp_decode_filters(struct fp_engine *e)
{
    struct fp_filters *f = &e->filters;
    uint32_t vet = e->regs[SLOT_VET];
    uint8_t key[40];

    f->stale = false;
    f->rctl = e->regs[SLOT_RCTL];
    f->flow_control = fp_has(e, SLOT_CTRL, CTRL_RFCE_MASK);
    put_address(f->pause_address, e->regs[SLOT_FCAL], e->regs[SLOT_FCAH]);
    f->pause_type = (uint16_t)e->regs[SLOT_FCT];
    f->max_long = (e->regs[SLOT_RLPML] & RLPML_RLPML_MASK) >> RLPML_RLPML_SHIFT;
    if (f->max_long > LONGEST) {
        f->max_long = LONGEST;
    }
    f->vlan_ethertype = (uint16_t)vet;
    f->has_outer = fp_has(e, SLOT_CTRL_EXT, CTRL_EXT_EXT_VLAN_MASK);
    f->outer_ethertype = (uint16_t)(vet >> 16);
    f->exact_count = 0;
    decode_addresses(e, SLOT_RAL, SLOT_RAH, 16);
    decode_addresses(e, SLOT_RAL_HIGH, SLOT_RAH_HIGH, 8);
    put_address(f->station, e->regs[SLOT_RAL], e->regs[SLOT_RAH]);
    f->mrqc = e->regs[SLOT_MRQC];
    f->rss_on = (f->mrqc & MRQC_ENABLE_MASK) >> MRQC_ENABLE_SHIFT == RSS_MODE;
    f->default_queue = (f->mrqc & MRQC_DEF_Q_MASK) >> MRQC_DEF_Q_SHIFT;
    f->ipv6_ex_disabled = fp_has(e, SLOT_RFCTL, RFCTL_IPV6_EX_DIS_MASK);
    memcpy(key, &e->regs[SLOT_RSSRK], sizeof(key));
    if (memcmp(key, f->key, sizeof(key)) != 0) {
        memcpy(f->key, key, sizeof(key));
        fp_toeplitz_key(&f->toeplitz, key);
    }
    memcpy(f->reta, &e->regs[SLOT_RETA], sizeof(f->reta));
    f->ethertype_count = 0;
    for (uint32_t n = 0; n < 8; n++) {
        uint32_t etqf = e->regs[SLOT_ETQF + n];

        if ((etqf & ETQF_FILTER_ENABLE_MASK) && (etqf & ETQF_QUEUE_ENABLE_MASK)) {
            f->ethertypes[f->ethertype_count] = (uint16_t)etqf;
            f->ethertype_queues[f->ethertype_count++] = (uint8_t)((etqf & ETQF_RX_QUEUE_MASK) >> ETQF_RX_QUEUE_SHIFT);
        }
    }
}

static inline void
fresh(struct fp_engine *e)
{
    if (e->filters.stale) {
        fp_decode_filters(e);
    }
}

static inline uint16_t
word(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

bool
fp_has_outer_tag(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    fresh(e);
    return e->filters.has_outer && size >= 12 + TAG && word(frame + 12) == e->filters.outer_ethertype;
}

static bool
is_pause(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_filters *f = &e->filters;

    return fp_is_pause(frame, size, f->station, f->pause_address, f->pause_type);
}

bool
fp_asks_for_pause(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    fresh(e);
    return e->filters.flow_control && is_pause(e, frame, size);
}

static bool
exact(const struct fp_filters *f, uint64_t destination)
{
    for (size_t n = 0; n < f->exact_count; n++) {
        if (f->exact[n] == destination) {
            return true;
        }
    }
    return false;
}

static bool
address_accepted(const struct fp_engine *e, const uint8_t *destination)
{
    const struct fp_filters *f = &e->filters;
    uint64_t value = address(destination);
    uint32_t hashed;

    if ((destination[0] & 1) == 0) {
        return (f->rctl & RCTL_UPE_MASK) || exact(f, value);
    }
    if (value == 0xFFFFFFFFFFFFull) {
        return (f->rctl & RCTL_BAM_MASK) != 0;
    }
    if ((f->rctl & RCTL_MPE_MASK) || exact(f, value)) {
        return true;
    }
    hashed = fp_multicast_hash(destination, (unsigned)((f->rctl & RCTL_MO_MASK) >> RCTL_MO_SHIFT));
    return e->regs[SLOT_MTA + (hashed >> 5)] >> (hashed & 31) & 1;
}

static int
mac_control_refusal(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    const struct fp_filters *f = &e->filters;
    bool pause = is_pause(e, frame, size);

    if (pause && f->flow_control && (f->rctl & RCTL_DPF_MASK)) {
        return FP_PAUSE;
    }
    if (f->rctl & RCTL_PMCF_MASK) {
        return -1;
    }
    if (pause) {
        return f->flow_control ? FP_PAUSE : FP_MAC_CONTROL;
    }
    return address_accepted(e, frame) ? -1 : FP_MAC_CONTROL;
}

int
fp_refusal(struct fp_engine *e, const uint8_t *frame, size_t size)
{
    struct fp_filters *f = &e->filters;
    size_t longest;
    uint16_t ethertype;

    fresh(e);
    longest = f->rctl & RCTL_LPE_MASK ? f->max_long : word(frame + 12) == f->vlan_ethertype ? 1522 : 1518;
    if (size + FCS > longest) {
        return FP_OVERSIZE;
    }
    if (fp_has_outer_tag(e, frame, size)) {
        memcpy(e->inner, frame, 12);
        memcpy(e->inner + 12, frame + 12 + TAG, size - 12 - TAG);
        frame = e->inner;
        size -= TAG;
    }
    ethertype = word(frame + 12);
    if (ethertype == MAC_CONTROL) {
        return mac_control_refusal(e, frame, size);
    }
    if (!address_accepted(e, frame)) {
        return FP_ADDRESS;
    }
    if (ethertype == f->vlan_ethertype && (f->rctl & RCTL_VFE_MASK)) {
        uint32_t vid = word(frame + 14) & 0xFFF;

        if ((e->regs[SLOT_VFTA + (vid >> 5)] >> (vid & 31) & 1) == 0) {
            return FP_NO_VLAN;
        }
    }
    return -1;
}

struct fp_steering
fp_steer(struct fp_engine *e, const struct fp_parsed *parsed)
{
    struct fp_filters *f = &e->filters;
    struct fp_steering steering = { 0, 0, 0 };
    uint8_t input[36];
    uint32_t hash;
    uint8_t type;

    fresh(e);
    /* Of two filters for one EtherType the later one counts. */
    for (size_t n = f->ethertype_count; n-- > 0;) {
        if (f->ethertypes[n] == parsed->ethertype) {
            steering.queue = f->ethertype_queues[n];
            return steering;
        }
    }
    if (!f->rss_on) {
        steering.queue = f->default_queue;
        return steering;
    }
    type = fp_rss_type(parsed, f->mrqc, f->ipv6_ex_disabled);
    if (type == 0) {
        return steering;
    }
    hash = fp_toeplitz_hash(&f->toeplitz, input, fp_rss_input(parsed, type, input));
    steering.queue = f->reta[hash & 0x7F] & 0xF;
    steering.rss_type = type;
    steering.rss_hash = hash;
    return steering;
}
