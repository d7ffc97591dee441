/*
 * libearshot-memory: messages between two processes through memory that both have mapped.
 *
 * A ring goes one way, from one writer to one reader. Its memory has no name: one process makes it,
 * and the other is given its descriptor (earshot_ipc_send of earshot/ipc.h, or a fork). This program
 * has both ends in one process:
 *
 *     #include <earshot/memory.h>
 *     #include <string.h>
 *     #include <unistd.h>
 *
 *     int main(void)
 *     {
 *         struct earshot_memory_writer writer;
 *         struct earshot_memory_reader reader;
 *         struct earshot_memory_message message;
 *         uint64_t one, other;
 *         uint8_t *room;
 *         int32_t fd;
 *
 *         if (earshot_memory_abi() != EARSHOT_MEMORY_ABI) return 1;
 *         fd = earshot_memory_ring_create(65536);
 *         if (fd < 0) return 1;
 *         if (earshot_memory_ring_map(fd, 65536, &one) < 0) return 1;
 *         if (earshot_memory_ring_map(fd, 65536, &other) < 0) return 1;
 *         close(fd);
 *         earshot_memory_writer_begin(&writer, (void *)(uintptr_t)one, 65536);
 *         earshot_memory_reader_begin(&reader, (void *)(uintptr_t)other, 65536);
 *         if (earshot_memory_reserve(&writer, 5, &room) != 1) return 1;
 *         memcpy(room, "hello", 5);
 *         earshot_memory_commit(&writer, 5, EARSHOT_MEMORY_KIND_MESSAGE);
 *         earshot_memory_publish(&writer);
 *         if (earshot_memory_next(&reader, &message) != 1) return 1;
 *         if (message.length != 5 || memcmp(message.payload, "hello", 5) != 0) return 1;
 *         earshot_memory_release(&reader);
 *         earshot_memory_ring_unmap((void *)(uintptr_t)one, 65536);
 *         earshot_memory_ring_unmap((void *)(uintptr_t)other, 65536);
 *         return 0;
 *     }
 *
 * Layout    EARSHOT_MEMORY_HEAD_BYTES of head, in which each side has words of its own (..._AT), then
 *           the records, which are mapped twice in a row, so that none is split where the ring goes
 *           round. A record is its length and its kind, 32 bits each and little-endian, and the
 *           payload, filled up to a multiple of EARSHOT_MEMORY_RECORD_BYTES. Tail and head count
 *           bytes, modulo 2^32. This is version EARSHOT_MEMORY_VERSION.
 * Trust     The other side can write what it likes wherever it likes. What it writes is checked before
 *           it is used: EARSHOT_MEMORY_CODE_CORRUPT says that it makes no sense, and the only thing to
 *           do is to unmap the ring. The bytes of a payload may change while they are read.
 * Results   are int32_t: a value from 0 up, or an earshot_memory_code below 0.
 * Threads   A writer or reader is one thread's at a time.
 * Pointers  One that is missing is EARSHOT_MEMORY_CODE_INVALID_ARGUMENT.
 */
#ifndef EARSHOT_MEMORY_H
#define EARSHOT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- numbers ---- */

/* What this header describes, to be compared with earshot_memory_abi(). */
#define EARSHOT_MEMORY_ABI 1

/* Of the layout of rings. */
#define EARSHOT_MEMORY_VERSION 1

/* Before the records. */
#define EARSHOT_MEMORY_HEAD_BYTES 65536

/* Of a record without its payload, and what records are multiples of. */
#define EARSHOT_MEMORY_RECORD_BYTES 8

/* A ring has room for so many bytes of records, or any power of two between the two. A message takes
 * half of it at most, its record included. */
#define EARSHOT_MEMORY_RING_BYTES_MIN 65536
#define EARSHOT_MEMORY_RING_BYTES_MAX 1073741824

/* Where in the head the words lie: what is published, what is let go of, and how each side sleeps. */
#define EARSHOT_MEMORY_TAIL_AT 64
#define EARSHOT_MEMORY_HEAD_AT 128
#define EARSHOT_MEMORY_READER_RESTS_AT 192
#define EARSHOT_MEMORY_WRITER_RESTS_AT 256

/* The last two may come together, as their sum. */
enum earshot_memory_kind {
    EARSHOT_MEMORY_KIND_MESSAGE = 0,
    /* The message is in memory of its own (earshot_memory_value_create), whose descriptor comes another
     * way; the payload is its length, as 64 bits. */
    EARSHOT_MEMORY_KIND_PASSED = 1,
    /* Descriptors belong to the message, and come another way. */
    EARSHOT_MEMORY_KIND_ATTENDED = 2
};

/* How a side sleeps, and so how it is woken. */
enum earshot_memory_rest {
    EARSHOT_MEMORY_REST_AWAKE = 0,
    /* On the word that the other side changes. */
    EARSHOT_MEMORY_REST_WORD = 1,
    /* In a poller: it is woken by whatever the two have agreed on. */
    EARSHOT_MEMORY_REST_POLLER = 2
};

enum earshot_memory_code {
    EARSHOT_MEMORY_CODE_OK = 0,
    /* An argument is out of its range. */
    EARSHOT_MEMORY_CODE_INVALID_ARGUMENT = -1,
    EARSHOT_MEMORY_CODE_OUT_OF_MEMORY = -4,
    /* The process or the system is out of descriptors. */
    EARSHOT_MEMORY_CODE_DESCRIPTOR_LIMIT = -7,
    /* The message is longer than the ring takes. */
    EARSHOT_MEMORY_CODE_MESSAGE_TOO_LONG = -10,
    /* The descriptor is no shared memory whose size, or whose bytes, can change no more; or it cannot
     * be mapped: it is sealed against writes, or open for reading or writing alone. */
    EARSHOT_MEMORY_CODE_NOT_SEALED = -80,
    /* It is, but of another size. */
    EARSHOT_MEMORY_CODE_WRONG_SIZE = -81,
    /* The other side has written what no ring holds. */
    EARSHOT_MEMORY_CODE_CORRUPT = -82,
    /* The system reported something else. */
    EARSHOT_MEMORY_CODE_UNEXPECTED = -99
};

