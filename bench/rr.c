// SPDX-License-Identifier: GPL-2.0
/* Request and response of one size on one connection, per round trip. */
#include <netinet/in.h>
#include <stdlib.h>
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
	int fd = end_accept(run->listener);

	variant_secure(&o->variant, fd, true);
	end_read(fd, data, 1);
	variant_prove(&o->variant, fd, run->proof);
	end_write(fd, "", 1);
	for (size_t i = 0; i < o->count * (o->reps + 1); i++) {
		end_read(fd, data, o->size);
		end_write(fd, data, o->size);
	}
	end_read(fd, data, 1);
	close(fd);
}

static void client(void *arg)
{
	struct run *run = arg;
	const struct options *o = run->o;
	struct sample samples[o->reps];
	unsigned char *data = malloc(o->size);
	struct proof proof;
	uint64_t offset = 0;
	int fd = end_connect(&run->addr);

	variant_secure(&o->variant, fd, false);
	end_write(fd, "", 1);
	end_read(fd, data, 1);
	variant_prove(&o->variant, fd, &proof);
	variant_compare(&proof, run->proof);
	for (int rep = 0; rep <= o->reps; rep++) {
		struct meter m;

		if (rep == 1)
			mark_begin(o);
		meter_start(&m);
		for (size_t i = 0; i < o->count; i++) {
			end_write(fd, pattern_at(offset), o->size);
			end_read(fd, data, o->size);
			pattern_check(data, o->size, offset, rep == 0);
			offset += o->size;
		}
		if (rep)
			samples[rep - 1] = meter_stop(&m, o->count);
	}
	mark_end(o);
	end_write(fd, "", 1);
	close(fd);
	meter_report(o->label, "round-trip", o->count, samples, o->reps);
}

void bench_rr(const struct options *o)
{
	struct run run = { .o = o };

	if (o->size < 1 || o->size > 65536)
		die("a request of 1 to 65536 bytes, please");
	run.proof = end_share(sizeof(*run.proof));
	variant_enter(&o->variant);
	run.listener = end_listen(&run.addr);
	end_pair(server, client, &run);
}
