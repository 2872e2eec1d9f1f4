// SPDX-License-Identifier: GPL-2.0
/*
 * connect.c's rival: the same exchange over TLS 1.3 by OpenSSL, with X25519,
 * an ECDSA P-256 certificate that the client verifies, and no resumption (no
 * tickets are sent, which is the cheaper way for TLS).
 */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* A record of TLS. */
#define MAX_SIZE 16384

struct identity {
	EVP_PKEY *key;
	X509 *cert;
};

static void ssl_die(const char *what)
{
	die("%s: %s", what, ERR_error_string(ERR_get_error(), NULL));
}

static void make_certificate(struct identity *id)
{
	X509_NAME *name;

	id->key = EVP_EC_gen("P-256");
	id->cert = X509_new();
	if (!id->key || !id->cert)
		ssl_die("key");
	X509_set_version(id->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(id->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(id->cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(id->cert), 86400);
	X509_set_pubkey(id->cert, id->key);
	name = X509_get_subject_name(id->cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"server.test", -1, -1,
				   0);
	X509_set_issuer_name(id->cert, name);
	if (!X509_sign(id->cert, id->key, EVP_sha256()))
		ssl_die("certificate");
}

static SSL_CTX *context(const struct run *run, const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) ||
	    !SSL_CTX_set1_groups_list(ctx, "X25519") ||
	    !SSL_CTX_set_ciphersuites(ctx, run->o->variant.aead->openssl))
		ssl_die("context");
	return ctx;
}

static void server(struct run *run)
{
	const struct options *o = run->o;
	struct identity *id = run->own;
	SSL_CTX *ctx = context(run, TLS_server_method());
	unsigned char *data = end_buffer(o->size);

	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate(ctx, id->cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, id->key) != 1)
		ssl_die("certificate");
	for (size_t i = 0; i < run_times(run); i++) {
		int fd = end_accept(run->listener);
		SSL *ssl = SSL_new(ctx);

		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) != 1)
			ssl_die("SSL_accept");
		if (SSL_read(ssl, data, o->size) != (int)o->size ||
		    SSL_write(ssl, data, o->size) != (int)o->size)
			ssl_die("server");
		SSL_shutdown(ssl);
		SSL_free(ssl);
		close(fd);
	}
	SSL_CTX_free(ctx);
}

static void exchange(const struct run *run, SSL_CTX *ctx, unsigned char *data)
{
	const struct options *o = run->o;
	int fd = end_connect(&run->addr);
	SSL *ssl = SSL_new(ctx);

	SSL_set_fd(ssl, fd);
	if (SSL_connect(ssl) != 1)
		ssl_die("SSL_connect");
	if (strcmp(SSL_get_cipher_name(ssl), o->variant.aead->openssl) ||
	    SSL_session_reused(ssl))
		die("not measured: %s", SSL_get_cipher_name(ssl));
	if (SSL_write(ssl, pattern_at(0), o->size) != (int)o->size ||
	    SSL_read(ssl, data, o->size) != (int)o->size)
		ssl_die("client");
	pattern_check(data, o->size, 0, true);
	if (SSL_read(ssl, data, 1) > 0 ||
	    !(SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN))
		ssl_die("no clean end of the stream");
	SSL_free(ssl);
	close(fd);
}

static void once(struct run *run, void *arg, bool warm_up)
{
	unsigned char data[MAX_SIZE];

	(void)warm_up;
	for (size_t i = 0; i < run->o->count; i++)
		exchange(run, arg, data);
}

static void client(struct run *run)
{
	struct identity *id = run->own;
	SSL_CTX *ctx = context(run, TLS_client_method());

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), id->cert))
		ssl_die("trust");
	run_repeat(run, "connection", run->o->count, once, ctx);
	SSL_CTX_free(ctx);
}

void bench_connect_openssl(const struct options *o)
{
	struct identity id;

	make_certificate(&id);
	run_pair(o, MAX_SIZE, server, client, &id);
}
