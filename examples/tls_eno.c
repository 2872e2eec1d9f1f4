// SPDX-License-Identifier: GPL-2.0
#include <linux/tcp_eno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_eno.h"

#define TAG_LEN 32
#define MAX_TRANSCRIPT 80

void die(const char *what)
{
	if (ERR_peek_error()) {
		fprintf(stderr, "%s:\n", what);
		ERR_print_errors_fp(stderr);
	} else {
		perror(what);
	}
	exit(1);
}

int open_socket(const char *address, const char *port, enum role role)
{
	/* The contents of the SYN-form option: host B has to say so. */
	static const unsigned char offer[] = { TEP_TLS };
	static const unsigned char answer[] = { 0x01, TEP_TLS };
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | (role == ROLE_B ? AI_PASSIVE : 0),
	};
	struct addrinfo *to;
	int fd, one = 1;

	if (getaddrinfo(address, port, &hints, &to)) {
		fprintf(stderr, "%s: no address\n", address);
		exit(1);
	}
	fd = socket(to->ai_family, to->ai_socktype, to->ai_protocol);
	if (fd < 0)
		die("socket");
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, TCP_ENO_ULP_NAME, strlen(TCP_ENO_ULP_NAME)))
		die("TCP_ULP");
	if (role == ROLE_A ? setsockopt(fd, IPPROTO_TCP, TCP_ENO_RAW, offer, sizeof(offer)) :
			     setsockopt(fd, IPPROTO_TCP, TCP_ENO_RAW, answer, sizeof(answer)))
		die("TCP_ENO_RAW");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (role == ROLE_B) {
		if (bind(fd, to->ai_addr, to->ai_addrlen) || listen(fd, 16))
			die("listen");
	} else if (connect(fd, to->ai_addr, to->ai_addrlen)) {
		die("connect");
	}
	freeaddrinfo(to);
	return fd;
}

/*
 * A value that only the two ends of this TLS session can know, and that
 * depends on the transcript and on who sends it (RFC 5705, RFC 8446 section
 * 7.5: the context goes into it by way of a hash).
 */
static void make_tag(SSL *ssl, enum role role, const unsigned char *transcript, size_t len, unsigned char tag[TAG_LEN])
{
	static const char label[] = "EXPERIMENTAL tcp-eno transcript";
	unsigned char context[1 + MAX_TRANSCRIPT];

	context[0] = role;
	memcpy(context + 1, transcript, len);
	if (SSL_export_keying_material(ssl, tag, TAG_LEN, label, strlen(label), context, 1 + len, 1) != 1)
		die("exporter");
}

/*
 * TLS alone protects what it carries itself. That nobody changed the options
 * by which the two sides came to it is seen by comparing the transcript, as
 * each side has it, inside the session.
 */
static void compare_transcripts(struct stream *stream, enum role role, const unsigned char *transcript, size_t len)
{
	unsigned char mine[TAG_LEN], right[TAG_LEN], theirs[TAG_LEN];
	int got = 0;

	make_tag(stream->ssl, role, transcript, len, mine);
	make_tag(stream->ssl, role == ROLE_A ? ROLE_B : ROLE_A, transcript, len, right);
	if (stream_write(stream, mine, TAG_LEN) != TAG_LEN)
		die("transcript");
	while (got < TAG_LEN) {
		int more = stream_read(stream, theirs + got, TAG_LEN - got);

		if (more <= 0)
			die("transcript");
		got += more;
	}
	if (CRYPTO_memcmp(theirs, right, TAG_LEN)) {
		fprintf(stderr, "the negotiation was tampered with\n");
		exit(1);
	}
}

struct stream start(int fd, SSL_CTX *context, enum role role)
{
	struct stream stream = { .fd = fd };
	unsigned char transcript[MAX_TRANSCRIPT];
	socklen_t len = sizeof(transcript);

	if (getsockopt(fd, IPPROTO_TCP, TCP_ENO_TRANSCRIPT, transcript, &len)) {
		fprintf(stderr, "plain TCP\n");
		return stream;
	}
	stream.ssl = SSL_new(context);
	if (!stream.ssl || SSL_set_fd(stream.ssl, fd) != 1)
		die("TLS");
	if ((role == ROLE_A ? SSL_connect(stream.ssl) : SSL_accept(stream.ssl)) != 1)
		die("TLS handshake");
	compare_transcripts(&stream, role, transcript, len);
	fprintf(stderr, "%s by TCP-ENO\n", SSL_get_version(stream.ssl));
	return stream;
}

int stream_read(struct stream *stream, void *data, int len)
{
	int got;

	if (!stream->ssl)
		return read(stream->fd, data, len);
	got = SSL_read(stream->ssl, data, len);
	if (got > 0)
		return got;
	/* Only an authentic end is one. */
	return SSL_get_error(stream->ssl, got) == SSL_ERROR_ZERO_RETURN ? 0 : -1;
}

int stream_write(struct stream *stream, const void *data, int len)
{
	int done = 0;

	if (stream->ssl)
		return SSL_write(stream->ssl, data, len);
	while (done < len) {
		int sent = send(stream->fd, (const char *)data + done, len - done, MSG_NOSIGNAL);

		if (sent < 0)
			return -1;
		done += sent;
	}
	return done;
}

void stream_close(struct stream *stream)
{
	if (stream->ssl)
		SSL_shutdown(stream->ssl);
	SSL_free(stream->ssl);
	close(stream->fd);
}
