#define _GNU_SOURCE
#include "CPlatform.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/openat2.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

_Static_assert(CPLATFORM_O_PATH == O_PATH, "O_PATH differs on this machine");


pid_t CPlatform_fork(void) { return fork(); }

int CPlatform_pidfd_open(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int CPlatform_pidfd_send_signal(int pidfd, int signal_number) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

int CPlatform_become_subreaper(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L); }

int CPlatform_die_with_parent(int signal_number) {
    return prctl(PR_SET_PDEATHSIG, (long)signal_number, 0L, 0L, 0L);
}

int CPlatform_set_dumpable(int dumpable) { return prctl(PR_SET_DUMPABLE, (long)dumpable, 0L, 0L, 0L); }

int CPlatform_set_name(const char *name) { return prctl(PR_SET_NAME, name, 0L, 0L, 0L); }

int CPlatform_niceness(void) { return getpriority(PRIO_PROCESS, 0); }

int CPlatform_set_niceness(int niceness) { return setpriority(PRIO_PROCESS, 0, niceness); }

void CPlatform_close_range(unsigned int first, unsigned int last) {
    if (syscall(SYS_close_range, first, last, 0) == 0) return;
    unsigned int end = last < 4096 ? last : 4096;
    for (unsigned int descriptor = first; descriptor <= end; descriptor++) close((int)descriptor);
}

int CPlatform_openat(int folder, const char *path, int flags, mode_t mode) {
    return openat(folder, path, flags, mode);
}

int CPlatform_open_beneath(int folder, const char *path, int flags) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (uint64_t)(unsigned int)flags;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

int CPlatform_renameat2(
    int from_folder, const char *from, int to_folder, const char *to, unsigned int flags
) {
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
}

int CPlatform_set_nonblocking(int descriptor) {
    int flags = fcntl(descriptor, F_GETFL, 0);
    return flags < 0 ? -1 : fcntl(descriptor, F_SETFL, flags | O_NONBLOCK);
}

int64_t CPlatform_peer_user(int descriptor) {
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -1;
    return (int64_t)credentials.uid;
}

static int CPlatform_unix_address(struct sockaddr_un *address, const char *path) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address->sun_path, path);
    return 0;
}

int CPlatform_unix_socket(void) {
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

int CPlatform_unix_bind(int descriptor, const char *path) {
    struct sockaddr_un address;
    if (CPlatform_unix_address(&address, path) != 0) return -1;
    return bind(descriptor, (struct sockaddr *)&address, sizeof address);
}

int CPlatform_unix_connect(int descriptor, const char *path) {
    struct sockaddr_un address;
    if (CPlatform_unix_address(&address, path) != 0) return -1;
    return connect(descriptor, (struct sockaddr *)&address, sizeof address);
}

int CPlatform_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

ssize_t CPlatform_send(int descriptor, const void *bytes, size_t count) {
    return send(descriptor, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
}

int64_t CPlatform_boot_time(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int CPlatform_timer_create(void) { return timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK); }

int CPlatform_timer_set(int timer, int64_t at) {
    struct itimerspec value;
    memset(&value, 0, sizeof value);
    value.it_value.tv_sec = at / 1000000000;
    value.it_value.tv_nsec = at % 1000000000;
    return timerfd_settime(timer, TFD_TIMER_ABSTIME, &value, NULL);
}

int CPlatform_block_signal(int signal_number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal_number);
    return sigprocmask(SIG_BLOCK, &set, NULL);
}

int CPlatform_signal_descriptor(void) {
    sigset_t blocked;
    if (sigprocmask(SIG_BLOCK, NULL, &blocked) != 0) return -1;
    return signalfd(-1, &blocked, SFD_CLOEXEC | SFD_NONBLOCK);
}

int CPlatform_signal_read(int descriptor) {
    struct signalfd_siginfo information;
    ssize_t count = read(descriptor, &information, sizeof information);
    return count == (ssize_t)sizeof information ? (int)information.ssi_signo : 0;
}

void CPlatform_reset_signals(void) {
    for (int number = 1; number < 32; number++) {
        if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void CPlatform_ignore_signal(int number) { signal(number, SIG_IGN); }

int CPlatform_has_exited(int status) { return WIFEXITED(status); }
int CPlatform_exit_status(int status) { return WEXITSTATUS(status); }
int CPlatform_ending_signal(int status) { return WTERMSIG(status); }

const char *CPlatform_entry_name(const struct dirent *entry) { return entry->d_name; }

int CPlatform_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

int CPlatform_execute(const char *program, char *const arguments[], char *const environment[]) {
    return execvpe(program, arguments, environment);
}

int CPlatform_space(int descriptor, uint64_t *total, uint64_t *available) {
    struct statvfs information;
    if (fstatvfs(descriptor, &information) != 0) return -1;
    *total = (uint64_t)information.f_blocks * information.f_frsize;
    *available = (uint64_t)information.f_bavail * information.f_frsize;
    return 0;
}

uint64_t CPlatform_birth(int folder, const char *name) {
    struct statx found;
    memset(&found, 0, sizeof found);
    if (statx(folder, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BTIME, &found) != 0) return 0;
    if (!(found.stx_mask & STATX_BTIME) || found.stx_btime.tv_sec <= 0) return 0;
    return (uint64_t)found.stx_btime.tv_sec * 1000000000u + found.stx_btime.tv_nsec;
}

int CPlatform_try_lock(int descriptor) { return flock(descriptor, LOCK_EX | LOCK_NB); }

char **CPlatform_environment(void) {
    extern char **environ;
    return environ;
}

/* Code is mapped from its file and never written: what is dropped here is read again from the page cache. */
static int drop_code(struct dl_phdr_info *object, size_t size, void *unused) {
    (void)size;
    (void)unused;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X) || (segment->p_flags & PF_W)) continue;
        uintptr_t first = (uintptr_t)object->dlpi_addr + segment->p_vaddr;
        uintptr_t begin = (first + page - 1) & ~(page - 1);
        uintptr_t end = (first + segment->p_filesz) & ~(page - 1);
        if (begin < end) madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void CPlatform_give_back_memory(void) {
    malloc_trim(0);
    dl_iterate_phdr(drop_code, NULL);
}

void CPlatform_limit_heaps(void) { mallopt(M_ARENA_MAX, 2); }
