/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Socket options of TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548).
 *
 * All are at level IPPROTO_TCP. They exist on a socket to which the "tcpcrypt"
 * upper layer protocol is attached, by setsockopt(TCP_ULP, "tcpcrypt") or by
 * the system default; elsewhere they fail with ENOPROTOOPT, as on a kernel
 * without the module.
 *
 * The names are those of the working group's draft "Interface Extensions for
 * TCP-ENO and tcpcrypt". The numbers are this module's: no kernel TCP option
 * comes near 6900, which recalls option kind 69.
 */
#ifndef _UAPI_LINUX_TCP_ENO_H
#define _UAPI_LINUX_TCP_ENO_H

/* The name that TCP_ULP takes. */
#define TCP_ENO_ULP_NAME	"tcpcrypt"

/*
 * TCP_ENO_ENABLED, int, get and set. 0: send no ENO option. 1: send one.
 * -1: the default of the network namespace at the time of the open.
 * EISCONN once a SYN has been sent.
 */
#define TCP_ENO_ENABLED		6900

/*
 * TCP_ENO_SESSID, bytes, get: the session ID, 33 bytes. ENOTCONN until the keys
 * are there. EINVAL if the buffer is too short.
 */
#define TCP_ENO_SESSID		6901

/* TCP_ENO_NEGTEP, int, get: the negotiated TEP identifier. ENOTCONN before. */
#define TCP_ENO_NEGTEP		6902

/* TCP_ENO_ROLE, int, get: 0 for host A, 1 for host B. ENOTCONN before. */
#define TCP_ENO_ROLE		6907

/*
 * TCP_ENO_TRANSCRIPT, bytes, get: the negotiation transcript (RFC 8547
 * section 4.8), at most 80 bytes. ENOTCONN before the negotiation succeeded.
 */
#define TCP_ENO_TRANSCRIPT	6911

/*
 * TCP_CRYPT_CONF, int, get: the AEAD in use, by its identifier (RFC 8548,
 * table 5). ENOTCONN until the keys are there.
 */
#define TCP_CRYPT_CONF		6920

/* TEP identifiers (RFC 8548, table 4). */
#define TCP_ENO_TEP_X25519	0x23

/* AEAD identifiers (RFC 8548, table 5). */
#define TCP_CRYPT_AES_128_GCM		0x0001
#define TCP_CRYPT_AES_256_GCM		0x0002
#define TCP_CRYPT_CHACHA20_POLY1305	0x0010

/*
 * What inet_diag reports in the nest INET_DIAG_ULP_INFO, beside the name:
 * attribute TCP_CRYPT_DIAG, itself a nest of the attributes below. Only for
 * readers with CAP_NET_ADMIN.
 */
#define TCP_CRYPT_DIAG		69

enum {
	TCP_CRYPT_DIAG_UNSPEC,
	TCP_CRYPT_DIAG_TEP,	/* u8, as TCP_ENO_NEGTEP */
	TCP_CRYPT_DIAG_ROLE,	/* u8, as TCP_ENO_ROLE */
	TCP_CRYPT_DIAG_AEAD,	/* u16, as TCP_CRYPT_CONF */
	TCP_CRYPT_DIAG_SESSID,	/* 33 bytes, as TCP_ENO_SESSID */
	TCP_CRYPT_DIAG_STATE,	/* u8, TCP_CRYPT_STATE_* */
	__TCP_CRYPT_DIAG_MAX,
};

#define TCP_CRYPT_DIAG_MAX	(__TCP_CRYPT_DIAG_MAX - 1)

enum {
	TCP_CRYPT_STATE_IDLE,		/* attached, not opened */
	TCP_CRYPT_STATE_NEGOTIATING,	/* SYN sent */
	TCP_CRYPT_STATE_EXCHANGE,	/* ENO succeeded, keys not there yet */
	TCP_CRYPT_STATE_ENCRYPTED,
	TCP_CRYPT_STATE_FAILED,		/* aborted; the error is sticky */
	TCP_CRYPT_STATE_CLOSED,		/* by the application; TCP sends the rest */
};

#endif /* _UAPI_LINUX_TCP_ENO_H */
