/* A process that dies at a chosen call to the disk or the network, and with it the power (LD_PRELOAD).
 *
 * CRASH_KIND   wal-write, wal-sync, db-write, db-sync (of the journal) or send (to the broker)
 * CRASH_AT     at the so-many-th call of that kind
 * CRASH_HOW    before, after, or torn: half of a write is done
 * CRASH_POWER  "no": the kernel lives and keeps what was written. Else the share (percent) of writes that
 *              were not synced and reach the disk all the same; the others are taken back, in any mixture
 * CRASH_SEED   which ones
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct undo {
    struct undo *older;
    char path[512];
    off_t at, size;   /* where, and how long the file was before */
    size_t count;     /* bytes written */
    ssize_t had;      /* bytes that were there */
    char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *newest;
static long seen;

static ssize_t real_pwrite(int file, const void *from, size_t count, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    return real(file, from, count, at);
}

/* Return the kind of the journal's file (with its path), or NULL for any other file. */
static const char *journal(int file, char path[512])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, 511);
    if (length < 0)
        return NULL;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    name = name ? name + 1 : path;
    if (strcmp(name, "journal.db-wal") == 0)
        return "wal";
    return strcmp(name, "journal.db") == 0 ? "db" : NULL;
}

static void cut_the_power(void)
{
    const char *share = getenv("CRASH_POWER"), *seed = getenv("CRASH_SEED");
    if (!share || strcmp(share, "no") == 0)
        return;
    unsigned chance = seed ? (unsigned)atoi(seed) : 0;
    int kept = 0;
    for (struct undo *one = newest; one; one = one->older) {
        if ((int)(rand_r(&chance) % 100) < atoi(share)) {
            kept = 1;
            continue;
        }
        int file = open(one->path, O_RDWR);
        if (file < 0)
            continue;
        real_pwrite(file, one->bytes, one->count, one->at); /* what was not there is zeros */
        if (!kept && ftruncate(file, one->size) != 0)
            _exit(99);
        close(file);
    }
}

static int is_point(const char *kind)
{
    const char *wanted = getenv("CRASH_KIND"), *at = getenv("CRASH_AT");
    return wanted && at && strcmp(kind, wanted) == 0 && ++seen == atol(at);
}

static int how(const char *word)
{
    const char *given = getenv("CRASH_HOW");
    return strcmp(given ? given : "before", word) == 0;
}

static void die(void)
{
    cut_the_power();
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void remember(int file, const char *path, size_t count, off_t at)
{
    struct stat was;
    struct undo *one = calloc(1, sizeof *one + count);
    if (!one || fstat(file, &was) != 0)
        _exit(98);
    strcpy(one->path, path);
    one->at = at;
    one->size = was.st_size;
    one->count = count;
    one->had = pread(file, one->bytes, count, at);
    one->older = newest;
    newest = one;
}

static ssize_t written(int file, const void *from, size_t count, off_t at)
{
    char path[512], kind[16];
    const char *which = journal(file, path);
    if (!which)
        return real_pwrite(file, from, count, at);
    snprintf(kind, sizeof kind, "%s-write", which);
    pthread_mutex_lock(&lock);
    int point = is_point(kind);
    if (point && how("before"))
        die();
    remember(file, path, count, at);
    if (point && how("torn")) {
        real_pwrite(file, from, count / 2, at);
        die();
    }
    ssize_t done = real_pwrite(file, from, count, at);
    if (point)
        die();
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int file, const void *from, size_t count, off_t at) { return written(file, from, count, at); }
ssize_t pwrite64(int file, const void *from, size_t count, off_t at) { return written(file, from, count, at); }

static int synced(int file, const char *name)
{
    char path[512], kind[16];
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *which = journal(file, path);
    if (!which)
        return real(file);
    snprintf(kind, sizeof kind, "%s-sync", which);
    pthread_mutex_lock(&lock);
    int point = is_point(kind);
    if (point && !how("after"))
        die();
    int done = real(file);
    for (struct undo **link = &newest; done == 0 && *link;) {
        struct undo *one = *link;
        if (strcmp(one->path, path) == 0) {
            *link = one->older;
            free(one);
        } else
            link = &one->older;
    }
    if (point)
        die();
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int file) { return synced(file, "fsync"); }
int fdatasync(int file) { return synced(file, "fdatasync"); }

ssize_t send(int line, const void *from, size_t count, int flags)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real)
        real = (ssize_t (*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
    if (count < 4 || ((const unsigned char *)from)[0] != 0x40) /* a PUBACK is first */
        return real(line, from, count, flags);
    pthread_mutex_lock(&lock);
    int point = is_point("send");
    if (point && how("before"))
        die();
    ssize_t done = real(line, from, point && how("torn") ? count / 2 : count, flags);
    if (point)
        die();
    pthread_mutex_unlock(&lock);
    return done;
}
