/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <time.h>

#include "engine.h"

#define NAP 50000       /* ns between two looks at the client's socket while posted writes come in quick succession */
#define NAP_MOST 500000 /* between two looks at doorbells that do not trap, when nothing has come for long */
#define HASTE 150000    /* ns between posted writes that make a quick succession */
#define SLACK 1         /* ns that the kernel may let us oversleep; 50 µs by default */
#define MESSAGES 64 /* handled at most before the wire has its turn, as emulator/server.py has it */

/* How long may be slept: to the next timer, or for ever (NULL). */
static struct timespec *
patience(struct fp_engine *e, int64_t deadline, struct timespec *time)
{
    int64_t next = fp_next_timer(e), left;

    if (deadline < next) {
        next = deadline;
    }
    if (next == FP_NEVER) {
        return NULL;
    }
    left = next - fp_wall(e);
    if (left < 0) {
        left = 0;
    }
    time->tv_sec = left / 1000000000;
    time->tv_nsec = left % 1000000000;
    return time;
}

void
fp_loop_begin(void)
{
    prctl(PR_SET_TIMERSLACK, SLACK);
}

/*
 * Handle what the client has sent; false when that is over for Python to look at. Whoever was answered is likely to ask
 * again at once. Who posts does not wait, and more may be taken together a little later.
 */
static bool
messages(struct fp_engine *e, struct fp_turn *turn)
{
    for (int n = 0; n < MESSAGES; n++) {
        int done = fp_take_posted(e, turn->client_fd);

        if (done < 0) {
            break;
        }
        if (done > 0) {
            fp_run_due(e);
            e->hasty = e->hasty || e->now - e->posted_at < HASTE;
            e->posted_at = e->now;
            continue;
        }
        done = turn->run(turn->context);
        if (done < 0) {
            turn->client_errno = errno;
            return false;
        }
        fp_run_due(e);
        if (done > 0 && e->shared.page == NULL) {
            e->awake_until = e->now + e->spin_ns;
        }
        if (done == 0 || e->attention) {
            break;
        }
    }
    return true;
}

/* Whether a queue may be given work without anybody saying so. */
static bool
must_look(const struct fp_engine *e)
{
    if (e->shared.page == NULL || !e->decodes) {
        return false;
    }
    for (uint32_t n = 0; n < FP_SHARED_QUEUES; n++) {
        if (e->tx[n].ring.enabled) {
            return true;
        }
    }
    return false;
}

static int
look(struct pollfd *watched)
{
    static const struct timespec none = { 0, 0 };

    return ppoll(watched, 3, &none, NULL);
}

/*
 * Wait for something to do. After an answer the loop stays awake for a while and looks again and again, letting others
 * run in between. While posted writes come fast it sleeps without listening to the client: a sender whom nobody waits
 * for needs not wake anybody, which costs it more than the message, and takes a CPU from a guest that uses them all.
 * With doorbells that do not trap it must wake by itself: the longer nothing came, the more seldom.
 */
static int
wait(struct fp_engine *e, struct pollfd *watched, int64_t deadline)
{
    struct timespec time;
    int64_t until, now;
    int many;

    while ((now = fp_wall(e)) < e->awake_until) {
        if (fp_look_at_tails(e)) {
            return 0;
        }
        many = look(watched);
        if (many != 0 || fp_next_timer(e) <= now || deadline <= now) {
            return many;
        }
        sched_yield();
    }
    if (e->hasty) {
        e->hasty = false;
        until = fp_wall(e) + NAP;
        many = ppoll(watched + 1, 2, patience(e, until < deadline ? until : deadline, &time), NULL);
        return many < 0 ? many : look(watched);
    }
    if (must_look(e)) {
        e->nap_ns = e->nap_ns < NAP ? NAP : e->nap_ns * 2 < NAP_MOST ? e->nap_ns * 2 : NAP_MOST;
        until = fp_wall(e) + e->nap_ns;
        if (until < deadline) {
            deadline = until;
        }
    }
    return ppoll(watched, 3, patience(e, deadline, &time), NULL);
}

int
fp_turn(struct fp_engine *e, struct fp_turn *turn)
{
    struct pollfd watched[3] = {
        { .fd = turn->client_fd, .events = POLLIN },
        { .fd = turn->wire_fd, .events = POLLIN },
        { .fd = turn->other_fd, .events = POLLIN },
    };

    turn->client_errno = 0;
    e->attention = false;
    for (;;) {
        int many, reasons = 0;

        fp_wire_flush(e);
        watched[1].fd = fp_wire_held(e) ? -1 : turn->wire_fd;
        watched[1].events = fp_wire_wants_out(&e->wire) ? POLLIN | POLLOUT : POLLIN;
        many = wait(e, watched, turn->deadline);
        if (many < 0) {
            return FP_OTHER; /* a signal: Python has its handlers run */
        }
        if (fp_look_at_tails(e)) {
            e->nap_ns = 0;
        }
        fp_run_due(e);
        if (many > 0) {
            if (watched[0].revents != 0 && (turn->context == NULL || !messages(e, turn))) {
                reasons |= FP_CLIENT;
            }
            if (watched[1].fd >= 0 && watched[1].revents != 0 && fp_wire_poll(e) == 0) {
                reasons |= FP_OTHER; /* a wire of Python's, or one that broke */
            }
            if (watched[2].revents != 0) {
                reasons |= FP_OTHER;
            }
        }
        while (fp_wire_backlog(e)) {
            fp_wire_poll(e);
        }
        if (turn->deadline != FP_NEVER && fp_wall(e) >= turn->deadline) {
            reasons |= FP_TIME;
        }
        if (e->attention) {
            reasons |= FP_ATTENTION;
        }
        if (reasons != 0) {
            fp_wire_flush(e);
            return reasons;
        }
    }
}
