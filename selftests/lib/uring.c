// SPDX-License-Identifier: GPL-2.0
/*
 * Sends standard input to a connected socket, or receives from it to standard output, by io_uring alone.
 *
 *     uring send FD
 *     uring recv FD COUNT
 *
 * Exit status 4: the kernel has no io_uring for us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct io_uring_params params;
static int ring;
static char *sq, *cq;
static struct io_uring_sqe *sqes;

static void *map(size_t size, off_t offset)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);

	if (at == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return at;
}

static void setup(void)
{
	ring = syscall(__NR_io_uring_setup, 4, &params);
	if (ring < 0) {
		perror("io_uring_setup");
		exit(4);
	}
	sq = map(params.sq_off.array + params.sq_entries * sizeof(unsigned int), IORING_OFF_SQ_RING);
	cq = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
}

/* One operation, waited for; its result. */
static int operation(int opcode, int fd, void *buffer, unsigned int size)
{
	unsigned int *tail = (void *)(sq + params.sq_off.tail);
	unsigned int *head = (void *)(cq + params.cq_off.head);
	unsigned int slot = *tail & (params.sq_entries - 1);
	struct io_uring_cqe *cqes = (void *)(cq + params.cq_off.cqes);
	int result;

	memset(&sqes[slot], 0, sizeof(sqes[slot]));
	sqes[slot].opcode = opcode;
	sqes[slot].fd = fd;
	sqes[slot].addr = (unsigned long)buffer;
	sqes[slot].len = size;
	((unsigned int *)(sq + params.sq_off.array))[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) {
		perror("io_uring_enter");
		exit(1);
	}
	while (*head == __atomic_load_n((unsigned int *)(cq + params.cq_off.tail), __ATOMIC_ACQUIRE))
		;
	result = cqes[*head & (params.cq_entries - 1)].res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (result < 0) {
		fprintf(stderr, "operation: %s\n", strerror(-result));
		exit(1);
	}
	return result;
}

int main(int argc, char **argv)
{
	static char buffer[65536];
	long left = argc > 3 ? atol(argv[3]) : 0;
	int fd, size, done;

	if (argc < 3)
		return 2;
	fd = atoi(argv[2]);
	setup();
	if (!strcmp(argv[1], "send")) {
		while ((size = read(0, buffer, sizeof(buffer))) > 0)
			for (done = 0; done < size;)
				done += operation(IORING_OP_SEND, fd, buffer + done, size - done);
		return 0;
	}
	while (left > 0) {
		size = operation(IORING_OP_RECV, fd, buffer, left < (long)sizeof(buffer) ? left : sizeof(buffer));
		if (!size)
			break;
		if (write(1, buffer, size) != size)
			return 1;
		left -= size;
	}
	return 0;
}