/* ---- structures ---- */

/* Made by earshot_memory_writer_begin, and nobody else's to change. */
struct earshot_memory_writer {
    uint8_t *place;
    uint32_t ring_bytes;
    uint32_t at;
    uint32_t published;
    uint32_t head;
};

/* Made by earshot_memory_reader_begin, and nobody else's to change. */
struct earshot_memory_reader {
    uint8_t *place;
    uint32_t ring_bytes;
    uint32_t at;
    uint32_t released;
    uint32_t tail;
};

/* A message where it lies in the ring, until it is let go of. */
struct earshot_memory_message {
    const uint8_t *payload;
    uint32_t length;
    /* An earshot_memory_kind. */
    uint32_t kind;
};

/* ---- the library ---- */

/* The ABI the library has. Anything but EARSHOT_MEMORY_ABI means that it and this header do not fit. */
int32_t earshot_memory_abi(void);

/* The ABI in JSON: structures, numbers, functions. It belongs to the library. */
const char *earshot_memory_manifest(void);

/* ---- rings ---- */

/* Memory for a ring of so many bytes, whose size can change no more. Returns its descriptor, which is
 * the caller's to close, and to send. */
int32_t earshot_memory_ring_create(uint32_t ring_bytes);

/* Maps a ring, and writes its address. Refuses what is no such memory, or of another size, as it may
 * come from anybody. The descriptor can be closed then. */
int32_t earshot_memory_ring_map(int descriptor, uint32_t ring_bytes, uint64_t *address);

/* Its writer or reader, and every message in it, is gone then. */
int32_t earshot_memory_ring_unmap(uint8_t *place, uint32_t ring_bytes);

/* ---- writing ---- */

/* The one writer of a ring into which nothing has been written yet. */
int32_t earshot_memory_writer_begin(
    struct earshot_memory_writer *writer, uint8_t *place, uint32_t ring_bytes);

/* Room for a message of so many bytes: 1, or 0 if there is none now. */
int32_t earshot_memory_reserve(
    struct earshot_memory_writer *writer, uint32_t payload_bytes, uint8_t **room);

/* The message that was reserved last is written, or its first bytes are, and `payload_bytes` says how
 * many. The reader sees it when it is published. `kind` is an earshot_memory_kind. */
int32_t earshot_memory_commit(
    struct earshot_memory_writer *writer, uint32_t payload_bytes, uint32_t kind);

/* Shows the reader all that was committed, and wakes it if it sleeps on its word. Returns 1 if it
 * sleeps in a poller, and 0 otherwise. */
int32_t earshot_memory_publish(struct earshot_memory_writer *writer);

/* Sleeps until there is room for so many bytes, for `timeout_ns` at most; may return for no reason. */
int32_t earshot_memory_await_room(
    struct earshot_memory_writer *writer, uint32_t payload_bytes, int64_t timeout_ns);

/* ---- reading ---- */

/* The one reader of a ring from which nothing has been read yet. */
int32_t earshot_memory_reader_begin(
    struct earshot_memory_reader *reader, uint8_t *place, uint32_t ring_bytes);

/* The next message: 1, or 0 if there is none now. */
int32_t earshot_memory_next(
    struct earshot_memory_reader *reader, struct earshot_memory_message *message);

/* Lets go of all messages so far, and wakes the writer if it sleeps on its word. Returns 1 if it sleeps
 * in a poller, and 0 otherwise. */
int32_t earshot_memory_release(struct earshot_memory_reader *reader);

/* Sleeps until there is a message, for `timeout_ns` at most; may return for no reason. */
int32_t earshot_memory_await_message(struct earshot_memory_reader *reader, int64_t timeout_ns);

/* ---- words ---- */

/* Sleeps while `word`, which other processes may have mapped as well, is `expected`, for `timeout_ns` at
 * most; may return for no reason. */
void earshot_memory_sleep(const uint32_t *word, uint32_t expected, int64_t timeout_ns);

/* Wakes all who sleep on `word`. */
void earshot_memory_wake(const uint32_t *word);

/* For who looks for something again and again: lets others run where this process has a single processor,
 * since whoever is looked for might not run otherwise. Returns 1 if they did, and 2 if nobody wanted to, which
 * makes further calls wait with it for up to 20 us. 3 if somebody computes there: for 10 ms from then on nobody is let
 * run and 3 returned, and whoever sleeps meanwhile (earshot_memory_sleep) is told sooner than who looks. With several
 * processors 0, at once and always. */
int32_t earshot_memory_yield(void);

/* ---- messages that are too long for a ring ---- */

/* Memory that holds these bytes, and whose bytes can change no more where the system can see to that
 * (Linux, FreeBSD). Returns its descriptor, which is the caller's to close, and to send. */
int32_t earshot_memory_value_create(const uint8_t *bytes, uint32_t count);

/* Maps what was made so, and writes its address. The bytes are the caller's own to read and to write.
 * Refuses what is no such memory, or of another size, as it may come from anybody. */
int32_t earshot_memory_value_map(int descriptor, uint32_t count, uint64_t *address);

/* Any thread may call it. `count` is the number of bytes, in the shape of a pointer, so that collectors
 * can call it. */
void earshot_memory_value_unmap(uint8_t *address, void *count);

#ifdef __cplusplus
}
#endif

#endif
