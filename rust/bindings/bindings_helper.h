/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for the module's own bindings: the parts of the kernel
 * that the `kernel` crate doesn't cover. Types and functions that end up in
 * Rust are named in bindgen_parameters.
 */
#include <linux/bvec.h>
#include <linux/inet_diag.h>
#include <linux/netfilter.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/poll.h>
#include <linux/skbuff.h>
#include <linux/socket.h>
#include <linux/sockios.h>
#include <asm/ioctls.h>
#include <linux/tracepoint.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <net/inet_common.h>
#include <net/inet_connection_sock.h>
#include <net/inet_hashtables.h>
#include <net/netlink.h>
#include <net/request_sock.h>
#include <net/sock.h>
#include <net/tcp.h>
#include <net/transp_v6.h>

#include "../../include/uapi/linux/tcp_eno.h"
#include "bindings_crypto.h"
#include "helpers.h"

/* Macros that bindgen does not see through. */
enum {
	TCPCRYPT_SIOCINQ = SIOCINQ,
	TCPCRYPT_SIOCOUTQ = SIOCOUTQ,
	TCPCRYPT_HZ = HZ,
};
