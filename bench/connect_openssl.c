// SPDX-License-Identifier: GPL-2.0
/*
 * connect.c's rival: the same exchange over TLS 1.3 by OpenSSL, with X25519,
 * an ECDSA P-256 certificate that the client verifies, and no resumption (no
 * tickets are sent, which is the cheaper way for TLS).
 */
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

struct run {
	const struct options *o;
	struct sockaddr_in addr;
	int listener;
	EVP_PKEY *key;
	X509 *cert;
};

static void ssl_die(const char *what)
{
	die("%s: %s", what, ERR_error_string(ERR_get_error(), NULL));
}

static void make_certificate(struct run *run)
{
	X509_NAME *name;

	run->key = EVP_EC_gen("P-256");
	run->cert = X509_new();
	if (!run->key || !run->cert)
		ssl_die("key");
	X509_set_version(run->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(run->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(run->cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(run->cert), 86400);
	X509_set_pubkey(run->cert, run->key);
	name = X509_get_subject_name(run->cert);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
				   (const unsigned char *)"server.test", -1, -1,
				   0);
	X509_set_issuer_name(run->cert, name);
	if (!X509_sign(run->cert, run->key, EVP_sha256()))
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

static void server(void *arg)
{
	struct run *run = arg;
	const struct options *o = run->o;
	SSL_CTX *ctx = context(run, TLS_server_method());
	unsigned char *data = malloc(o->size);

	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	if (SSL_CTX_use_certificate(ctx, run->cert) != 1 ||
	    SSL_CTX_use_PrivateKey(ctx, run->key) != 1)
		ssl_die("certificate");
	for (size_t i = 0; i < o->count * (o->reps + 1); i++) {
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

static void once(const struct run *run, SSL_CTX *ctx, unsigned char *data)
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

static void client(void *arg)
{
	struct run *run = arg;
	const struct options *o = run->o;
	struct sample samples[o->reps];
	SSL_CTX *ctx = context(run, TLS_client_method());
	unsigned char *data = malloc(o->size);

	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), run->cert))
		ssl_die("trust");
	for (int rep = 0; rep <= o->reps; rep++) {
		struct meter m;

		if (rep == 1)
			mark_begin(o);
		meter_start(&m);
		for (size_t i = 0; i < o->count; i++)
			once(run, ctx, data);
		if (rep)
			samples[rep - 1] = meter_stop(&m, o->count);
	}
	mark_end(o);
	SSL_CTX_free(ctx);
	meter_report(o->label, "connection", o->count, samples, o->reps);
}

void bench_connect_openssl(const struct options *o)
{
	struct run run = { .o = o };

	if (o->size < 1 || o->size > 16384)
		die("a request of 1 to 16384 bytes, please");
	make_certificate(&run);
	variant_enter(&o->variant);
	run.listener = end_listen(&run.addr);
	end_pair(server, client, &run);
}
