/*
 * libearshot-seal: two ends that know each other's public key seal what they send, so that whoever
 * carries it sees nothing and can change nothing.
 *
 * The handshake takes a message in each direction; after it each end has a handle that seals and
 * opens. This program is both ends:
 *
 *     #include <earshot/seal.h>
 *     #include <string.h>
 *
 *     int main(void)
 *     {
 *         // Anybody's secret key is 32 random bytes. These are nobody's.
 *         uint8_t secrets[2][EARSHOT_SEAL_KEY_BYTES] = { "one that is kept", "the other's" };
 *         uint8_t publics[2][EARSHOT_SEAL_KEY_BYTES];
 *         uint8_t message[256], text[256];
 *         int32_t client, server, length;
 *
 *         if (earshot_seal_abi() != EARSHOT_SEAL_ABI) return 1;
 *         if (earshot_seal_public_key(secrets[0], publics[0]) < 0) return 1;
 *         if (earshot_seal_public_key(secrets[1], publics[1]) < 0) return 1;
 *         client = earshot_seal_begin(
 *             EARSHOT_SEAL_ROLE_INITIATOR, secrets[0], publics[1], "chat", 4, 0);
 *         server = earshot_seal_begin(
 *             EARSHOT_SEAL_ROLE_RESPONDER, secrets[1], publics[0], "chat", 4, 0);
 *         if (client < 0 || server < 0) return 1;
 *         length = earshot_seal_write(client, NULL, 0, message, sizeof message);
 *         if (earshot_seal_read(server, message, length, text, sizeof text) != 0) return 1;
 *         length = earshot_seal_write(server, NULL, 0, message, sizeof message);
 *         if (earshot_seal_read(client, message, length, text, sizeof text) != 0) return 1;
 *         length = earshot_seal_seal(client, 0, "hello", 5, message, sizeof message);
 *         length = earshot_seal_open(server, 0, message, length, text, sizeof text);
 *         if (length != 5 || memcmp(text, "hello", 5) != 0) return 1;
 *         earshot_seal_close(client);
 *         earshot_seal_close(server);
 *         return 0;
 *     }
 *
 * Handshake Noise_KK_25519_AESGCM_SHA256 of the Noise Protocol Framework, revision 34. It
 *           authenticates both ends, and gives each connection keys of its own, which static keys
 *           that are lost later do not reveal. In its two messages the ends also agree on a cipher,
 *           which nobody between them can influence.
 * Records   A sealed message is the bytes, encrypted, and a tag of EARSHOT_SEAL_TAG_BYTES. Its
 *           number, its length, its kind and the cipher are authenticated too. Records are opened in
 *           the order in which they were sealed, and in no other.
 * Failure   What is not the next record of the peer is EARSHOT_SEAL_CODE_NOT_AUTHENTIC: nothing is
 *           delivered, and that direction answers EARSHOT_SEAL_CODE_FAILED from then on. The only
 *           thing to do is to close the connection.
 * Results   are int32_t: a value from 0 up, or an earshot_seal_code below 0.
 * Threads   Any thread may use any handle, one at a time: a second gets EARSHOT_SEAL_CODE_IN_USE.
 * Memory    What is handed over for a call is read during that call and never kept, but for keys,
 *           which are overwritten when the handle is closed. `out` may be where the bytes are, for
 *           work in place, and may not overlap them otherwise.
 * Pointers  One that is missing is nothing, and has no bytes; else it is
 *           EARSHOT_SEAL_CODE_INVALID_ARGUMENT.
 */
#ifndef EARSHOT_SEAL_H
#define EARSHOT_SEAL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- numbers ---- */

/* What this header describes, to be compared with earshot_seal_abi(). */
#define EARSHOT_SEAL_ABI 1

/* Of the format of records and of what the handshake carries. */
#define EARSHOT_SEAL_VERSION 1

/* Of every key: secret and public ones (X25519, RFC 7748), and those of ciphers. */
#define EARSHOT_SEAL_KEY_BYTES 32

/* By how much a record is longer than what is in it. */
#define EARSHOT_SEAL_TAG_BYTES 16

/* The longest message that can be sealed. */
#define EARSHOT_SEAL_MESSAGE_BYTES_MAX 2147483631

/* By how much a message of the handshake is longer than its payload. */
#define EARSHOT_SEAL_HANDSHAKE_OVERHEAD_BYTES 50

