#define _GNU_SOURCE
#include "CNetwork.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static const int buffer_bytes = 16 << 20;

int CNetwork_join(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return -1;
    int result = setns(descriptor, CLONE_NEWNET);
    int saved = errno;
    close(descriptor);
    errno = saved;
    return result;
}

int CNetwork_leave(void) { return unshare(CLONE_NEWNET); }

int CNetwork_packet_socket(const char *interface) {
    int descriptor = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return -1;
    struct sockaddr_ll address;
    memset(&address, 0, sizeof(address));
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = (int)if_nametoindex(interface);
    int one = 1;
    int ready = address.sll_ifindex != 0
        && setsockopt(descriptor, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) == 0
        && setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) == 0
        && setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) == 0
        && bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (ready) return descriptor;
    int saved = errno;
    close(descriptor);
    errno = saved;
    return -1;
}

int CNetwork_disable_offloads(const char *interface) {
    static const uint32_t commands[] = { ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO, ETHTOOL_SGRO };
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    int result = 0;
    for (size_t index = 0; index < sizeof(commands) / sizeof(commands[0]); index++) {
        struct ethtool_value value = { .cmd = commands[index], .data = 0 };
        struct ifreq request;
        memset(&request, 0, sizeof(request));
        strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
        request.ifr_data = (char *)&value;
        /* Only the checksum matters; the others follow from it or are not there. */
        if (ioctl(descriptor, SIOCETHTOOL, &request) != 0 && index == 0) result = -1;
    }
    int saved = errno;
    close(descriptor);
    errno = saved;
    return result;
}

ssize_t CNetwork_receive(int descriptor, void *bytes, size_t size) {
    ssize_t count;
    do count = recv(descriptor, bytes, size, MSG_DONTWAIT | MSG_TRUNC);
    while (count < 0 && errno == EINTR);
    return count;
}

ssize_t CNetwork_send(int descriptor, const void *bytes, size_t count) {
    ssize_t sent;
    do sent = send(descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent;
}
