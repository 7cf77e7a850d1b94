/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The native engine: the 82576's data path and its hot registers, as device_model/igb has them in Python.
 *
 * One thread runs an engine: vfio-user messages, rings, timers and the wire take turns in fp_turn(), so that a map or an
 * unmap of guest memory can never meet a running queue. It may have helpers (team.h), which carry a batch of packets in
 * or out of several queues with it (lanes.c) and touch nothing of the engine otherwise. What is rare (link, PHY, EEPROM,
 * PTP, pause, wake-up) stays in Python and is called through struct fp_upcalls.
 */
#ifndef HILNIC_FASTPATH_ENGINE_H
#define HILNIC_FASTPATH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "memory.h"
#include "note.h"
#include "offload.h"
#include "parse.h"
#include "registers.h"
#include "ring.h"
#include "rss.h"
#include "shared.h"
#include "team.h"
#include "tell.h"
#include "wire.h"

#define FP_QUEUES 16
#define FP_VECTORS 25
#define FP_BAR_WORDS (0x20000 / 4)
#define FP_NEVER INT64_MAX
#define FP_PACKET_MOST (256u * 1024) /* more than any offload needs; a longer chain is a driver's nonsense */
#define FP_PACKET_ROOM 128           /* behind it: tags, padding */
#define FP_SLICE 64 /* frames sent before the loop gets its turn */

/* Causes of ICR that the data path raises (device_model/igb/interrupts.py). */
#define FP_TXDW (1u << 0)
#define FP_RXDMT0 (1u << 4)
#define FP_RXO (1u << 6)
#define FP_RXDW (1u << 7)

enum fp_mode { FP_MSIX, FP_MSI, FP_INTX };

/* What becomes of an access, by register element. */
enum fp_hook {
    FP_PLAIN, /* storage and access rules, nothing else */
    FP_COLD,  /* Python's affair */
    FP_ICR, FP_ICS, FP_IMS, FP_IMC, FP_EICS, FP_EIMS, FP_EIMC, FP_EICR, FP_EITR,
    FP_RX_BASE, FP_RDH, FP_RDT, FP_RXDCTL, FP_RCTL,
    FP_TX_BASE, FP_TDH, FP_TDT, FP_TXDCTL, FP_TCTL,
};

struct fp_rule { uint32_t rw, w1c, w1s, rc, sc; };

/* Answered by Python, with the handle that fp_new() was given. What they raise is kept there; `attention` is set then. */
struct fp_upcalls {
    void (*send)(void *handle, uint32_t vector);
    void (*set_intx)(void *handle, int asserted);
    void (*emit)(void *handle, const uint8_t *frame, size_t size);
    void (*pause)(void *handle, const uint8_t *frame, size_t size);
    int (*filled)(void *handle, size_t level); /* whether our partner is to pause now */
    int (*stamp_rx)(void *handle, const uint8_t *frame, size_t size);
    void (*stamp_tx)(void *handle);
    void (*wake)(void *handle, const uint8_t *frame, size_t size);
    /* An event of a kind that is watched, or the other side of its act; words are its a to d. */
    void (*watched)(void *handle, int kind, int other_side, const uint64_t *words, const uint8_t *data, size_t size);
};

/* The deliberate faults that bite on the data path: device_model/igb/faults.py. */
struct fp_faults {
    uint32_t held_vectors, withheld_queues, unfinished_queues;
    uint32_t drop_before_mask[FP_VECTORS], drop_after_mask[FP_VECTORS], duplicates[FP_VECTORS];
    uint32_t zero_length_left[FP_QUEUES];
    uint32_t forced_hash, forced_queue, forced_type, force_rx_errors, forced_checksum;
    uint8_t has_forced_hash, has_forced_queue, has_forced_type, has_forced_checksum;
    uint8_t no_auto_mask, transmit_nothing, ignore_eics, ignore_eitr, corrupt_loopback, prompt_doorbells;
};

/* The link as device_model/igb/link.py sees it. */
struct fp_link {
    uint8_t up, phy_loopback, paused;
    uint8_t xoff; /* we have asked our partner to pause */
    uint8_t full_duplex, refreshing; /* Python repeats XOFF */
    uint32_t speed_mbps;          /* with a link, or in loopback */
    uint32_t loopback_speed_mbps; /* where only RCTL.lbm asks for loopback */
};

struct fp_timer {
    int64_t when;
    uint64_t order;
};

struct fp_slots {
    uint32_t *slots;
    size_t count, room;
};

