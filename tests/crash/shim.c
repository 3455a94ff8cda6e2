// Preloaded into a test's child process: writes down, in order, all that it does to files below one folder, and lets one call fail.
//
// SHIM_ROOT  the folder                 SHIM_LOG    where the record goes
// SHIM_FAIL  kind:n:errno[:on]          the n-th call of that kind (from 1) in the store's folder fails; with `on`, so do all later ones
// SHIM_FAST  syncs are recorded, and not made
//
// A write and its place in the record are one step under one lock, so the order of the record is the order of the disk. A sync is
// recorded when it begins and when it ends: it speaks for what was written before it began, once it has ended.
// The format of the record is read by record.rs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
#define PIECE 4096

struct entry {
    uint8_t kind, flag;
    uint16_t path_bytes, path2_bytes;
    uint16_t unused;
    uint64_t file, at, bytes;
    uint32_t data_bytes;
    uint32_t unused2;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[2048];
static size_t root_bytes;
static int log_fd = -1, fast, fail_on;
static char fail_kind[32];
static long fail_at;
static struct { const char *kind; long count; } kinds[] = {{"write", 0}, {"sync", 0}, {"range", 0}, {"open", 0}, {"truncate", 0},
                                                          {"fallocate", 0}, {"rename", 0}, {"unlink", 0}, {"mkdir", 0}, {"rmdir", 0}};
#define KINDS (sizeof kinds / sizeof *kinds)
static int fail_errno;
static uint64_t syncs;
static struct { uint64_t file; char *path; int is_folder; } fds[FDS];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);

static ssize_t raw_write(int fd, const void *data, size_t bytes) {
    REAL(write)
    return real(fd, data, bytes);
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("SHIM_ROOT"), *path = getenv("SHIM_LOG"), *fail = getenv("SHIM_FAIL");
    if (!folder || !path) return;
    fast = getenv("SHIM_FAST") != NULL;
    if (fail) {
        char copy[64], *rest = copy;
        snprintf(copy, sizeof copy, "%s", fail);
        snprintf(fail_kind, sizeof fail_kind, "%s", strsep(&rest, ":"));
        fail_at = rest ? atol(strsep(&rest, ":")) : 0;
        fail_errno = rest ? atoi(strsep(&rest, ":")) : EIO;
        fail_on = rest != NULL;
    }
    __typeof__(&open) real_open = (__typeof__(&open))dlsym(RTLD_NEXT, "open");
    log_fd = real_open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    snprintf(root, sizeof root, "%s", folder);
    root_bytes = strlen(root);
}

static int is_below(const char *path) {
    return log_fd >= 0 && path && !strncmp(path, root, root_bytes) && (path[root_bytes] == '/' || !path[root_bytes]);
}

// Relative to the root.
static const char *name_of(const char *path) {
    return path[root_bytes] ? path + root_bytes + 1 : "";
}

static int is_tracked(int fd) {
    return fd >= 0 && fd < FDS && fds[fd].path;
}

static void put(uint8_t kind, const char *path, const char *path2, uint64_t file, uint64_t at, uint64_t bytes, uint8_t flag,
                const void *data, uint32_t data_bytes) {
    struct entry entry = {0};
    entry.kind = kind, entry.flag = flag, entry.file = file, entry.at = at, entry.bytes = bytes, entry.data_bytes = data_bytes;
    entry.path_bytes = path ? strlen(path) : 0, entry.path2_bytes = path2 ? strlen(path2) : 0;
    struct iovec parts[4] = {{&entry, sizeof entry},
                             {(void *)path, entry.path_bytes},
                             {(void *)path2, entry.path2_bytes},
                             {(void *)data, data_bytes}};
    size_t all = 0;
    for (int n = 0; n < 4; n++) all += parts[n].iov_len;
    // A record with a hole proves nothing.
    if (writev(log_fd, parts, 4) != (ssize_t)all) _exit(99);
}

