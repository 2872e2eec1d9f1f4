// SPDX-License-Identifier: GPL-2.0
/*
 * The variants: switching each on, and proving that a connection really is
 * what its row of the table says.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp_eno.h>
#include <linux/tls.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef TLS_RX_EXPECT_NO_PAD
#define TLS_RX_EXPECT_NO_PAD 4
#endif

#define SYSCTL "/proc/sys/net/ipv4/"

static const struct aead aeads[] = {
	{ "aes128-gcm", 0x0001, TLS_CIPHER_AES_GCM_128,
	  "TLS_AES_128_GCM_SHA256" },
	{ "aes256-gcm", 0x0002, TLS_CIPHER_AES_GCM_256,
	  "TLS_AES_256_GCM_SHA384" },
	{ "chacha20-poly1305", 0x0010, TLS_CIPHER_CHACHA20_POLY1305,
	  "TLS_CHACHA20_POLY1305_SHA256" },
};

struct variant variant_parse(const char *name)
{
	static const struct {
		const char *prefix;
		enum carrier carrier;
		bool no_pad;
	} kinds[] = {
		{ "ktls:", KTLS, false },
		{ "ktls-nopad:", KTLS, true },
		{ "tcpcrypt:", TCPCRYPT, false },
		{ "openssl:", OPENSSL, false },
	};
	struct variant v = { PLAIN, NULL, false };

	if (!strcmp(name, "plain"))
		return v;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(name, kinds[i].prefix, len))
			continue;
		v.carrier = kinds[i].carrier;
		v.no_pad = kinds[i].no_pad;
		for (size_t j = 0; j < sizeof(aeads) / sizeof(aeads[0]); j++)
			if (!strcmp(name + len, aeads[j].name))
				v.aead = &aeads[j];
	}
	if (!v.aead)
		die("no such variant: %s", name);
	return v;
}

static void sysctl_write(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die("%s: %s", path, strerror(errno));
	close(fd);
}

void variant_enter(const struct variant *v)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

	if (unshare(CLONE_NEWNET))
		die("unshare: %s", strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr))
		die("lo up: %s", strerror(errno));
	close(fd);
	sysctl_write(SYSCTL "ip_local_port_range", "1024 65535");
	if (v->carrier != TCPCRYPT)
		return;		/* the module's default is off */
	if (access(SYSCTL "tcp_eno", F_OK))
		die("module not loaded");
	sysctl_write(SYSCTL "tcp_crypt/aconf", v->aead->name);
	sysctl_write(SYSCTL "tcp_crypt/bconf", v->aead->name);
	/* The rival makes new keys for every connection too. */
	sysctl_write(SYSCTL "tcp_crypt/resume", "0");
	sysctl_write(SYSCTL "tcp_eno/enable_listen", "1");
	sysctl_write(SYSCTL "tcp_eno/enable_connect", "1");
}

/* Keys for TLS 1.3 that both ends know: one byte repeated, by direction. */
static void tls_install(const struct variant *v, int fd, int direction,
			unsigned char fill)
{
	union {
		struct tls_crypto_info info;
		struct tls12_crypto_info_aes_gcm_128 gcm128;
		struct tls12_crypto_info_aes_gcm_256 gcm256;
		struct tls12_crypto_info_chacha20_poly1305 chacha;
	} keys;
	socklen_t len = sizeof(keys.gcm128);

	if (v->aead->tls_id == TLS_CIPHER_AES_GCM_256)
		len = sizeof(keys.gcm256);
	if (v->aead->tls_id == TLS_CIPHER_CHACHA20_POLY1305)
		len = sizeof(keys.chacha);
	memset(&keys, fill, sizeof(keys));
	keys.info.version = TLS_1_3_VERSION;
	keys.info.cipher_type = v->aead->tls_id;
	/* The record number stands last in each of the structures. */
	memset((char *)&keys + len - TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE, 0,
	       TLS_CIPHER_AES_GCM_128_REC_SEQ_SIZE);
	if (setsockopt(fd, SOL_TLS, direction, &keys, len))
		die("kernel TLS refuses %s: %s", v->aead->name,
		    strerror(errno));
}

void variant_secure(const struct variant *v, int fd, bool server)
{
	int one = 1;

	if (v->carrier != KTLS)
		return;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		die("no kernel TLS: %s", strerror(errno));
	tls_install(v, fd, TLS_TX, server ? 0x5e : 0xc1);
	tls_install(v, fd, TLS_RX, server ? 0xc1 : 0x5e);
	if (v->no_pad && setsockopt(fd, SOL_TLS, TLS_RX_EXPECT_NO_PAD, &one,
				    sizeof(one)))
		die("TLS_RX_EXPECT_NO_PAD: %s", strerror(errno));
}

static void prove_ulp(int fd, const char *expected)
{
	char ulp[32] = "";
	socklen_t len = sizeof(ulp) - 1;

	if (getsockopt(fd, IPPROTO_TCP, TCP_ULP, ulp, &len))
		die("TCP_ULP: %s", strerror(errno));
	if (strncmp(ulp, expected, sizeof(ulp)))
		die("not measured: ULP is \"%s\", not \"%s\"", ulp, expected);
}

void variant_prove(const struct variant *v, int fd, struct proof *proof)
{
	struct tls12_crypto_info_chacha20_poly1305 big;
	struct tls_crypto_info *tls = (void *)&big;
	socklen_t len;
	int id;

	memset(proof, 0, sizeof(*proof));
	switch (v->carrier) {
	case PLAIN:
	case OPENSSL:
		prove_ulp(fd, "");
		return;
	case KTLS:
		prove_ulp(fd, "tls");
		len = sizeof(*tls);
		if (getsockopt(fd, SOL_TLS, TLS_TX, tls, &len) ||
		    tls->version != TLS_1_3_VERSION ||
		    tls->cipher_type != v->aead->tls_id)
			die("not measured: kernel TLS has another cipher");
		return;
	case TCPCRYPT:
		len = sizeof(proof->session_id);
		if (getsockopt(fd, IPPROTO_TCP, TCP_ENO_SESSID,
			       proof->session_id, &len))
			die("not encrypted: TCP_ENO_SESSID: %s",
			    strerror(errno));
		proof->session_id_len = len;
		len = sizeof(id);
		if (getsockopt(fd, IPPROTO_TCP, TCP_CRYPT_CONF, &id, &len))
			die("TCP_CRYPT_CONF: %s", strerror(errno));
		if (id != v->aead->tcpcrypt_id)
			die("encrypted with AEAD %#x, not %s", id,
			    v->aead->name);
		return;
	}
}

void variant_compare(const struct proof *a, const struct proof *b)
{
	if (a->session_id_len != b->session_id_len ||
	    memcmp(a->session_id, b->session_id, a->session_id_len))
		die("the ends have different session IDs");
}

long variant_encrypted(const struct variant *v)
{
	char line[128];
	long value = -1;
	FILE *f;

	if (v->carrier != TCPCRYPT)
		return 0;
	f = fopen("/proc/self/net/tcp_crypt_stat", "r");
	if (!f)
		die("/proc/net/tcp_crypt_stat: %s", strerror(errno));
	while (fgets(line, sizeof(line), f))
		sscanf(line, "ActiveEncrypted %ld", &value);
	fclose(f);
	if (value < 0)
		die("no ActiveEncrypted in tcp_crypt_stat");
	return value;
}
