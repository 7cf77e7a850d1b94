/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "glue.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/uio.h>

static hilnic_read_fn handle_read;
static hilnic_write_fn handle_write;

void
hilnic_set_handlers(hilnic_read_fn on_read, hilnic_write_fn on_write)
{
    handle_read = on_read;
    handle_write = on_write;
}

static hilnic_fast_read_fn fast_read;
static hilnic_fast_write_fn fast_write;
static void *fast_engine;

void
hilnic_answer_bar0(hilnic_fast_read_fn on_read, hilnic_fast_write_fn on_write, void *engine)
{
    fast_read = on_read;
    fast_write = on_write;
    fast_engine = engine;
}

static int
answer(void *handle, int region, uint64_t offset, uint32_t size, uint64_t *value, bool is_write)
{
    if (region == VFU_PCI_DEV_BAR0_REGION_IDX && fast_read != NULL) {
        if ((is_write ? fast_write(fast_engine, offset, size, *value) : fast_read(fast_engine, offset, size, value)) == 0) {
            return 0;
        }
    }
    return is_write ? handle_write(handle, region, offset, size, *value) : handle_read(handle, region, offset, size, value);
}

/* The widest naturally aligned access that starts at offset and is not longer than left. */
static uint32_t
piece(uint64_t offset, size_t left)
{
    uint32_t size = 8;

    while (size > left || (offset & (size - 1)) != 0) {
        size >>= 1;
    }
    return size;
}

static ssize_t
region_access(vfu_ctx_t *ctx, int region, char *buf, size_t count, loff_t start, bool is_write)
{
    void *handle = vfu_get_private(ctx);
    uint64_t offset = (uint64_t)start;
    size_t done = 0;

    while (done < count) {
        uint32_t size = piece(offset, count - done);
        uint64_t value = 0;
        int error;

        /* PCI is little-endian, and so is every host that libvfio-user runs on. */
        if (is_write) {
            memcpy(&value, buf + done, size);
            error = answer(handle, region, offset, size, &value, true);
        } else {
            error = answer(handle, region, offset, size, &value, false);
            memcpy(buf + done, &value, size);
        }
        if (error != 0) {
            errno = error;
            return -1;
        }
        done += size;
        offset += size;
    }
    return (ssize_t)done;
}

#define TRAMPOLINE(name, region) \
    static ssize_t name(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, bool is_write) \
    { \
        return region_access(ctx, region, buf, count, offset, is_write); \
    }

TRAMPOLINE(bar0_access, VFU_PCI_DEV_BAR0_REGION_IDX)
TRAMPOLINE(bar1_access, VFU_PCI_DEV_BAR1_REGION_IDX)
TRAMPOLINE(bar2_access, VFU_PCI_DEV_BAR2_REGION_IDX)
TRAMPOLINE(bar3_access, VFU_PCI_DEV_BAR3_REGION_IDX)
TRAMPOLINE(bar4_access, VFU_PCI_DEV_BAR4_REGION_IDX)
TRAMPOLINE(bar5_access, VFU_PCI_DEV_BAR5_REGION_IDX)
TRAMPOLINE(config_access, VFU_PCI_DEV_CFG_REGION_IDX)

int
hilnic_setup_region(vfu_ctx_t *ctx, int region, size_t size, int flags, int fd, size_t at, size_t length)
{
    vfu_region_access_cb_t *access;
    struct iovec mapped = { .iov_base = (void *)(uintptr_t)at, .iov_len = length };

    switch (region) {
    case VFU_PCI_DEV_BAR0_REGION_IDX: access = bar0_access; break;
    case VFU_PCI_DEV_BAR1_REGION_IDX: access = bar1_access; break;
    case VFU_PCI_DEV_BAR2_REGION_IDX: access = bar2_access; break;
    case VFU_PCI_DEV_BAR3_REGION_IDX: access = bar3_access; break;
    case VFU_PCI_DEV_BAR4_REGION_IDX: access = bar4_access; break;
    case VFU_PCI_DEV_BAR5_REGION_IDX: access = bar5_access; break;
    case VFU_PCI_DEV_CFG_REGION_IDX: access = config_access; break;
    default:
        errno = EINVAL;
        return -1;
    }
    if (fd < 0) {
        return vfu_setup_region(ctx, region, size, access, flags, NULL, 0, -1, 0);
    }
    return vfu_setup_region(ctx, region, size, access, flags, &mapped, 1, fd, 0);
}

hilnic_dma_t
hilnic_dma_describe(const vfu_dma_info_t *info)
{
    hilnic_dma_t dma = {
        .iova = (uint64_t)(uintptr_t)info->iova.iov_base,
        .size = info->iova.iov_len,
        .address = (uintptr_t)info->vaddr,
        .prot = info->prot,
    };

    if (dma.address != 0) {
        uintptr_t end = (uintptr_t)info->mapping.iov_base + info->mapping.iov_len;
        uint64_t room = dma.address > end ? 0 : end - dma.address;

        dma.mapped = dma.size < room ? dma.size : room;
    }
    return dma;
}

/*
 * The guard. A client can hand over a file that is shorter than the region it declares, or truncate it
 * later; touching the missing pages raises SIGBUS. While a guarded access runs, a SIGBUS whose address
 * lies inside the guest range unwinds to it; any other goes to whoever was there before us.
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
    /* Not ours: restore the previous action; the faulting instruction runs again and meets it. */
    sigaction(signal_number, &guard_previous, NULL);
    if (info->si_code <= 0) {
        raise(signal_number); /* sent by kill(), so it would not come again by itself */
    }
}

int
hilnic_guard_install(void)
{
    struct sigaction action;

    if (guard_installed) {
        return 0;
    }
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_sigbus;
    /* SA_NODEFER: the handler leaves by siglongjmp, and the signal must not stay blocked. */
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &guard_previous) != 0) {
        return -1;
    }
    guard_installed = true;
    return 0;
}

/* Page granularity: the kernel may report the address of the page, not of the byte. */
static void
guard_enter(uintptr_t guest, size_t size)
{
    guard_start = guest & ~(uintptr_t)0xFFF;
    guard_end = guest + size;
    guard_active = 1;
    atomic_signal_fence(memory_order_seq_cst);
}

static int
guard_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    guard_active = 0;
    return 0;
}

int
hilnic_copy_from(void *to, uintptr_t guest, size_t size)
{
    if (sigsetjmp(guard_back, 0) != 0) {
        return -1;
    }
    guard_enter(guest, size);
    memcpy(to, (const void *)guest, size);
    return guard_leave();
}

int
hilnic_copy_to(uintptr_t guest, const void *from, size_t size)
{
    if (sigsetjmp(guard_back, 0) != 0) {
        return -1;
    }
    guard_enter(guest, size);
    memcpy((void *)guest, from, size);
    return guard_leave();
}

int
hilnic_store32(uintptr_t guest, uint32_t value)
{
    if (sigsetjmp(guard_back, 0) != 0) {
        return -1;
    }
    guard_enter(guest, sizeof(value));
    __atomic_store_n((uint32_t *)guest, value, __ATOMIC_RELEASE);
    return guard_leave();
}

int
hilnic_store64(uintptr_t guest, uint64_t value)
{
    if (sigsetjmp(guard_back, 0) != 0) {
        return -1;
    }
    guard_enter(guest, sizeof(value));
    __atomic_store_n((uint64_t *)guest, value, __ATOMIC_RELEASE);
    return guard_leave();
}
