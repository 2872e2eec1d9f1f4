/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the measuring programs share: the ways of carrying a TCP stream that
 * are compared, the meter, and the ends of a connection.
 */
#ifndef TCPCRYPT_BENCH_H
#define TCPCRYPT_BENCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- variant.c: how the bytes are protected ---- */

enum carrier {
	PLAIN,		/* TCP alone, the module absent or switched off */
	KTLS,		/* kernel TLS 1.3, fixed keys, both directions */
	TCPCRYPT,	/* this module, switched on by sysctl */
	OPENSSL,	/* TLS 1.3 in user space with its handshake */
};

struct aead {
	const char *name;	/* as in net.ipv4.tcp_crypt.aconf */
	int tcpcrypt_id;	/* RFC 8548, table 5; TCP_CRYPT_CONF */
	int tls_id;		/* TLS_CIPHER_* of linux/tls.h */
	const char *openssl;	/* name of the TLS 1.3 suite */
};

struct variant {
	enum carrier carrier;
	const struct aead *aead;	/* NULL for PLAIN */
	bool no_pad;			/* kTLS: TLS_RX_EXPECT_NO_PAD */
};

/* "plain", "ktls:AEAD", "ktls-nopad:AEAD", "tcpcrypt:AEAD", "openssl:AEAD" */
struct variant variant_parse(const char *name);
/* Moves into a network namespace of its own, set up for the variant. */
void variant_enter(const struct variant *v);
/* Does what the variant asks of a connected socket before its first byte. */
void variant_secure(const struct variant *v, int fd, bool server);

struct proof {
	unsigned char session_id[64];
	int session_id_len;
};
/* Exits unless the connection is protected in exactly the variant's way. */
void variant_prove(const struct variant *v, int fd, struct proof *proof);
/* Exits unless both ends of a tcpcrypt connection name the same session. */
void variant_compare(const struct proof *a, const struct proof *b);
/* How many connections the namespace has encrypted as opener, for TCPCRYPT. */
long variant_encrypted(const struct variant *v);

/* ---- meter.c: instructions or nanoseconds ---- */

enum clock { INSTRUCTIONS, WALL };
extern enum clock meter_clock;

uint64_t meter_now(void);
/* Exits unless the guest's cycle counter counts its instructions. */
void meter_check(void);

struct sample {
	double value;	/* per unit of work */
	double idle;	/* share of the time in which the CPU had nothing */
};
struct meter {
	uint64_t start, busy;
};
void meter_start(struct meter *m);
struct sample meter_stop(const struct meter *m, double units);
/*
 * One line: "result NAME MEDIAN UNIT idle PERCENT units N samples VALUE...",
 * N being the units of work of all samples together.
 */
void meter_report(const char *name, const char *per, double units,
		  struct sample *samples, int count);

/* ---- ends.c: sockets, processes, bytes ---- */

struct options {
	struct variant variant;
	const char *label;
	size_t size;		/* of one write, or of a request */
	size_t count;		/* of bytes, round trips or connections */
	int reps;
	bool mark;		/* tell bench/profile where measuring begins */
};

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
int end_listen(struct sockaddr_in *addr);
int end_connect(const struct sockaddr_in *addr);
int end_accept(int listener);
void end_pin(int cpu);
/*
 * Lets the other process run on when this one could: on one CPU every write
 * would wake the reader or not, as the scheduler's mood is, which costs more
 * than the write.
 */
void end_yield(void);
void end_write(int fd, const void *data, size_t len);
void end_read(int fd, void *data, size_t len);
/* Memory that the processes of a run share. */
void *end_share(size_t size);
void *end_buffer(size_t size);

/* The stream's contents: PATTERN_PERIOD bytes over and over. */
#define PATTERN_PERIOD 65521
void pattern_init(void);
/* Where the bytes of the stream from an offset on stand, for up to 64 KiB. */
const unsigned char *pattern_at(uint64_t offset);
/* Exits unless the data is the stream's; all of it, or only its two ends. */
void pattern_check(const unsigned char *data, size_t len, uint64_t offset,
		   bool all);

/* ---- run.c: a server, a client and repetitions ---- */

struct run {
	const struct options *o;
	struct sockaddr_in addr;
	int listener;
	struct proof *proof;	/* the server's, shared */
	void *own;		/* the test's */
};

/*
 * In a namespace of their own, the server in a child and the client here. Exits
 * if a request is to be larger than `max_size`, or one of them fails.
 */
void run_pair(const struct options *o, size_t max_size,
	      void (*server)(struct run *), void (*client)(struct run *),
	      void *own);
/* The two ends of a connection that is set up and proven to be protected. */
int run_accept(struct run *run);
int run_connect(struct run *run);
/* How often the server of a test serves: for each of all repetitions. */
size_t run_times(const struct run *run);
/*
 * Does one repetition to warm up and measures the others, each of which is
 * `units` of work; prints the result.
 */
void run_repeat(struct run *run, const char *per, double units,
		void (*once)(struct run *run, void *arg, bool warm_up),
		void *arg);

/* ---- the measurements ---- */

void bench_bulk(const struct options *o);
void bench_rr(const struct options *o);
void bench_connect(const struct options *o);
void bench_connect_openssl(const struct options *o);
void bench_idle(const struct options *o);

#endif
