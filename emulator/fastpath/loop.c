/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "engine.h"

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
    left = next - fp_now(e);
    if (left < 0) {
        left = 0;
    }
    time->tv_sec = left / 1000000000;
    time->tv_nsec = left % 1000000000;
    return time;
}

/* Handle what the client has sent; false when that is over for Python to look at. */
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
            continue;
        }
        done = turn->run(turn->context);
        if (done < 0) {
            turn->client_errno = errno;
            return false;
        }
        fp_run_due(e);
        if (done == 0 || e->attention) {
            break;
        }
    }
    return true;
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
        struct timespec time;
        int many, reasons = 0;

        fp_wire_flush(e);
        watched[1].events = fp_wire_wants_out(&e->wire) ? POLLIN | POLLOUT : POLLIN;
        many = ppoll(watched, 3, patience(e, turn->deadline, &time), NULL);
        if (many < 0) {
            return FP_OTHER; /* a signal: Python has its handlers run */
        }
        fp_run_due(e);
        if (many > 0) {
            if (watched[0].revents != 0 && (turn->context == NULL || !messages(e, turn))) {
                reasons |= FP_CLIENT;
            }
            if (watched[1].revents != 0 && fp_wire_poll(e) == 0) {
                reasons |= FP_OTHER; /* a wire of Python's, or one that broke */
            }
            if (watched[2].revents != 0) {
                reasons |= FP_OTHER;
            }
        }
        if (turn->deadline != FP_NEVER && fp_now(e) >= turn->deadline) {
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
