/* A disk that is slow: every fsync and fdatasync first sleeps (LD_PRELOAD).
 *
 * SLOW_FSYNC_MS   before every one, milliseconds
 * STALL_FSYNC_MS  before every STALL_EVERY-th one instead, milliseconds
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

static long setting(const char *name)
{
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

static void wait_first(void)
{
    static atomic_long count;
    long every = setting("STALL_EVERY"), ms = setting("SLOW_FSYNC_MS");
    if (every > 0 && atomic_fetch_add(&count, 1) % every == every - 1)
        ms = setting("STALL_FSYNC_MS");
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
    while (nanosleep(&left, &left) != 0)
        ;
}

int fsync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_first();
    return real(file);
}

int fdatasync(int file)
{
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_first();
    return real(file);
}
