// SPDX-License-Identifier: GPL-2.0
/* One way, as fast as it goes: writes of one size, per byte. */
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define BUFFER 65536

struct run {
	const struct options *o;
	struct sockaddr_in addr;
	int listener;
	size_t bytes;		/* of a repetition, whole writes */
	struct proof *proof;	/* the server's, shared */
};

/* The first repetition warms up and is compared byte by byte. */
static void server(void *arg)
{
	struct run *run = arg;
	unsigned char *data = malloc(BUFFER);
	int fd = end_accept(run->listener);
	uint64_t offset = 0;

	variant_secure(&run->o->variant, fd, true);
	end_read(fd, data, 1);
	variant_prove(&run->o->variant, fd, run->proof);
	end_write(fd, "", 1);
	for (int rep = 0; rep <= run->o->reps; rep++) {
		size_t left = run->bytes;

		while (left) {
			ssize_t n = recv(fd, data, BUFFER, 0);

			if (n <= 0 || (size_t)n > left)
				die("recv gave %zd in the bulk", n);
			pattern_check(data, n, offset, rep == 0);
			offset += n;
			left -= n;
		}
		end_write(fd, "", 1);
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
	struct proof proof;
	uint64_t offset = 0;
	char ack;
	int fd = end_connect(&run->addr);

	variant_secure(&o->variant, fd, false);
	end_write(fd, "", 1);
	end_read(fd, &ack, 1);
	variant_prove(&o->variant, fd, &proof);
	variant_compare(&proof, run->proof);
	for (int rep = 0; rep <= o->reps; rep++) {
		struct meter m;

		if (rep == 1)
			mark_begin(o);
		meter_start(&m);
		for (size_t done = 0; done < run->bytes; done += o->size) {
			end_write(fd, pattern_at(offset), o->size);
			offset += o->size;
		}
		end_read(fd, &ack, 1);
		if (rep)
			samples[rep - 1] = meter_stop(&m, run->bytes);
	}
	mark_end(o);
	close(fd);
	meter_report(o->label, "byte", run->bytes, samples, o->reps);
}

void bench_bulk(const struct options *o)
{
	struct run run = { .o = o };

	if (o->size < 1 || o->size > BUFFER)
		die("a write of 1 to %d bytes, please", BUFFER);
	run.bytes = (o->count + o->size - 1) / o->size * o->size;
	run.proof = end_share(sizeof(*run.proof));
	variant_enter(&o->variant);
	run.listener = end_listen(&run.addr);
	end_pair(server, client, &run);
}
