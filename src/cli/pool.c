/* pool.c - tasks on threads */
#include "cli/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct pool {
    const struct mxq_tasks *tasks;
    struct mxq_fault *fault;
    pthread_mutex_t lock; /* guards what follows, and the calls of take() and done() */
    uint64_t next;
    bool failed;
};

struct worker {
    struct pool *pool;
    unsigned number;
};

unsigned mxq_count_workers(unsigned nthreads, uint64_t ntasks)
{
    if (ntasks < nthreads)
        nthreads = (unsigned)ntasks;
    return nthreads > 0 ? nthreads : 1;
}

/* The lock is held, but not while the task runs. */
static void run_task(struct pool *pool, unsigned number)
{
    const struct mxq_tasks *tasks = pool->tasks;
    const uint64_t task = pool->next++;
    struct mxq_fault fault;
    bool good = tasks->take == NULL || tasks->take(tasks->context, number, task, &fault);

    if (good) {
        pthread_mutex_unlock(&pool->lock);
        good = tasks->run(tasks->context, number, task, &fault);
        pthread_mutex_lock(&pool->lock);
    }
    if (!good && !pool->failed) {
        pool->failed = true;
        *pool->fault = fault;
    }
    if (good && tasks->done != NULL)
        tasks->done(tasks->context, number, task);
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    struct pool *pool = worker->pool;

    pthread_mutex_lock(&pool->lock);
    while (!pool->failed && pool->next < pool->tasks->ntasks)
        run_task(pool, worker->number);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are for the calling thread, which owns the outset that a handler cleans up. */
static unsigned start_threads(struct worker *workers, pthread_t *threads, unsigned nthreads)
{
    unsigned nstarted = 0;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    while (nstarted < nthreads && pthread_create(&threads[nstarted], NULL, work, &workers[nstarted]) == 0)
        nstarted++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return nstarted;
}

bool mxq_run_tasks(const struct mxq_tasks *tasks, struct mxq_fault *fault)
{
    const unsigned nothers = mxq_count_workers(tasks->nthreads, tasks->ntasks) - 1;
    struct pool pool = {.tasks = tasks, .fault = fault};
    struct worker self = {&pool, 0};
    struct worker *workers = calloc(nothers + 1, sizeof(*workers));
    pthread_t *threads = calloc(nothers + 1, sizeof(*threads));
    unsigned nstarted = 0;

    pthread_mutex_init(&pool.lock, NULL);
    for (unsigned i = 0; i < nothers && workers != NULL; i++)
        workers[i] = (struct worker){&pool, i + 1};
    if (workers != NULL && threads != NULL)
        nstarted = start_threads(workers, threads, nothers);
    work(&self);
    for (unsigned i = 0; i < nstarted; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&pool.lock);
    free(workers);
    free(threads);
    return !pool.failed;
}