/* The longest payload of a message of the handshake. */
#define EARSHOT_SEAL_HANDSHAKE_PAYLOAD_BYTES_MAX 1024

/* After how many records, and after how many bytes, both ends go on to the next key by themselves.
 * They are well below what RFC 8446, 5.5, allows the weakest of the ciphers. */
#define EARSHOT_SEAL_RECORDS_PER_KEY 1048576
#define EARSHOT_SEAL_BYTES_PER_KEY 68719476736

/* The ciphers. The bit `1 << number` stands for one in a set of them. */
enum earshot_seal_suite {
    /* draft-irtf-cfrg-aegis-aead. The fastest by far, where processors have instructions for AES. */
    EARSHOT_SEAL_SUITE_AEGIS_256 = 1,
    /* NIST SP 800-38D. For peers that have no other, as browsers. */
    EARSHOT_SEAL_SUITE_AES_256_GCM = 2,
    /* RFC 8439. Good without such instructions. */
    EARSHOT_SEAL_SUITE_CHACHA20_POLY1305 = 3
};

enum earshot_seal_role {
    /* Writes the first message of the handshake. */
    EARSHOT_SEAL_ROLE_INITIATOR = 1,
    /* Reads it, and writes the second. */
    EARSHOT_SEAL_ROLE_RESPONDER = 2
};

enum earshot_seal_code {
    EARSHOT_SEAL_CODE_OK = 0,
    /* An argument is out of its range, or memory overlaps that may not. */
    EARSHOT_SEAL_CODE_INVALID_ARGUMENT = -1,
    /* The handle is stale. */
    EARSHOT_SEAL_CODE_CLOSED = -2,
    /* Another thread is in a call with the same handle. */
    EARSHOT_SEAL_CODE_IN_USE = -3,
    EARSHOT_SEAL_CODE_OUT_OF_MEMORY = -4,
    /* The process holds as many sealed connections as it can name. */
    EARSHOT_SEAL_CODE_HANDLE_LIMIT = -6,
    /* The message is over the most that there can be. */
    EARSHOT_SEAL_CODE_MESSAGE_TOO_LONG = -10,
    /* What is to be written has no room where it is to go. Nothing has changed. */
    EARSHOT_SEAL_CODE_NO_ROOM = -60,
    /* It is not what the peer has sent, or not the next, or the peer has other keys. */
    EARSHOT_SEAL_CODE_NOT_AUTHENTIC = -61,
    /* It is shorter than anything that the peer can have sent. */
    EARSHOT_SEAL_CODE_TOO_SHORT = -62,
    /* It has met something before that it should not have, and does nothing any more. */
    EARSHOT_SEAL_CODE_FAILED = -63,
    /* The handshake is over, or is not, or it is the peer's turn. Nothing has changed. */
    EARSHOT_SEAL_CODE_WRONG_STEP = -64,
    /* A public key with which everybody would agree on the same secret. */
    EARSHOT_SEAL_CODE_WEAK_KEY = -65,
    /* The two ends have no cipher in common. */
    EARSHOT_SEAL_CODE_NO_COMMON_SUITE = -66,
    /* The peer speaks a version that this one does not know. */
    EARSHOT_SEAL_CODE_VERSION_UNKNOWN = -67,
    /* All 2 ^ 64 - 1 numbers of one direction are used up. */
    EARSHOT_SEAL_CODE_EXHAUSTED = -68,
    /* The system has no random bytes for us. */
    EARSHOT_SEAL_CODE_NO_RANDOMNESS = -69
};

/* Names one end of a sealed connection. It is above 0 and fits an int32_t. A stale one is
 * EARSHOT_SEAL_CODE_CLOSED, and for two million uses not something that came later. */
typedef uint32_t earshot_seal_handle;

/* One message of a batch. */
typedef struct earshot_seal_record {
    /* Where it begins in `in`, and how long it is: the bytes to seal, or the record to open. */
    uint32_t in_offset;
    uint32_t in_bytes;
    /* Where in `out` the result begins, which is longer by EARSHOT_SEAL_TAG_BYTES, or shorter. */
    uint32_t out_offset;
    /* From 0 to 255. */
    uint32_t kind;
} earshot_seal_record;

/* ---- the library ---- */

int32_t earshot_seal_abi(void);

/* What the library says of its own ABI, as JSON. */
const char *earshot_seal_manifest(void);

