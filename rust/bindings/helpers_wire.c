// SPDX-License-Identifier: GPL-2.0
/*
 * Segments and half-open connections for Rust: see helpers.h.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <net/checksum.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/rstreason.h>
#include <net/transp_v6.h>

#include "helpers.h"

/* The SYN with an offer to which this CPU is just now sending a SYN-ACK. */
static DEFINE_PER_CPU(const struct sk_buff *, tcpcrypt_current_syn);

void tcpcrypt_set_current_syn(const struct sk_buff *syn)
{
	__this_cpu_write(tcpcrypt_current_syn, syn);
}

/*
 * TCP goes by the sequence numbers: a SYN that ends behind its own has no data
 * for Fast Open, and only the SYN is acknowledged.
 */
void tcpcrypt_discard_syn_data(struct sk_buff *syn)
{
	TCP_SKB_CB(syn)->end_seq = TCP_SKB_CB(syn)->seq + 1;
}

/* NULL unless it is the one that @req was made for. */
const struct sk_buff *tcpcrypt_current_syn_of(const struct request_sock *req)
{
	const struct sk_buff *syn = __this_cpu_read(tcpcrypt_current_syn);

	if (!syn || TCP_SKB_CB(syn)->seq != tcp_rsk(req)->rcv_isn ||
	    tcp_hdr(syn)->source != inet_rsk(req)->ir_rmt_port)
		return NULL;
	return syn;
}

/* A struct saved_syn with what is needed to free it while others read it. */
struct tcpcrypt_saved_syn {
	u32 mac_hdrlen;
	u32 network_hdrlen;
	u32 tcp_hdrlen;
	u8 data[164];
	struct rcu_head rcu;
};

static_assert(offsetof(struct tcpcrypt_saved_syn, data) == offsetof(struct saved_syn, data));

/*
 * As tcp_reqsk_record_syn() does for TCP_SAVE_SYN, with @len bytes of @extra
 * behind it that tcp_hdrlen counts: by them a SYN that was saved here is told
 * from one that TCP saved. Freed with the request. An IP header with so many
 * extensions that it does not fit is left out: nobody asked for it.
 */
int tcpcrypt_save_syn(struct request_sock *req, const struct sk_buff *syn, const u8 *extra,
		      size_t len)
{
	size_t network = skb_network_header_len(syn), tcp = tcp_hdrlen(syn);
	struct tcpcrypt_saved_syn *saved;

	if (network + tcp + len > sizeof(saved->data))
		network = 0;
	if (tcp + len > sizeof(saved->data))
		return -EINVAL;
	saved = kmalloc(sizeof(*saved), GFP_ATOMIC | __GFP_NOWARN);
	if (!saved)
		return -ENOMEM;
	saved->mac_hdrlen = 0;
	saved->network_hdrlen = network;
	saved->tcp_hdrlen = tcp + len;
	memcpy(saved->data, skb_network_header(syn), network);
	memcpy(saved->data + network, tcp_hdr(syn), tcp);
	memcpy(saved->data + network + tcp, extra, len);
	smp_store_release(&req->saved_syn, (struct saved_syn *)saved);
	return 0;
}

/* What a request, or nobody any more, has saved. Under RCU. */
const struct saved_syn *tcpcrypt_saved_syn(const struct request_sock *req)
{
	return smp_load_acquire(&req->saved_syn);
}

/* Of a SYN that tcpcrypt_save_syn() saved: nothing can be made of it any more. */
void tcpcrypt_spoil_saved_syn(struct saved_syn *saved)
{
	WRITE_ONCE(saved->tcp_hdrlen, 0);
}

/* @sk has one that tcpcrypt_save_syn() saved. */
void tcpcrypt_free_saved_syn(struct sock *sk)
{
	struct tcpcrypt_saved_syn *saved = (void *)tcp_sk(sk)->saved_syn;

	tcp_sk(sk)->saved_syn = NULL;
	kfree_rcu(saved, rcu);
}

/* What keeps a SYN that TCP saved for those who read it while a child takes it over. */
struct tcpcrypt_kept_syn {
	struct rcu_head rcu;
	struct saved_syn *syn;
};

/* NULL without memory. */
struct tcpcrypt_kept_syn *tcpcrypt_keep_syn(const struct saved_syn *saved)
{
	struct tcpcrypt_kept_syn *kept = kmalloc(sizeof(*kept), GFP_ATOMIC | __GFP_NOWARN);

