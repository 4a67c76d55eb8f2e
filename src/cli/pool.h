/*
 * pool.h - tasks on threads: numbered, handed out in order, done in any
 */
#ifndef MXQ_POOL_H
#define MXQ_POOL_H

#include "io/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct mxq_tasks {
    uint64_t ntasks;
    unsigned nthreads;
    void *context;

    /* Called in the order of the tasks, one at a time, by the thread that runs the task next. May be NULL. */
    bool (*take)(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault);

    /* Called by many threads at once. worker is from 0 to nthreads - 1: the thread, to find its buffers. */
    bool (*run)(void *context, unsigned worker, uint64_t task, struct mxq_fault *fault);

    /* Called one at a time, after each task that was good, in any order, by the thread that ran it. May be NULL. */
    void (*done)(void *context, unsigned worker, uint64_t task);
};

/*
 * Runs all tasks on this thread and on as many others as can be had, up to nthreads. The first fault ends it, and is the
 * one that is told. Signals are left to the calling thread.
 */
bool mxq_run_tasks(const struct mxq_tasks *tasks, struct mxq_fault *fault);

/* The threads worth starting: no more than there are tasks, and at least one. */
unsigned mxq_count_workers(unsigned nthreads, uint64_t ntasks);

#endif /* MXQ_POOL_H */