struct fp_tx_queue {
    struct fp_ring ring;
    uint64_t contexts[2][2];
    uint64_t first[2];
    bool has_first, has_slot, broken;
    uint32_t slot; /* where the packet begins, its context descriptor included */
    uint8_t *data;
    size_t size;
    struct fp_slots report; /* slots of the packet that is put together whose RS is set */
    struct fp_slots done;   /* finished, to be written back */
    struct fp_slots withheld, withheld_sizes; /* a fault keeps them: slots of packets one after another, and how many each */
};

/* A packet that is put together and leaves, frame by frame. */
struct fp_packet {
    bool segmented, stamp; /* stamp: the first frame's time is asked for */
    uint32_t queue, last, left; /* left: frames that have not left; 0 from the start for a packet that is none */
    struct fp_note note;
    struct fp_slots report;
    struct fp_departure departure;
};

struct fp_rx_queue {
    struct fp_ring ring;
    struct fp_slots unfinished;          /* slots whose length a fault left out */
    uint64_t *unfinished_words;
    size_t unfinished_room;
    bool has_last;
    uint32_t last_index;
    uint64_t last_words[2];
};

/* A frame in the packet buffer, which waits for descriptors. */
struct fp_waiting {
    struct fp_waiting *next;
    uint32_t size;
    uint16_t queue;
    uint32_t rss_hash;
    uint8_t rss_type, stamped;
    uint8_t frame[];
};

struct fp_steering {
    uint32_t queue, rss_type, rss_hash;
};

/* The registers of the receive filters, decoded once after a change. */
struct fp_filters {
    bool stale, flow_control, has_outer, rss_on, ipv6_ex_disabled;
    uint32_t rctl, mrqc, max_long, default_queue;
    uint16_t vlan_ethertype, outer_ethertype, pause_type;
    uint8_t pause_address[6], station[6];
    uint64_t exact[24];
    size_t exact_count;
    uint8_t key[40], reta[128];
    struct fp_toeplitz toeplitz;
    uint16_t ethertypes[8];
    uint8_t ethertype_queues[8];
    size_t ethertype_count;
};

struct fp_engine {
    uint32_t regs[SLOTS];
    uint16_t place[FP_BAR_WORDS]; /* slot + 1 by BAR 0 word; 0: nothing */
    uint8_t hooks[SLOTS];
    uint8_t element[SLOTS];
    struct fp_rule rules[SLOTS];

    void *handle;
    struct fp_upcalls up;
    int (*trigger)(void *context, uint32_t vector);
    void *trigger_context;

    bool decodes;   /* the function decodes BAR 0 */
    bool answers;   /* BAR 0 accesses may be answered here: the card is present, no bit of it is stuck */
    bool pause_obeyed; /* nothing is taken off the wire while our partner is to pause */
    int64_t nap_ns;  /* how long the last sleep was between two looks at doorbells that do not trap */
    int64_t spin_ns; /* how long the loop stays awake when somebody was answered */
    int64_t awake_until;
    int64_t posted_at; /* when the last posted writes came */
    bool hasty;        /* and they came soon after those before */
    bool attention; /* Python wants its turn */
    bool fake_clock;
    int64_t now;
    struct fp_log *log; /* NULL: nobody takes down what happens */

    struct fp_memory memory;
    struct fp_tell tell;
    struct fp_faults faults;
    struct fp_link link;
    struct fp_wire wire;
    struct fp_shared shared;

    /* interrupts */
    uint32_t mode, messages, master, masked; /* of the PCI side: scheme, table size, bus mastering, vectors masked there */
    int64_t quiet_until[FP_VECTORS];
    uint32_t least_gap_us; /* between two messages of a moderated vector, if it is more than EITR asks for */
    int64_t asked_until[FP_VECTORS];
    bool paced; /* transmit completions are told of at the guest's own pace */
    int64_t sent_ns[FP_VECTORS];   /* when the message was sent that the guest has not answered yet, or 0 */
    int64_t answer_ns[FP_VECTORS]; /* how long it takes to unmask a vector after its message, of late */
    uint32_t unseen[FP_VECTORS]; /* descriptors written back since the vector's last message */
    struct fp_timer moderation[FP_VECTORS];
    uint64_t timer_order;
    bool owed, line;
    uint64_t messages_sent[FP_VECTORS]; /* since the card was made */