	if (!kept)
		return NULL;
	kept->syn = kmemdup(saved, struct_size(saved, data, tcp_saved_syn_len(saved)),
			    GFP_ATOMIC | __GFP_NOWARN);
	if (!kept->syn) {
		kfree(kept);
		return NULL;
	}
	return kept;
}

/* It was not needed. */
void tcpcrypt_drop_kept_syn(struct tcpcrypt_kept_syn *kept)
{
	kfree(kept->syn);
	kfree(kept);
}

static void tcpcrypt_free_kept_syn(struct rcu_head *rcu)
{
	tcpcrypt_drop_kept_syn(container_of(rcu, struct tcpcrypt_kept_syn, rcu));
}

/* The child @sk, which nobody else knows yet, gets the copy, and the SYN itself goes after a grace period. */
void tcpcrypt_swap_kept_syn(struct sock *sk, struct tcpcrypt_kept_syn *kept)
{
	swap(tcp_sk(sk)->saved_syn, kept->syn);
	call_rcu(&kept->rcu, tcpcrypt_free_kept_syn);
}

/* Whether the connection of @req, which was hashed, has become a socket already, on another CPU. */
bool tcpcrypt_is_past(const struct request_sock *req)
{
	return hlist_nulls_unhashed_lockless(&req->__req_common.skc_nulls_node);
}

/* Where the TCP header of a packet at LOCAL_IN begins; negative if it has none. */
static int tcp_header_at(const struct sk_buff *skb, u8 pf)
{
	int at = skb_network_offset(skb);
	__be16 frag_off;
	u8 nexthdr;

	if (pf == NFPROTO_IPV4)
		return ip_hdr(skb)->protocol == IPPROTO_TCP ? at + ip_hdrlen(skb) : -1;
	nexthdr = ipv6_hdr(skb)->nexthdr;
	at += sizeof(struct ipv6hdr);
	if (likely(nexthdr == IPPROTO_TCP))
		return at;
	/* A fragment is put together after LOCAL_IN: it has no header for us. */
	at = ipv6_skip_exthdr(skb, at, &nexthdr, &frag_off);
	return nexthdr == IPPROTO_TCP && !frag_off ? at : -1;
}

/*
 * The TCP header of a packet at LOCAL_IN with all its options, in @buffer of 60
 * bytes if it is not linear. NULL if it is none.
 */
const struct tcphdr *tcpcrypt_incoming_tcp(const struct sk_buff *skb, u8 pf, void *buffer)
{
	int at = tcp_header_at(skb, pf);
	const struct tcphdr *th;

	if (at < 0)
		return NULL;
	th = skb_header_pointer(skb, at, sizeof(*th), buffer);
	if (!th || th->doff < sizeof(*th) / 4)
		return NULL;
	return skb_header_pointer(skb, at, th->doff * 4, buffer);
}

/*
 * The socket in SYN_SENT or SYN_RECV to which a packet at LOCAL_IN goes, with a
 * reference; NULL if there is none. In these states it is a full socket: others
 * never have them.
 */
struct sock *tcpcrypt_opening_sock(struct net *net, struct sk_buff *skb, u8 pf,
				   const struct tcphdr *th)
{
	struct sock *sk = skb->sk;

	/* What early demux, or TPROXY, found is the packet's as long as that is ours. */
	if (sk) {
		if (!((1 << READ_ONCE(sk->sk_state)) & (TCPF_SYN_SENT | TCPF_SYN_RECV)) ||
		    !refcount_inc_not_zero(&sk->sk_refcnt))
			return NULL;
		return sk;
	}
	if (pf == NFPROTO_IPV4)
		sk = __inet_lookup_established(net, ip_hdr(skb)->saddr, th->source,
					       ip_hdr(skb)->daddr, ntohs(th->dest),
					       inet_iif(skb), inet_sdif(skb));
	else
		sk = __inet6_lookup_established(net, &ipv6_hdr(skb)->saddr, th->source,
						&ipv6_hdr(skb)->daddr, ntohs(th->dest),
						inet6_iif(skb), inet6_sdif(skb));
	if (sk && !((1 << READ_ONCE(sk->sk_state)) & (TCPF_SYN_SENT | TCPF_SYN_RECV))) {
		sock_gen_put(sk);
		return NULL;
	}
	return sk;
}

