/* Uses all of earshot/memory.h as a C program would. */
#include "must.h"
#include <earshot/memory.h>
#include <string.h>
#include <sys/wait.h>

enum { ring_bytes = EARSHOT_MEMORY_RING_BYTES_MIN, messages = 100000 };

static const int64_t hour_ns = INT64_C(3600000000000);

static uint8_t *mapped(int descriptor)
{
    uint64_t address;

    MUST(earshot_memory_ring_map(descriptor, ring_bytes, &address) == 0);
    return (uint8_t *)(uintptr_t)address;
}

/* The other process: adds up what it is sent, and answers with the sum. */
static void add_up(int in, int out)
{
    struct earshot_memory_reader reader;
    struct earshot_memory_writer writer;
    struct earshot_memory_message message;
    uint64_t sum = 0;
    uint32_t count = 0;
    uint8_t *room;

    MUST(earshot_memory_reader_begin(&reader, mapped(in), ring_bytes) == 0);
    MUST(earshot_memory_writer_begin(&writer, mapped(out), ring_bytes) == 0);
    while (count < messages) {
        while (earshot_memory_next(&reader, &message) == 1) {
            uint32_t number;
            MUST(message.kind == EARSHOT_MEMORY_KIND_MESSAGE);
            MUST(message.length == sizeof number);
            memcpy(&number, message.payload, sizeof number);
            sum += number;
            count += 1;
        }
        MUST(earshot_memory_release(&reader) == 0);
        if (count < messages) MUST(earshot_memory_await_message(&reader, hour_ns) == 0);
    }
    MUST(earshot_memory_reserve(&writer, sizeof sum, &room) == 1);
    memcpy(room, &sum, sizeof sum);
    MUST(earshot_memory_commit(&writer, sizeof sum, EARSHOT_MEMORY_KIND_MESSAGE) == 0);
    MUST(earshot_memory_publish(&writer) == 0);
}

static void converse(void)
{
    struct earshot_memory_writer writer;
    struct earshot_memory_reader reader;
    struct earshot_memory_message message;
    int up = earshot_memory_ring_create(ring_bytes);
    int down = earshot_memory_ring_create(ring_bytes);
    uint8_t *written, *read;
    uint64_t sum = 0, told;
    uint32_t number;
    int status;
    pid_t other;

    MUST(up >= 0 && down >= 0);
    other = fork();
    MUST(other >= 0);
    if (other == 0) {
        add_up(up, down);
        _exit(0);
    }
    written = mapped(up);
    read = mapped(down);
    MUST(earshot_memory_writer_begin(&writer, written, ring_bytes) == 0);
    MUST(earshot_memory_reader_begin(&reader, read, ring_bytes) == 0);
    for (number = 0; number < messages; number++) {
        uint8_t *room;
        while (earshot_memory_reserve(&writer, sizeof number, &room) == 0) {
            MUST(earshot_memory_publish(&writer) == 0);
            MUST(earshot_memory_await_room(&writer, sizeof number, hour_ns) == 0);
        }
        memcpy(room, &number, sizeof number);
        MUST(earshot_memory_commit(&writer, sizeof number, EARSHOT_MEMORY_KIND_MESSAGE) == 0);
        sum += number;
    }
    MUST(earshot_memory_publish(&writer) == 0);
    while (earshot_memory_next(&reader, &message) == 0) {
        MUST(earshot_memory_await_message(&reader, hour_ns) == 0);
    }
    memcpy(&told, message.payload, sizeof told);
    MUST(told == sum);
    MUST(waitpid(other, &status, 0) == other && status == 0);
    MUST(earshot_memory_ring_unmap(written, ring_bytes) == 0);
    MUST(earshot_memory_ring_unmap(read, ring_bytes) == 0);
    MUST(close(up) == 0 && close(down) == 0);
}

static void pass(void)
{
    int value = earshot_memory_value_create((const uint8_t *)"a long one", 10);
    uint64_t address;

    MUST(value >= 0);
    MUST(earshot_memory_value_map(value, 11, &address) == EARSHOT_MEMORY_CODE_WRONG_SIZE);
    MUST(earshot_memory_value_map(value, 0, &address) == EARSHOT_MEMORY_CODE_INVALID_ARGUMENT);
    MUST(earshot_memory_value_map(value, 10, &address) == 0);
    MUST(memcmp((const void *)(uintptr_t)address, "a long one", 10) == 0);
    earshot_memory_value_unmap((uint8_t *)(uintptr_t)address, (void *)(uintptr_t)10);
    MUST(close(value) == 0);
}

static void misuse(void)
{
    struct earshot_memory_writer writer;
    struct earshot_memory_reader reader;
    struct earshot_memory_message message;
    int ring = earshot_memory_ring_create(ring_bytes);
    uint8_t *place = mapped(ring);
    uint32_t word = 1, far = 7;
    uint64_t address;
    uint8_t *room;

    MUST(earshot_memory_ring_create(1000) == EARSHOT_MEMORY_CODE_INVALID_ARGUMENT);
    MUST(earshot_memory_ring_map(ring, 2 * ring_bytes, &address) == EARSHOT_MEMORY_CODE_WRONG_SIZE);
    MUST(earshot_memory_ring_map(ring, ring_bytes, NULL) == EARSHOT_MEMORY_CODE_INVALID_ARGUMENT);
    MUST(earshot_memory_ring_map(0, ring_bytes, &address) == EARSHOT_MEMORY_CODE_NOT_SEALED);
    MUST(earshot_memory_ring_unmap(NULL, ring_bytes) == EARSHOT_MEMORY_CODE_INVALID_ARGUMENT);
    MUST(earshot_memory_writer_begin(&writer, NULL, ring_bytes) < 0);
    MUST(earshot_memory_reader_begin(NULL, place, ring_bytes) < 0);
    MUST(earshot_memory_writer_begin(&writer, place, ring_bytes) == 0);
    MUST(earshot_memory_reader_begin(&reader, place, ring_bytes) == 0);
    MUST(earshot_memory_reserve(&writer, ring_bytes, &room) == EARSHOT_MEMORY_CODE_MESSAGE_TOO_LONG);
    MUST(earshot_memory_commit(&writer, ring_bytes, 0) == EARSHOT_MEMORY_CODE_MESSAGE_TOO_LONG);
    MUST(earshot_memory_next(&reader, &message) == 0);
    MUST(earshot_memory_await_message(&reader, 1000) == 0);
    /* Nobody has written so much. */
    memcpy(place + EARSHOT_MEMORY_TAIL_AT, &far, sizeof far);
    MUST(earshot_memory_next(&reader, &message) == EARSHOT_MEMORY_CODE_CORRUPT);
    earshot_memory_sleep(&word, 2, hour_ns);
    earshot_memory_sleep(&word, 1, 1000);
    earshot_memory_wake(&word);
    MUST(earshot_memory_yield() >= 0 && earshot_memory_yield() <= 3);
    MUST(earshot_memory_ring_unmap(place, ring_bytes) == 0);
    MUST(close(ring) == 0);
}

int main(int arguments_count, char **arguments)
{
    MUST(arguments_count == 2);
    make_directory(arguments[1]);
    MUST(earshot_memory_abi() == EARSHOT_MEMORY_ABI);
    MUST(strstr(earshot_memory_manifest(), "earshot_memory_publish") != NULL);
    converse();
    pass();
    misuse();
    remove_directory();
    return 0;
}