static void put_write(int fd, const char *data, uint64_t at, size_t bytes) {
    // Runs of zeros are only counted: new segments are full of them.
    static const char zeros[PIECE];
    size_t done = 0;
    while (done < bytes) {
        size_t end = done;
        int is_zero = -1;
        while (end < bytes) {
            size_t piece = PIECE - (at + end) % PIECE;
            if (piece > bytes - end) piece = bytes - end;
            int zero = !memcmp(data + end, zeros, piece);
            if (is_zero >= 0 && zero != is_zero) break;
            is_zero = zero;
            end += piece;
        }
        put(is_zero ? 'z' : 'w', NULL, NULL, fds[fd].file, at + done, end - done, 0, data + done, is_zero ? 0 : end - done);
        done = end;
    }
}

// Under the lock. Counts the call where it is one of the store's; whether it is the one to fail.
static int fails(const char *kind, const char *path) {
    if (strncmp(path, "store", 5)) return 0;
    long count = 0;
    for (size_t n = 0; n < KINDS; n++)
        if (!strcmp(kinds[n].kind, kind)) count = ++kinds[n].count;
    if (!fail_at || strcmp(kind, fail_kind) || (count != fail_at && !(fail_on && count > fail_at))) return 0;
    put('!', path, NULL, 0, count, 0, fail_errno, NULL, 0);
    errno = fail_errno;
    return 1;
}

// How many calls of each kind there were.
__attribute__((destructor)) static void end(void) {
    for (size_t n = 0; log_fd >= 0 && n < KINDS; n++) put('n', kinds[n].kind, NULL, 0, kinds[n].count, 0, 0, NULL, 0);
}

static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!is_below(path)) return real(path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat stat;
    int fd = -1;
    if (!fails("open", name_of(path))) {
        int is_new = (flags & O_CREAT) && lstat(path, &stat) != 0;
        fd = real(path, flags, mode);
        if (fd >= FDS) _exit(98);
        if (fd >= 0 && fstat(fd, &stat) == 0) {
            free(fds[fd].path);
            fds[fd].path = strdup(name_of(path));
            fds[fd].file = stat.st_ino;
            fds[fd].is_folder = S_ISDIR(stat.st_mode);
            if (is_new) put('c', name_of(path), NULL, stat.st_ino, 0, 0, 0, NULL, 0);
            else if (flags & O_TRUNC) put('t', NULL, NULL, stat.st_ino, 0, 0, 0, NULL, 0);
        }
    }
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return fd;
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE REAL(open) return opened(real, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE REAL(open64) return opened(real, path, flags, mode); }

int openat(int folder, const char *path, int flags, ...) {
    MODE
    REAL(openat)
    // Only removal of a whole folder uses it; that is no part of a store's work.
    return real(folder, path, flags, mode);
}

int close(int fd) {
    REAL(close)
    pthread_mutex_lock(&lock);
    if (is_tracked(fd)) { free(fds[fd].path); fds[fd].path = NULL; }
    int done = real(fd);
    int saved = errno;
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

static int duplicated(int from, int to) {
    if (to >= FDS) _exit(98);
    if (to >= 0 && is_tracked(from)) {
        pthread_mutex_lock(&lock);
        free(fds[to].path);
        fds[to] = fds[from];
        fds[to].path = strdup(fds[from].path);
        pthread_mutex_unlock(&lock);
    }
    return to;
}

int fcntl(int fd, int command, ...) {
    REAL(fcntl)
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    int done = real(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, done) : done;
}

int fcntl64(int fd, int command, ...) {
    REAL(fcntl64)
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    int done = real(fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, done) : done;
}

// One step under the lock: the call, and its place in the record.
#define STEP(kind, path, call, noted) \
    pthread_mutex_lock(&lock); \
    ssize_t done = fails(kind, path) ? -1 : (ssize_t)(call); \
    int saved = errno; \
    if (done >= 0) { noted; } \
    pthread_mutex_unlock(&lock); \
    errno = saved; \
    return done;

ssize_t write(int fd, const void *data, size_t bytes) {
    if (!is_tracked(fd)) return raw_write(fd, data, bytes);
    STEP("write", fds[fd].path, raw_write(fd, data, bytes), put_write(fd, data, lseek(fd, 0, SEEK_CUR) - done, done))
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
    REAL(pwrite)
    if (!is_tracked(fd)) return real(fd, data, bytes, at);
    STEP("write", fds[fd].path, real(fd, data, bytes, at), put_write(fd, data, at, done))
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at) {
    REAL(pwrite64)
    if (!is_tracked(fd)) return real(fd, data, bytes, at);
    STEP("write", fds[fd].path, real(fd, data, bytes, at), put_write(fd, data, at, done))
}

int ftruncate(int fd, off_t bytes) {
    REAL(ftruncate)
    if (!is_tracked(fd)) return real(fd, bytes);
    STEP("truncate", fds[fd].path, real(fd, bytes), put('t', NULL, NULL, fds[fd].file, 0, bytes, 0, NULL, 0))
}

int ftruncate64(int fd, off64_t bytes) {
    REAL(ftruncate64)
    if (!is_tracked(fd)) return real(fd, bytes);
    STEP("truncate", fds[fd].path, real(fd, bytes), put('t', NULL, NULL, fds[fd].file, 0, bytes, 0, NULL, 0))
}

int fallocate(int fd, int mode, off_t at, off_t bytes) {
    REAL(fallocate)
    if (!is_tracked(fd)) return real(fd, mode, at, bytes);
    STEP("fallocate", fds[fd].path, real(fd, mode, at, bytes), put('f', NULL, NULL, fds[fd].file, at, bytes, mode, NULL, 0))
}

int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
    REAL(fallocate64)
    if (!is_tracked(fd)) return real(fd, mode, at, bytes);
    STEP("fallocate", fds[fd].path, real(fd, mode, at, bytes), put('f', NULL, NULL, fds[fd].file, at, bytes, mode, NULL, 0))
}

int rename(const char *from, const char *to) {
    REAL(rename)
    if (!is_below(from) || !is_below(to)) return real(from, to);
    STEP("rename", name_of(from), real(from, to), put('r', name_of(from), name_of(to), 0, 0, 0, 0, NULL, 0))
}

int unlink(const char *path) {
    REAL(unlink)
    if (!is_below(path)) return real(path);
    STEP("unlink", name_of(path), real(path), put('u', name_of(path), NULL, 0, 0, 0, 0, NULL, 0))
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir)
    if (!is_below(path)) return real(path, mode);
    STEP("mkdir", name_of(path), real(path, mode), put('m', name_of(path), NULL, 0, 0, 0, 0, NULL, 0))
}

