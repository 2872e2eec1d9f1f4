// SPDX-License-Identifier: GPL-2.0
/* One way, as fast as it goes: writes of one size, per byte. */
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#define BUFFER 65536

struct stream {
	size_t bytes;		/* of a repetition, whole writes */
	uint64_t offset;
	int fd;
};

/* The first repetition, which warms up, is compared byte by byte. */
static void server(struct run *run)
{
	struct stream *s = run->own;
	unsigned char *data = end_buffer(BUFFER);
	int fd = run_accept(run);

	end_yield();
	for (int rep = 0; rep <= run->o->reps; rep++) {
		size_t left = s->bytes;

		while (left) {
			ssize_t n = recv(fd, data, BUFFER, 0);

			if (n <= 0 || (size_t)n > left)
				die("recv gave %zd in the bulk", n);
			pattern_check(data, n, s->offset, rep == 0);
			s->offset += n;
			left -= n;
		}
		end_write(fd, "", 1);
	}
	if (recv(fd, data, 1, 0) != 0)
		die("no clean end of the stream");
	close(fd);
}

static void once(struct run *run, void *arg, bool warm_up)
{
	struct stream *s = arg;
	char done;

	(void)warm_up;
	for (size_t sent = 0; sent < s->bytes; sent += run->o->size) {
		end_write(s->fd, pattern_at(s->offset), run->o->size);
		s->offset += run->o->size;
	}
	end_read(s->fd, &done, 1);
}

static void client(struct run *run)
{
	struct stream *s = run->own;

	s->fd = run_connect(run);
	run_repeat(run, "byte", s->bytes, once, s);
	close(s->fd);
}

void bench_bulk(const struct options *o)
{
	struct stream s = { .bytes = (o->count + o->size - 1) / o->size *
				     o->size };

	run_pair(o, BUFFER, server, client, &s);
}
