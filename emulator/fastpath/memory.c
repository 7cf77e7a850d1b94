/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "memory.h"

#include "log.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * The guard, as in emulator/vfu/glue.c: a client can hand over a file that is shorter than the region it declares, or
 * truncate it later; a SIGBUS inside the guest range of a guarded access unwinds to it.
 */
static _Thread_local sigjmp_buf guard_back;
static _Thread_local volatile sig_atomic_t guard_active;
static _Thread_local volatile uintptr_t guard_start;
static _Thread_local volatile uintptr_t guard_end;
static struct sigaction guard_previous;
static bool guard_installed;

static void
on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr;

    (void)context;
    if (guard_active != 0 && address >= guard_start && address < guard_end) {
        guard_active = 0;
        siglongjmp(guard_back, 1);
    }
    sigaction(signal_number, &guard_previous, NULL);
    if (info->si_code <= 0) {
        raise(signal_number);
    }
}

int
fp_guard_install(void)
{
    struct sigaction action;

    if (guard_installed) {
        return 0;
    }
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &guard_previous) != 0) {
        return -1;
    }
    guard_installed = true;
    return 0;
}

#define GUARDED(guest, size, access) \
    do { \
        if (sigsetjmp(guard_back, 0) != 0) { \
            return false; \
        } \
        guard_start = (guest) & ~(uintptr_t)0xFFF; \
        guard_end = (guest) + (size); \
        guard_active = 1; \
        atomic_signal_fence(memory_order_seq_cst); \
        access; \
        atomic_signal_fence(memory_order_seq_cst); \
        guard_active = 0; \
        return true; \
    } while (0)

static bool
copy_from(void *to, uintptr_t guest, size_t size)
{
    GUARDED(guest, size, memcpy(to, (const void *)guest, size));
}

static bool
copy_to(uintptr_t guest, const void *from, size_t size)
{
    GUARDED(guest, size, memcpy((void *)guest, from, size));
}

static bool
put64(uintptr_t guest, uint64_t value)
{
    GUARDED(guest, sizeof(value), __atomic_store_n((uint64_t *)guest, value, __ATOMIC_RELEASE));
}

static bool
put32(uintptr_t guest, uint32_t value)
{
    GUARDED(guest, sizeof(value), __atomic_store_n((uint32_t *)guest, value, __ATOMIC_RELEASE));
}

/* The index of the last region that starts at or below iova, or -1. */
static long
find(const struct fp_memory *m, uint64_t iova)
{
    size_t low = 0, high = m->count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->regions[middle].iova <= iova) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (long)low - 1;
}

bool
fp_map(struct fp_memory *m, const struct fp_region *region)
{
    long at = find(m, region->iova);

    m->recent = 0;
    if (at >= 0 && m->regions[at].iova == region->iova) {
        m->regions[at] = *region;
        return true;
    }
    if (m->count == m->room) {
        size_t room = m->room ? m->room * 2 : 16;
        struct fp_region *more = realloc(m->regions, room * sizeof(*more));

        if (more == NULL) {
            return false;
        }
        m->regions = more;
        m->room = room;
    }
    memmove(&m->regions[at + 2], &m->regions[at + 1], (m->count - (size_t)(at + 1)) * sizeof(*m->regions));
    m->regions[at + 1] = *region;
    m->count++;
    return true;
}

void
fp_unmap(struct fp_memory *m, uint64_t iova, uint64_t size)
{
    long at = find(m, iova);

    m->recent = 0;
    if (at >= 0 && m->regions[at].iova == iova && m->regions[at].size == size) {
        m->count--;
        memmove(&m->regions[at], &m->regions[at + 1], (m->count - (size_t)at) * sizeof(*m->regions));
    }
}

void
fp_forget_memory(struct fp_memory *m)
{
    free(m->regions);
    memset(m, 0, sizeof(*m));
}

static bool
allows(const struct fp_region *r, bool write)
{
    return write ? r->writable : r->readable;
}

/* Whether size bytes at iova lie in what can be touched of the region. */
static bool
holds(const struct fp_region *r, uint64_t iova, size_t size)
{
    return iova >= r->iova && iova - r->iova <= r->mapped && size <= r->mapped - (iova - r->iova);
}

