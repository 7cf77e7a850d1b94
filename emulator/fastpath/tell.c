/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "tell.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine.h"

#define LARGEST (512u * 1024) /* no record is longer: a packet has at most 256 KiB */

bool
fp_tell_open(struct fp_tell *t)
{
    memset(t, 0, sizeof(*t));
    t->ring = mmap(NULL, FP_TELL_BYTES + LARGEST, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (t->ring == MAP_FAILED) {
        t->ring = NULL;
        return false;
    }
    t->starts = calloc(FP_TELL_NUMBERS, sizeof(*t->starts));
    return t->starts != NULL;
}

void
fp_tell_close(struct fp_tell *t)
{
    if (t->ring != NULL) {
        munmap(t->ring, FP_TELL_BYTES + LARGEST);
    }
    free(t->starts);
    memset(t, 0, sizeof(*t));
}

const struct fp_record *
fp_record_at(const struct fp_tell *t, uint64_t number)
{
    if (number < t->oldest || number >= t->next) {
        return NULL;
    }
    return (const struct fp_record *)(t->ring + t->starts[number % FP_TELL_NUMBERS] % FP_TELL_BYTES);
}

/* Let go of the oldest records until those from byte `start` on are whole and every number has its place. */
static void
make_room(struct fp_tell *t, uint64_t end)
{
    while (t->oldest < t->next &&
           (t->next - t->oldest >= FP_TELL_NUMBERS || end - t->starts[t->oldest % FP_TELL_NUMBERS] > FP_TELL_BYTES)) {
        t->oldest++;
    }
}

static void
keep(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *data, size_t size)
{
    struct fp_tell *t = &e->tell;
    struct fp_record *record;
    size_t whole;

    if (size > LARGEST - sizeof(*record) - 8) {
        size = LARGEST - sizeof(*record) - 8;
    }
    whole = (sizeof(*record) + size + 7) & ~(size_t)7;
    make_room(t, t->end + whole);
    /* A record begins inside the ring; its end may lie in the room behind, whose bytes the ring's start then gives up. */
    record = (struct fp_record *)(t->ring + t->end % FP_TELL_BYTES);
    record->size = (uint32_t)whole;
    record->kind = (uint16_t)kind;
    record->unused = 0;
    record->data_size = (uint32_t)size;
    record->unused2 = 0;
    record->t_ns = fp_now(e); /* an account is worth a look at the clock */
    record->a = a;
    record->b = b;
    record->c = c;
    record->d = d;
    if (size != 0) {
        memcpy(record->data, data, size);
    }
    t->starts[t->next % FP_TELL_NUMBERS] = t->end;
    t->next++;
    t->end += whole;
}

/* Call Python, which may take its time. */
static void
call(struct fp_engine *e, int kind, bool other_side, const uint64_t words[4], const void *data, size_t size)
{
    e->up.watched(e->handle, kind, other_side, words, data, size);
    e->attention = true;
    fp_now(e);
}

void
fp_tell_of(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d, const void *data, size_t size)
{
    struct fp_tell *t = &e->tell;

    t->counts[kind]++;
    if (t->kept >> kind & 1) {
        keep(e, kind, a, b, c, d, data, size);
    }
    if (t->watched >> kind & 1) {
        call(e, kind, false, (const uint64_t[4]){ a, b, c, d }, data, size);
    }
}

void
fp_other_side_of(struct fp_engine *e, int kind, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    if (e->tell.beside >> kind & 1) {
        call(e, kind, true, (const uint64_t[4]){ a, b, c, d }, NULL, 0);
    }
}

void
fp_nonsense(struct fp_engine *e, const char *format, ...)
{
    char text[300];
    va_list arguments;
    int size;

    if (!e->tell.on) {
        return;
    }
    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size > 0) {
        fp_tell(e, FP_GUEST_ERROR, 0, 0, 0, 0, text, (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1);
    }
}