/* Whether the checksum of a TCP packet at LOCAL_IN is right: TCP looks later. */
bool tcpcrypt_checksum_ok(struct sk_buff *skb, u8 pf)
{
	return !nf_checksum(skb, NF_INET_LOCAL_IN, tcp_header_at(skb, pf), IPPROTO_TCP, pf);
}

struct tcphdr *tcpcrypt_tcp_hdr(const struct sk_buff *skb)
{
	return tcp_hdr(skb);
}

int tcpcrypt_skb_cow_head(struct sk_buff *skb, unsigned int headroom)
{
	return skb_cow_head(skb, headroom);
}

/*
 * Replaces the options of an outgoing segment by @len bytes (a multiple of four,
 * and not less than there are), by moving the headers down into the headroom,
 * which the caller made sure of with skb_cow_head(). With @ip_header the IP
 * header is there already (netfilter); without, skb->data is the TCP header
 * (queue_xmit).
 */
void tcpcrypt_set_tcp_options(struct sk_buff *skb, const u8 *options, unsigned int len,
			      bool ip_header)
{
	unsigned int old_len = skb->len - skb_transport_offset(skb);
	unsigned int head = skb_transport_offset(skb) + sizeof(struct tcphdr);
	unsigned int more = len - tcp_optlen(skb);
	u16 old_word, new_word;
	struct tcphdr *th;
	u8 *data;

	if (skb->ip_summed != CHECKSUM_PARTIAL) {
		__wsum change = csum_sub(csum_partial(options, len, 0),
					 csum_partial(tcp_hdr(skb) + 1, tcp_optlen(skb), 0));

		inet_proto_csum_replace_by_diff(&tcp_hdr(skb)->check, skb, change, false, false);
	}
	data = skb_push(skb, more);
	memmove(data, data + more, head);
	memcpy(data + head, options, len);
	if (ip_header)
		skb->network_header -= more;
	skb->transport_header -= more;

	th = tcp_hdr(skb);
	old_word = ((__force u16 *)th)[6];
	th->doff += more / 4;
	new_word = ((__force u16 *)th)[6];

	if (skb->ip_summed == CHECKSUM_PARTIAL)
		skb->csum_start -= more;
	else
		inet_proto_csum_replace2(&th->check, skb, (__force __be16)old_word,
					 (__force __be16)new_word, false);
	inet_proto_csum_replace2(&th->check, skb, htons(old_len), htons(old_len + more), true);

	if (!ip_header)
		return;
	if (skb->protocol == htons(ETH_P_IPV6)) {
		if (ipv6_hdr(skb)->payload_len)
			be16_add_cpu(&ipv6_hdr(skb)->payload_len, more);
	} else {
		if (ip_hdr(skb)->tot_len)
			be16_add_cpu(&ip_hdr(skb)->tot_len, more);
		ip_send_check(ip_hdr(skb));
	}
}

/* Refuses the segment @skb that came to @listener, as TCP refuses one for which nobody listens. */
void tcpcrypt_send_reset(const struct sock *listener, struct sk_buff *skb)
{
	const struct proto *prot = skb->protocol == htons(ETH_P_IPV6) ? &tcpv6_prot : &tcp_prot;

	prot->rsk_prot->send_reset(listener, skb, SK_RST_REASON_NOT_SPECIFIED);
}

/* Has TCP leave @bytes more, or less, of each segment to headers. The socket locked. */
void tcpcrypt_reserve_header(struct sock *sk, int bytes)
{
	struct inet_connection_sock *icsk = inet_csk(sk);

	icsk->icsk_ext_hdr_len += bytes;
	icsk->icsk_sync_mss(sk, icsk->icsk_pmtu_cookie);
}

void tcpcrypt_kfree_skb(struct sk_buff *skb)
{
	kfree_skb(skb);
}

/*
 * Whether an outgoing packet at LOCAL_OUT is TCP with a header that may be
 * written to. Sets the transport header: it is set for what TCP sent.
 */
bool tcpcrypt_skb_is_tcp(const struct sk_buff *skb, u8 pf)
{
	if (pf == NFPROTO_IPV4)
		return ip_hdr(skb)->protocol == IPPROTO_TCP &&
		       skb_transport_header_was_set(skb);
	return ipv6_hdr(skb)->nexthdr == IPPROTO_TCP && skb_transport_header_was_set(skb);
}

/* Payload bytes of an outgoing segment. */
unsigned int tcpcrypt_tcp_payload(const struct sk_buff *skb)
{
	return skb->len - skb_transport_offset(skb) - tcp_hdrlen(skb);
}
