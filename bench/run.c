// SPDX-License-Identifier: GPL-2.0
/*
 * The course of a measurement: two processes, one of them the child of the
 * other, a warm-up, and repetitions under the meter.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

void run_pair(const struct options *o, size_t max_size,
	      void (*server)(struct run *), void (*client)(struct run *),
	      void *own)
{
	struct run run = { .o = o, .own = own };
	int status;
	pid_t pid;

	if (o->size > max_size)
		die("at most %zu bytes at once, please", max_size);
	run.proof = end_share(sizeof(*run.proof));
	variant_enter(&o->variant);
	run.listener = end_listen(&run.addr);
	pid = fork();
	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		end_pin(1);
		server(&run);
		_exit(0);
	}
	end_pin(0);
	client(&run);
	if (waitpid(pid, &status, 0) != pid || status)
		die("the server failed");
}

int run_accept(struct run *run)
{
	const struct variant *v = &run->o->variant;
	int fd = end_accept(run->listener);
	char c;

	variant_secure(v, fd, true);
	end_read(fd, &c, 1);
	variant_prove(v, fd, run->proof);
	end_write(fd, &c, 1);
	return fd;
}

int run_connect(struct run *run)
{
	const struct variant *v = &run->o->variant;
	int fd = end_connect(&run->addr);
	struct proof proof;
	char c = 0;

	variant_secure(v, fd, false);
	end_write(fd, &c, 1);
	end_read(fd, &c, 1);
	variant_prove(v, fd, &proof);
	variant_compare(&proof, run->proof);
	return fd;
}

size_t run_times(const struct run *run)
{
	return run->o->count * (run->o->reps + 1);
}

/*
 * Two no-operations with an operand that no compiler emits: the plugin of
 * bench/profile starts and stops counting where it sees them.
 */
static void mark_begin(const struct options *o)
{
	if (o->mark)
		asm volatile("nopl 0x7ce0b001(%%rax,%%rax,1)" ::: "memory");
}

static void mark_end(const struct options *o)
{
	if (o->mark)
		asm volatile("nopl 0x7ce0b002(%%rax,%%rax,1)" ::: "memory");
}

void run_repeat(struct run *run, const char *per, double units,
		void (*once)(struct run *run, void *arg, bool warm_up),
		void *arg)
{
	const struct options *o = run->o;
	struct sample samples[o->reps];

	once(run, arg, true);
	mark_begin(o);
	for (int rep = 0; rep < o->reps; rep++) {
		struct meter m;

		meter_start(&m);
		once(run, arg, false);
		samples[rep] = meter_stop(&m, units);
	}
	mark_end(o);
	meter_report(o->label, per, units, samples, o->reps);
}
