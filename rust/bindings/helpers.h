/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inline functions and macros of the kernel's network stack under a name that
 * Rust can call. Each does only what its body's one call does; context and
 * locking are those of the function called.
 */
#ifndef _TCPCRYPT_HELPERS_H
#define _TCPCRYPT_HELPERS_H

#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/sock.h>
#include <net/tcp.h>

/* sockets */
void tcpcrypt_lock_sock(struct sock *sk);
bool tcpcrypt_bh_lock_unowned(struct sock *sk);
void tcpcrypt_bh_unlock(struct sock *sk);
void tcpcrypt_sock_hold(struct sock *sk);
void tcpcrypt_sock_put(struct sock *sk);
struct net *tcpcrypt_sock_net(const struct sock *sk);
bool tcpcrypt_sock_flag(const struct sock *sk, enum sock_flags flag);
bool tcpcrypt_sk_stream_memory_free(const struct sock *sk);
void tcpcrypt_want_space(struct sock *sk);
long tcpcrypt_sock_rcvtimeo(const struct sock *sk, bool noblock);
long tcpcrypt_sock_sndtimeo(const struct sock *sk, bool noblock);
int tcpcrypt_sock_rcvlowat(const struct sock *sk, int waitall, int len);
int tcpcrypt_sock_intr_errno(long timeo);
int tcpcrypt_sock_error(struct sock *sk);
bool tcpcrypt_signal_pending(void);
int tcpcrypt_sk_wait_data(struct sock *sk, long *timeo);
void tcpcrypt_set_callbacks(struct sock *sk, void (*data_ready)(struct sock *sk),
			    void (*write_space)(struct sock *sk));
void tcpcrypt_set_state_change(struct sock *sk, void (*state_change)(struct sock *sk));
void tcpcrypt_unlink_socket(struct sock *sk);
void tcpcrypt_relink_socket(struct sock *sk, struct socket *sock);
bool tcpcrypt_tcp_epollin_ready(const struct sock *sk, int target);
bool tcpcrypt_has_tcp_auth(const struct sock *sk);
bool tcpcrypt_fast_opening(const struct sock *sk);
struct page_frag *tcpcrypt_sk_page_frag(struct sock *sk);
void tcpcrypt_add_connect_options(struct sock *sk);
void tcpcrypt_zerocopy_done(struct sock *sk, struct msghdr *msg, size_t size);
int tcpcrypt_peek_offset(struct sock *sk);
void tcpcrypt_move_peek_offset(struct sock *sk, int peeked, int read);
bool tcpcrypt_wants_inq(const struct sock *sk, const struct msghdr *msg);
int tcpcrypt_put_inq(struct sock *sk, struct msghdr *msg, int inq);

/* an upper layer protocol's hold on a socket */
void tcpcrypt_set_prot(struct sock *sk, struct proto *prot, const struct proto_ops *ops);
void tcpcrypt_publish_ulp(struct inet_connection_sock *icsk, const struct tcp_ulp_ops *ops,
			  void *data);
void *tcpcrypt_ulp_data(const struct inet_connection_sock *icsk);
const struct tcp_ulp_ops *tcpcrypt_ulp_ops(const struct inet_connection_sock *icsk);
void tcpcrypt_withdraw_ulp(struct inet_connection_sock *icsk);
const struct inet_connection_sock_af_ops *tcpcrypt_af_ops_of_family(int family);
struct module *tcpcrypt_this_module(void);
bool tcpcrypt_try_module_get(struct module *module);

/* work */
void tcpcrypt_init_delayed_work(struct delayed_work *work, work_func_t func);
void tcpcrypt_schedule_delayed_work(struct delayed_work *work, unsigned long delay);
void tcpcrypt_cancel_delayed_work_sync(struct delayed_work *work);
void tcpcrypt_init_rcu_work(struct rcu_work *work, work_func_t func);
bool tcpcrypt_mod_delayed_work(struct workqueue_struct *queue, struct delayed_work *work,
			       unsigned long delay);