    /* receive */
    struct fp_rx_queue rx[FP_QUEUES];
    struct fp_filters filters;
    struct fp_waiting *first_waiting, **last_waiting;
    size_t waiting_bytes;
    uint64_t delivered[FP_QUEUES], delivered_bytes[FP_QUEUES], drops[FP_BUFFER_FULL + 1]; /* since the card was made */
    struct fp_note placed; /* what became of the frame that arrived last */

    /* transmit */
    struct fp_tx_queue tx[FP_QUEUES];
    struct fp_offload offload;
    bool offload_stale;
    int64_t rate_mbps; /* -1: the link's, 0: unlimited */
    uint8_t ready[FP_QUEUES];
    uint32_t ready_first, ready_count, ready_mask;
    uint32_t finished[FP_QUEUES]; /* slots that were written back, and whose interrupt was not raised */
    bool departing, departing_begun; /* there is a packet, and its next frame is on its way */
    struct fp_packet packet;
    uint64_t sent[FP_QUEUES], sent_bytes[FP_QUEUES]; /* since the card was made */
    struct fp_note leaving; /* of the frame that leaves just now */
    int64_t departs_ns, free_ns;
    struct fp_timer pump;
    struct fp_timer generation;
    struct fp_generator *generator; /* NULL: the wire is another */
    uint8_t *frame;   /* one frame that is built */
    uint8_t *inner;   /* a received frame without its outer tag */
    uint8_t *arrived; /* a received frame that may be changed */
    uint8_t *looped;  /* the same for one of our own, which may arrive while another one does */

    struct fp_team *team; /* NULL: one thread does everything */
    struct fp_lane *lanes; /* with a team: one for each queue */
    struct fp_frame *batch;
    uint32_t together_least; /* descriptors or frames that are worth the team's while */
    uint64_t together; /* packets and frames that it has carried, since the card was made */
};

/* -- life ------------------------------------------------------------------------------------------------- */
struct fp_engine *fp_new(void *handle, const struct fp_upcalls *up);
void fp_free(struct fp_engine *e);
void fp_changed(struct fp_engine *e); /* registers were changed behind the engine's back */

/* -- time ------------------------------------------------------------------------------------------------- */
/* Look at the clock; e->now is what it showed the last time. While a log is kept, time stands still within a step. */
int64_t fp_now(struct fp_engine *e);
int64_t fp_tick(struct fp_engine *e); /* a step begins: look at the clock, whether a log is kept or not */
int64_t fp_wall(struct fp_engine *e); /* for what is no part of the card: the loop */
void fp_set_clock(struct fp_engine *e, int64_t now);
void fp_arm(struct fp_engine *e, struct fp_timer *timer, int64_t when);
int64_t fp_next_timer(const struct fp_engine *e);
void fp_run_due(struct fp_engine *e);
/* Run the timer that was armed for this time, whatever the time is; false: there is none. */
bool fp_fire(struct fp_engine *e, int64_t when);

/* -- registers -------------------------------------------------------------------------------------------- */
/* BAR 0 as the guest accesses it. 0: answered; 1: Python must answer. */
int fp_bar_read(void *engine, uint64_t offset, uint32_t size, uint64_t *value);
int fp_bar_write(void *engine, uint64_t offset, uint32_t size, uint64_t value);
/* A write of four bytes, wherever it came from; false: there is no such register, or it is Python's. */
bool fp_written(struct fp_engine *e, uint32_t offset, uint32_t value);
/* The behaviour behind one register element, for accesses that come by way of Python. */
uint32_t fp_hook_read(struct fp_engine *e, uint32_t slot);
void fp_hook_write(struct fp_engine *e, uint32_t slot, uint32_t old, uint32_t new);

/* -- interrupts ------------------------------------------------------------------------------------------- */
bool fp_multiple(const struct fp_engine *e);
void fp_raise_receive(struct fp_engine *e, uint32_t queue);
void fp_raise_transmit(struct fp_engine *e, uint32_t queue, uint32_t many);
void fp_raise_causes(struct fp_engine *e, uint32_t causes);
void fp_reset_interrupts(struct fp_engine *e);
void fp_mode_changed(struct fp_engine *e);
void fp_deliver_pending(struct fp_engine *e, uint32_t vector);
void fp_send_spurious(struct fp_engine *e, uint32_t vector);
void fp_moderation_over(struct fp_engine *e, uint32_t vector);
uint32_t fp_read_icr(struct fp_engine *e);
uint32_t fp_icr_as_read(const struct fp_engine *e);
uint32_t fp_read_eicr(struct fp_engine *e);
uint32_t fp_read_eitr(struct fp_engine *e, uint32_t n);
void fp_write_icr(struct fp_engine *e, uint32_t old, uint32_t new);
void fp_write_ics(struct fp_engine *e, uint32_t new);
void fp_write_ims(struct fp_engine *e, uint32_t old, uint32_t new);
void fp_write_imc(struct fp_engine *e, uint32_t new);
void fp_write_eics(struct fp_engine *e, uint32_t new);
void fp_write_eims(struct fp_engine *e, uint32_t old, uint32_t new);
void fp_write_eimc(struct fp_engine *e, uint32_t new);
void fp_write_eitr(struct fp_engine *e, uint32_t n, uint32_t new);

