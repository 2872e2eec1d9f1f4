// SPDX-License-Identifier: GPL-2.0
/*
 * The meter. In the machine that `scripts/vm --icount` starts, every guest
 * instruction moves the guest's cycle counter on by one, so that a difference
 * of two readings is a number of instructions, of all processes and the kernel
 * together. With two CPUs the same programs measure nanoseconds.
 *
 * A CPU that waits moves its clock on as well. How long it did is known from
 * /proc/schedstat and taken off; what was taken off is reported, because a
 * large share means that the row measures some timer.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <x86intrin.h>

#include "bench.h"

enum clock meter_clock = INSTRUCTIONS;

uint64_t meter_now(void)
{
	struct timespec t;

	if (meter_clock == INSTRUCTIONS)
		return __rdtsc();
	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

void meter_check(void)
{
	uint64_t best = UINT64_MAX;

	if (meter_clock != INSTRUCTIONS)
		return;
	for (int i = 0; i < 5; i++) {
		unsigned long n = 100000;
		uint64_t start = __rdtsc();

		asm volatile("1: dec %0; jnz 1b" : "+r"(n));
		start = __rdtsc() - start;
		if (start < best)
			best = start;
	}
	/* An interrupt may have come in between, hence the best of five. */
	if (best < 200000 || best > 202000)
		die("200000 instructions counted as %llu: not under --icount",
		    (unsigned long long)best);
}

/* Nanoseconds in which the CPUs ran something else than their idle task. */
static uint64_t busy(void)
{
	unsigned long long ran, sum = 0;
	char line[512];
	FILE *f = fopen("/proc/schedstat", "r");

	if (!f)
		die("no /proc/schedstat");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "cpu%*d %*u %*u %*u %*u %*u %*u %llu", &ran) == 1)
			sum += ran;
	fclose(f);
	return sum;
}

/* A process's running time is added up when it gives the CPU away. */
static uint64_t busy_now(void)
{
	struct timespec moment = { 0, 1000 };

	nanosleep(&moment, NULL);
	return busy();
}

void meter_start(struct meter *m)
{
	m->busy = meter_clock == INSTRUCTIONS ? busy_now() : 0;
	m->start = meter_now();
}

struct sample meter_stop(const struct meter *m, double units)
{
	double wall = meter_now() - m->start;
	double idle = 0;

	if (meter_clock == INSTRUCTIONS)
		idle = wall - (double)(busy_now() - m->busy);
	if (idle < wall / 500)	/* two clocks that differ in the fourth digit */
		idle = 0;
	return (struct sample){ (wall - idle) / units, idle / wall };
}

static int by_value(const void *a, const void *b)
{
	double x = ((const struct sample *)a)->value;
	double y = ((const struct sample *)b)->value;

	return (x > y) - (x < y);
}

void meter_report(const char *name, const char *per, double units,
		  struct sample *samples, int count)
{
	double idle = 0;

	for (int i = 0; i < count; i++)
		idle = samples[i].idle > idle ? samples[i].idle : idle;
	qsort(samples, count, sizeof(*samples), by_value);
	printf("result %s %.3f %s/%s idle %.1f units %.0f samples", name,
	       samples[count / 2].value,
	       meter_clock == INSTRUCTIONS ? "instructions" : "ns", per,
	       100 * idle, units * count);
	for (int i = 0; i < count; i++)
		printf(" %.3f", samples[i].value);
	putchar('\n');
	fflush(stdout);
}
