/* Preloaded between Python and the C library: counts the calls that change files below a folder,
   and at the call of a number kills the process before it is made, or lets it fail. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { FDS = 4096, READING = 1, WRITING = 2 };

static char root[4096];
static int armed, count, number, fault, lasting;
static char known[FDS];

/* fault: 0 none, -1 kill, else the errno; lasting: calls that take room fail from then on. */
void shim_arm(const char *folder, int at, int how, int on)
{
    strncpy(root, folder, sizeof root - 1);
    number = at, fault = how, lasting = on, count = 0, armed = 1;
}

int shim_count(void) { return count; }

static int fails(int takes_room)
{
    count++;
    if (fault == -1 && count == number)
        kill(getpid(), SIGKILL);
    if (fault > 0 && (count == number || (lasting && takes_room && count > number))) {
        errno = fault;
        return 1;
    }
    return 0;
}

static int below(const char *path)
{
    return armed && (path[0] != '/' || !strncmp(path, root, strlen(root)));
}

static int is_known(int fd, int how) { return armed && fd >= 0 && fd < FDS && known[fd] & how; }

#define REAL(name) static __typeof__(&name) real; if (!real) real = dlsym(RTLD_NEXT, #name)

#define OPEN(name)                                                                          \
    int name(const char *path, int flags, ...)                                              \
    {                                                                                       \
        REAL(name);                                                                         \
        va_list rest;                                                                       \
        va_start(rest, flags);                                                              \
        mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;           \
        va_end(rest);                                                                       \
        int writes = (flags & O_ACCMODE) != O_RDONLY, ours = below(path);                   \
        if (ours && writes && fails(flags & O_CREAT))                                       \
            return -1;                                                                      \
        int fd = real(path, flags, mode);                                                   \
        if (fd >= 0 && fd < FDS)                                                            \
            known[fd] = ours ? (writes ? READING | WRITING : READING) : 0;                  \
        return fd;                                                                          \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    return is_known(fd, WRITING) && fails(1) ? -1 : real(fd, data, size);
}

int fsync(int fd)
{
    REAL(fsync);
    return is_known(fd, READING) && fails(1) ? -1 : real(fd);
}

int close(int fd)
{
    REAL(close);
    int failed = is_known(fd, WRITING) && fails(0), cause = errno;
    if (fd >= 0 && fd < FDS)
        known[fd] = 0;
    int done = real(fd);
    if (failed)
        errno = cause;
    return failed ? -1 : done;
}

#define ON_PATH(name, room, declared, ...)                                                  \
    int name declared                                                                       \
    {                                                                                       \
        REAL(name);                                                                         \
        return below(path) && fails(room) ? -1 : real(__VA_ARGS__);                         \
    }
ON_PATH(mkdir, 1, (const char *path, mode_t mode), path, mode)
ON_PATH(rename, 1, (const char *path, const char *other), path, other)
ON_PATH(unlink, 0, (const char *path), path)
ON_PATH(rmdir, 0, (const char *path), path)
ON_PATH(chmod, 0, (const char *path, mode_t mode), path, mode)
