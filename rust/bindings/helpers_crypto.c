// SPDX-License-Identifier: GPL-2.0
/*
 * Functions for what the kernel has only as macros and inlines: see bindings_crypto.h. No logic beyond what its
 * comments say; the contracts are those of the kernel functions.
 */
#include "bindings_crypto.h"

#include <linux/mm.h>
#include <linux/string.h>

void tcpcrypt_memzero(void *p, size_t len)
{
	memzero_explicit(p, len);
}

void tcpcrypt_hmac_sha256_update(struct hmac_sha256_ctx *ctx, const u8 *data, size_t len)
{
	hmac_sha256_update(ctx, data, len);
}

void tcpcrypt_aead_free(struct crypto_aead *tfm)
{
	crypto_free_aead(tfm);
}

size_t tcpcrypt_aead_request_size(struct crypto_aead *tfm)
{
	return sizeof(struct aead_request) + crypto_aead_reqsize(tfm);
}

void tcpcrypt_aead_request_set(struct aead_request *req, struct crypto_aead *tfm, struct scatterlist *src,
			       struct scatterlist *dst, unsigned int assoclen, unsigned int cryptlen, u8 *iv)
{
	aead_request_set_tfm(req, tfm);
	aead_request_set_callback(req, 0, NULL, NULL);
	aead_request_set_crypt(req, src, dst, cryptlen, iv);
	aead_request_set_ad(req, assoclen);
}

static bool sg_continues(struct scatterlist *last, struct page *page, unsigned int offset, unsigned int len)
{
	return page_to_phys(sg_page(last)) + last->offset + last->length == page_to_phys(page) + offset &&
	       last->length <= UINT_MAX - len &&
	       page_range_contiguous(sg_page(last),
				     DIV_ROUND_UP((size_t)last->offset + last->length + len, PAGE_SIZE));
}

unsigned int tcpcrypt_sg_push_page(struct scatterlist *sg, unsigned int used, struct page *page, unsigned int offset,
				   unsigned int len)
{
	struct scatterlist *last = used ? &sg[used - 1] : NULL;

	if (last && sg_continues(last, page, offset, len)) {
		last->length += len;
		return used;
	}
	if (last)
		sg_unmark_end(last);
	sg[used].page_link = 0;
	sg_set_page(&sg[used], page, len, offset);
	sg_mark_end(&sg[used]);
	return used + 1;
}

unsigned int tcpcrypt_sg_push_buf(struct scatterlist *sg, unsigned int used, const void *buf, unsigned int len)
{
	return tcpcrypt_sg_push_page(sg, used, virt_to_page(buf), offset_in_page(buf), len);
}

int tcpcrypt_sg_push_skb(struct scatterlist *sg, unsigned int used, unsigned int room, struct sk_buff *skb, int offset,
			 int len)
{
	int n;

	if (!room)
		return -EMSGSIZE;
	/* The mark at the end of the room is what stops skb_to_sgvec(). */
	sg_init_table(&sg[used], room);
	n = skb_to_sgvec(skb, &sg[used], offset, len);
	if (n < 0)
		return n;
	if (n && used)
		sg_unmark_end(&sg[used - 1]);
	return used + n;
}

struct workqueue_struct *tcpcrypt_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, 0, name);
}

void tcpcrypt_spin_lock_bh(spinlock_t *lock)
{
	spin_lock_bh(lock);
}

void tcpcrypt_spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock_bh(lock);
}

int tcpcrypt_spin_trylock_bh(spinlock_t *lock)
{
	return spin_trylock_bh(lock);
}

void *tcpcrypt_net_generic(const struct net *net, unsigned int id)
{
	return net_generic(net, id);
}

struct proc_dir_entry *tcpcrypt_proc_net(const struct net *net)
{
	return net->proc_net;
}

struct net *tcpcrypt_seq_file_single_net(struct seq_file *seq)
{
	return seq_file_single_net(seq);
}

struct net *tcpcrypt_file_single_net(const struct file *file)
{
	return seq_file_single_net(file->private_data);
}

bool tcpcrypt_file_net_admin(const struct file *file, const struct net *net)
{
	return file_ns_capable(file, net->user_ns, CAP_NET_ADMIN);
}

u64 __percpu *tcpcrypt_percpu_alloc(size_t counters)
{
	return __alloc_percpu(counters * sizeof(u64), __alignof__(u64));
}

void tcpcrypt_percpu_free(u64 __percpu *counters)
{
	free_percpu(counters);
}

void tcpcrypt_percpu_add(u64 __percpu *counter, u64 n)
{
	this_cpu_add(*counter, n);
}

u64 tcpcrypt_percpu_sum(u64 __percpu *counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(*per_cpu_ptr(counter, cpu));
	return sum;
}
