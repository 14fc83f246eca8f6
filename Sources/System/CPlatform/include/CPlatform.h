#ifndef CPLATFORM_H
#define CPLATFORM_H

#include <dirent.h>
#include <stdint.h>
#include <sys/types.h>

/* Linux calls that Swift cannot reach: variadic, missing from the C library's module, or unavailable to Swift.
   Calls return -1 and set errno, as their originals do. */

/* O_PATH, which the C library shows only to GNU sources. */
#define CPLATFORM_O_PATH 010000000

/* Only for single-threaded processes: the child goes on in Swift. */
pid_t CPlatform_fork(void);
int CPlatform_pidfd_open(pid_t pid);
int CPlatform_pidfd_send_signal(int pidfd, int signal_number);
int CPlatform_become_subreaper(void);
int CPlatform_die_with_parent(int signal_number);
int CPlatform_set_dumpable(int dumpable);
int CPlatform_set_name(const char *name);

/* The niceness of this process; setting a lower one is for root. */
int CPlatform_niceness(void);
int CPlatform_set_niceness(int niceness);

/* Closes every descriptor from first to last. Kernels before 5.9: one by one, up to 4096. */
void CPlatform_close_range(unsigned int first, unsigned int last);
int CPlatform_openat(int folder, const char *path, int flags, mode_t mode);

/* Opens below a folder; a symbolic link anywhere in the path is refused (ELOOP), leaving the folder too (EXDEV). */
int CPlatform_open_beneath(int folder, const char *path, int flags);
int CPlatform_renameat2(
    int from_folder, const char *from, int to_folder, const char *to, unsigned int flags
);
int CPlatform_set_nonblocking(int descriptor);

/* User id of the process at the other end of a Unix socket, or -1. */
int64_t CPlatform_peer_user(int descriptor);
int CPlatform_unix_socket(void);
int CPlatform_unix_bind(int descriptor, const char *path);
int CPlatform_unix_connect(int descriptor, const char *path);
int CPlatform_accept(int listener);
ssize_t CPlatform_send(int descriptor, const void *bytes, size_t count);

/* Gives memory back that only earlier work needed: free heap, and pages of code, which are read again when needed. */
void CPlatform_give_back_memory(void);

/* Fewer heaps than the usual eight a core, each of which keeps what it once took; before the first thread. */
void CPlatform_limit_heaps(void);

/* Nanoseconds on the clock that also counts suspended time. */
int64_t CPlatform_boot_time(void);
int CPlatform_timer_create(void);

/* Absolute nanoseconds on the boot-time clock; 0 disarms. */
int CPlatform_timer_set(int timer, int64_t at);

/* Blocks one more signal, so that it is only read from a signal descriptor. */
int CPlatform_block_signal(int signal_number);

/* A descriptor that reports every blocked signal. */
int CPlatform_signal_descriptor(void);

/* The next signal of a signal descriptor, 0 when there is none. */
int CPlatform_signal_read(int descriptor);

/* What a program expects of the process it starts in: nothing blocked, nothing ignored. */
void CPlatform_reset_signals(void);
void CPlatform_ignore_signal(int number);
int CPlatform_has_exited(int status);
int CPlatform_exit_status(int status);
int CPlatform_ending_signal(int status);
const char *CPlatform_entry_name(const struct dirent *entry);

/* A pipe whose ends are closed on exec. */
int CPlatform_pipe(int ends[2]);

/* Becomes another program, looked for in PATH; returns only when that failed. */
int CPlatform_execute(const char *program, char *const arguments[], char *const environment[]);

/* Size and free bytes of the volume of an open file. */
int CPlatform_space(int descriptor, uint64_t *total, uint64_t *available);

/* When a name in a folder was made, in nanoseconds since 1970; 0 where that is not known. Follows no symbolic link. */
uint64_t CPlatform_birth(int folder, const char *name);

/* Takes a file's lock without waiting. */
int CPlatform_try_lock(int descriptor);

/* The environment of the process; only to be read before any thread starts. */
char **CPlatform_environment(void);

#endif
