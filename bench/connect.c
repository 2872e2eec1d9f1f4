// SPDX-License-Identifier: GPL-2.0
/*
 * Connect, exchange, close: per connection, both ends together. A request of
 * `size` bytes goes one way, a response of the same size and the end of the
 * stream the other way. Compare connect_openssl.c.
 */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

struct run {
	const struct options *o;
	struct sockaddr_in addr;
	int listener;
	struct proof *proof;
};

static void server(void *arg)
{
	struct run *run = arg;
	const struct options *o = run->o;
	unsigned char *data = malloc(o->size);

	for (size_t i = 0; i < o->count * (o->reps + 1); i++) {
		int fd = end_accept(run->listener);

		variant_secure(&o->variant, fd, true);
		end_read(fd, data, o->size);
		if (i == 0)
			variant_prove(&o->variant, fd, run->proof);
		end_write(fd, data, o->size);
		close(fd);
	}
}

static void once(const struct run *run, unsigned char *data, bool prove)
{
	const struct options *o = run->o;
	struct proof proof;
	int fd = end_connect(&run->addr);

	variant_secure(&o->variant, fd, false);
	end_write(fd, pattern_at(0), o->size);
	end_read(fd, data, o->size);
	pattern_check(data, o->size, 0, true);
	if (prove) {
		variant_prove(&o->variant, fd, &proof);
		variant_compare(&proof, run->proof);
	}
	if (recv(fd, data, 1, 0) != 0)
		die("no clean end of the stream");
	close(fd);
}

static void client(void *arg)
{
	struct run *run = arg;
	const struct options *o = run->o;
	struct sample samples[o->reps];
	unsigned char *data = malloc(o->size);
	long encrypted = variant_encrypted(&o->variant);

	for (int rep = 0; rep <= o->reps; rep++) {
		struct meter m;

		if (rep == 1)
			mark_begin(o);
		meter_start(&m);
		for (size_t i = 0; i < o->count; i++)
			once(run, data, rep == 0 && i == 0);
		if (rep)
			samples[rep - 1] = meter_stop(&m, o->count);
	}
	mark_end(o);
	encrypted = variant_encrypted(&o->variant) - encrypted;
	if (o->variant.carrier == TCPCRYPT &&
	    encrypted != (long)o->count * (o->reps + 1))
		die("only %ld connections were encrypted", encrypted);
	meter_report(o->label, "connection", o->count, samples, o->reps);
}

void bench_connect(const struct options *o)
{
	struct run run = { .o = o };

	if (o->size < 1 || o->size > 65536)
		die("a request of 1 to 65536 bytes, please");
	run.proof = end_share(sizeof(*run.proof));
	variant_enter(&o->variant);
	run.listener = end_listen(&run.addr);
	end_pair(server, client, &run);
}
