#ifndef CNETWORK_H
#define CNETWORK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Linux calls of the user-space switch that Swift cannot reach. They return -1 and set errno. */

/* Moves the calling thread into the network namespace that the file stands for; threads started by it follow. */
int CNetwork_join(const char *path);

/* Moves the calling thread into a new network namespace; threads started by it follow. */
int CNetwork_leave(void);

/* A socket that takes every frame arriving at an interface of this thread's namespace, and none that leaves it. */
int CNetwork_packet_socket(const char *interface);

/* Has the kernel finish checksums and cut segments before a frame leaves the interface: a switch sees real frames. */
int CNetwork_disable_offloads(const char *interface);

/* One frame, without waiting; -1 with EAGAIN if there is none, or no room. */
ssize_t CNetwork_receive(int descriptor, void *bytes, size_t size);
ssize_t CNetwork_send(int descriptor, const void *bytes, size_t count);

#endif
