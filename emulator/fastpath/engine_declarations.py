# SPDX-License-Identifier: BSD-3-Clause
"""What Python sees of engine.h, in cffi's dialect of C."""

from __future__ import annotations

ENGINE_DECLARATIONS = """
enum fp_mode { FP_MSIX, FP_MSI, FP_INTX, ... };
enum fp_hook { FP_PLAIN, FP_COLD, ... };
enum fp_ready { FP_OTHER, FP_CLIENT, FP_TIME, FP_ATTENTION, ... };
enum fp_wire_kind { FP_WIRE_PYTHON, FP_WIRE_NULL, FP_WIRE_DGRAM, FP_WIRE_TAP, FP_WIRE_STREAM, ... };
enum fp_stream_end { FP_STREAM_GOES_ON, FP_STREAM_CLOSED, FP_STREAM_FAILED, FP_STREAM_LOST, ... };
#define FP_NOTE_ROOM ...
#define SLOTS ...
#define FP_BAR_WORDS ...
#define FP_QUEUES ...
#define FP_VECTORS ...

struct fp_rule { uint32_t rw, w1c, w1s, rc, sc; ...; };

struct fp_upcalls {
    void (*send)(void *handle, uint32_t vector);
    void (*set_intx)(void *handle, int asserted);
    void (*emit)(void *handle, const uint8_t *frame, size_t size);
    void (*pause)(void *handle, const uint8_t *frame, size_t size);
    int (*filled)(void *handle, size_t level);
    int (*stamp_rx)(void *handle, const uint8_t *frame, size_t size);
    void (*stamp_tx)(void *handle);
    void (*wake)(void *handle, const uint8_t *frame, size_t size);
    void (*watched)(void *handle, int kind, int other_side, const uint64_t *words, const uint8_t *data, size_t size);
    ...;
};

struct fp_faults {
    uint32_t held_vectors, withheld_queues, unfinished_queues;
    uint32_t drop_before_mask[...], drop_after_mask[...], duplicates[...];
    uint32_t zero_length_left[...];
    uint32_t forced_hash, forced_queue, forced_type, force_rx_errors, forced_checksum;
    uint8_t has_forced_hash, has_forced_queue, has_forced_type, has_forced_checksum;
    uint8_t no_auto_mask, transmit_nothing, ignore_eics, ignore_eitr, corrupt_loopback, prompt_doorbells;
    ...;
};

struct fp_link {
    uint8_t up, phy_loopback, paused, xoff, full_duplex, refreshing;
    uint32_t speed_mbps, loopback_speed_mbps;
    ...;
};

struct fp_ring {
    uint64_t base;
    uint32_t count, head, fetched, tail, queue;
    bool transmit, enabled, halted;
    ...;
};
struct fp_rx_queue { struct fp_ring ring; ...; };
struct fp_tx_queue { struct fp_ring ring; ...; };

struct fp_region { uint64_t iova, size, mapped; uintptr_t address; bool readable, writable; ...; };
struct fp_memory { bool enabled; ...; };

struct fp_log_head { uint8_t kind, x; uint16_t y; uint32_t size; ...; };
struct fp_log {
    bool follows;
    uint32_t depth;
    size_t at, begun;
    bool differs;
    struct fp_log_head found;
    uint64_t steps, lost_steps, lost_bytes;
    uint8_t *found_body;
    ...;
};

struct fp_record {
    uint32_t size;
    uint16_t kind, unused;
    uint32_t data_size, unused2;
    int64_t t_ns;
    uint64_t a, b, c, d;
    uint8_t data[];
};
struct fp_tell { bool on; uint32_t watched, beside, kept; uint64_t counts[...]; uint64_t next, oldest; ...; };

struct fp_wire_batch { size_t count; size_t sizes[...]; uint8_t frames[...][...]; ...; };
struct fp_wire {
    int kind, fd;
    bool connected, offload;
    uint64_t emitted, arrived, dropped, malformed;
    uint8_t address[...];
    uint32_t address_size;
    int stream_end;
    bool capture_failed;
    struct fp_wire_batch *in;
    ...;
};

struct fp_note { ...; };

struct fp_engine {
    uint32_t regs[...];
    uint16_t place[...];
    uint8_t hooks[...];
    uint8_t element[...];
    struct fp_rule rules[...];
    int (*trigger)(void *context, uint32_t vector);
    void *trigger_context;
    bool decodes, answers, attention, pause_obeyed, paced;
    int64_t spin_ns;
    int64_t now;
    struct fp_log *log;
    struct fp_memory memory;
    struct fp_tell tell;
    struct fp_faults faults;
    struct fp_link link;
    struct fp_wire wire;
    uint32_t mode, messages, master, masked, least_gap_us;
    struct fp_rx_queue rx[...];
    struct fp_tx_queue tx[...];
    int64_t rate_mbps;
    struct fp_note placed, leaving;
    uint64_t delivered[...], delivered_bytes[...], drops[...], sent[...], sent_bytes[...], messages_sent[...];
    uint32_t together_least;
    uint64_t together;
    ...;
};

struct fp_turn {
    int client_fd, wire_fd, other_fd;
    int (*run)(void *context);
    void *context;
    int64_t deadline;
    int client_errno;
    ...;
};

void fp_note_text(const struct fp_note *n, char *text);
struct fp_engine *fp_new(void *handle, const struct fp_upcalls *up);
void fp_free(struct fp_engine *e);
void fp_changed(struct fp_engine *e);
void fp_set_clock(struct fp_engine *e, int64_t now);
int64_t fp_next_timer(const struct fp_engine *e);
void fp_run_due(struct fp_engine *e);
bool fp_shared_open(struct fp_engine *e, int fd);
bool fp_look_at_tails(struct fp_engine *e);
void fp_look_at_all(struct fp_engine *e);
int fp_bar_read(void *engine, uint64_t offset, uint32_t size, uint64_t *value);
int fp_bar_write(void *engine, uint64_t offset, uint32_t size, uint64_t value);
uint32_t fp_hook_read(struct fp_engine *e, uint32_t slot);
void fp_hook_write(struct fp_engine *e, uint32_t slot, uint32_t old, uint32_t new);
void fp_raise_receive(struct fp_engine *e, uint32_t queue);
void fp_raise_transmit(struct fp_engine *e, uint32_t queue, uint32_t many);
void fp_raise_causes(struct fp_engine *e, uint32_t causes);
void fp_reset_interrupts(struct fp_engine *e);
void fp_mode_changed(struct fp_engine *e);
void fp_deliver_pending(struct fp_engine *e, uint32_t vector);
void fp_send_spurious(struct fp_engine *e, uint32_t vector);
void fp_arrive(struct fp_engine *e, const uint8_t *frame, size_t size, bool looped);
void fp_reset_receive(struct fp_engine *e);
void fp_finish_write_back(struct fp_engine *e, uint32_t queue);
void fp_rewrite_old_slot(struct fp_engine *e, uint32_t queue);
void fp_kick(struct fp_engine *e);
bool fp_set_threads(struct fp_engine *e, uint32_t threads);
void fp_wire_arrived_many(struct fp_engine *e);
void fp_reset_transmit(struct fp_engine *e);
uint32_t fp_release_completions(struct fp_engine *e, uint32_t n, int64_t count);
void fp_complete_now(struct fp_engine *e, uint32_t n, uint32_t index);
bool fp_map(struct fp_memory *m, const struct fp_region *region);
void fp_unmap(struct fp_memory *m, uint64_t iova, uint64_t size);
bool fp_read(struct fp_memory *m, uint64_t iova, void *to, size_t size);
bool fp_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size);
bool fp_store64(struct fp_memory *m, uint64_t iova, uint64_t value);
bool fp_store32(struct fp_memory *m, uint64_t iova, uint32_t value);
void fp_tell(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *data,
             size_t size);
const struct fp_record *fp_record_at(const struct fp_tell *t, uint64_t number);
bool fp_generate(struct fp_engine *e, const uint8_t *frames, size_t size, size_t count, uint64_t rate);
void fp_capture_to(struct fp_wire *w, int fd);
void fp_capture_sent(struct fp_wire *w, const uint8_t *frame, size_t size, const struct fp_note *note);
void fp_capture_arrives(struct fp_wire *w, const uint8_t *frame, size_t size);
void fp_capture_placed(struct fp_wire *w, const struct fp_note *note);
void fp_stream_begin(struct fp_wire *w, int fd);
void fp_emit(struct fp_engine *e, const uint8_t *frame, size_t size);
void fp_wire_flush(struct fp_engine *e);
size_t fp_wire_poll(struct fp_engine *e);
bool fp_log_write(struct fp_engine *e, int fd, uint8_t *data, size_t at, size_t end, size_t room);
bool fp_log_read(struct fp_engine *e, uint8_t *data, size_t at, size_t end);
void fp_log_close(struct fp_engine *e);
void fp_log_begin(struct fp_engine *e, int kind, int x, int y, const void *body, size_t size);
void fp_log_end(struct fp_engine *e);
int fp_log_put(struct fp_log *log, int kind, int x, int y, const void *first, size_t first_size, const void *second,
               size_t second_size);
void fp_log_follow(struct fp_engine *e);
bool fp_fire(struct fp_engine *e, int64_t when);
void fp_loop_begin(void);
int fp_turn(struct fp_engine *e, struct fp_turn *turn);

extern "Python" {
    void fp_on_send(void *handle, uint32_t vector);
    void fp_on_set_intx(void *handle, int asserted);
    void fp_on_emit(void *handle, const uint8_t *frame, size_t size);
    void fp_on_pause(void *handle, const uint8_t *frame, size_t size);
    int fp_on_filled(void *handle, size_t level);
    int fp_on_stamp_rx(void *handle, const uint8_t *frame, size_t size);
    void fp_on_stamp_tx(void *handle);
    void fp_on_wake(void *handle, const uint8_t *frame, size_t size);
    void fp_on_watched(void *handle, int kind, int other_side, const uint64_t *words, const uint8_t *data, size_t size);
}
"""
