/* A disk that refuses: writes and syncs of the journal's files fail with the errno that the file in DISK_FAULT
 * names; while it names none, the disk is well (LD_PRELOAD). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int refused(int file) {
    char link[64], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, "/journal.db")) return 0;
    int number = 0;
    FILE *said = fopen(getenv("DISK_FAULT"), "r");
    if (said) {
        if (fscanf(said, "%d", &number) != 1) number = 0;
        fclose(said);
    }
    if (number) errno = number;
    return number;
}

#define REFUSE(type, name, parameters, arguments)                              \
    type name parameters {                                                     \
        static type(*real) parameters;                                         \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);         \
        return refused(file) ? -1 : real arguments;                            \
    }

REFUSE(ssize_t, pwrite, (int file, const void *from, size_t count, off_t at), (file, from, count, at))
REFUSE(ssize_t, pwrite64, (int file, const void *from, size_t count, off64_t at), (file, from, count, at))
REFUSE(ssize_t, write, (int file, const void *from, size_t count), (file, from, count))
REFUSE(int, fsync, (int file), (file))
REFUSE(int, fdatasync, (int file), (file))
REFUSE(int, ftruncate, (int file, off_t size), (file, size))
REFUSE(int, ftruncate64, (int file, off64_t size), (file, size))
