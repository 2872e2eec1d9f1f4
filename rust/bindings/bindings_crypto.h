/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What rust/crypto and the per-namespace files of rust/net (pernet, sysctl, proc, queue, bh_lock) need of the kernel:
 * the headers for bindgen, and the prototypes of the helpers in helpers_crypto.c. The first line of each group of
 * helpers says which inline or macro it stands for.
 */
#ifndef TCPCRYPT_BINDINGS_CRYPTO_H
#define TCPCRYPT_BINDINGS_CRYPTO_H

#include <crypto/aead.h>
#include <crypto/curve25519.h>
#include <crypto/ecc_curve.h>
#include <crypto/ecdh.h>
#include <crypto/internal/ecc.h>
#include <crypto/sha2.h>
#include <linux/bitmap.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/mpi.h>
#include <linux/percpu.h>
#include <linux/proc_fs.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/seq_file_net.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/sysctl.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>
#include <net/netns/generic.h>

/* memzero_explicit() */
void tcpcrypt_memzero(void *p, size_t len);

/* hmac_sha256_update() */
void tcpcrypt_hmac_sha256_update(struct hmac_sha256_ctx *ctx, const u8 *data, size_t len);

/* crypto_free_aead(), sizeof(struct aead_request) + crypto_aead_reqsize() */
void tcpcrypt_aead_free(struct crypto_aead *tfm);
size_t tcpcrypt_aead_request_size(struct crypto_aead *tfm);

/* aead_request_set_{tfm,callback,crypt,ad}() */
void tcpcrypt_aead_request_set(struct aead_request *req, struct crypto_aead *tfm, struct scatterlist *src,
			       struct scatterlist *dst, unsigned int assoclen, unsigned int cryptlen, u8 *iv);

/*
 * sg_set_page(), sg_set_buf(). @sg[@used] is free; the list ends at @sg[@used - 1], if there is one, and at the new
 * last entry afterwards. Returns the new number of entries, the same if the bytes directly follow the last entry's.
 */
unsigned int tcpcrypt_sg_push_page(struct scatterlist *sg, unsigned int used, struct page *page, unsigned int offset,
				   unsigned int len);
unsigned int tcpcrypt_sg_push_buf(struct scatterlist *sg, unsigned int used, const void *buf, unsigned int len);

/*
 * skb_to_sgvec() behind @sg[@used - 1], in at most @room entries. Returns the new number of entries, or a negative
 * errno with the list as it was.
 */
int tcpcrypt_sg_push_skb(struct scatterlist *sg, unsigned int used, unsigned int room, struct sk_buff *skb, int offset,
			 int len);

/* alloc_workqueue(): unbound, no rescuer */
struct workqueue_struct *tcpcrypt_alloc_workqueue(const char *name);

/* spin_lock_bh() and friends */
void tcpcrypt_spin_lock_bh(spinlock_t *lock);
void tcpcrypt_spin_unlock_bh(spinlock_t *lock);
int tcpcrypt_spin_trylock_bh(spinlock_t *lock);

/* net_generic() */
void *tcpcrypt_net_generic(const struct net *net, unsigned int id);

/* net->proc_net: /proc/net, without relying on bindgen's idea of the large struct net */
struct proc_dir_entry *tcpcrypt_proc_net(const struct net *net);

/* seq_file_single_net(), of a seq_file and of the open file that it belongs to */
struct net *tcpcrypt_seq_file_single_net(struct seq_file *seq);
struct net *tcpcrypt_file_single_net(const struct file *file);

/* file_ns_capable() of CAP_NET_ADMIN */
bool tcpcrypt_file_net_admin(const struct file *file, const struct net *net);

/* __alloc_percpu(), zeroed; this_cpu_add(); the sum over all possible CPUs */
u64 __percpu *tcpcrypt_percpu_alloc(size_t counters);
void tcpcrypt_percpu_free(u64 __percpu *counters);
void tcpcrypt_percpu_add(u64 __percpu *counter, u64 n);
u64 tcpcrypt_percpu_sum(u64 __percpu *counter);

#endif
