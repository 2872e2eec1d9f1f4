// SPDX-License-Identifier: GPL-2.0
/* The two ends of a measured connection, and the bytes between them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("failed ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
	_exit(1);
}

static void no_delay(int fd)
{
	int one = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)))
		die("TCP_NODELAY: %s", strerror(errno));
}

int end_listen(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(addr, 0, sizeof(*addr));
	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (void *)addr, len) || listen(fd, 1024) ||
	    getsockname(fd, (void *)addr, &len))
		die("listen: %s", strerror(errno));
	return fd;
}

int end_connect(const struct sockaddr_in *addr)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (const void *)addr, sizeof(*addr)))
		die("connect: %s", strerror(errno));
	no_delay(fd);
	return fd;
}

int end_accept(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		die("accept: %s", strerror(errno));
	no_delay(fd);
	return fd;
}

void end_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu % sysconf(_SC_NPROCESSORS_ONLN), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

void end_yield(void)
{
	struct sched_param none = { 0 };

	sched_setscheduler(0, SCHED_BATCH, &none);
}

void end_write(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n <= 0)
			die("send: %s", strerror(errno));
		p += n;
		len -= n;
	}
}

void end_read(int fd, void *data, size_t len)
{
	char *p = data;

	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n <= 0)
			die("recv: %s", n ? strerror(errno) : "end of file");
		p += n;
		len -= n;
	}
}

void *end_share(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap: %s", strerror(errno));
	return p;
}

void *end_buffer(size_t size)
{
	void *p = malloc(size);

	if (!p)
		die("no memory");
	return p;
}

static unsigned char pattern[2 * PATTERN_PERIOD + 4096];

void pattern_init(void)
{
	uint32_t x = 8548;

	for (size_t i = 0; i < PATTERN_PERIOD; i++) {
		x = x * 1664525 + 1013904223;
		pattern[i] = x >> 24;
	}
	for (size_t i = PATTERN_PERIOD; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PATTERN_PERIOD];
}

const unsigned char *pattern_at(uint64_t offset)
{
	return pattern + offset % PATTERN_PERIOD;
}

void pattern_check(const unsigned char *data, size_t len, uint64_t offset,
		   bool all)
{
	size_t end = len < 16 ? len : 16;

	if (all ? memcmp(data, pattern_at(offset), len) :
		  memcmp(data, pattern_at(offset), end) ||
		  memcmp(data + len - end, pattern_at(offset + len - end), end))
		die("wrong bytes in the stream at %llu",
		    (unsigned long long)offset);
}
