// SPDX-License-Identifier: GPL-2.0
/*
 * The memory that idle connections take: `count` of them, each having carried
 * one byte each way, both ends in this process. What the kernel has less of
 * afterwards, per connection with both its ends. Which slab caches grew is
 * said in lines that begin with "slab".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define MAX_CACHES 1024
#define WARM_UP 64

struct cache {
	char name[32];
	double bytes;
};

struct snapshot {
	double free, slab, percpu, stack, tables, vmalloc;
	struct cache caches[MAX_CACHES];
	int n_caches;
};

/* Makes the slab caches give back what they keep empty. */
static void shrink_caches(void)
{
	glob_t caches;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &caches))
		return;
	for (size_t i = 0; i < caches.gl_pathc; i++) {
		int fd = open(caches.gl_pathv[i], O_WRONLY);

		if (fd < 0)
			continue;
		(void)!write(fd, "1", 1);
		close(fd);
	}
	globfree(&caches);
}

/* Lets RCU, deferred work and the reclaiming of empty slabs come to an end. */
static void settle(void)
{
	struct timespec t = { 2, 0 };
	int fd;

	nanosleep(&t, NULL);
	fd = open("/proc/sys/vm/drop_caches", O_WRONLY);
	if (fd < 0 || write(fd, "3", 1) != 1)
		die("drop_caches: %s", strerror(errno));
	close(fd);
	shrink_caches();
	nanosleep(&t, NULL);
}

static void read_meminfo(struct snapshot *s)
{
	static const char *const names[] = { "MemFree", "Slab", "Percpu",
					     "KernelStack", "PageTables",
					     "VmallocUsed" };
	double *const values[] = { &s->free,  &s->slab,	  &s->percpu,
				   &s->stack, &s->tables, &s->vmalloc };
	char line[128], name[64];
	double kib;
	FILE *f = fopen("/proc/meminfo", "r");

	if (!f)
		die("no /proc/meminfo");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63[^:]: %lf kB", name, &kib) != 2)
			continue;
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (!strcmp(name, names[i]))
				*values[i] = kib * 1024;
	}
	fclose(f);
}

/* MemFree leaves out the free pages that each CPU keeps for itself. */
static void add_cpu_pages(struct snapshot *s)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[256];
	bool cpus = false;
	double pages;

	if (!f)
		die("no /proc/zoneinfo");
	while (fgets(line, sizeof(line), f)) {
		if (strstr(line, "cpu: "))
			cpus = true;
		if (cpus && sscanf(line, " count: %lf", &pages) == 1) {
			s->free += pages * 4096;
			cpus = false;
		}
	}
	fclose(f);
}

/* Objects in use times their size: what the connections asked for. */
static void read_slabinfo(struct snapshot *s)
{
	FILE *f = fopen("/proc/slabinfo", "r");
	char line[512];

	s->n_caches = 0;
	if (!f)
		die("no /proc/slabinfo");
	while (fgets(line, sizeof(line), f) && s->n_caches < MAX_CACHES) {
		struct cache *c = &s->caches[s->n_caches];
		double active, size;

		if (sscanf(line, "%31s %lf %*f %lf", c->name, &active,
			   &size) != 3)
			continue;
		c->bytes = active * size;
		s->n_caches++;
	}
	fclose(f);
}

static void take(struct snapshot *s)
{
	settle();
	read_meminfo(s);
	add_cpu_pages(s);
	read_slabinfo(s);
}

static void open_one(const struct options *o, int listener,
		     const struct sockaddr_in *addr, int *fds, bool prove)
{
	struct proof a, b;
	char c;

	fds[0] = end_connect(addr);
	fds[1] = end_accept(listener);
	variant_secure(&o->variant, fds[0], false);
	variant_secure(&o->variant, fds[1], true);
	end_write(fds[0], "q", 1);
	end_read(fds[1], &c, 1);
	end_write(fds[1], "a", 1);
	end_read(fds[0], &c, 1);
	if (!prove)
		return;
	variant_prove(&o->variant, fds[0], &a);
	variant_prove(&o->variant, fds[1], &b);
	variant_compare(&a, &b);
}

static void report_caches(const struct options *o, const struct snapshot *a,
			  const struct snapshot *b)
{
	for (int i = 0; i < b->n_caches; i++) {
		double before = 0, each;

		for (int j = 0; j < a->n_caches; j++)
			if (!strcmp(a->caches[j].name, b->caches[i].name))
				before = a->caches[j].bytes;
		each = (b->caches[i].bytes - before) / o->count;
		if (each >= 16 || each <= -16)
			printf("slab %s %s %.0f\n", o->label,
			       b->caches[i].name, each);
	}
}

static void report(const struct options *o, const char *what, double bytes)
{
	bytes /= o->count;
	printf("result %s%s %.0f bytes/connection idle 0 units %zu samples %.0f\n",
	       o->label, what, bytes, o->count, bytes);
}

void bench_idle(const struct options *o)
{
	static struct snapshot before, after;
	struct rlimit limit = { 2 * o->count + 256, 2 * o->count + 256 };
	int *fds = malloc(2 * o->count * sizeof(int));
	struct sockaddr_in addr;
	long encrypted;
	int listener;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("RLIMIT_NOFILE: %s", strerror(errno));
	/* Touch what the measuring itself will use. */
	memset(fds, 0, 2 * o->count * sizeof(int));
	dup2(0, limit.rlim_cur - 1);
	variant_enter(&o->variant);
	listener = end_listen(&addr);
	for (int i = 0; i < WARM_UP; i++) {
		open_one(o, listener, &addr, fds, true);
		close(fds[0]);
		close(fds[1]);
	}
	take(&before);
	take(&before);
	encrypted = variant_encrypted(&o->variant);
	for (size_t i = 0; i < o->count; i++)
		open_one(o, listener, &addr, fds + 2 * i, i % 100 == 0);
	encrypted = variant_encrypted(&o->variant) - encrypted;
	if (o->variant.carrier == TCPCRYPT && encrypted != (long)o->count)
		die("only %ld connections were encrypted", encrypted);
	take(&after);
	report_caches(o, &before, &after);
	report(o, "", before.free - after.free);
	report(o, ".slab", after.slab - before.slab);
	report(o, ".percpu", after.percpu - before.percpu);
	report(o, ".vmalloc", after.vmalloc - before.vmalloc);
}
