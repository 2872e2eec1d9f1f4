// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel's network stack for Rust: see
 * helpers.h.
 */
#include <linux/errqueue.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/netfilter.h>
#include <linux/sched/signal.h>
#include <linux/tracepoint.h>
#include <net/checksum.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/netlink.h>
#include <net/rstreason.h>
#include <net/transp_v6.h>

#include "helpers.h"

void tcpcrypt_lock_sock(struct sock *sk)
{
	lock_sock(sk);
}

/* Takes the spinlock of a socket that no process owns. */
bool tcpcrypt_bh_lock_unowned(struct sock *sk)
{
	spin_lock_bh(&sk->sk_lock.slock);
	if (!sock_owned_by_user_nocheck(sk))
		return true;
	spin_unlock_bh(&sk->sk_lock.slock);
	return false;
}

void tcpcrypt_bh_unlock(struct sock *sk)
{
	spin_unlock_bh(&sk->sk_lock.slock);
}

void tcpcrypt_sock_hold(struct sock *sk)
{
	sock_hold(sk);
}

void tcpcrypt_sock_put(struct sock *sk)
{
	sock_put(sk);
}

struct net *tcpcrypt_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

bool tcpcrypt_sock_flag(const struct sock *sk, enum sock_flags flag)
{
	return sock_flag(sk, flag);
}

bool tcpcrypt_sk_stream_memory_free(const struct sock *sk)
{
	return sk_stream_memory_free(sk);
}

/* Asks TCP to call sk_write_space() when room appears, as tcp_poll() does. */
void tcpcrypt_want_space(struct sock *sk)
{
	sk_set_bit(SOCKWQ_ASYNC_NOSPACE, sk);
	if (sk->sk_socket)
		set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	smp_mb__after_atomic();
}

long tcpcrypt_sock_rcvtimeo(const struct sock *sk, bool noblock)
{
	return sock_rcvtimeo(sk, noblock);
}

long tcpcrypt_sock_sndtimeo(const struct sock *sk, bool noblock)
{
	return sock_sndtimeo(sk, noblock);
}

int tcpcrypt_sock_rcvlowat(const struct sock *sk, int waitall, int len)
{
	return sock_rcvlowat(sk, waitall, len);
}

int tcpcrypt_sock_intr_errno(long timeo)
{
	return sock_intr_errno(timeo);
}

int tcpcrypt_sock_error(struct sock *sk)
{
	return sock_error(sk);
}

bool tcpcrypt_signal_pending(void)
{
	return signal_pending(current);
}

/* Sleeps until the socket is woken for whatever reason, lock dropped. */
int tcpcrypt_sk_wait_data(struct sock *sk, long *timeo)
{
	return sk_wait_data(sk, timeo, skb_peek_tail(&sk->sk_receive_queue));
}

void tcpcrypt_set_callbacks(struct sock *sk, void (*data_ready)(struct sock *sk),
			    void (*write_space)(struct sock *sk))
{
	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_data_ready = data_ready;
	sk->sk_write_space = write_space;
	write_unlock_bh(&sk->sk_callback_lock);
}

