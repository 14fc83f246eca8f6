// Typed wrappers for the macros and variadic functions of OpenSSL that Swift cannot call.
#ifndef COPENSSL_SHIM_H
#define COPENSSL_SHIM_H

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

static inline int COpenSSL_allow_only_tls13(SSL_CTX *context) {
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1;
}

// No session outlives its connection: a resumed handshake would not verify the peer's chain again.
static inline void COpenSSL_forbid_resumption(SSL_CTX *context) {
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
}

static inline void COpenSSL_set_modes(SSL_CTX *context) {
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

static inline int COpenSSL_add_chain_certificate(SSL_CTX *context, X509 *certificate) {
    return SSL_CTX_add1_chain_cert(context, certificate) == 1;
}

// 0 (X509_V_OK) if the context's own certificate verifies against the context's own authorities.
static inline int COpenSSL_verify_own_certificate(SSL_CTX *context) {
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(context, &chain);
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    if (verification == NULL)
        return X509_V_ERR_OUT_OF_MEM;
    int result = X509_V_ERR_UNSPECIFIED;
    if (X509_STORE_CTX_init(verification, SSL_CTX_get_cert_store(context), SSL_CTX_get0_certificate(context),
                            chain) == 1) {
        if (X509_verify_cert(verification) == 1)
            result = X509_V_OK;
        else
            result = X509_STORE_CTX_get_error(verification);
    }
    X509_STORE_CTX_free(verification);
    return result;
}

static inline void COpenSSL_retry_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void COpenSSL_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline long COpenSSL_memory(BIO *bio, char **data) { return BIO_get_mem_data(bio, data); }
static inline unsigned long COpenSSL_next_error(void) { return ERR_get_error(); }
static inline int COpenSSL_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
static inline int COpenSSL_error_is_ssl(unsigned long code) { return ERR_GET_LIB(code) == ERR_LIB_SSL; }
static inline EVP_PKEY *COpenSSL_new_p256_key(void) { return EVP_EC_gen("P-256"); }

// Copies the index-th URI of the certificate's subject alternative names. Returns its length, -1 when there is
// no such name, -2 when it does not fit or holds a zero byte.
static inline int COpenSSL_uri_name(X509 *certificate, int index, char *buffer, int size) {
    int found = 0, result = -1;
    GENERAL_NAMES *names = (GENERAL_NAMES *)X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    if (names == NULL)
        return -1;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && result == -1; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_URI || found++ != index)
            continue;
        int length = ASN1_STRING_length(name->d.uniformResourceIdentifier);
        const unsigned char *bytes = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
        if (length < 0 || length > size || memchr(bytes, 0, (size_t)length) != NULL)
            result = -2;
        else {
            memcpy(buffer, bytes, (size_t)length);
            result = length;
        }
    }
    GENERAL_NAMES_free(names);
    return result;
}

static inline int COpenSSL_add_extension(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    if (extension == NULL)
        return 0;
    int added = X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return added;
}

// An encrypted key is refused instead of asking the terminal for its password.
static inline int COpenSSL_no_password(char *buffer, int size, int writing, void *data) {
    (void)buffer; (void)size; (void)writing; (void)data;
    return -1;
}
static inline EVP_PKEY *COpenSSL_read_key(BIO *bio) {
    return PEM_read_bio_PrivateKey(bio, NULL, COpenSSL_no_password, NULL);
}
static inline X509 *COpenSSL_read_certificate(BIO *bio) {
    return PEM_read_bio_X509(bio, NULL, COpenSSL_no_password, NULL);
}

#endif
