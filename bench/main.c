// SPDX-License-Identifier: GPL-2.0
/*
 * tcpbench: one measurement of one variant, so that it can also be run, and
 * profiled, by itself. Prints "result ..." lines, or "failed REASON".
 *
 *	tcpbench bulk|rr|connect|idle VARIANT [--size N] [--count N]
 *		[--reps N] [--label NAME] [--time] [--mark]
 *
 * VARIANT is plain, ktls:AEAD, ktls-nopad:AEAD, tcpcrypt:AEAD or, for connect,
 * openssl:AEAD. Run as root in the machine that scripts/vm --icount starts;
 * with --time anywhere, in nanoseconds.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const struct {
	const char *name;
	void (*run)(const struct options *o);
	size_t size, count;
	int reps;
} tests[] = {
	{ "bulk", bench_bulk, 65536, 8 << 20, 3 },
	{ "rr", bench_rr, 100, 2000, 3 },
	{ "connect", bench_connect, 100, 200, 3 },
	{ "idle", bench_idle, 1, 10000, 1 },
};

static size_t number(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	if (end == text || *end || n == 0 || n > 1ul << 40)
		die("not a sensible number: %s", text);
	return n;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "size", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'c' },
		{ "reps", required_argument, NULL, 'r' },
		{ "label", required_argument, NULL, 'l' },
		{ "time", no_argument, NULL, 't' },
		{ "mark", no_argument, NULL, 'm' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .label = NULL };
	void (*run)(const struct options *o) = NULL;
	int c;

	if (argc < 3)
		die("usage: tcpbench TEST VARIANT [OPTION...]");
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		if (strcmp(argv[1], tests[i].name))
			continue;
		run = tests[i].run;
		o.size = tests[i].size;
		o.count = tests[i].count;
		o.reps = tests[i].reps;
	}
	if (!run)
		die("no such test: %s", argv[1]);
	o.variant = variant_parse(argv[2]);
	o.label = argv[1];
	while ((c = getopt_long(argc - 2, argv + 2, "", options, NULL)) != -1) {
		switch (c) {
		case 's':
			o.size = number(optarg);
			break;
		case 'c':
			o.count = number(optarg);
			break;
		case 'r':
			o.reps = number(optarg);
			break;
		case 'l':
			o.label = optarg;
			break;
		case 't':
			meter_clock = WALL;
			break;
		case 'm':
			o.mark = true;
			break;
		default:
			die("unknown option");
		}
	}
	if (o.variant.carrier == OPENSSL) {
		if (run != bench_connect)
			die("openssl is measured by connect only");
		run = bench_connect_openssl;
	}
	pattern_init();
	meter_check();
	run(&o);
	return 0;
}