/* The set of ciphers that this machine does well. */
uint32_t earshot_seal_suites(void);

/* The best cipher that two sets have in common, or EARSHOT_SEAL_CODE_NO_COMMON_SUITE. */
int32_t earshot_seal_choose(uint32_t one, uint32_t other);

/* ---- the handshake ---- */

/* The public key that belongs to a secret one; `out` has room for EARSHOT_SEAL_KEY_BYTES. */
int32_t earshot_seal_public_key(const uint8_t *secret, uint8_t *out);

/*
 * Begins a handshake, and returns its handle. `prologue` is what both ends must know alike, as the
 * name of the service and the versions and keys that were sent before; `suites` the set of ciphers
 * that this end can do, 0 for earshot_seal_suites().
 */
int32_t earshot_seal_begin(
    uint32_t role,
    const uint8_t *secret,
    const uint8_t *remote_public,
    const void *prologue,
    uint32_t prologue_bytes,
    uint32_t suites);

/*
 * Writes this end's message of the handshake, and returns its length. It carries the payload. That
 * of the first message can be played again by others and is secret only as long as the responder's
 * key is; that of the second is as good as what follows, unless that key had been lost before.
 */
int32_t earshot_seal_write(
    earshot_seal_handle handle,
    const void *payload,
    uint32_t payload_bytes,
    void *out,
    uint32_t out_bytes);

/*
 * Reads the other's, and returns the length of its payload, which goes to `out`. A message that is
 * no good ends the handshake: the handle can only be closed. After the second message, read or
 * written, the handle seals and opens.
 */
int32_t earshot_seal_read(
    earshot_seal_handle handle,
    const void *message,
    uint32_t message_bytes,
    void *out,
    uint32_t out_bytes);

/* The cipher that was agreed on; EARSHOT_SEAL_CODE_WRONG_STEP before that. */
int32_t earshot_seal_suite(earshot_seal_handle handle);

/*
 * A handle for two ends that have their keys from elsewhere: fresh ones for each connection, and
 * another for each direction, or nothing is secret. The limits are those of EARSHOT_SEAL_*_PER_KEY
 * where they are 0, and are never above; both ends need the same.
 */
int32_t earshot_seal_from_keys(
    uint32_t suite,
    const uint8_t *sending,
    const uint8_t *receiving,
    uint32_t records_per_key,
    int64_t bytes_per_key);

/* ---- records ---- */

/*
 * Seals a message, and returns the length of the record, which is EARSHOT_SEAL_TAG_BYTES more. `kind`
 * is a number from 0 to 255 that is not sent but has to be given to open it.
 */
int32_t earshot_seal_seal(
    earshot_seal_handle handle,
    uint32_t kind,
    const void *bytes,
    uint32_t bytes_count,
    void *out,
    uint32_t out_bytes);

/*
 * Opens a record, and returns the length of the message. A record in memory that others can write to
 * is safe to open, though not in place: what comes out is theirs to change as long as they share it.
 */
int32_t earshot_seal_open(
    earshot_seal_handle handle,
    uint32_t kind,
    const void *record,
    uint32_t record_bytes,
    void *out,
    uint32_t out_bytes);

/*
 * Many at once, in their order. Return how many were done. If that is less than `count`, the others
 * were not touched, and what was wrong with the first of them is what a call that begins with it
 * returns.
 */
int32_t earshot_seal_seal_batch(
    earshot_seal_handle handle,
    const void *in,
    uint32_t in_bytes,
    void *out,
    uint32_t out_bytes,
    const earshot_seal_record *records,
    uint32_t count);

int32_t earshot_seal_open_batch(
    earshot_seal_handle handle,
    const void *in,
    uint32_t in_bytes,
    void *out,
    uint32_t out_bytes,
    const earshot_seal_record *records,
    uint32_t count);

/* Overwrites the keys; the handle is stale. */
int32_t earshot_seal_close(earshot_seal_handle handle);

/*
 * For runtimes that collect garbage: memory that stays where it is, 4 bytes that are nobody's to read
 * or write, and what closes the handle when the collector, in whichever thread, has found that memory
 * forgotten. `handle` is the number of the handle; a stale one does no harm.
 */
int32_t earshot_seal_anchor(earshot_seal_handle handle, const void **out);
void earshot_seal_release(const void *anchor, const void *handle);

#ifdef __cplusplus
}
#endif

#endif
