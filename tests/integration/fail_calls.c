/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded: makes calls fail that concern files below a folder, as a disk would.
 *
 * FAIL_FOLDER  the folder; `/` for all files
 * FAIL_WHAT    which calls count: `writing` (whatever makes, changes, syncs, closes, renames or
 * removes files there), `opening` (files for reading), `reading` FAIL_REPORT  a file elsewhere, to
 * which a line "N name path" is added for every call that counts, or only for the one that fails
 * FAIL_AT      fails the N-th of these calls, once; without it none
 * FAIL_BYTES   instead: lets files there grow by so many bytes in all; then the disk is full. The
 * line "0 left BYTES" says at the end how many were not needed FAIL_ERRNO   the number of the error
 * (default: ENOSPC)
 *
 * What the C library does inside of itself is not seen: of its streams, fwrite, fflush and fclose
 * are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum what
{
    WRITING,
    OPENING,
    READING,
    NOTHING
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static char report[PATH_MAX];
static enum what counted = NOTHING;
static long fail_at;
static long long bytes_left = -1;
static int error_number = ENOSPC;
static long calls;

/* A child that looks at a file first may write nothing, not even a report. */
static void in_child(void)
{
    counted = NOTHING;
    bytes_left = -1;
}

static void set_up(void)
{
    pthread_atfork(NULL, NULL, in_child);
    const char* const where = getenv("FAIL_FOLDER");
    const char* const which = getenv("FAIL_WHAT");
    const char* const told = getenv("FAIL_REPORT");
    const char* const at = getenv("FAIL_AT");
    const char* const bytes = getenv("FAIL_BYTES");
    const char* const number = getenv("FAIL_ERRNO");
    if (where == NULL || which == NULL)
    {
        return;
    }
    snprintf(folder, sizeof folder, "%s", where);
    snprintf(report, sizeof report, "%s", told != NULL ? told : "");
    counted = strcmp(which, "opening") == 0   ? OPENING
              : strcmp(which, "reading") == 0 ? READING
                                              : WRITING;
    fail_at = at != NULL ? atol(at) : 0;
    bytes_left = bytes != NULL ? atoll(bytes) : -1;
    error_number = number != NULL ? atoi(number) : ENOSPC;
}

/* The function that this one stands before. */
#define REAL(name) ((__typeof__(&name))real_function(#name))

static void* real_function(const char* name)
{
    void* const function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
    {
        abort();
    }
    return function;
}

static int is_below(const char* path)
{
    const size_t length = strlen(folder);
    if (length == 1)
    {
        return 1;
    }
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int path_of(int file, char* path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, (size_t)(PATH_MAX - 1));
    path[length < 0 ? 0 : length] = '\0';
    return length > 0;
}

/* `path`, absolute; it need not exist. */
static void absolute(int base, const char* path, char* result)
{
    char start[PATH_MAX] = "";
    if (path[0] != '/' &&
        (base != AT_FDCWD ? !path_of(base, start) : getcwd(start, sizeof start) == NULL))
    {
        start[0] = '\0';
    }
    if (snprintf(result, PATH_MAX, "%s%s%s", start, path[0] == '/' ? "" : "/", path) >= PATH_MAX)
    {
        result[0] = '\0';
    }
}

static void tell(long number, const char* name, const char* path)
{
    char line[PATH_MAX + 64];
    const int length = snprintf(line, sizeof line, "%ld %s %s\n", number, name, path);
    const long file =
        syscall(SYS_openat, AT_FDCWD, report, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0)
    {
        syscall(SYS_write, file, line, (size_t)length);
        syscall(SYS_close, file);
    }
}

/* Whether this call is the one that fails; then errno is set. */
static int fails(enum what what, const char* name, const char* path)
{
    pthread_once(&once, set_up);
    const int before = errno;
    if (what != counted || bytes_left >= 0 || !is_below(path))
    {
        return 0;
    }
    pthread_mutex_lock(&mutex);
    const long number = ++calls;
    pthread_mutex_unlock(&mutex);
    if (fail_at == 0 || number == fail_at)
    {
        tell(number, name, path);
    }
    errno = number == fail_at ? error_number : before;
    return number == fail_at;
}

static int fails_on(enum what what, const char* name, int file)
{
    char path[PATH_MAX];
    pthread_once(&once, set_up);
    const int before = errno;
    const int known = what == counted && path_of(file, path);
    errno = before;
    return known && path[0] == '/' && fails(what, name, path);
}

__attribute__((destructor)) static void tell_left(void)
{
    char text[32];
    if (bytes_left >= 0)
    {
        snprintf(text, sizeof text, "%lld", bytes_left);
        tell(0, "left", text);
    }
}

/* How much of a write to `offset`, or to where the file stands, there is room for. */
static size_t room_for(int file, size_t size, off_t offset)
{
    char path[PATH_MAX];
    struct stat info;
    pthread_once(&once, set_up);
    if (counted != WRITING || bytes_left < 0 || size == 0 || !path_of(file, path) ||
        !is_below(path) || fstat(file, &info) != 0 || !S_ISREG(info.st_mode))
    {
        return size;
    }
    if (offset < 0)
    {
        offset = (fcntl(file, F_GETFL) & O_APPEND) != 0 ? info.st_size : lseek(file, 0, SEEK_CUR);
    }
    const long long grown = (long long)offset + (long long)size - (long long)info.st_size;
    if (grown <= 0)
    {
        return size;
    }
    pthread_mutex_lock(&mutex);
    const long long given = grown < bytes_left ? grown : bytes_left;
    bytes_left -= given;
    if (given < grown)
    {
        tell(0, "full", path);
    }
    pthread_mutex_unlock(&mutex);
    const long long fits = (long long)size - (grown - given);
    return fits > 0 ? (size_t)fits : 0;
}

#define FULL(size, room) ((room) == 0 && (size) != 0 && ((errno = error_number), 1))

ssize_t write(int file, const void* data, size_t size)
{
    if (fails_on(WRITING, "write", file))
    {
        return -1;
    }
    const size_t room = room_for(file, size, -1);
    return FULL(size, room) ? -1 : REAL(write)(file, data, room);
}

ssize_t pwrite(int file, const void* data, size_t size, off_t offset)
{
    if (fails_on(WRITING, "pwrite", file))
    {
        return -1;
    }
    const size_t room = room_for(file, size, offset);
    return FULL(size, room) ? -1 : REAL(pwrite)(file, data, room, offset);
}

ssize_t pwrite64(int file, const void* data, size_t size, off64_t offset)
{
    return pwrite(file, data, size, offset);
}

ssize_t writev(int file, const struct iovec* parts, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; ++i)
    {
        size += parts[i].iov_len;
    }
    if (fails_on(WRITING, "writev", file))
    {
        return -1;
    }
    const size_t room = room_for(file, size, -1);
    if (FULL(size, room))
    {
        return -1;
    }
    if (room == size)
    {
        return REAL(writev)(file, parts, count);
    }
    /* As much of the first part as fits: fewer bytes than asked for may always be written. */
    const size_t first = parts[0].iov_len < room ? parts[0].iov_len : room;
    return REAL(write)(file, parts[0].iov_base, first);
}

