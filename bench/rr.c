// SPDX-License-Identifier: GPL-2.0
/* Request and response of one size on one connection, per round trip. */
#include <unistd.h>

#include "bench.h"

static void server(struct run *run)
{
	size_t size = run->o->size;
	unsigned char *data = end_buffer(size);
	int fd = run_accept(run);

	for (size_t i = 0; i < run_times(run); i++) {
		end_read(fd, data, size);
		end_write(fd, data, size);
	}
	end_read(fd, data, 1);
	close(fd);
}

struct asking {
	unsigned char *data;
	uint64_t offset;
	int fd;
};

static void once(struct run *run, void *arg, bool warm_up)
{
	struct asking *a = arg;
	size_t size = run->o->size;

	for (size_t i = 0; i < run->o->count; i++) {
		end_write(a->fd, pattern_at(a->offset), size);
		end_read(a->fd, a->data, size);
		pattern_check(a->data, size, a->offset, warm_up);
		a->offset += size;
	}
}

static void client(struct run *run)
{
	struct asking a = { .data = end_buffer(run->o->size),
			    .fd = run_connect(run) };

	run_repeat(run, "round-trip", run->o->count, once, &a);
	end_write(a.fd, "", 1);
	close(a.fd);
}

void bench_rr(const struct options *o)
{
	run_pair(o, 65536, server, client, NULL);
}
