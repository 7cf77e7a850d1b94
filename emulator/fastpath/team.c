/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "team.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define AWAKE_NS 20000 /* that a helper looks for more work before it sleeps */
#define LOOKS 64       /* between two looks at the clock */

/*
 * `claims` holds the number of the call (32 bits), how many pieces it has (16) and how many are claimed (16), so that
 * whoever is slow finds another call there, and claims nothing of it with what it knows of the old one. Job and context
 * change only when every piece of the call before has been done.
 */
struct fp_team {
    _Atomic(uint64_t) claims;
    _Atomic(uint32_t) call; /* the number of the last call; helpers sleep on it */
    _Atomic(uint32_t) asleep;
    _Atomic(size_t) left; /* pieces of the call that are not done */
    _Atomic(uintptr_t) job, context;
    atomic_bool over;
    size_t helpers;
    pthread_t threads[FP_TEAM_MOST];
};

typedef void (*fp_job)(void *context, size_t n);

static void
relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

static int64_t
clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Do pieces of this call until all are claimed. */
static void
work(struct fp_team *t, uint32_t call)
{
    for (;;) {
        uint64_t claims = atomic_load_explicit(&t->claims, memory_order_acquire);
        fp_job job = (fp_job)atomic_load_explicit(&t->job, memory_order_relaxed);
        void *context = (void *)atomic_load_explicit(&t->context, memory_order_relaxed);

        if (claims >> 32 != call || (claims & UINT16_MAX) >= (claims >> 16 & UINT16_MAX)) {
            return;
        }
        if (atomic_compare_exchange_weak_explicit(&t->claims, &claims, claims + 1, memory_order_acq_rel,
                                                  memory_order_relaxed)) {
            job(context, claims & UINT16_MAX);
            atomic_fetch_sub_explicit(&t->left, 1, memory_order_release);
        }
    }
}

static void
sleep_until_called(struct fp_team *t, uint32_t seen)
{
    atomic_fetch_add(&t->asleep, 1);
    if (!atomic_load(&t->over)) {
        syscall(SYS_futex, &t->call, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
    }
    atomic_fetch_sub(&t->asleep, 1);
}

static void *
help(void *given)
{
    struct fp_team *t = given;
    uint32_t seen = 0;
    int64_t until = 0;

    while (!atomic_load_explicit(&t->over, memory_order_relaxed)) {
        uint32_t call = atomic_load_explicit(&t->call, memory_order_acquire);

        if (call != seen) {
            work(t, call);
            seen = call;
            until = clock_ns() + AWAKE_NS;
            continue;
        }
        for (int n = 0; n < LOOKS && atomic_load_explicit(&t->call, memory_order_relaxed) == seen; n++) {
            relax();
        }
        if (clock_ns() >= until) {
            sleep_until_called(t, seen);
        }
    }
    return NULL;
}

void
fp_team_do(struct fp_team *t, fp_job job, void *context, size_t count)
{
    uint32_t call = atomic_load_explicit(&t->call, memory_order_relaxed) + 1;

    if (count < 2) { /* not worth waking anybody */
        if (count == 1) {
            job(context, 0);
        }
        return;
    }
    atomic_store_explicit(&t->job, (uintptr_t)job, memory_order_relaxed);
    atomic_store_explicit(&t->context, (uintptr_t)context, memory_order_relaxed);
    atomic_store_explicit(&t->left, count, memory_order_relaxed);
    atomic_store_explicit(&t->claims, (uint64_t)call << 32 | (uint64_t)(count & UINT16_MAX) << 16, memory_order_release);
    atomic_store(&t->call, call);
    if (atomic_load(&t->asleep) != 0) {
        syscall(SYS_futex, &t->call, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    }
    work(t, call);
    for (int n = 1; atomic_load_explicit(&t->left, memory_order_acquire) != 0; n++) {
        if (n % LOOKS == 0) {
            sched_yield(); /* the helper may have lost its CPU to somebody, perhaps to us */
        } else {
            relax();
        }
    }
}

struct fp_team *
fp_team_new(size_t threads)
{
    struct fp_team *t = calloc(1, sizeof(*t));
    sigset_t all, before;
    int error = 0;

    if (t == NULL) {
        return NULL;
    }
    /* Signals are for the thread that runs Python; a fault of memory comes to whoever caused it. */
    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (error == 0 && t->helpers + 1 < threads && t->helpers < FP_TEAM_MOST) {
        error = pthread_create(&t->threads[t->helpers], NULL, help, t);
        t->helpers += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        fp_team_free(t);
        errno = error;
        return NULL;
    }
    return t;
}

void
fp_team_free(struct fp_team *t)
{
    if (t == NULL) {
        return;
    }
    atomic_store(&t->over, true);
    atomic_fetch_add(&t->call, 1); /* nobody falls asleep on the old number */
    syscall(SYS_futex, &t->call, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    for (size_t n = 0; n < t->helpers; n++) {
        pthread_join(t->threads[n], NULL);
    }
    free(t);
}