bool tcpcrypt_delayed_work_within(struct workqueue_struct *queue, struct delayed_work *work,
				  unsigned long delay);

/* time */
u64 tcpcrypt_jiffies_64(void);
u32 tcpcrypt_keepalive_time(const struct sock *sk);
u32 tcpcrypt_keepalive_intvl(const struct sock *sk);
u32 tcpcrypt_keepalive_probes(const struct sock *sk);
u32 tcpcrypt_last_data_age(const struct sock *sk);

/* netlink, tracepoints, RCU */
struct nlattr *tcpcrypt_nla_nest_start(struct sk_buff *skb, int attribute);
void tcpcrypt_nla_nest_end(struct sk_buff *skb, struct nlattr *nest);
void tcpcrypt_tracepoint_synchronize(void);

/* options */
int tcpcrypt_copy_from_sockptr(void *to, sockptr_t from, size_t len);

/* listeners */
struct sock *tcpcrypt_find_listener(struct net *net, u32 *bucket, u32 *skip,
				    bool (*want)(struct sock *sk));
void tcpcrypt_discard_syn_data(struct sk_buff *syn);
void tcpcrypt_set_current_syn(const struct sk_buff *syn);
const struct sk_buff *tcpcrypt_current_syn_of(const struct request_sock *req);
int tcpcrypt_save_syn(struct request_sock *req, const struct sk_buff *syn, const u8 *extra,
		      size_t len);
const struct saved_syn *tcpcrypt_saved_syn(const struct request_sock *req);
void tcpcrypt_spoil_saved_syn(struct saved_syn *saved);
struct tcpcrypt_kept_syn;
struct tcpcrypt_kept_syn *tcpcrypt_keep_syn(const struct saved_syn *saved);
void tcpcrypt_drop_kept_syn(struct tcpcrypt_kept_syn *kept);
void tcpcrypt_swap_kept_syn(struct sock *sk, struct tcpcrypt_kept_syn *kept);
bool tcpcrypt_is_past(const struct request_sock *req);
void tcpcrypt_free_saved_syn(struct sock *sk);

/* simultaneous open */
const struct tcphdr *tcpcrypt_incoming_tcp(const struct sk_buff *skb, u8 pf, void *buffer);
struct sock *tcpcrypt_opening_sock(struct net *net, struct sk_buff *skb, u8 pf,
				   const struct tcphdr *th);
bool tcpcrypt_checksum_ok(struct sk_buff *skb, u8 pf);

/* buffers */
u32 tcpcrypt_skb_seq(const struct sk_buff *skb);
struct sk_buff *tcpcrypt_skb_next(const struct sock *sk, const struct sk_buff *skb);
struct sk_buff *tcpcrypt_last_skb_before(const struct sock *sk, u32 seq);
struct tcphdr *tcpcrypt_tcp_hdr(const struct sk_buff *skb);
int tcpcrypt_skb_cow_head(struct sk_buff *skb, unsigned int headroom);
void tcpcrypt_set_tcp_options(struct sk_buff *skb, const u8 *options, unsigned int len,
			      bool ip_header);
void tcpcrypt_send_reset(const struct sock *listener, struct sk_buff *skb);
void tcpcrypt_reserve_header(struct sock *sk, int bytes);
void tcpcrypt_kfree_skb(struct sk_buff *skb);
bool tcpcrypt_skb_is_tcp(const struct sk_buff *skb, u8 pf);
unsigned int tcpcrypt_tcp_payload(const struct sk_buff *skb);

/* iterators and pages */
size_t tcpcrypt_copy_from_iter(void *to, size_t len, struct iov_iter *from);
size_t tcpcrypt_copy_to_iter(const void *from, size_t len, struct iov_iter *to);
bool tcpcrypt_iter_has_pages(const struct iov_iter *iter);
bool tcpcrypt_iter_pins(const struct iov_iter *iter);
void tcpcrypt_get_page(struct page *page);
void tcpcrypt_put_page(struct page *page);
void *tcpcrypt_page_address(struct page *page);

#endif /* _TCPCRYPT_HELPERS_H */