/* -- receive ---------------------------------------------------------------------------------------------- */
void fp_arrive(struct fp_engine *e, const uint8_t *frame, size_t size, bool looped);
/* The same for a frame that may be changed and has room for 60 bytes. */
void fp_arrive_here(struct fp_engine *e, uint8_t *frame, size_t size, bool looped);
void fp_reset_receive(struct fp_engine *e);
void fp_rx_moved(struct fp_engine *e, uint32_t n);
void fp_rx_doorbell(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new);
void fp_rx_control(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new);
void fp_rx_enable(struct fp_engine *e, uint32_t old, uint32_t new);
void fp_finish_write_back(struct fp_engine *e, uint32_t queue);
void fp_rewrite_old_slot(struct fp_engine *e, uint32_t queue);
bool fp_loopback(const struct fp_engine *e);

/* What became of a frame that was to be stored. */
enum fp_stored { FP_STORED, FP_STORED_NOT, FP_STORED_LOST }; /* not: no descriptor; lost: the queue halted */

/* A frame from the wire, on its way to its queue. */
struct fp_frame {
    uint8_t *bytes; /* may be changed, and has room for 60 */
    uint32_t size, stored_size;
    int reason; /* of an enum fp_reason, or -1 */
    bool low, stamped, apart; /* low: the ring has RDMTS descriptors left now; apart: it needs the engine for itself */
    enum fp_stored stored;
    struct fp_parsed parsed;
    struct fp_steering steering;
};
/* Filter and steer. Needs decoded filters; changes nothing but the frame where fp_receives_plainly(). */
void fp_classify(struct fp_engine *e, struct fp_frame *f);
/* Write it into its buffers and report it, the reported length of each buffer last. */
void fp_store(struct fp_engine *e, struct fp_memory *m, struct fp_frame *f, struct fp_note *note);
/* What follows from that for everybody else: counters, causes. */
void fp_stored(struct fp_engine *e, const struct fp_frame *f);
/* Whether the queue has descriptors for a frame of that size, `taken` of them gone; how many buffers it takes. */
bool fp_rx_room(const struct fp_engine *e, uint32_t queue, size_t size, uint32_t taken);
uint32_t fp_rx_buffers(const struct fp_engine *e, const struct fp_frame *f);
/* Whether frames from the wire can be classified and stored without regard to each other. */
bool fp_receives_plainly(const struct fp_engine *e);
void fp_refused(struct fp_engine *e, const struct fp_frame *f);
/* The frame without its outer one of two tags, in the engine's own room. */
const uint8_t *fp_without_outer(struct fp_engine *e, const uint8_t *frame, size_t *size);

/* -- filters ---------------------------------------------------------------------------------------------- */
void fp_decode_filters(struct fp_engine *e);
/* Why the frame must be dropped: an enum fp_reason, or -1. */
int fp_refusal(struct fp_engine *e, const uint8_t *frame, size_t size);
bool fp_has_outer_tag(struct fp_engine *e, const uint8_t *frame, size_t size);
bool fp_asks_for_pause(struct fp_engine *e, const uint8_t *frame, size_t size);
struct fp_steering fp_steer(struct fp_engine *e, const struct fp_parsed *parsed);

/* -- transmit --------------------------------------------------------------------------------------------- */
void fp_kick(struct fp_engine *e);
void fp_pump(struct fp_engine *e);
void fp_reset_transmit(struct fp_engine *e);
void fp_tx_moved(struct fp_engine *e, uint32_t n);
void fp_tx_doorbell(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new);
void fp_tx_control(struct fp_engine *e, uint32_t n, uint32_t old, uint32_t new);
void fp_tx_enable(struct fp_engine *e, uint32_t old, uint32_t new);
uint32_t fp_release_completions(struct fp_engine *e, uint32_t n, int64_t count);
void fp_complete_now(struct fp_engine *e, uint32_t n, uint32_t index);
/* Whether a packet is whole: then it is in `p`, and comes out frame by frame. */
bool fp_assemble(struct fp_engine *e, struct fp_memory *m, uint32_t n, struct fp_packet *p);
/* The packet has left: gather its slots for write-back. What can be written back is; return how many slots that were. */
uint32_t fp_report(struct fp_engine *e, struct fp_memory *m, uint32_t n, const struct fp_packet *p);
uint32_t fp_write_back(struct fp_engine *e, struct fp_memory *m, uint32_t n);
void fp_raise_finished(struct fp_engine *e);
void fp_decode_offload(struct fp_engine *e);

