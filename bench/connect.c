// SPDX-License-Identifier: GPL-2.0
/*
 * Connect, exchange, close: per connection, both ends together. A request of
 * `size` bytes goes one way, a response of the same size and the end of the
 * stream the other way. Compare connect_openssl.c.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static void server(struct run *run)
{
	const struct options *o = run->o;
	unsigned char *data = end_buffer(o->size);

	for (size_t i = 0; i < run_times(run); i++) {
		int fd = end_accept(run->listener);

		variant_secure(&o->variant, fd, true);
		end_read(fd, data, o->size);
		if (i == 0)
			variant_prove(&o->variant, fd, run->proof);
		end_write(fd, data, o->size);
		close(fd);
	}
}

static void exchange(const struct run *run, unsigned char *data, bool prove)
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

static void once(struct run *run, void *arg, bool warm_up)
{
	for (size_t i = 0; i < run->o->count; i++)
		exchange(run, arg, warm_up && i == 0);
}

static void client(struct run *run)
{
	const struct variant *v = &run->o->variant;
	long encrypted = variant_encrypted(v);

	run_repeat(run, "connection", run->o->count, once,
		   end_buffer(run->o->size));
	encrypted = variant_encrypted(v) - encrypted;
	if (v->carrier == TCPCRYPT && encrypted != (long)run_times(run))
		die("only %ld connections were encrypted", encrypted);
}

void bench_connect(const struct options *o)
{
	run_pair(o, 65536, server, client, NULL);
}