void tcpcrypt_set_state_change(struct sock *sk, void (*state_change)(struct sock *sk))
{
	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_state_change = state_change;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* sock_orphan() without SOCK_DEAD: TCP goes on as before accept(). */
void tcpcrypt_unlink_socket(struct sock *sk)
{
	write_lock_bh(&sk->sk_callback_lock);
	sk_set_socket(sk, NULL);
	sk->sk_wq = NULL;
	write_unlock_bh(&sk->sk_callback_lock);
}

/* sock_graft() without the owner's identity, which @sk keeps. */
void tcpcrypt_relink_socket(struct sock *sk, struct socket *sock)
{
	write_lock_bh(&sk->sk_callback_lock);
	rcu_assign_pointer(sk->sk_wq, &sock->wq);
	sock->sk = sk;
	sk_set_socket(sk, sock);
	write_unlock_bh(&sk->sk_callback_lock);
}

bool tcpcrypt_tcp_epollin_ready(const struct sock *sk, int target)
{
	return tcp_epollin_ready(sk, target);
}

/* Whether TCP-MD5 or TCP-AO signs this socket's segments. */
bool tcpcrypt_has_tcp_auth(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_sk(sk);

#ifdef CONFIG_TCP_MD5SIG
	if (rcu_access_pointer(tp->md5sig_info))
		return true;
#endif
#ifdef CONFIG_TCP_AO
	if (rcu_access_pointer(tp->ao_info))
		return true;
#endif
	return false;
}

/*
 * Whether connect() is about to put data or a cookie request on the SYN, or
 * restores a connection without a SYN.
 */
bool tcpcrypt_fast_opening(const struct sock *sk)
{
	return tcp_sk(sk)->fastopen_req || tcp_sk(sk)->fastopen_connect ||
	       inet_test_bit(DEFER_CONNECT, sk) || tcp_sk(sk)->repair;
}

struct page_frag *tcpcrypt_sk_page_frag(struct sock *sk)
{
	return sk_page_frag(sk);
}

/* Urgent bytes stay in the stream: out of line they would tear a frame. */
void tcpcrypt_add_connect_options(struct sock *sk)
{
	sock_set_flag(sk, SOCK_URGINLINE);
}

/*
 * Completes a MSG_ZEROCOPY send that was copied: the notification says so and
 * the caller may reuse its pages.
 */
void tcpcrypt_zerocopy_done(struct sock *sk, struct msghdr *msg, size_t size)
{
	struct ubuf_info *uarg;

	if (msg->msg_ubuf || !sock_flag(sk, SOCK_ZEROCOPY))
		return;
	uarg = msg_zerocopy_realloc(sk, size, NULL, false);
	if (!uarg)
		return;
	uarg_to_msgzc(uarg)->zerocopy = 0;
	net_zcopy_put(uarg);
}

/* SO_PEEK_OFF: where the next peek begins, behind what was not read. */
int tcpcrypt_peek_offset(struct sock *sk)
{
	return max(sk_peek_offset(sk, MSG_PEEK), 0);
}

void tcpcrypt_move_peek_offset(struct sock *sk, int peeked, int read)
{
	if (peeked)
		sk_peek_offset_fwd(sk, peeked);
	if (read)
		sk_peek_offset_bwd(sk, read);
}

bool tcpcrypt_wants_inq(const struct sock *sk, const struct msghdr *msg)
{
	return tcp_sk(sk)->recvmsg_inq || msg->msg_get_inq;
}

/* As the end of tcp_recvmsg(). */
int tcpcrypt_put_inq(struct sock *sk, struct msghdr *msg, int inq)
{
	if (msg->msg_get_inq)
		msg->msg_inq = inq;
	if (!tcp_sk(sk)->recvmsg_inq)
		return 0;
	return put_cmsg(msg, SOL_TCP, TCP_CM_INQ, sizeof(inq), &inq);
}

/*
 * Replaces sk_prot and, unless @ops is NULL, the operations of the socket above
 * it, for readers that don't hold the socket lock.
 */
void tcpcrypt_set_prot(struct sock *sk, struct proto *prot, const struct proto_ops *ops)
{
	write_lock_bh(&sk->sk_callback_lock);
	WRITE_ONCE(sk->sk_prot, prot);
	if (ops && sk->sk_socket)
		WRITE_ONCE(sk->sk_socket->ops, ops);
	write_unlock_bh(&sk->sk_callback_lock);
}

/* Data before operations, so that who finds our operations finds our data. */
void tcpcrypt_publish_ulp(struct inet_connection_sock *icsk, const struct tcp_ulp_ops *ops,
			  void *data)
{
	rcu_assign_pointer(icsk->icsk_ulp_data, data);
	if (ops)
		smp_store_release(&icsk->icsk_ulp_ops, ops);
}

void *tcpcrypt_ulp_data(const struct inet_connection_sock *icsk)
{
	return smp_load_acquire(&icsk->icsk_ulp_data);
}

const struct tcp_ulp_ops *tcpcrypt_ulp_ops(const struct inet_connection_sock *icsk)
{
	return READ_ONCE(icsk->icsk_ulp_ops);
}

void tcpcrypt_withdraw_ulp(struct inet_connection_sock *icsk)
{
	WRITE_ONCE(icsk->icsk_ulp_ops, NULL);
	RCU_INIT_POINTER(icsk->icsk_ulp_data, NULL);
}

/* TCP's address-family operations, which have no exported name: from a socket. */
const struct inet_connection_sock_af_ops *tcpcrypt_af_ops_of_family(int family)
{
	const struct inet_connection_sock_af_ops *ops;
	struct socket *sock;

	if (sock_create_kern(&init_net, family, SOCK_STREAM, IPPROTO_TCP, &sock))
		return NULL;
	ops = inet_csk(sock->sk)->icsk_af_ops;
	sock_release(sock);
	return ops;
}

struct module *tcpcrypt_this_module(void)
{
	return THIS_MODULE;
}

bool tcpcrypt_try_module_get(struct module *module)
{
	return try_module_get(module);
}

void tcpcrypt_init_delayed_work(struct delayed_work *work, work_func_t func)
{
	INIT_DELAYED_WORK(work, func);
}

void tcpcrypt_schedule_delayed_work(struct delayed_work *work, unsigned long delay)
{
	schedule_delayed_work(work, delay);
}

void tcpcrypt_cancel_delayed_work_sync(struct delayed_work *work)
{
	cancel_delayed_work_sync(work);
}

void tcpcrypt_init_rcu_work(struct rcu_work *work, work_func_t func)
{
	INIT_RCU_WORK(work, func);
}

bool tcpcrypt_mod_delayed_work(struct workqueue_struct *queue, struct delayed_work *work,
			       unsigned long delay)
{
	return mod_delayed_work(queue, work, delay);
}

/*
 * Has the work run in @delay, or when it is to run already if that is sooner.
 * True if it was not queued before.
 */
bool tcpcrypt_delayed_work_within(struct workqueue_struct *queue, struct delayed_work *work,
				  unsigned long delay)
{
	if (queue_delayed_work(queue, work, delay))
		return true;
	if (timer_pending(&work->timer) &&
	    time_after(READ_ONCE(work->timer.expires), jiffies + delay))
		return !mod_delayed_work(queue, work, delay);
	return false;
}

u64 tcpcrypt_jiffies_64(void)
{
	return get_jiffies_64();
}

u32 tcpcrypt_keepalive_time(const struct sock *sk)
{
	return keepalive_time_when(tcp_sk(sk));
}

u32 tcpcrypt_keepalive_intvl(const struct sock *sk)
{
	return keepalive_intvl_when(tcp_sk(sk));
}

u32 tcpcrypt_keepalive_probes(const struct sock *sk)
{
	return keepalive_probes(tcp_sk(sk));
}

u32 tcpcrypt_last_data_age(const struct sock *sk)
{
	return tcp_jiffies32 - READ_ONCE(inet_csk(sk)->icsk_ack.lrcvtime);
}

struct nlattr *tcpcrypt_nla_nest_start(struct sk_buff *skb, int attribute)
{
	return nla_nest_start_noflag(skb, attribute);
}

void tcpcrypt_nla_nest_end(struct sk_buff *skb, struct nlattr *nest)
{
	nla_nest_end(skb, nest);
}

void tcpcrypt_tracepoint_synchronize(void)
{
	tracepoint_synchronize_unregister();
}

int tcpcrypt_copy_from_sockptr(void *to, sockptr_t from, size_t len)
{
	return copy_from_sockptr(to, from, len) ? -EFAULT : 0;
}

/*
 * The next listening socket of @net for which @want says yes, with a reference;
 * NULL at the end. Begins in bucket *@bucket, behind the first *@skip of those
 * there, and sets both for where it found one. @want runs under a spinlock.
 */
struct sock *tcpcrypt_find_listener(struct net *net, u32 *bucket, u32 *skip,
				    bool (*want)(struct sock *sk))
{
	struct inet_hashinfo *hinfo = net->ipv4.tcp_death_row.hashinfo;

	for (; *bucket <= hinfo->lhash2_mask; (*bucket)++, *skip = 0) {
		struct inet_listen_hashbucket *ilb2 = &hinfo->lhash2[*bucket];
		struct hlist_nulls_node *node;
		struct sock *sk;
		u32 n = 0;

		spin_lock(&ilb2->lock);
		sk_nulls_for_each(sk, node, &ilb2->nulls_head) {
			if (!net_eq(sock_net(sk), net) || !want(sk))
				continue;
			if (n++ < *skip || !refcount_inc_not_zero(&sk->sk_refcnt))
				continue;
			spin_unlock(&ilb2->lock);
			return sk;
		}
		spin_unlock(&ilb2->lock);
	}
	return NULL;
}

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

u32 tcpcrypt_skb_seq(const struct sk_buff *skb)
{
	return TCP_SKB_CB(skb)->seq;
}

struct sk_buff *tcpcrypt_skb_next(const struct sock *sk, const struct sk_buff *skb)
{
	return skb_queue_is_last(&sk->sk_receive_queue, skb) ?
	       NULL : skb_queue_next(&sk->sk_receive_queue, skb);
}

/* The last buffer of the receive queue that begins at @seq or before, NULL if none does. */
struct sk_buff *tcpcrypt_last_skb_before(const struct sock *sk, u32 seq)
{
	struct sk_buff *skb = skb_peek_tail(&sk->sk_receive_queue);

	while (skb && after(TCP_SKB_CB(skb)->seq, seq))
		skb = skb_queue_is_first(&sk->sk_receive_queue, skb) ?
		      NULL : skb_queue_prev(&sk->sk_receive_queue, skb);
	return skb;
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

size_t tcpcrypt_copy_from_iter(void *to, size_t len, struct iov_iter *from)
{
	return copy_from_iter(to, len, from);
}

size_t tcpcrypt_copy_to_iter(const void *from, size_t len, struct iov_iter *to)
{
	return copy_to_iter(from, len, to);
}

/* Whether iov_iter_extract_pages() can hand out pages for sendmsg, recvmsg. */
bool tcpcrypt_iter_has_pages(const struct iov_iter *iter)
{
	return user_backed_iter(iter) || iov_iter_is_bvec(iter);
}

bool tcpcrypt_iter_pins(const struct iov_iter *iter)
{
	return iov_iter_extract_will_pin(iter);
}

void tcpcrypt_get_page(struct page *page)
{
	get_page(page);
}

void tcpcrypt_put_page(struct page *page)
{
	put_page(page);
}

void *tcpcrypt_page_address(struct page *page)
{
	return page_address(page);
}
