/* Uses all of earshot/seal.h as a C program would. */
#include "must.h"
#include <earshot/seal.h>
#include <string.h>

enum { room_bytes = 2048, batch_count = 3 };

static uint8_t message[room_bytes];
static uint8_t text[room_bytes];

static void shake(earshot_seal_handle client, earshot_seal_handle server)
{
    int32_t length = earshot_seal_write(client, "ask", 3, message, room_bytes);

    MUST(length == 3 + EARSHOT_SEAL_HANDSHAKE_OVERHEAD_BYTES);
    MUST(earshot_seal_write(client, NULL, 0, text, room_bytes) == EARSHOT_SEAL_CODE_WRONG_STEP);
    MUST(earshot_seal_suite(client) == EARSHOT_SEAL_CODE_WRONG_STEP);
    MUST(earshot_seal_seal(client, 0, NULL, 0, text, room_bytes) == EARSHOT_SEAL_CODE_WRONG_STEP);
    MUST(earshot_seal_read(server, message, length, text, 2) == EARSHOT_SEAL_CODE_NO_ROOM);
    MUST(earshot_seal_read(server, message, length, text, room_bytes) == 3);
    MUST(memcmp(text, "ask", 3) == 0);
    length = earshot_seal_write(server, NULL, 0, message, room_bytes);
    MUST(length == EARSHOT_SEAL_HANDSHAKE_OVERHEAD_BYTES);
    MUST(earshot_seal_read(client, message, length, text, room_bytes) == 0);
    MUST(earshot_seal_suite(client) == earshot_seal_suite(server));
    MUST(earshot_seal_suite(client) ==
        earshot_seal_choose(earshot_seal_suites(), earshot_seal_suites()));
}

static void converse(earshot_seal_handle client, earshot_seal_handle server)
{
    earshot_seal_record records[batch_count] = {
        { 0, 5, 0, 1 }, { 5, 0, 21, 1 }, { 5, 6, 37, 2 }
    };
    earshot_seal_record back[batch_count] = { { 0, 21, 0, 1 }, { 21, 16, 5, 1 }, { 37, 22, 5, 2 } };
    int32_t length = earshot_seal_seal(server, 7, "hello", 5, message, room_bytes);

    MUST(length == 5 + EARSHOT_SEAL_TAG_BYTES);
    MUST(earshot_seal_open(client, 7, message, length, message, room_bytes) == 5);
    MUST(memcmp(message, "hello", 5) == 0);
    MUST(earshot_seal_seal_batch(
        client, "helloworld!", 11, message, room_bytes, records, batch_count) == batch_count);
    /* The second has another kind than it was sealed with. */
    back[1].kind = 9;
    MUST(earshot_seal_open_batch(
        server, message, room_bytes, text, room_bytes, back, batch_count) == 1);
    MUST(memcmp(text, "hello", 5) == 0);
    MUST(earshot_seal_open_batch(server, message, room_bytes, text, room_bytes, back + 1, 1) ==
        EARSHOT_SEAL_CODE_FAILED);
    /* The other direction is another matter. */
    MUST(earshot_seal_seal(server, 0, NULL, 0, message, room_bytes) == EARSHOT_SEAL_TAG_BYTES);
}

static void misuse(const uint8_t *secret, const uint8_t *public)
{
    const uint8_t weak[EARSHOT_SEAL_KEY_BYTES] = { 1 };
    earshot_seal_record outside = { 1, UINT32_MAX, 0, 0 };
    const void *anchor;
    int32_t handle;

    MUST(earshot_seal_begin(3, secret, public, NULL, 0, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_begin(1, NULL, public, NULL, 0, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_begin(1, secret, public, NULL, 1, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_begin(1, secret, weak, NULL, 0, 0) == EARSHOT_SEAL_CODE_WEAK_KEY);
    MUST(earshot_seal_from_keys(0, secret, public, 0, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_from_keys(257, secret, public, 0, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_from_keys(1, secret, NULL, 0, 0) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_from_keys(1, secret, public, 0, -1) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_choose(2, 4) == EARSHOT_SEAL_CODE_NO_COMMON_SUITE);
    MUST(earshot_seal_close(0) == EARSHOT_SEAL_CODE_CLOSED);

    handle = earshot_seal_from_keys(EARSHOT_SEAL_SUITE_AES_256_GCM, secret, secret, 2, 0);
    MUST(handle > 0);
    MUST(earshot_seal_seal(handle, 256, "x", 1, message, room_bytes) ==
        EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_seal(handle, 0, NULL, 1, message, room_bytes) ==
        EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_seal(handle, 0, "x", 1, NULL, 0) == EARSHOT_SEAL_CODE_NO_ROOM);
    MUST(earshot_seal_seal_batch(handle, "x", 1, message, room_bytes, &outside, 1) ==
        EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_seal_batch(handle, "x", 1, message, room_bytes, NULL, 0) == 0);
    MUST(earshot_seal_open(handle, 0, message, 3, text, room_bytes) == EARSHOT_SEAL_CODE_TOO_SHORT);
    MUST(earshot_seal_anchor(handle, NULL) == EARSHOT_SEAL_CODE_INVALID_ARGUMENT);
    MUST(earshot_seal_anchor(handle, &anchor) == 0 && anchor != NULL);
    earshot_seal_release(anchor, (const void *)(uintptr_t)handle);
    MUST(earshot_seal_anchor(handle, &anchor) == EARSHOT_SEAL_CODE_CLOSED);
    earshot_seal_release(anchor, (const void *)(uintptr_t)handle);
    earshot_seal_release(NULL, NULL);
    handle = earshot_seal_from_keys(EARSHOT_SEAL_SUITE_AES_256_GCM, secret, secret, 2, 0);
    MUST(earshot_seal_close(handle) == 0);
    MUST(earshot_seal_close(handle) == EARSHOT_SEAL_CODE_CLOSED);
    MUST(earshot_seal_seal(handle, 0, "x", 1, message, room_bytes) == EARSHOT_SEAL_CODE_CLOSED);
}

int main(int arguments_count, char **arguments)
{
    const uint8_t secrets[2][EARSHOT_SEAL_KEY_BYTES] = { { 1 }, { 2 } };
    uint8_t publics[2][EARSHOT_SEAL_KEY_BYTES];
    int32_t client, server;

    MUST(arguments_count == 2);
    make_directory(arguments[1]);
    MUST(earshot_seal_abi() == EARSHOT_SEAL_ABI);
    MUST(strstr(earshot_seal_manifest(), "\"abi\":1") != NULL);
    MUST(earshot_seal_public_key(secrets[0], publics[0]) == 0);
    MUST(earshot_seal_public_key(secrets[1], publics[1]) == 0);
    client = earshot_seal_begin(
        EARSHOT_SEAL_ROLE_INITIATOR, secrets[0], publics[1], "test", 4, 0);
    server = earshot_seal_begin(
        EARSHOT_SEAL_ROLE_RESPONDER, secrets[1], publics[0], "test", 4, 0);
    MUST(client > 0 && server > 0);
    shake(client, server);
    converse(client, server);
    MUST(earshot_seal_close(client) == 0);
    MUST(earshot_seal_close(server) == 0);
    misuse(secrets[0], publics[1]);
    remove_directory();
    return 0;
}
