// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A plugin for QEMU's TCG that counts, exactly, how often each block of guest
 * instructions runs between the two marks of ends.c, and what ran before it.
 * bench/profile builds it, loads it and gives the counts their names.
 *
 * The plugin interface is declared here as far as it is used, because most
 * distributions ship a QEMU that takes plugins without its header. Its
 * version is given on the command line of the compiler: 1 up to QEMU 8, later
 * ones are all served by 3.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef uint64_t plugin_id;

extern void qemu_plugin_register_vcpu_tb_trans_cb(
	plugin_id id, void (*cb)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(
	struct qemu_plugin_tb *tb, void (*cb)(unsigned int, void *), int flags,
	void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(
	struct qemu_plugin_insn *insn, void (*cb)(unsigned int, void *),
	int flags, void *data);
extern void qemu_plugin_register_atexit_cb(
	plugin_id id, void (*cb)(plugin_id, void *), void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *
qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
#if PLUGIN_VERSION < 3
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
#else
extern size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn,
				    void *data, size_t len);
#endif

EXPORT int qemu_plugin_version = PLUGIN_VERSION;

#define MAX_COMERS 8

struct block {
	struct block *next;
	uint64_t address, count;
	size_t instructions;
	/* What ran just before it: for the first block of a function, a call. */
	struct comer {
		const struct block *from;
		uint64_t count;
	} comers[MAX_COMERS];
};

static struct block *blocks;
static const struct block *last;
static const char *out_path;
static bool counting;

static void begin(unsigned int cpu, void *data)
{
	(void)cpu, (void)data;
	counting = true;
}

static void end(unsigned int cpu, void *data)
{
	(void)cpu, (void)data;
	counting = false;
}

static void run(unsigned int cpu, void *data)
{
	struct block *b = data;

	(void)cpu;
	if (!counting)
		return;
	b->count++;
	for (int i = 0; i < MAX_COMERS; i++) {
		struct comer *c = &b->comers[i];

		if (c->from && c->from != last)
			continue;
		c->from = last;
		c->count++;
		break;
	}
	last = b;
}

/* 1: the mark that begins, 2: the mark that ends, 0: another instruction. */
static int mark(const struct qemu_plugin_insn *insn)
{
	static const unsigned char nop[] = { 0x0f, 0x1f, 0x84, 0x00 };
	static const unsigned char tail[] = { 0xb0, 0xe0, 0x7c };
	unsigned char code[8];

	if (qemu_plugin_insn_size(insn) != sizeof(code))
		return 0;
#if PLUGIN_VERSION < 3
	memcpy(code, qemu_plugin_insn_data(insn), sizeof(code));
#else
	qemu_plugin_insn_data(insn, code, sizeof(code));
#endif
	if (memcmp(code, nop, sizeof(nop)) ||
	    memcmp(code + 5, tail, sizeof(tail)))
		return 0;
	return code[4] == 1 ? 1 : code[4] == 2 ? 2 : 0;
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	struct block *b = calloc(1, sizeof(*b));

	(void)id;
	if (!b)
		abort();
	b->address = qemu_plugin_tb_vaddr(tb);
	b->instructions = qemu_plugin_tb_n_insns(tb);
	b->next = blocks;
	blocks = b;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, run, 0, b);
	for (size_t i = 0; i < b->instructions; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		int which = mark(insn);

		if (which)
			qemu_plugin_register_vcpu_insn_exec_cb(
				insn, which == 1 ? begin : end, 0, NULL);
	}
}

static void finished(plugin_id id, void *data)
{
	FILE *f = fopen(out_path, "w");

	(void)id, (void)data;
	if (!f)
		return;
	for (struct block *b = blocks; b; b = b->next) {
		if (!b->count)
			continue;
		fprintf(f, "%llx %llu", (unsigned long long)b->address,
			(unsigned long long)(b->count * b->instructions));
		for (struct comer *c = b->comers;
		     c < b->comers + MAX_COMERS && c->from; c++)
			fprintf(f, " %llx %llu",
				(unsigned long long)c->from->address,
				(unsigned long long)c->count);
		fputc('\n', f);
	}
	fclose(f);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc,
			       char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out_path = strdup(argv[0] + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finished, NULL);
	return 0;
}
