/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Socket options of TCP-ENO (RFC 8547) and tcpcrypt (RFC 8548).
 *
 * All are at level IPPROTO_TCP. They exist on a socket to which the "tcpcrypt"
 * upper layer protocol is attached, by setsockopt(TCP_ULP, "tcpcrypt") before
 * connect() or listen(), or by the system default; elsewhere they fail with
 * ENOPROTOOPT, as on a kernel without the module. A connection on which ENO is
 * off or failed is plain TCP, without the upper layer protocol.
 *
 * The names are those of the working group's draft "Interface Extensions for
 * TCP-ENO and tcpcrypt". The numbers are this module's: no kernel TCP option
 * comes near 6900, which recalls option kind 69.
 *
 * There are two kinds of options. WISHES are set and read. They can be set
 * until the SYN is sent, and again when connect() failed; from then on setting
 * them is EISCONN. On a listening socket they can be set at any time, and hold
 * for the SYNs that come from then on: a handshake that was answered goes on
 * with the answer that was sent. A connection that accept() returns inherits
 * the wishes of its listener, and they can't be set on it. FACTS are what came
 * of it: they are read, and ENOTCONN where there is no such connection, or not
 * yet.
 *
 * An int takes 4 bytes. Bytes and arrays may be shorter than the buffer of
 * getsockopt(), which returns the length. EINVAL: the value is not one that is
 * named below, or is too short, or the buffer is. EFAULT: a bad pointer. A set
 * that fails changes nothing.
 */
#ifndef _UAPI_LINUX_TCP_ENO_H
#define _UAPI_LINUX_TCP_ENO_H

/* The name that TCP_ULP takes. */
#define TCP_ENO_ULP_NAME	"tcpcrypt"

/*
 * TCP_ENO_ENABLED, int, a wish. 0: send no ENO option, and answer none. 1: send
 * and answer. -1: the default of the network namespace at the time of the open.
 * 1 on a socket on which TCP_ULP was set.
 */
#define TCP_ENO_ENABLED		6900

/*
 * TCP_ENO_SESSID, bytes, a fact: the session ID, 33 bytes. ENOTCONN until the
 * keys are there. It can be read as long as the socket is open.
 */
#define TCP_ENO_SESSID		6901

/* TCP_ENO_NEGTEP, int, a fact: the negotiated TEP identifier. */
#define TCP_ENO_NEGTEP		6902

/*
 * TCP_ENO_TEPS, bytes, a wish: TEP identifiers to offer or to accept, best
 * first. (Where both hosts accept several, host B's preference decides.) EINVAL
 * if one is below 0x20, unknown, or there twice.
 *
 * Where nothing was set it is the list of the network namespace that is read.
 * An empty list turns ENO off, and is read as such; TCP_ENO_ENABLED is read as
 * 0 then. Setting another list, or TCP_ENO_ENABLED, undoes that: the latter
 * brings the list of the network namespace back.
 */
#define TCP_ENO_TEPS		6903

/*
 * TCP_ENO_SELF_AWARE, int, a wish: the application-aware bit to send (RFC 8547
 * section 4.2). 0: clear. 1: set. 2: set, and ENO fails unless the peer set it
 * too.
 */
#define TCP_ENO_SELF_AWARE	6904

/* TCP_ENO_PEER_AWARE, int, a fact: the peer's application-aware bit. */
#define TCP_ENO_PEER_AWARE	6905

/*
 * TCP_ENO_ROLEOVERRIDE, int, a wish. 1: connect() plays role B, for a
 * simultaneous open (RFC 8547 section 4.3). What accept() returns has role B
 * in any case.
 */
#define TCP_ENO_ROLEOVERRIDE	6906

/* TCP_ENO_ROLE, int, a fact: 0 for host A, 1 for host B. */
#define TCP_ENO_ROLE		6907

/*
 * TCP_ENO_SELF_GOPT, int, a wish: the global suboption to send. It is another
 * view of two options: bit 0 is TCP_ENO_ROLEOVERRIDE, bit 1 is
 * TCP_ENO_SELF_AWARE, whose value 2 stays 2 when bit 1 is set. EINVAL if any of
 * the reserved bits is set.
 */
#define TCP_ENO_SELF_GOPT	6908

/*
 * TCP_ENO_PEER_GOPT, int, a fact: the peer's global suboption, 0 if it sent
 * none.
 */
#define TCP_ENO_PEER_GOPT	6909