int rmdir(const char *path) {
    REAL(rmdir)
    if (!is_below(path)) return real(path);
    STEP("rmdir", name_of(path), real(path), put('d', name_of(path), NULL, 0, 0, 0, 0, NULL, 0))
}

static int synced(int (*real)(int), int fd, const char *kind) {
    if (!is_tracked(fd)) return real(fd);
    pthread_mutex_lock(&lock);
    uint64_t number = ++syncs;
    int is_folder = fds[fd].is_folder, fault = fails(kind, fds[fd].path), saved = errno;
    if (!fault) put('b', fds[fd].path, NULL, fds[fd].file, number, 0, is_folder, NULL, 0);
    pthread_mutex_unlock(&lock);
    int done = fault ? -1 : fast ? 0 : real(fd);
    if (!fault) saved = errno;
    if (done == 0) {
        pthread_mutex_lock(&lock);
        put('e', NULL, NULL, 0, number, 0, 0, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return done;
}

int fsync(int fd) { REAL(fsync) return synced(real, fd, "sync"); }
int fdatasync(int fd) { REAL(fdatasync) return synced(real, fd, "sync"); }

int sync_file_range(int fd, off64_t at, off64_t bytes, unsigned flags) {
    REAL(sync_file_range)
    if (!is_tracked(fd)) return real(fd, at, bytes, flags);
    // It promises nothing, so nothing is recorded; but it may fail.
    STEP("range", fds[fd].path, fast ? 0 : real(fd, at, bytes, flags), (void)0)
}
