// SPDX-License-Identifier: GPL-2.0
/*
 * tls_client ADDRESS PORT CERTIFICATE
 *
 * Sends each line of its input to tls_server and prints what comes back: by
 * TLS if the server offers it by TCP-ENO, else in the clear. CERTIFICATE is
 * the server's own, which it has signed itself.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tls_eno.h"

static SSL_CTX *make_context(const char *certificate)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_load_verify_locations(context, certificate, NULL) != 1)
		die(certificate);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	return context;
}

int main(int argc, char **argv)
{
	struct stream stream;
	char line[4096];

	if (argc != 4) {
		fprintf(stderr, "usage: %s ADDRESS PORT CERTIFICATE\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	stream = start(open_socket(argv[1], argv[2], ROLE_A), make_context(argv[3]), ROLE_A);
	while (fgets(line, sizeof(line), stdin)) {
		int len = strlen(line), got;

		if (stream_write(&stream, line, len) != len)
			die("send");
		for (; len > 0; len -= got) {
			got = stream_read(&stream, line, len);
			if (got <= 0)
				die("receive");
			fwrite(line, 1, got, stdout);
		}
	}
	stream_close(&stream);
	return 0;
}
