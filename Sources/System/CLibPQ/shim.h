// What Swift cannot reach in libpq by itself: codes that are macros of characters, and a silent notice receiver.
#ifndef CLIBPQ_SHIM_H
#define CLIBPQ_SHIM_H

#include <libpq-fe.h>

static inline int CLibPQ_field_state(void) { return PG_DIAG_SQLSTATE; }
static inline int CLibPQ_field_primary(void) { return PG_DIAG_MESSAGE_PRIMARY; }
static inline int CLibPQ_field_detail(void) { return PG_DIAG_MESSAGE_DETAIL; }
static inline int CLibPQ_field_hint(void) { return PG_DIAG_MESSAGE_HINT; }

static inline void CLibPQ_drop_notice(void *context, const PGresult *result) {
    (void)context;
    (void)result;
}

// Notices of the server are nobody's business here; libpq would print them.
static inline void CLibPQ_silence_notices(PGconn *connection) {
    PQsetNoticeReceiver(connection, CLibPQ_drop_notice, NULL);
}

#endif
