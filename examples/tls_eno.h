/* SPDX-License-Identifier: GPL-2.0 */
/*
 * TLS negotiated by TCP-ENO: what the client and the server share.
 *
 * The kernel carries the negotiation (raw mode), as an experimental TEP. It
 * encrypts nothing: TLS does, in the program, from the first byte on. Where
 * the other side does not offer it, the connection is plain TCP.
 */
#ifndef TLS_ENO_H
#define TLS_ENO_H

#include <openssl/ssl.h>

/* The TEP identifier for experiments (RFC 8547 section 11). */
#define TEP_TLS 0x20

enum role { ROLE_A, ROLE_B };

/* One connection, encrypted if there is an `ssl`. */
struct stream {
	int fd;
	SSL *ssl;
};

/* A socket that offers TLS: connected as host A, or listening as host B. */
int open_socket(const char *address, const char *port, enum role role);

/*
 * Looks at what was negotiated on a connected socket and starts TLS if it was
 * TLS. Ends the program if TLS was negotiated and does not come about.
 */
struct stream start(int fd, SSL_CTX *context, enum role role);

/* As read() and write(), the latter for all of `len`. */
int stream_read(struct stream *stream, void *data, int len);
int stream_write(struct stream *stream, const void *data, int len);
void stream_close(struct stream *stream);

/* Ends the program with what errno or OpenSSL say. */
void die(const char *what);

#endif /* TLS_ENO_H */