/* Past the stream's own buffer, so that what it writes is seen. */
size_t fwrite(const void* data, size_t size, size_t count, FILE* stream)
{
    char path[PATH_MAX];
    const int file = fileno(stream);
    pthread_once(&once, set_up);
    if (counted != WRITING || file < 3 || size == 0 || !path_of(file, path) || !is_below(path))
    {
        return REAL(fwrite)(data, size, count, stream);
    }
    size_t done = 0;
    if (REAL(fflush)(stream) != 0)
    {
        return 0;
    }
    while (done < size * count)
    {
        const ssize_t wrote = write(file, (const char*)data + done, size * count - done);
        if (wrote < 0 && errno != EINTR)
        {
            stream->_flags |= _IO_ERR_SEEN;
            return done / size;
        }
        done += wrote < 0 ? 0 : (size_t)wrote;
    }
    return count;
}

int fflush(FILE* stream)
{
    return stream != NULL && fails_on(WRITING, "fflush", fileno(stream)) ? EOF
                                                                         : REAL(fflush)(stream);
}

static int is_written(int file)
{
    const int before = errno;
    const int flags = fcntl(file, F_GETFL);
    struct stat info;
    const int written = flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat(file, &info) == 0 &&
                        S_ISREG(info.st_mode);
    errno = before;
    return written;
}

/* A file is closed, whatever close says. */
int fclose(FILE* stream)
{
    const int file = fileno(stream);
    const int failed = is_written(file) && fails_on(WRITING, "fclose", file);
    const int result = REAL(fclose)(stream);
    if (failed)
    {
        errno = error_number;
    }
    return failed ? EOF : result;
}

int close(int file)
{
    const int failed = is_written(file) && fails_on(WRITING, "close", file);
    const int result = REAL(close)(file);
    if (failed)
    {
        errno = error_number;
    }
    return failed ? -1 : result;
}