/*
 * TCP_ENO_RAW, bytes, a wish: the contents of the ENO option to send in the SYN
 * or SYN-ACK, as they are, for a TEP that is implemented above TCP. The kernel
 * negotiates and acknowledges, and encrypts nothing. At most 38 bytes, without
 * the kind and the length of the option: suboptions as in RFC 8547 section 4.1,
 * of which one may be global, without reserved bits; else EINVAL. It replaces
 * TCP_ENO_TEPS, and its global suboption TCP_ENO_SELF_GOPT. Empty, which is the
 * default, turns raw mode off.
 */
#define TCP_ENO_RAW		6910

/*
 * TCP_ENO_TRANSCRIPT, bytes, a fact: the negotiation transcript (RFC 8547
 * section 4.8), at most 80 bytes.
 */
#define TCP_ENO_TRANSCRIPT	6911

/*
 * TCP_ENO_MANDATORY, int, a wish. 1: if ENO does not succeed the connection is
 * aborted with ECONNABORTED, and never is plain TCP.
 */
#define TCP_ENO_MANDATORY	6912

/*
 * TCP_CRYPT_CONF, int, a fact: the AEAD in use, by its identifier (RFC 8548,
 * table 5). ENOTCONN until the keys are there.
 */
#define TCP_CRYPT_CONF		6920

/*
 * TCP_CRYPT_ACONF, array of __u16, a wish: identifiers of the AEADs to offer in
 * role A, best first. They are numbers in the host's byte order, as those below
 * and that of TCP_CRYPT_CONF. EINVAL if one is unknown, or there twice. An
 * empty array brings the list of the network namespace back, which is also what
 * is read where nothing was set.
 */
#define TCP_CRYPT_ACONF		6921

/* TCP_CRYPT_BCONF: the same, for the AEADs to accept in role B, best first. */
#define TCP_CRYPT_BCONF		6922

/*
 * TCP_CRYPT_RESUMED, int, a fact: 1 if the keys are those of an earlier session
 * (RFC 8548, section 3.5), 0 if they were made for this connection. ENOTCONN
 * until the keys are there.
 */
#define TCP_CRYPT_RESUMED	6923

/*
 * TCP_CRYPT_NORESUME, int, a wish. 1: propose no session to be resumed, and
 * agree to none that is proposed.
 */
#define TCP_CRYPT_NORESUME	6924

/*
 * TCP_CRYPT_NOCACHE, int, a wish. 1: keep no session of this connection that
 * might be resumed.
 */
#define TCP_CRYPT_NOCACHE	6925

/*
 * TCP_CRYPT_CACHE_FLUSH, int, set only. Not 0: wipe the session that was kept of
 * this connection. That which the connection resumed is gone already. ENOTCONN
 * until the keys are there.
 */
#define TCP_CRYPT_CACHE_FLUSH	6926

/*
 * TCP_CRYPT_RESUME_NONCE_LEN, int, a wish: bytes of randomness, 0 to 8, in a
 * proposal or agreement to resume. 8 by default. Less takes less of a SYN, and
 * is safe only where a session can't be resumed twice: on a host that is never
 * restored from a copy of its memory.
 */
#define TCP_CRYPT_RESUME_NONCE_LEN	6927

/*
 * TCP_CRYPT_REKEY. Set, int, not 0: change the keys now (RFC 8548 section 3.8),
 * those of this side at once, and those of the peer when it hears of it. A
 * change that the peer did not answer yet is not followed by another one before
 * it did, unless there are data to be sent. ENOTCONN until the keys are there,
 * and EPIPE after shutdown(SHUT_WR).
 *
 * Read, array of two ints, a fact: how often the keys of this side were
 * changed, for any reason, and how often those of the peer.
 */
#define TCP_CRYPT_REKEY		6928

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
	__TCP_CRYPT_DIAG_MAX
};

#define TCP_CRYPT_DIAG_MAX	(__TCP_CRYPT_DIAG_MAX - 1)

enum {
	TCP_CRYPT_STATE_IDLE,		/* attached, not opened */
	TCP_CRYPT_STATE_NEGOTIATING,	/* SYN sent */
	TCP_CRYPT_STATE_EXCHANGE,	/* ENO succeeded, keys not there yet */
	TCP_CRYPT_STATE_ENCRYPTED,
	TCP_CRYPT_STATE_FAILED,		/* aborted; the error is sticky */
	TCP_CRYPT_STATE_CLOSED		/* by the application; TCP sends the rest */
};

#endif /* _UAPI_LINUX_TCP_ENO_H */