/* -- the team --------------------------------------------------------------------------------------------- */
/* Have so many threads; false with errno where there are none to be had. */
bool fp_set_threads(struct fp_engine *e, uint32_t threads);
/* Send up to a batch of packets of each ready queue; false where they must go one by one. */
bool fp_send_together(struct fp_engine *e);
/* Receive as many frames of e->batch as need nothing but their queues; return how many those were. */
size_t fp_receive_together(struct fp_engine *e, size_t count);

/* -- statistics ------------------------------------------------------------------------------------------- */
void fp_count_arrived(struct fp_engine *e, size_t size);
void fp_count_received(struct fp_engine *e, const uint8_t *frame, size_t size);
void fp_count_pause(struct fp_engine *e, bool xoff);
/* Frames that have left, to be counted at once. */
struct fp_tally {
    uint64_t bytes;
    uint32_t frames, multicast, broadcast, by_length[6];
};
void fp_tally(struct fp_tally *t, const uint8_t *frame, size_t size);
void fp_count_transmitted(struct fp_engine *e, const struct fp_tally *t);

/* -- the generator ---------------------------------------------------------------------------------------- */
bool fp_generate(struct fp_engine *e, const uint8_t *frames, size_t size, size_t count, uint64_t rate);
void fp_generate_batch(struct fp_engine *e);
void fp_generator_close(struct fp_engine *e);

/* -- the loop --------------------------------------------------------------------------------------------- */
enum fp_ready { FP_OTHER = 1, FP_CLIENT = 2, FP_TIME = 4, FP_ATTENTION = 8 };

struct fp_turn {
    int client_fd, wire_fd, other_fd; /* -1: none */
    int (*run)(void *context);        /* handle one vfio-user message: 1 done, 0 none there, -1 errno */
    void *context;                    /* NULL: no client is connected; a readable client_fd is Python's affair */
    int64_t deadline;                 /* when Python's next timer is due, or FP_NEVER */
    int client_errno;                 /* set with FP_CLIENT: why run() failed, 0 if it was not called */
};

/* Carry out the posted writes at the head of the client's socket that need nobody else; return how many, -1 if it is empty. */
int fp_take_posted(struct fp_engine *e, int fd);
/* The calling thread will turn engines: let it sleep as short as it asks for. */
void fp_loop_begin(void);
/* Serve guest, wire and timers until something is Python's affair; return which (enum fp_ready). */
int fp_turn(struct fp_engine *e, struct fp_turn *turn);

/* small things */
static inline bool fp_has(const struct fp_engine *e, uint32_t slot, uint32_t mask) { return (e->regs[slot] & mask) != 0; }
void fp_slots_grow(struct fp_slots *s);

static inline void
fp_slots_add(struct fp_slots *s, uint32_t slot)
{
    if (s->count == s->room) {
        fp_slots_grow(s);
    }
    if (s->count < s->room) {
        s->slots[s->count++] = slot;
    }
}

static inline void
fp_tell(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *data, size_t size)
{
    if (__builtin_expect(e->tell.on, 0)) {
        fp_tell_of(e, kind, a, b, c, d, data, size);
    }
}

/* What comes from outside begins and ends; body and size as in fp_log_begin. */
static inline void
fp_step_begins(struct fp_engine *e, int kind, int x, int y, const void *body, size_t size)
{
    if (__builtin_expect(e->log != NULL, 0)) {
        fp_log_begin(e, kind, x, y, body, size);
    }
}

static inline void
fp_step_ends(struct fp_engine *e)
{
    if (__builtin_expect(e->log != NULL, 0)) {
        fp_log_end(e);
    }
}

static inline void
fp_other_side(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (__builtin_expect(e->tell.beside != 0, 0)) {
        fp_other_side_of(e, kind, a, b, c, d);
    }
}

static inline void
fp_count(struct fp_engine *e, uint32_t slot)
{
    e->regs[slot] += e->regs[slot] != UINT32_MAX;
}

#endif
