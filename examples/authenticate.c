// SPDX-License-Identifier: GPL-2.0
/*
 * A pipe between two hosts that know the same secret.
 *
 *	authenticate listen ADDRESS PORT KEYFILE > received
 *	authenticate connect ADDRESS PORT KEYFILE < sent
 *
 * tcpcrypt encrypts the connection, with whoever is at the other end.
 * That it is the right one is for the program to find out: each side
 * sends an HMAC, keyed by the secret, of its role and the session ID. The
 * session ID is the same at both ends only if nobody stands between, and
 * the role keeps an HMAC from being sent back to where it came from.
 * Nothing else is sent before the other side's HMAC was found right.
 *
 * KEYFILE has 32 random bytes or more. A password would be too weak: who
 * gets one HMAC could try all of them.
 */
#include <linux/tcp_eno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TAG_LEN 32

static unsigned char secret[256];
static size_t secret_len;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void read_secret(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		die(path);
	secret_len = fread(secret, 1, sizeof(secret), file);
	fclose(file);
	if (secret_len < 32) {
		fprintf(stderr, "%s: less than 32 bytes\n", path);
		exit(1);
	}
}

static int send_all(int fd, const void *data, size_t len)
{
	while (len) {
		ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);

		if (sent < 0)
			return -1;
		data = (const char *)data + sent;
		len -= sent;
	}
	return 0;
}

static int recv_all(int fd, void *data, size_t len)
{
	return recv(fd, data, len, MSG_WAITALL) == (ssize_t)len ? 0 : -1;
}

/* HMAC-SHA256 of a label, the role and the session ID. */
static int make_tag(int role, const void *id, size_t id_len,
		    unsigned char tag[TAG_LEN])
{
	static const char label[] = "example of tcp_crypt(7)";
	unsigned char text[sizeof(label) + 1 + 256];

	if (id_len > 256)
		return -1;
	memcpy(text, label, sizeof(label));
	text[sizeof(label)] = role;
	memcpy(text + sizeof(label) + 1, id, id_len);
	return HMAC(EVP_sha256(), secret, secret_len, text,
		    sizeof(label) + 1 + id_len, tag, NULL) ? 0 : -1;
}

/* How long the other side may be silent; 0 for ever. */
static void set_patience(int fd, int seconds)
{
	const struct timeval patience = { .tv_sec = seconds };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

/* NULL, or why the other side is refused. */
static const char *authenticate(int fd)
{
	unsigned char id[256], mine[TAG_LEN], theirs[TAG_LEN], right[TAG_LEN];
	socklen_t id_len = sizeof(id), role_len = sizeof(int);
	int role;
	char byte = 0;

	set_patience(fd, 30);
	/*
	 * connect() and accept() do not wait for the keys. They are there
	 * when the first byte of the other side is.
	 */
	if (send_all(fd, &byte, 1) || recv_all(fd, &byte, 1))
		return "no greeting";
	if (getsockopt(fd, IPPROTO_TCP, TCP_ENO_SESSID, id, &id_len) ||
	    getsockopt(fd, IPPROTO_TCP, TCP_ENO_ROLE, &role, &role_len))
		return "not encrypted";
	if (make_tag(role, id, id_len, mine) ||
	    make_tag(!role, id, id_len, right))
		return "no HMAC";
	if (send_all(fd, mine, TAG_LEN) || recv_all(fd, theirs, TAG_LEN))
		return "no answer";
	if (CRYPTO_memcmp(theirs, right, TAG_LEN))
		return "wrong secret, or somebody in between";
	set_patience(fd, 0);
	return NULL;
}

/* All that can be read, up to an authentic end; else errno says why. */
static int copy(int from, int to_socket)
{
	char buffer[16384];
	ssize_t len;

	while ((len = read(from, buffer, sizeof(buffer))) > 0) {
		if (to_socket >= 0 && send_all(to_socket, buffer, len))
			return -1;
		if (to_socket < 0 && fwrite(buffer, 1, len, stdout) !=
				     (size_t)len)
			return -1;
	}
	return len;
}

static int open_socket(const char *address, const char *port, int passive)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | (passive ? AI_PASSIVE : 0),
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
	/*
	 * Ask for encryption, whatever the system's default is. Accepted
	 * sockets inherit it.
	 */
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, TCP_ENO_ULP_NAME,
		       strlen(TCP_ENO_ULP_NAME)))
		die("TCP_ULP");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (passive) {
		if (bind(fd, to->ai_addr, to->ai_addrlen) || listen(fd, 16))
			die("listen");
	} else if (connect(fd, to->ai_addr, to->ai_addrlen)) {
		die("connect");
	}
	freeaddrinfo(to);
	return fd;
}

int main(int argc, char **argv)
{
	const char *refused;
	int fd, passive = argc == 5 && !strcmp(argv[1], "listen");

	if (argc != 5 || (!passive && strcmp(argv[1], "connect"))) {
		fprintf(stderr, "usage: %s listen|connect ADDRESS PORT "
			"KEYFILE\n", argv[0]);
		return 2;
	}
	read_secret(argv[4]);
	fd = open_socket(argv[2], argv[3], passive);
	if (!passive) {
		refused = authenticate(fd);
		if (refused) {
			fprintf(stderr, "refused: %s\n", refused);
			return 1;
		}
		/* The listener has nothing to say but that it has it all. */
		if (copy(STDIN_FILENO, fd) || shutdown(fd, SHUT_WR) ||
		    copy(fd, -1))
			die("connection");
		return 0;
	}
	for (;;) {
		int child = accept(fd, NULL, NULL);

		if (child < 0)
			die("accept");
		refused = authenticate(child);
		if (!refused) {
			if (copy(child, -1) || fflush(stdout))
				die("connection");
			close(child);
			return 0;
		}
		fprintf(stderr, "refused: %s\n", refused);
		close(child);
	}
}