#define ON_FILE(name, parameters, arguments)                                                       \
    int name parameters                                                                            \
    {                                                                                              \
        return fails_on(WRITING, #name, file) ? -1 : REAL(name) arguments;                         \
    }

ON_FILE(fsync, (int file), (file))
ON_FILE(fdatasync, (int file), (file))
ON_FILE(ftruncate, (int file, off_t size), (file, size))
ON_FILE(ftruncate64, (int file, off64_t size), (file, size))
ON_FILE(fallocate, (int file, int mode, off_t offset, off_t size), (file, mode, offset, size))
ON_FILE(fallocate64, (int file, int mode, off64_t offset, off64_t size), (file, mode, offset, size))

int posix_fallocate(int file, off_t offset, off_t size)
{
    return fails_on(WRITING, "posix_fallocate", file) ? error_number
                                                      : REAL(posix_fallocate)(file, offset, size);
}

static int fails_at(enum what what, const char* name, int base, const char* path)
{
    char full[PATH_MAX];
    pthread_once(&once, set_up);
    if (what != counted || path == NULL)
    {
        return 0;
    }
    const int before = errno;
    absolute(base, path, full);
    errno = before;
    return fails(what, name, full);
}

#define ON_PATH(name, parameters, arguments, base, path)                                           \
    int name parameters                                                                            \
    {                                                                                              \
        return fails_at(WRITING, #name, base, path) ? -1 : REAL(name) arguments;                   \
    }

ON_PATH(rename, (const char* from, const char* to), (from, to), AT_FDCWD, to)
ON_PATH(renameat, (int a, const char* from, int b, const char* to), (a, from, b, to), b, to)
ON_PATH(renameat2, (int a, const char* from, int b, const char* to, unsigned flags),
        (a, from, b, to, flags), b, to)
ON_PATH(link, (const char* from, const char* to), (from, to), AT_FDCWD, to)
ON_PATH(linkat, (int a, const char* from, int b, const char* to, int flags),
        (a, from, b, to, flags), b, to)
ON_PATH(unlink, (const char* path), (path), AT_FDCWD, path)
ON_PATH(unlinkat, (int base, const char* path, int flags), (base, path, flags), base, path)
ON_PATH(remove, (const char* path), (path), AT_FDCWD, path)
ON_PATH(mkdir, (const char* path, mode_t mode), (path, mode), AT_FDCWD, path)

static int open_fails(int base, const char* path, int flags)
{
    if ((flags & O_ACCMODE) == O_RDONLY)
    {
        return fails_at((flags & O_DIRECTORY) == 0 && counted == OPENING ? OPENING : WRITING,
                        "open", base, path);
    }
    return fails_at(WRITING, (flags & O_CREAT) != 0 ? "create" : "reopen", base, path);
}

#define OPEN(name)                                                                                 \
    int name(const char* path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                                              \
        pthread_once(&once, set_up);                                                               \
        return open_fails(AT_FDCWD, path, flags) ? -1 : REAL(name)(path, flags, mode);             \
    }

#define OPENAT(name)                                                                               \
    int name(int base, const char* path, int flags, ...)                                           \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        const mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                                              \
        pthread_once(&once, set_up);                                                               \
        return open_fails(base, path, flags) ? -1 : REAL(name)(base, path, flags, mode);           \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                                \
    FILE* name(const char* path, const char* mode)                                                 \
    {                                                                                              \
        pthread_once(&once, set_up);                                                               \
        const int flags =                                                                          \
            strchr(mode, 'r') != NULL && strchr(mode, '+') == NULL ? O_RDONLY : O_RDWR | O_CREAT;  \
        return open_fails(AT_FDCWD, path, flags) ? NULL : REAL(name)(path, mode);                  \
    }

FOPEN(fopen)
FOPEN(fopen64)

ssize_t read(int file, void* data, size_t size)
{
    return fails_on(READING, "read", file) ? -1 : REAL(read)(file, data, size);
}

ssize_t readv(int file, const struct iovec* parts, int count)
{
    return fails_on(READING, "readv", file) ? -1 : REAL(readv)(file, parts, count);
}

ssize_t pread(int file, void* data, size_t size, off_t offset)
{
    return fails_on(READING, "pread", file) ? -1 : REAL(pread)(file, data, size, offset);
}

ssize_t pread64(int file, void* data, size_t size, off64_t offset)
{
    return pread(file, data, size, offset);
}

size_t fread(void* data, size_t size, size_t count, FILE* stream)
{
    if (fails_on(READING, "fread", fileno(stream)))
    {
        stream->_flags |= _IO_ERR_SEEN;
        return 0;
    }
    return REAL(fread)(data, size, count, stream);
}
