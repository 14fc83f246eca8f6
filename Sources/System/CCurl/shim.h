// Typed wrappers for the variadic functions and macros of libcurl that Swift cannot call.
#ifndef CCURL_SHIM_H
#define CCURL_SHIM_H

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

typedef size_t (*CCurl_bytes_callback)(char *bytes, size_t size, size_t count, void *context);

// The macros of the same names check types in C only; the functions are what is meant here.
#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

static inline CURLcode CCurl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode CCurl_set_size(CURL *handle, CURLoption option, curl_off_t value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode CCurl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode CCurl_set_list(CURL *handle, CURLoption option, struct curl_slist *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode CCurl_set_context(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}
static inline CURLcode CCurl_set_bytes_callback(CURL *handle, CURLoption option, CCurl_bytes_callback callback) {
    return curl_easy_setopt(handle, option, callback);
}
// The library keeps a copy of the bytes.
static inline CURLcode CCurl_set_blob(CURL *handle, CURLoption option, const void *bytes, size_t count) {
    struct curl_blob blob = {(void *)bytes, count, CURL_BLOB_COPY};
    return curl_easy_setopt(handle, option, &blob);
}
static inline CURLcode CCurl_get_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}
static inline CURLMcode CCurl_multi_set_long(CURLM *handle, CURLMoption option, long value) {
    return curl_multi_setopt(handle, option, value);
}

// A peer that is gone without a word is noticed by the kernel: data that nobody acknowledges end the connection.
static inline int CCurl_prepare_socket(void *context, curl_socket_t socket, curlsocktype purpose) {
    (void)context;
    (void)purpose;
    int on = 1, idle = 15, interval = 5, count = 3;
    unsigned int unacknowledged = 15000;
    setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged, sizeof unacknowledged);
    return CURL_SOCKOPT_OK;
}
static inline CURLcode CCurl_set_socket_preparation(CURL *handle) {
    return curl_easy_setopt(handle, CURLOPT_SOCKOPTFUNCTION, CCurl_prepare_socket);
}

// One finished transfer, or none: the result lies in a union that Swift does not read.
static inline CURL *CCurl_next_finished(CURLM *multi, CURLcode *result) {
    int left = 0;
    for (CURLMsg *message; (message = curl_multi_info_read(multi, &left)) != NULL;)
        if (message->msg == CURLMSG_DONE) {
            *result = message->data.result;
            return message->easy_handle;
        }
    return NULL;
}

static inline size_t CCurl_pause(void) { return CURL_WRITEFUNC_PAUSE; }
// Where this libcurl looks for the machine's certificate authorities; nothing if it knows of none.
static inline const char *CCurl_bundle_path(void) {
    const curl_version_info_data *information = curl_version_info(CURLVERSION_NOW);
    return information->age >= CURLVERSION_SEVENTH ? information->cainfo : NULL;
}
static inline CURLcode CCurl_global_init(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }
static inline long CCurl_http1(void) { return CURL_HTTP_VERSION_1_1; }
static inline long CCurl_http2(void) { return CURL_HTTP_VERSION_2TLS; }
static inline long CCurl_tls12(void) { return CURL_SSLVERSION_TLSv1_2; }

#endif
