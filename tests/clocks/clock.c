/* A wall clock that a test sets while a program runs, for LD_PRELOAD. Nanoseconds to add to the machine's clock stand in the
 * file $WALL_CLOCK_OFFSET, as eight bytes in the machine's order.
 *
 * Waits until a time of the wall clock end when this clock says that it is that time, as they do in the kernel. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* How soon a wait notices that the clock was set. */
#define STEP (20 * 1000000LL)

static volatile int64_t *offset;

__attribute__((constructor)) static void open_offset(void) {
    const char *path = getenv("WALL_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) {
        return;
    }
    void *map = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map != MAP_FAILED) {
        offset = map;
    }
}

static int64_t nanos(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec of_nanos(int64_t all) {
    struct timespec time = {all / SECOND, all % SECOND};
    return time;
}

/* The machine's clock. */
static int64_t machine(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    return nanos(&now);
}

static int64_t wall(void) { return machine() + (offset ? *offset : 0); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) {
        *time = of_nanos(wall());
        return 0;
    }
    static int (*next)(clockid_t, struct timespec *);
    if (!next) {
        next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    return next(clock, time);
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    int64_t now = wall();
    time->tv_sec = now / SECOND;
    time->tv_usec = now % SECOND / 1000;
    return 0;
}

time_t time(time_t *at) {
    time_t now = wall() / SECOND;
    if (at) {
        *at = now;
    }
    return now;
}

int timespec_get(struct timespec *time, int base) {
    *time = of_nanos(wall());
    return base;
}

/* Until when the machine's clock is waited for next; false when the time has come. */
static int next_step(const struct timespec *until, struct timespec *step) {
    int64_t left = nanos(until) - wall();
    if (left <= 0) {
        return 0;
    }
    *step = of_nanos(machine() + (left < STEP ? left : STEP));
    return 1;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    static int (*next)(cnd_t *, mtx_t *, const struct timespec *);
    if (!next) {
        next = (int (*)(cnd_t *, mtx_t *, const struct timespec *))dlsym(RTLD_NEXT, "cnd_timedwait");
    }
    struct timespec step;
    while (next_step(until, &step)) {
        int outcome = next(condition, mutex, &step);
        if (outcome != thrd_timedout) {
            return outcome;
        }
    }
    return thrd_timedout;
}
