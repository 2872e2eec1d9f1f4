// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros of the kernel's network stack for Rust: see
 * helpers.h.
 */
#include <linux/errqueue.h>
#include <linux/sched/signal.h>
#include <linux/tracepoint.h>
#include <net/inet_hashtables.h>
#include <net/netlink.h>

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
