// SPDX-License-Identifier: GPL-2.0
/*
 * tls_server ADDRESS PORT CERTIFICATE KEY
 *
 * Sends back what it gets, by TLS to clients that offer it by TCP-ENO and in
 * the clear to others. A process for each connection.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_eno.h"

static SSL_CTX *make_context(const char *certificate, const char *key)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		die(certificate);
	return context;
}

static int serve(int fd, SSL_CTX *context)
{
	struct stream stream = start(fd, context, ROLE_B);
	char data[4096];
	int len;

	while ((len = stream_read(&stream, data, sizeof(data))) > 0) {
		if (stream_write(&stream, data, len) != len)
			die("send");
	}
	if (len < 0)
		die("receive");
	stream_close(&stream);
	return 0;
}

int main(int argc, char **argv)
{
	SSL_CTX *context;
	int listener;

	if (argc != 5) {
		fprintf(stderr, "usage: %s ADDRESS PORT CERTIFICATE KEY\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	context = make_context(argv[3], argv[4]);
	listener = open_socket(argv[1], argv[2], ROLE_B);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			die("accept");
		if (fork() == 0) {
			close(listener);
			return serve(fd, context);
		}
		close(fd);
	}
}