/* Where size bytes at iova lie if they may be touched and one region holds them all, else 0. */
static uintptr_t
direct(struct fp_memory *m, uint64_t iova, size_t size, bool write)
{
    const struct fp_region *r;
    long at;

    if (!m->enabled) {
        return 0;
    }
    if (m->recent < m->count && holds(&m->regions[m->recent], iova, size)) {
        r = &m->regions[m->recent];
    } else {
        at = find(m, iova);
        if (at < 0 || !holds(&m->regions[at], iova, size)) {
            return 0;
        }
        m->recent = (size_t)at;
        r = &m->regions[at];
    }
    return allows(r, write) ? r->address + (iova - r->iova) : 0;
}

bool
fp_memory_holds(struct fp_memory *m, uint64_t iova, size_t size)
{
    return direct(m, iova, size, false) != 0 && direct(m, iova, size, true) != 0;
}

/* The next stretch of `left` bytes at iova: its length, 0 where the rest is not all mapped for this access. */
static size_t
piece(const struct fp_memory *m, uint64_t iova, size_t left, bool write, uintptr_t *address)
{
    long at = m->enabled ? find(m, iova) : -1;
    const struct fp_region *r;
    uint64_t offset, length;

    if (at < 0) {
        return 0;
    }
    r = &m->regions[at];
    offset = iova - r->iova;
    if (offset >= r->mapped || !allows(r, write)) {
        return 0;
    }
    length = r->mapped - offset < left ? r->mapped - offset : left;
    if (length < left && offset + length < r->size) {
        return 0;
    }
    *address = r->address + offset;
    return length;
}

static bool
all_mapped(const struct fp_memory *m, uint64_t iova, size_t size, bool write)
{
    uintptr_t address;

    while (size > 0) {
        size_t length = piece(m, iova, size, write, &address);

        if (length == 0) {
            return false;
        }
        iova += length;
        size -= length;
    }
    return true;
}

bool
fp_memory_read(struct fp_memory *m, uint64_t iova, void *to, size_t size)
{
    uintptr_t address = direct(m, iova, size, false);
    uint8_t *at = to;

    if (address != 0) {
        return copy_from(to, address, size);
    }
    while (size > 0) {
        size_t length = piece(m, iova, size, false, &address);

        if (length == 0 || !copy_from(at, address, length)) {
            return false;
        }
        at += length;
        iova += length;
        size -= length;
    }
    return true;
}

static bool
write_pieces(struct fp_memory *m, uint64_t iova, const void *from, size_t size)
{
    const uint8_t *at = from;
    uintptr_t address;

    if (!all_mapped(m, iova, size, true)) {
        return false;
    }
    while (size > 0) {
        size_t length = piece(m, iova, size, true, &address);

        if (length == 0 || !copy_to(address, at, length)) {
            return false;
        }
        at += length;
        iova += length;
        size -= length;
    }
    return true;
}

bool
fp_memory_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size, int at_once)
{
    uintptr_t address = direct(m, iova, size, true);
    uint64_t word = 0;

    if (address == 0) {
        return write_pieces(m, iova, from, size);
    }
    if (at_once == 0 || address % size != 0) {
        return copy_to(address, from, size);
    }
    memcpy(&word, from, size);
    return at_once == 8 ? put64(address, word) : put32(address, (uint32_t)word);
}

bool
fp_read(struct fp_memory *m, uint64_t iova, void *to, size_t size)
{
    if (__builtin_expect(m->log != NULL, 0)) {
        return fp_log_dma_read(m, iova, to, size);
    }
    return fp_memory_read(m, iova, to, size);
}

bool
fp_write(struct fp_memory *m, uint64_t iova, const void *from, size_t size)
{
    if (__builtin_expect(m->log != NULL, 0)) {
        return fp_log_dma_write(m, iova, from, size, 0);
    }
    return fp_memory_write(m, iova, from, size, 0);
}

bool
fp_store64(struct fp_memory *m, uint64_t iova, uint64_t value)
{
    if (__builtin_expect(m->log != NULL, 0)) {
        return fp_log_dma_write(m, iova, &value, sizeof(value), sizeof(value));
    }
    return fp_memory_write(m, iova, &value, sizeof(value), sizeof(value));
}

bool
fp_store32(struct fp_memory *m, uint64_t iova, uint32_t value)
{
    if (__builtin_expect(m->log != NULL, 0)) {
        return fp_log_dma_write(m, iova, &value, sizeof(value), sizeof(value));
    }
    return fp_memory_write(m, iova, &value, sizeof(value), sizeof(value));
}
