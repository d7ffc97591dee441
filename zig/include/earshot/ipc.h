/*
 * libearshot-ipc: processes on one machine find each other by name and talk.
 *
 * A context owns descriptors (services, connections, external ones) and timers. One call,
 * earshot_ipc_wait, sends what was handed over, waits if nothing is ready, and fills a batch of
 * events with what has happened. This program serves `pong`, which sends everything back:
 *
 *     #include <earshot/ipc.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         char path[EARSHOT_IPC_RUN_DIRECTORY_BYTES_MAX];
 *         earshot_ipc_context *context;
 *         earshot_ipc_areas areas;
 *
 *         if (earshot_ipc_abi() != EARSHOT_IPC_ABI) return 1;
 *         if (earshot_ipc_context_open(NULL, &context, NULL) < 0) return 1;
 *         if (earshot_ipc_context_areas(context, &areas) < 0) return 1;
 *         int32_t result = earshot_ipc_run_directory(
 *             NULL, 0, NULL, 0, NULL, 0, NULL, 0, path, sizeof path);
 *         if (result < 0) return 1;
 *         result = earshot_ipc_serve(context, path, result, "pong", 4, NULL, NULL, 0, NULL, 0);
 *         while (result >= 0) {
 *             result = earshot_ipc_wait(context, -1, -1, 0);
 *             for (int32_t i = 0; i < result; i++) {
 *                 const earshot_ipc_event *event = &areas.events[i];
 *                 const uint8_t *message = areas.inbox + event->offset;
 *                 if (event->type != EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX) continue;
 *                 if (event->flags & EARSHOT_IPC_EVENT_FLAG_LOAN)
 *                     message = (const uint8_t *)(uintptr_t)event->data;
 *                 earshot_ipc_schedule(context, event->source, message, event->length, 0);
 *             }
 *         }
 *         fprintf(stderr, "pong: code %d, errno %d\n", result, areas.control->error_number);
 *         earshot_ipc_context_close(context);
 *         return 1;
 *     }
 *
 * Results   are int32_t: a value from 0 up, or an earshot_ipc_code below 0. After a code, the
 *           control page of the context says more: see earshot_ipc_control.
 * Threads   A context belongs to the thread that opened it; to any other, its calls answer
 *           EARSHOT_IPC_CODE_WRONG_THREAD and do nothing. Any thread may call earshot_ipc_ring,
 *           earshot_ipc_area_reference, earshot_ipc_area_release and earshot_ipc_loan_release, and
 *           whatever takes no context. There is no state but a context's: a process may have many.
 * Memory    What is handed over for a call is read during that call and never kept. What the
 *           library hands out stays its own, and is written at each call how long it is good.
 * Pointers  One that is missing is a default where that is said, and nothing beside a count of 0;
 *           else it is EARSHOT_IPC_CODE_INVALID_ARGUMENT.
 * Units     Sizes and lengths are in bytes, times in nanoseconds on the monotonic clock. Text is
 *           bytes with a length: it neither needs nor gets a zero at its end.
 * Forking   Descriptors are close-on-exec. A child that goes on without exec makes no call on the
 *           contexts of its parent, not even to close them: it shares what they wait on.
 */
#ifndef EARSHOT_IPC_H
#define EARSHOT_IPC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- numbers ---- */

/*
 * What this header describes. A program begins by comparing it with earshot_ipc_abi(), the
 * library's own: where they differ, something that was there means something else.
 */
#define EARSHOT_IPC_ABI 2

/* In the flags of a message: it was too large for the inbox, and `data` is its address. */
#define EARSHOT_IPC_EVENT_FLAG_LOAN 1

/* In the flags of a message: descriptors came with it, and earshot_ipc_take takes them. */
#define EARSHOT_IPC_EVENT_FLAG_DESCRIPTORS 2

/* The most descriptors that go with one message: SCM_MAX_FD of Linux, the smallest of the systems
 * here. */
#define EARSHOT_IPC_DESCRIPTORS_MAX 253

/* The most that earshot_ipc_copies makes. */
#define EARSHOT_IPC_COPIES_MAX 2

/* The most that earshot_ipc_launch_sockets finds. */
#define EARSHOT_IPC_LAUNCH_SOCKETS_MAX 64

/* On the wire and in the outbox a message is its length, as a big-endian uint32_t of so many bytes,
 * then its bytes: `hello` is 00 00 00 05 68 65 6c 6c 6f, and an empty message is 00 00 00 00. */
#define EARSHOT_IPC_HEADER_BYTES 4

/* What overwrites the bytes of an old batch, where that was asked for. */
#define EARSHOT_IPC_POISON_BYTE 0xdb

/* The longest name of a service. */
#define EARSHOT_IPC_NAME_BYTES_MAX 64
/* Of the reason of earshot_ipc_lookup, with the zero byte. */
#define EARSHOT_IPC_REASON_BYTES_MAX 512

/* Room in which earshot_ipc_run_directory never fails for want of it. */
#define EARSHOT_IPC_RUN_DIRECTORY_BYTES_MAX 4096

/* How many users, and how many groups, a service's lists can hold. */
#define EARSHOT_IPC_ALLOW_ENTRIES_MAX 1024

/* The highest message_bytes_max there can be. */
#define EARSHOT_IPC_MESSAGE_BYTES_LIMIT 2147483643

/*
 * Names a connection, service, timer or external descriptor of one context. It is above 0, fits an
 * int32_t, and goes stale with what it names: a stale one is EARSHOT_IPC_CODE_CLOSED, and not
 * something else that came later. There are not endlessly many: after some two million uses in one
 * context a number may come round again, so one that is stale is better forgotten.
 */
typedef uint32_t earshot_ipc_handle;

/* What a context reports; earshot_ipc_event says what its fields hold then. Up to 8, the numbers
 * are LibIPC's. */
enum earshot_ipc_event_type {
    /* Something went wrong that ended no connection; `reason` says what. For a peer that was
     * refused (EARSHOT_IPC_REASON_NOT_ALLOWED, EARSHOT_IPC_REASON_CONNECTIONS_LIMIT):
     *   source  the service           length  the peer's user
     *   data    its process, 0 where the system does not tell
     * For a service that could not accept; if that makes it pause, it goes on again by itself:
     *   source  the service           detail  the system's error number */
    EARSHOT_IPC_EVENT_TYPE_ERROR = 0,
    /* A service has accepted a connection; or one that earshot_ipc_dial began is there.
     *   source  the connection        origin  its service, 0 for one that was dialed
     *   length  the peer's user       offset  its group
     *   detail  its process, 0 where the system does not tell
     *   data    its descriptor, which stays the context's */
    EARSHOT_IPC_EVENT_TYPE_CONNECTION = 1,
    /* A connection has ended: its last event, after which its handle is stale. `reason` says why.
     *   source  the connection        origin  its service, 0 for one that connected
     *   detail  the system's error number, 0 where it had no part in it
     *   length  messages that were handed over to be sent, and did not get as far as the system
     *   data    their bytes, headers included
     * Or a switch has, and both its descriptors are closed:
     *   source  the switch            offset  the end that showed it, 0 or 1
     *   detail  the system's error number, 0 where it had no part in it */
    EARSHOT_IPC_EVENT_TYPE_DISCONNECTION = 2,
    /* A message has arrived, whole.
     *   source  the connection        origin  its service, 0 for one that connected
     *   length  its bytes, which may be none
     *   offset  where in the inbox they lie; with EARSHOT_IPC_EVENT_FLAG_LOAN in `flags`, `data` is
     *           their address instead
     *   detail  with EARSHOT_IPC_EVENT_FLAG_DESCRIPTORS in `flags`, what earshot_ipc_take is given;
     *           its lowest byte says how many descriptors came */
    EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX = 3,
    /* A message whose report was asked for is with the system, which keeps it for the peer.
     *   source  the connection        origin  its service, 0 for one that connected
     *   length  its bytes             data    the token it was given with, as a uint32_t */
    EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX = 4,
    /* A timer is due. A one-shot timer's handle is stale from then on.
     *   source  the timer             data    periods since its last event, at least 1 */
    EARSHOT_IPC_EVENT_TYPE_TIMER = 5,
    /* An external descriptor is readable, or has ended. This comes again for as long as it is so.
     *   source  its handle            detail  the descriptor */
    EARSHOT_IPC_EVENT_TYPE_EXTERNAL = 6,
    /* Bytes have come on one end of a switch.
     *   source  the switch            offset  the end, 0 or 1
     *   data    how many since the last such event */
    EARSHOT_IPC_EVENT_TYPE_SWITCH_RX = 7,
    /* Bytes have left by one end of a switch. The fields are the same. */
    EARSHOT_IPC_EVENT_TYPE_SWITCH_TX = 8,
    /* The queue of a connection that was over its queue_bytes_high, or that refused a message, has
     * emptied to half of that mark.
     *   source  the connection        origin  its service, 0 for one that connected
     *   data    bytes still queued */
    EARSHOT_IPC_EVENT_TYPE_DRAIN = 9
};

/* Why a connection ended, a peer was refused or an error was reported. Statistics count each. */
enum earshot_ipc_reason {
    EARSHOT_IPC_REASON_NONE = 0,
    /* This side closed it. */
    EARSHOT_IPC_REASON_CLOSED = 1,
    /* The peer closed it, having read everything. */
    EARSHOT_IPC_REASON_PEER_CLOSED = 2,
    /* The peer went away without reading everything it had been sent. */
    EARSHOT_IPC_REASON_PEER_RESET = 3,
    /* A length over message_bytes_max arrived. */
    EARSHOT_IPC_REASON_MESSAGE_TOO_LONG = 4,
    /* The peer went away in the middle of a message. */
    EARSHOT_IPC_REASON_TRUNCATED = 5,
    /* The peer began a message and then sent nothing for stall_ns. */
    EARSHOT_IPC_REASON_STALLED = 6,
    /* The peer does not read, and the queue to it reached queue_bytes_max. */
    EARSHOT_IPC_REASON_QUEUE_LIMIT = 7,
    /* The peer's user or group is not allowed here. */
    EARSHOT_IPC_REASON_NOT_ALLOWED = 8,
    /* The service has connections_max connections. */
    EARSHOT_IPC_REASON_CONNECTIONS_LIMIT = 9,
    /* The peer sent descriptors, and descriptors_max is 0. They are closed. */
    EARSHOT_IPC_REASON_DESCRIPTORS_UNASKED = 10,
    /* There was no memory for what the peer sent or was to be sent. */
    EARSHOT_IPC_REASON_OUT_OF_MEMORY = 11,
    /* The system reported an error that has no reason of its own. */
    EARSHOT_IPC_REASON_SYSTEM = 12,
    /* No descriptor was left: to accept with, or for those that came with a message, which are all
     * closed then; or the system keeps no more on their way (detail: the errno). */
    EARSHOT_IPC_REASON_DESCRIPTOR_LIMIT = 13,
    /* What was handed over to be sent was not whole messages. */
    EARSHOT_IPC_REASON_MALFORMED = 14,
    /* The peer sent more than descriptors_max with one message, or than descriptors_held_max leaves
     * room for. They are closed. */
    EARSHOT_IPC_REASON_DESCRIPTORS_TOO_MANY = 15
};

/* What a call returns that fails. `detail` is the one in earshot_ipc_control, 0 where nothing is
 * said of it. */
enum earshot_ipc_code {
    EARSHOT_IPC_CODE_OK = 0,
    /* An argument is out of its range, or is missing. */
    EARSHOT_IPC_CODE_INVALID_ARGUMENT = -1,
    /* The handle is stale, is of another kind, or was closed by its owner. */
    EARSHOT_IPC_CODE_CLOSED = -2,
    /* The context belongs to another thread, or a callback of its calls it. */
    EARSHOT_IPC_CODE_WRONG_THREAD = -3,
    EARSHOT_IPC_CODE_OUT_OF_MEMORY = -4,
    /* This system has no such poller, or no such descriptor. */
    EARSHOT_IPC_CODE_NOT_AVAILABLE = -5,
    /* The context holds as many things as it can name. */
    EARSHOT_IPC_CODE_HANDLE_LIMIT = -6,
    /* The process or the system is out of descriptors. */
    EARSHOT_IPC_CODE_DESCRIPTOR_LIMIT = -7,
    /* The system watches no more descriptors for this user. */
    EARSHOT_IPC_CODE_WATCH_LIMIT = -8,
    /* The system starts no more threads. */
    EARSHOT_IPC_CODE_THREAD_LIMIT = -9,
    /* The message is over the connection's message_bytes_max. */
    EARSHOT_IPC_CODE_MESSAGE_TOO_LONG = -10,
    /* The queue is at its limit, and the connection's policy is to refuse. */
    EARSHOT_IPC_CODE_QUEUE_FULL = -11,
    /* The bytes in the outbox are not whole messages. */
    EARSHOT_IPC_CODE_MALFORMED = -12,
    /* The connection is at its end by itself, and what was to be sent is lost with it: its
     * disconnection is still to be reported, and counts it. */
    EARSHOT_IPC_CODE_ENDED = -13,
    /* What is to be adopted is no socket for a stream of bytes. */
    EARSHOT_IPC_CODE_NOT_STREAM = -14,
    /* A descriptor that was to go along is not open, or is one that cannot be passed. */
    EARSHOT_IPC_CODE_DESCRIPTOR_UNPASSABLE = -15,
    /* As many descriptors of this user are on their way as the system lets be. */
    EARSHOT_IPC_CODE_DESCRIPTORS_CROWDED = -16,
    /* More descriptors than EARSHOT_IPC_DESCRIPTORS_MAX, or than descriptors_held_max leaves room
     * for. */
    EARSHOT_IPC_CODE_DESCRIPTORS_TOO_MANY = -17,
    /* Part of a message has come, or waits to be sent, and would be lost. */
    EARSHOT_IPC_CODE_UNFINISHED = -18,
    /* What is to be inherited is a socket that nobody can connect to. */
    EARSHOT_IPC_CODE_NOT_LISTENING = -19,
    /* The name breaks a rule. detail: the rule, an earshot_ipc_name_fault. */
    EARSHOT_IPC_CODE_NAME_INVALID = -20,
    /* The path is longer than a socket's can be. detail: its length. */
    EARSHOT_IPC_CODE_PATH_TOO_LONG = -21,
    /* Nobody serves that name here. */
    EARSHOT_IPC_CODE_SERVICE_MISSING = -22,
    /* A socket is there, and nobody listens on it any more. */
    EARSHOT_IPC_CODE_SERVICE_GONE = -23,
    /* The service's queue of new connections is full. Try again. */
    EARSHOT_IPC_CODE_SERVICE_BUSY = -24,
    /* What is at the path is not a service. */
    EARSHOT_IPC_CODE_SERVICE_FOREIGN = -25,
    /* Somebody serves that name. detail: that process, or 0 if it does not say. */
    EARSHOT_IPC_CODE_ALREADY_SERVED = -26,
    /* Something that is not a socket is at the path, and stays there. */
    EARSHOT_IPC_CODE_PATH_TAKEN = -27,
    EARSHOT_IPC_CODE_PERMISSION = -28,
    EARSHOT_IPC_CODE_NO_SPACE = -29,
    /* The path of the run directory does not start with a slash. */
    EARSHOT_IPC_CODE_PATH_RELATIVE = -30,
    /* The path of the run directory holds a zero byte. */
    EARSHOT_IPC_CODE_PATH_INVALID = -31,
    /* Somebody listens at that address. */
    EARSHOT_IPC_CODE_ADDRESS_IN_USE = -32,
    /* The address is none of this machine's. */
    EARSHOT_IPC_CODE_ADDRESS_MISSING = -33,
    /* IPC_NETWORK cannot be understood; detail: which entry, from 1, or 0 if it is the whole. */
    EARSHOT_IPC_CODE_NETWORK_INVALID = -34,
    /* ipcd found no way to a service elsewhere; detail: how many bytes the reason has. */
    EARSHOT_IPC_CODE_NO_WAY = -35,
    /* It took longer than the caller was willing to wait. */
    EARSHOT_IPC_CODE_TIMED_OUT = -36,
    /* Of two that are to be bound one can only be read, and what comes from the other would have nowhere
     * to go. detail: which can only be read, 0 or 1. */
    EARSHOT_IPC_CODE_NOT_WRITABLE = -37,
    EARSHOT_IPC_CODE_DIRECTORY_MISSING = -40,
    /* The run directory is a link. */
    EARSHOT_IPC_CODE_DIRECTORY_LINK = -41,
    EARSHOT_IPC_CODE_NOT_DIRECTORY = -42,
    /* The run directory is another user's. detail: that user. */
    EARSHOT_IPC_CODE_DIRECTORY_OWNER = -43,
    /* Others can write to the run directory. detail: its mode. */
    EARSHOT_IPC_CODE_DIRECTORY_WRITABLE = -44,
    /* The directory in which the run directory is to be made is missing. */
    EARSHOT_IPC_CODE_PARENT_MISSING = -45,
    /* The run directory was moved or removed meanwhile. */
    EARSHOT_IPC_CODE_DIRECTORY_GONE = -46,
    /* The socket of a service that is gone is another user's, and not ours to replace. */
    EARSHOT_IPC_CODE_SOCKET_OWNER = -50,
    /* What is in the place of the lock is not a plain file. */
    EARSHOT_IPC_CODE_LOCK_NOT_FILE = -51,
    /* The lock is another user's. */
    EARSHOT_IPC_CODE_LOCK_OWNER = -52,
    /* What is in the place of the lock holds something other than a lock does, and stays there. */
    EARSHOT_IPC_CODE_LOCK_FOREIGN = -53,
    /* The system reported something else; its error number and call say what. */
    EARSHOT_IPC_CODE_UNEXPECTED = -99
};

/* The system's call that failed, by the name of its manual page. */
enum earshot_ipc_syscall {
    EARSHOT_IPC_SYSCALL_NONE = 0,
    EARSHOT_IPC_SYSCALL_SOCKET = 1,
    EARSHOT_IPC_SYSCALL_BIND = 2,
    EARSHOT_IPC_SYSCALL_LISTEN = 3,
    EARSHOT_IPC_SYSCALL_ACCEPT = 4,
    EARSHOT_IPC_SYSCALL_CONNECT = 5,
    EARSHOT_IPC_SYSCALL_RECV = 6,
    EARSHOT_IPC_SYSCALL_SEND = 7,
    EARSHOT_IPC_SYSCALL_CLOSE = 8,
    EARSHOT_IPC_SYSCALL_POLL = 9,
    EARSHOT_IPC_SYSCALL_EPOLL_CREATE1 = 10,
    EARSHOT_IPC_SYSCALL_EPOLL_CTL = 11,
    EARSHOT_IPC_SYSCALL_EPOLL_WAIT = 12,
    EARSHOT_IPC_SYSCALL_KQUEUE = 13,
    EARSHOT_IPC_SYSCALL_KEVENT = 14,
    EARSHOT_IPC_SYSCALL_EVENTFD = 15,
    EARSHOT_IPC_SYSCALL_PIPE = 16,
    EARSHOT_IPC_SYSCALL_MMAP = 17,
    EARSHOT_IPC_SYSCALL_OPEN = 18,
    EARSHOT_IPC_SYSCALL_MKDIR = 19,
    EARSHOT_IPC_SYSCALL_FSTAT = 20,
    EARSHOT_IPC_SYSCALL_FLOCK = 21,
    EARSHOT_IPC_SYSCALL_UNLINK = 22,
    EARSHOT_IPC_SYSCALL_CHMOD = 23,
    EARSHOT_IPC_SYSCALL_GETSOCKOPT = 24,
    EARSHOT_IPC_SYSCALL_SETSOCKOPT = 25,
    EARSHOT_IPC_SYSCALL_FCNTL = 26,
    EARSHOT_IPC_SYSCALL_CLOCK_GETTIME = 27,
    EARSHOT_IPC_SYSCALL_SOCKETPAIR = 28,
    EARSHOT_IPC_SYSCALL_PIDFD_OPEN = 29,
    EARSHOT_IPC_SYSCALL_READ = 30,
    EARSHOT_IPC_SYSCALL_WRITE = 31,
    EARSHOT_IPC_SYSCALL_SPLICE = 32,
    EARSHOT_IPC_SYSCALL_LAUNCH_ACTIVATE_SOCKET = 33,
    EARSHOT_IPC_SYSCALL_MEMFD_CREATE = 34,
    EARSHOT_IPC_SYSCALL_FTRUNCATE = 35,
    EARSHOT_IPC_SYSCALL_FORK = 36,
    EARSHOT_IPC_SYSCALL_DUP3 = 37,
    EARSHOT_IPC_SYSCALL_CLOSE_RANGE = 38,
    EARSHOT_IPC_SYSCALL_TIMERFD = 39,
    EARSHOT_IPC_SYSCALL_SETRLIMIT = 40,
    EARSHOT_IPC_SYSCALL_PRCTL = 41,
    EARSHOT_IPC_SYSCALL_UNSHARE = 42,
    EARSHOT_IPC_SYSCALL_SETGROUPS = 43,
    EARSHOT_IPC_SYSCALL_SETGID = 44,
    EARSHOT_IPC_SYSCALL_SETUID = 45,
    EARSHOT_IPC_SYSCALL_PIDFD_SEND_SIGNAL = 46,
    EARSHOT_IPC_SYSCALL_WAITID = 47
};

/* What a context waits with. poll is everywhere, epoll on Linux, kqueue on macOS and FreeBSD. */
enum earshot_ipc_poller_kind {
    EARSHOT_IPC_POLLER_KIND_POLL = 1,
    EARSHOT_IPC_POLLER_KIND_EPOLL = 2,
    EARSHOT_IPC_POLLER_KIND_KQUEUE = 3
};

/* What becomes of a connection whose queue is at queue_bytes_max. */
enum earshot_ipc_queue_policy {
    /* It ends, with the reason EARSHOT_IPC_REASON_QUEUE_LIMIT. */
    EARSHOT_IPC_QUEUE_POLICY_CLOSE = 0,
    /* What is to be sent is EARSHOT_IPC_CODE_QUEUE_FULL, and the connection goes on. */
    EARSHOT_IPC_QUEUE_POLICY_REFUSE = 1
};

/* How messages are told apart on the wire. */
enum earshot_ipc_framing {
    /* Each by its length before it. */
    EARSHOT_IPC_FRAMING_FRAMES = 0,
    /* Not at all: what arrives is reported as it comes, at most message_bytes_max at once, and what
     * is sent goes as it is, however long. In the outbox it has headers all the same, which stay behind. */
    EARSHOT_IPC_FRAMING_RAW = 1
};

/* How a connection is closed. */
enum earshot_ipc_close_how {
    /* What was taken is still sent, within drain_ns; what arrives is read no more. */
    EARSHOT_IPC_CLOSE_HOW_DRAIN = 0,
    /* At once; what is queued is lost, and its disconnection says how much that was. */
    EARSHOT_IPC_CLOSE_HOW_NOW = 1,
    /* The same; but a service leaves its name as it is, for whoever goes on with copies of its
     * descriptors (earshot_ipc_copies). */
    EARSHOT_IPC_CLOSE_HOW_LEAVE = 2
};

/* What a callback of a switch says of what it did. The numbers are LibIPC's. */
enum earshot_ipc_verdict {
    EARSHOT_IPC_VERDICT_DONE = 0,
    /* The switch ends, with the reason EARSHOT_IPC_REASON_MALFORMED. */
    EARSHOT_IPC_VERDICT_FAILED = 1,
    /* Its descriptor has come to its end, and so does the switch: EARSHOT_IPC_REASON_PEER_CLOSED. */
    EARSHOT_IPC_VERDICT_CLOSING = 2,
    /* There is nothing to pass on. From an output it is a failure. */
    EARSHOT_IPC_VERDICT_IGNORE = 3
};

/* The rule that a service's name breaks. */
enum earshot_ipc_name_fault {
    EARSHOT_IPC_NAME_FAULT_EMPTY = 0,
    /* It is longer than EARSHOT_IPC_NAME_BYTES_MAX. */
    EARSHOT_IPC_NAME_FAULT_TOO_LONG = 1,
    EARSHOT_IPC_NAME_FAULT_LEADING_DOT = 2,
    /* It holds something other than letters and digits of ASCII, '.', '_' and '-'. */
    EARSHOT_IPC_NAME_FAULT_CHARACTER = 3,
    /* It ends in .lock or .memory, in whatever case. */
    EARSHOT_IPC_NAME_FAULT_RESERVED_ENDING = 4
};

/* How it stands with a service. */
enum earshot_ipc_inspection_state {
    /* Served. */
    EARSHOT_IPC_INSPECTION_STATE_LIVE = 0,
    /* A socket whose owner is gone. */
    EARSHOT_IPC_INSPECTION_STATE_STALE = 1,
    /* Served by a program that keeps no lock, as LibIPC's do. */
    EARSHOT_IPC_INSPECTION_STATE_FOREIGN = 2,
    /* We lack the permission to find out. */
    EARSHOT_IPC_INSPECTION_STATE_UNKNOWN = 3
};

/* ---- the batch ----
 *
 * A context shares four areas of memory with its owner, mapped once and never moved:
 *
 *     control   what the last call that failed left behind
 *     events    the records of the batch, as many as earshot_ipc_wait returned
 *     inbox     the bytes of the batch's messages
 *     outbox    messages to be sent, written by the owner without a call
 *
 * A batch is good until the next earshot_ipc_wait or earshot_ipc_context_close; every other call
 * leaves it as it is. Events come in the order in which things were found; those of one connection
 * are in the order in which they happened. One connection brings some 256 KiB to a batch at most,
 * so that a busy one starves nobody. Closing something does not take back what the batch already
 * says of it. A message that must live longer is copied, or, if it is a loan, taken.
 */

/* One thing that happened. Which fields hold what is written at each earshot_ipc_event_type; the
 * others are 0. */
typedef struct earshot_ipc_event {
    uint8_t type;                /* earshot_ipc_event_type */
    uint8_t flags;               /* EARSHOT_IPC_EVENT_FLAG_LOAN or 0 */
    uint16_t reason;             /* earshot_ipc_reason */
    earshot_ipc_handle source;   /* whom it is about */
    earshot_ipc_handle origin;   /* the service it came through */
    uint32_t offset;
    uint32_t length;
    int32_t detail;
    uint64_t data;
} earshot_ipc_event;

/*
 * Messages for one connection in the outbox. They follow this, each with its header, as they go
 * over the wire; then come as many bytes as lead to a multiple of 4, where the next run begins:
 *
 *     | connection | bytes | messages | token_or_result | 00 00 00 05 h e l l o | 00 00 00 |
 *     0            4       8          12                16                      25         28
 *
 * earshot_ipc_wait and earshot_ipc_flush send the runs, and say of each in token_or_result what
 * became of it. From 0 up, all of it was taken, and so many bytes are now queued for its connection
 * (at most INT32_MAX is said); over queue_bytes_high, it is better to wait for
 * EARSHOT_IPC_EVENT_TYPE_DRAIN. Below 0, none of it was taken:
 *
 *     EARSHOT_IPC_CODE_CLOSED             the connection takes nothing any more
 *     EARSHOT_IPC_CODE_ENDED              the same, and its disconnection counts these messages
 *     EARSHOT_IPC_CODE_MESSAGE_TOO_LONG   one of them is over message_bytes_max
 *     EARSHOT_IPC_CODE_QUEUE_FULL         its queue is full, and its policy is to refuse
 *     EARSHOT_IPC_CODE_OUT_OF_MEMORY      there is no memory to queue it
 *     EARSHOT_IPC_CODE_MALFORMED          it is not that many whole messages, or has a token and is
 *                                         not one; the connection ends, with that reason
 *
 * A run that finds its connection's queue empty goes to the system, and what that does not take is
 * queued: with EARSHOT_IPC_QUEUE_POLICY_REFUSE all of it, even over queue_bytes_max, because the
 * front of it may be gone already. Whether a run is whole messages is only looked at where some of
 * it has to be queued.
 */
typedef struct earshot_ipc_run {
    earshot_ipc_handle connection;
    /* Of the messages, headers included, without the padding. */
    uint32_t bytes;
    uint32_t messages;
    /* In: 0, or for a run of a single message a token, whose EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX is
     * to be reported. Out: what became of the run. */
    int32_t token_or_result;
} earshot_ipc_run;

/*
 * The beginning of the control page. Once a call on the context has returned a code, error_number,
 * syscall and detail say what it met; a call that succeeds leaves them as they are, and so do
 * EARSHOT_IPC_CODE_WRONG_THREAD and a missing context. The rest is the library's.
 */
typedef struct earshot_ipc_control {
    uint32_t references;
    int32_t error_number;        /* the system's errno, 0 where it had no part in it */
    uint32_t syscall;            /* earshot_ipc_syscall */
    uint32_t reserved;
    int64_t detail;              /* goes with the code */
    uint64_t events_bytes;
    uint64_t inbox_bytes;
    uint64_t outbox_bytes;
    uint64_t total_bytes;
    uint64_t entrusted;
} earshot_ipc_control;

/* Where the areas are, and how far they go. */
typedef struct earshot_ipc_areas {
    earshot_ipc_control *control;
    earshot_ipc_event *events;
    uint8_t *inbox;
    uint8_t *outbox;             /* aligned for an earshot_ipc_run */
    uint32_t events_bytes;
    uint32_t inbox_bytes;
    uint32_t outbox_bytes;
    uint32_t reserved;
} earshot_ipc_areas;

/* ---- options ----
 *
 * Each call that takes options takes NULL for the defaults. To change one of them, begin with the
 * defaults: earshot_ipc_service_options options = EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT;
 * Zeros are not the defaults. What is reserved stays 0.
 */

/* How a context is made. */
typedef struct earshot_ipc_context_options {
    /* earshot_ipc_poller_kind, or 0 for the system's best. */
    uint32_t poller;
    /* 1 overwrites the bytes of a batch when the next begins, so that a stale view shows. */
    uint32_t poison;
    /* 0 for 1 MiB; else from 524,292 to 2^30. */
    uint32_t inbox_bytes;
    /* 0 for 1 MiB; else from 4096 to 2^30. */
    uint32_t outbox_bytes;
    /* How long a wait may look for traffic before it sleeps; it does so only while that has been
     * worth it. 0 for not at all, -1 for the default. */
    int64_t spin_ns;
} earshot_ipc_context_options;

#define EARSHOT_IPC_CONTEXT_OPTIONS_DEFAULT { 0, 0, 0, 0, -1 }

/* What one connection may take up. */
typedef struct earshot_ipc_limits {
    /* The longest message, both ways: up to EARSHOT_IPC_MESSAGE_BYTES_LIMIT. A peer that announces
     * a longer one is dropped. */
    uint32_t message_bytes_max;
    /* Connections of one service; further ones are refused. Of no meaning to who connects. */
    uint32_t connections_max;
    /* Over this many queued bytes the owner had better wait for EARSHOT_IPC_EVENT_TYPE_DRAIN. At
     * most queue_bytes_max. */
    uint64_t queue_bytes_high;
    /* What may be queued for a peer that does not read: room for the longest message with its
     * header at least, 2^40 at most. With EARSHOT_IPC_QUEUE_POLICY_REFUSE it may be more by one
     * earshot_ipc_run: one that finds the queue empty is taken whole. */
    uint64_t queue_bytes_max;
    /* A peer that begins a message and then sends nothing for so long is dropped; 0 waits for ever.
     * At most 2^60. */
    uint64_t stall_ns;
    /* How long a connection that was closed goes on sending what it had taken. At most 2^60. */
    uint64_t drain_ns;
    /* earshot_ipc_queue_policy */
    uint32_t queue_policy;
    /* The most descriptors that may come with one message, up to EARSHOT_IPC_DESCRIPTORS_MAX. With
     * 0, a peer that sends one is dropped. */
    uint32_t descriptors_max;
    /* The most that are held for all peers of one user together: what came and was not taken yet,
     * and what waits to be sent. At most 2^20. */
    uint32_t descriptors_held_max;
    /* earshot_ipc_framing */
    uint32_t framing;
} earshot_ipc_limits;

#define EARSHOT_IPC_LIMITS_DEFAULT                                                                 \
    {                                                                                              \
        16 * 1024 * 1024, 65536, 1024 * 1024, 64 * 1024 * 1024, 30000000000, 5000000000,           \
            EARSHOT_IPC_QUEUE_POLICY_CLOSE, 0, 1012, EARSHOT_IPC_FRAMING_FRAMES                    \
    }

/* How a name is served. */
typedef struct earshot_ipc_service_options {
    /* Of each of its connections. */
    earshot_ipc_limits limits;
    /* The socket's permission bits: who gets as far as being looked at. */
    uint32_t mode;
    /* How many connections may wait to be accepted; systems cut this to a limit of their own. */
    uint32_t backlog;
    /* 1 lets everybody in, whatever the lists say. */
    uint32_t allow_everyone;
    /* 1 accepts a run directory that others use as well: the own user's or root's, and with the
     * sticky bit if others can write to it. */
    uint32_t shared;
} earshot_ipc_service_options;

#define EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT { EARSHOT_IPC_LIMITS_DEFAULT, 0600, 4096, 0, 0 }

/* How a connection is made. */
typedef struct earshot_ipc_connect_options {
    earshot_ipc_limits limits;
    /* As in earshot_ipc_service_options. */
    uint32_t shared;
    uint32_t reserved;
} earshot_ipc_connect_options;

#define EARSHOT_IPC_CONNECT_OPTIONS_DEFAULT { EARSHOT_IPC_LIMITS_DEFAULT, 0, 0 }

/* ---- answers ----
 *
 * Three of them bear the name of the call that gives them, as struct stat does.
 */

/* Who is at the other end, as the system saw it when the connection was made. */
struct earshot_ipc_peer {
    uint32_t uid;
    uint32_t gid;
    int32_t pid;                 /* 0 where the system does not tell */
    uint32_t reserved;
};

/* Where a TCP socket is. */
struct earshot_ipc_address {
    uint32_t family;             /* 4 for IPv4, 6 for IPv6 */
    uint32_t port;
    uint32_t scope;              /* the interface of a link-local IPv6 address, else 0 */
    uint8_t bytes[16];           /* in the order of the wire; IPv4 has the first four */
    uint32_t reserved;
};

/* What a call without a context met; the others leave it in earshot_ipc_control. */
typedef struct earshot_ipc_failure {
    int32_t error_number;        /* the system's errno, 0 where it had no part in it */
    uint32_t syscall;            /* earshot_ipc_syscall */
    int64_t detail;              /* goes with the code */
} earshot_ipc_failure;

/* What is found at a name in a run directory. */
typedef struct earshot_ipc_inspection {
    uint32_t state;              /* earshot_ipc_inspection_state */
    int32_t pid;                 /* who serves, 0 where nobody does or it cannot be told */
    uint32_t uid;                /* whose socket it is */
    uint32_t reserved;
} earshot_ipc_inspection;

/* What a connection, a service or a context has done so far. A service's figures are the sum of its
 * connections', a context's the sum of everything's, and both keep those of the ended ones. */
struct earshot_ipc_statistics {
    uint64_t messages_received;
    uint64_t messages_sent;      /* those that are with the system */
    uint64_t bytes_received;     /* on the wire: messages and their headers */
    uint64_t bytes_sent;
    uint64_t queued_bytes;       /* taken to be sent, and not with the system yet */
    uint64_t messages_lost;      /* taken to be sent, and their connection ended first */
    uint64_t connections_accepted;
    uint64_t connections_made;   /* connected, adopted or dialed; only a context has these */
    uint64_t connections_open;
    uint64_t descriptors;        /* held now, one for each external one too; not a bell */
    /* How many connections ended, were refused or had trouble, by earshot_ipc_reason. */
    uint64_t reasons[EARSHOT_IPC_REASON_DESCRIPTORS_TOO_MANY + 1];
};

/* ---- the library ---- */

/* The ABI of the library that is loaded, to be compared with EARSHOT_IPC_ABI. */
int32_t earshot_ipc_abi(void);

/* The same in full: JSON with every size, offset, number and signature. It is the library's, is
 * good for ever, and ends with a zero byte. */
const char *earshot_ipc_manifest(void);

/* ---- a context ---- */

typedef struct earshot_ipc_context earshot_ipc_context;

/*
 * Opens a context for the calling thread and puts it into `context`, or NULL there where it fails.
 * Without options it has the defaults. `failure` may be missing.
 */
int32_t earshot_ipc_context_open(
    const earshot_ipc_context_options *options,
    earshot_ipc_context **context,
    earshot_ipc_failure *failure);

/*
 * Ends a context and everything in it, at once: of what is queued, the system gets what it takes
 * now. Names are given up. No callback comes after this returns, and no other thread may be in
 * earshot_ipc_ring any more. Areas that are referenced and loans that were taken stay.
 */
int32_t earshot_ipc_context_close(earshot_ipc_context *context);

/*
 * For a host whose thread can be ended from outside without closing anything: from now on the
 * context closes by itself, on whatever thread that happens, when the last reference to its areas
 * but its own is released. To be called when there is one.
 */
int32_t earshot_ipc_context_entrust(earshot_ipc_context *context);

/* Where the areas of a context are. They stay there until it is closed. */
int32_t earshot_ipc_context_areas(earshot_ipc_context *context, earshot_ipc_areas *areas);

/* Keeps all areas mapped beyond the context's end, so that whoever still looks at them sees old
 * bytes and not a fault. To be made while they are still there. Any thread may call it. */
void earshot_ipc_area_reference(earshot_ipc_control *control);

/* Gives back one such reference; the memory goes with the last one and the context. Any thread may
 * call it. The first argument is not used: it makes this a finalizer such as runtimes call, with
 * the memory's address and a pointer of one's own. */
void earshot_ipc_area_release(void *area, earshot_ipc_control *control);

/*
 * Takes over a message with EARSHOT_IPC_EVENT_FLAG_LOAN, by the address in its `data`; otherwise it
 * goes with its batch. EARSHOT_IPC_CODE_CLOSED if the batch has no such loan, or no longer.
 */
int32_t earshot_ipc_loan_take(earshot_ipc_context *context, uint8_t *message);

/* Frees a message that was taken over, even after its context has gone. Any thread may call it. The
 * second argument is not used, for a finalizer's sake. */
void earshot_ipc_loan_release(uint8_t *message, void *unused);

/* ---- waiting ---- */

/*
 * Sends the first `outbox_bytes` of the outbox (whole runs, of which only the last may lack its
 * padding) and what was scheduled, waits until there is something to report, and returns how many
 * events the batch now holds. The batch before it is gone, its loans included.
 *
 *   timeout_ns   how long to wait at most: 0 for not at all, negative for ever
 *   spin_ns      how long to look for traffic before sleeping; negative leaves it to the context
 *
 * 0 means that the time is over, that somebody has rung, or that a run was not taken, which is said
 * in the run. EARSHOT_IPC_CODE_INVALID_ARGUMENT is a run that reaches beyond outbox_bytes, or
 * outbox_bytes beyond the outbox; what stood before it in the outbox was sent, and the batch is
 * empty.
 */
int32_t earshot_ipc_wait(
    earshot_ipc_context *context,
    int64_t timeout_ns,
    int64_t spin_ns,
    uint32_t outbox_bytes);

/*
 * The same for one event at a time: the next one of the batch, and when it is used up, the first of
 * another. Returns 1 with an event in `event` and, of a message, its bytes in `message`, which are good
 * until the next call; 0 where earshot_ipc_wait would return 0. The outbox is left alone. `message` may
 * be missing. An earshot_ipc_wait in between begins another batch, without what was left of the last.
 *
 *     earshot_ipc_event event;
 *     const uint8_t *message;
 *     while (earshot_ipc_next(context, -1, &event, &message) >= 0)
 *         if (event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX)
 *             earshot_ipc_schedule(context, event.source, message, event.length, 0);
 */
int32_t earshot_ipc_next(
    earshot_ipc_context *context,
    int64_t timeout_ns,
    earshot_ipc_event *event,
    const uint8_t **message);

/* Sends the same as earshot_ipc_wait, and does nothing else: the batch stays good. */
int32_t earshot_ipc_flush(earshot_ipc_context *context, uint32_t outbox_bytes);

/* Called on a thread of the library's, on which all signals are blocked. */
typedef void (*earshot_ipc_callback)(void);

/*
 * A bell for an event loop that polls descriptors: returns one, which earshot_ipc_arm without a
 * callback makes readable, a byte each time. It is the caller's to read and to close; it may be
 * closed at any time. Once for each context, before earshot_ipc_arm.
 */
int32_t earshot_ipc_bell(earshot_ipc_context *context);

/*
 * The same by one end of a socket pair that the caller has made, for who has to poll the other end
 * before there may be a thread, as before a fork. That end belongs to the context from then on, unless
 * this fails.
 */
int32_t earshot_ipc_bell_on(earshot_ipc_context *context, int descriptor);

/*
 * The same for the first thread of a process, whose loop is an epoll with which the other end of the
 * pair, `registered`, is registered already. Where that will do there is no thread, and 1 is returned:
 * what the context waits for stands in that epoll under the same data, `registered` itself is polled
 * no more, and a byte lies ready in it whenever the data is reported. Whoever reads the byte says so
 * by earshot_ipc_bell_heard. Where it will not do, 0 is returned, and all is as by earshot_ipc_bell_on.
 */
int32_t earshot_ipc_bell_beside(earshot_ipc_context *context, int descriptor, int registered);
int32_t earshot_ipc_bell_heard(earshot_ipc_context *context);

/* Takes the bell down, so that the context may be given another. It has to be done before the other end
 * is closed if earshot_ipc_bell_beside returned 1, since the loop may then use the data for something else. */
int32_t earshot_ipc_bell_end(earshot_ipc_context *context);

/*
 * For a program with an event loop of its own, which must not block in earshot_ipc_wait: has a
 * thread sleep in its stead. Returns 1 if there is something to report or to send already, and then
 * nothing is waited for; else 0, and the callback is called once when there is something to report,
 * or somebody rings. Arming anew before that replaces the first time. The loop then goes:
 *
 *     arm -- 0 --> other work -- callback --> wait, with a timeout of 0; the batch; flush --> arm
 *      \---- 1 --------------------------------^
 *
 * The callback is to wake the loop (write into a pipe, post a task) and may call nothing here but
 * earshot_ipc_ring. It may come without anything to report. The first one given is kept for as long
 * as the context lives. What is in the outbox is not known to this: flush it first. What is added or
 * scheduled after it has returned 0, be it a timer that is due sooner, a descriptor or a message to
 * be sent, is not waited for until it is armed anew. With a bell there is no callback, and it is
 * rung in its stead.
 */
int32_t earshot_ipc_arm(earshot_ipc_context *context, earshot_ipc_callback callback);

/* Lets a wait on the owner's thread return, or the next one if there is none, perhaps with nothing
 * to report. Any thread may call it while the context is open; several may count as one. */
void earshot_ipc_ring(earshot_ipc_context *context);

/* ---- adding ----
 *
 * Each returns a handle, above 0.
 */

/*
 * Serves a name in a run directory, which is made, with mode 0700 less the umask, if only its last
 * part is missing. Connections are reported by EARSHOT_IPC_EVENT_TYPE_CONNECTION. The name is held
 * until the service is closed; what a killed owner left is replaced.
 *
 * Who may connect is decided by what the system says of the peer, before its first byte is read:
 * everybody if allow_everyone, else whose user is in `users` or whose group, the primary one, is in
 * `groups`, else, without either list, this process's own user and root.
 *
 * Fails with what is wrong with the name, the path, the directory or the lock; with
 * EARSHOT_IPC_CODE_ALREADY_SERVED, and with EARSHOT_IPC_CODE_INVALID_ARGUMENT where the options are
 * out of their ranges.
 */
int32_t earshot_ipc_serve(
    earshot_ipc_context *context,
    const char *directory,
    uint32_t directory_bytes,
    const char *name,
    uint32_t name_bytes,
    const earshot_ipc_service_options *options,
    const uint32_t *users,
    uint32_t users_count,
    const uint32_t *groups,
    uint32_t groups_count);

/*
 * Connects to a name in a run directory. It does not block, and the connection can be written to at
 * once: no event tells that it is made. EARSHOT_IPC_CODE_SERVICE_BUSY is the one code after which
 * it is worth trying again a moment later.
 */
int32_t earshot_ipc_connect(
    earshot_ipc_context *context,
    const char *directory,
    uint32_t directory_bytes,
    const char *name,
    uint32_t name_bytes,
    const earshot_ipc_connect_options *options);

/*
 * The same for a service that may be elsewhere. The environment variable IPC_NETWORK, or what is given in
 * its place, says which are and where (NAME URI; NAME URI …): for those the service `ipc` of the run
 * directory is asked, which finds the way and hands the connection over. All others are connected to here.
 *
 * It blocks, for at most timeout_ns, or for ever if that is below zero: ipcd may have to reach a machine far
 * away. Nothing else that the context has is looked after meanwhile; its events stay for the next wait.
 *
 * Without a network (NULL) the variable counts; with no bytes of one everything is here. If there is no
 * way, EARSHOT_IPC_CODE_NO_WAY, and `reason` says why, in UTF-8 with a zero byte behind it; it may be NULL,
 * and is empty after any other code. EARSHOT_IPC_CODE_NETWORK_INVALID, with the number of the entry as its
 * detail, if the network cannot be understood; EARSHOT_IPC_CODE_TIMED_OUT. What is missing where
 * EARSHOT_IPC_CODE_SERVICE_MISSING is told of a service elsewhere is ipcd.
 */
int32_t earshot_ipc_lookup(
    earshot_ipc_context *context,
    const char *directory,
    uint32_t directory_bytes,
    const char *name,
    uint32_t name_bytes,
    const char *network,
    uint32_t network_bytes,
    int64_t timeout_ns,
    const earshot_ipc_connect_options *options,
    char reason[EARSHOT_IPC_REASON_BYTES_MAX]);

/*
 * Reports when a descriptor is readable or has ended, again and again until that is no longer so.
 * It stays the caller's, to close at any time; what it stands for is kept open until this handle is
 * closed. One that cannot be waited for, such as a plain file, is always readable.
 */
int32_t earshot_ipc_watch(earshot_ipc_context *context, int32_t descriptor);

/* A timer that is due in first_ns, and then every period_ns, or never again if that is 0. */
int32_t earshot_ipc_timer(earshot_ipc_context *context, int64_t first_ns, int64_t period_ns);

/* ---- switches ---- */

/*
 * Binds two connections or external descriptors: what arrives on one leaves by the other from now on,
 * a bounded part of it at a time, without their owner. Their handles are stale then, and nothing
 * more is reported of them. `seen` is how many events of the batch their owner has had: messages of
 * the two among the others go first, and those events are none any more, their source being 0. UINT32_MAX
 * stands for those that earshot_ipc_next has returned. The end of what comes from one side is passed on, and the other side goes
 * on; when both are over, or either breaks, so is the switch. What had come of a message that is not
 * whole yet, and what was still to be sent, goes first. Returns the handle of the switch.
 *
 * What comes from one needs the other to be one that can be written: else it is
 * EARSHOT_IPC_CODE_NOT_WRITABLE, and both go on as they were. From what can only be read to what can only be
 * written bytes go one way, and so they do to a connection that is paused and has said nothing: it is
 * not read then. EARSHOT_IPC_CODE_INVALID_ARGUMENT if nothing could pass either way.
 */
int32_t earshot_ipc_switch(
    earshot_ipc_context *context,
    earshot_ipc_handle one,
    earshot_ipc_handle other,
    uint32_t seen);

/*
 * Reads from the descriptor, which has something or has ended, and puts whole messages, each with its
 * header, into `bytes`. *length is the room there, and then how many bytes it was. Returns an
 * earshot_ipc_verdict.
 */
typedef int (*earshot_ipc_input)(void *argument, int32_t descriptor, uint8_t *bytes, uint32_t *length);

/* Writes one message, which has its header, to the descriptor, all of it. Returns an
 * earshot_ipc_verdict. */
typedef int (*earshot_ipc_output)(
    void *argument,
    int32_t descriptor,
    const uint8_t *bytes,
    uint32_t length);

/*
 * Has one end of a switch (0: one, 1: other) read and written by callbacks, in a format of their own;
 * either may be missing. They are called on the owner's thread, in earshot_ipc_wait, and may make no
 * call on the context. The descriptor blocks while a callback has it.
 */
int32_t earshot_ipc_switch_callbacks(
    earshot_ipc_context *context,
    earshot_ipc_handle bound,
    uint32_t end,
    earshot_ipc_input input,
    earshot_ipc_output output,
    void *argument);

/*
 * Is given bytes that have come, or the payload of a message that is to leave, both good during the call,
 * and hands over what they become by earshot_ipc_convert, once or several times, or not at all. Returns
 * an earshot_ipc_verdict.
 */
typedef int (*earshot_ipc_converter)(void *argument, const uint8_t *bytes, uint32_t length);

/*
 * The same for converters, which leave reading and writing to the context: `decode` makes messages of what
 * comes on that end, each of which is handed over at once, and `encode` makes bytes of the messages that
 * leave by it. Either may be missing: then messages are as on the wire, a length and its bytes. The last
 * call of this or earshot_ipc_switch_callbacks for an end counts.
 */
int32_t earshot_ipc_switch_converters(
    earshot_ipc_context *context,
    earshot_ipc_handle bound,
    uint32_t end,
    earshot_ipc_converter decode,
    earshot_ipc_converter encode,
    void *argument);

/* From within a converter: this is what it has made, or a part of it. EARSHOT_IPC_CODE_INVALID_ARGUMENT
 * anywhere else. */
int32_t earshot_ipc_convert(earshot_ipc_context *context, const void *bytes, uint32_t count);

/* ---- sending ----
 *
 * Both copy the message, return the bytes now queued for its connection (at most INT32_MAX is
 * said), and keep the order of one connection, also with what comes from the outbox. They fail with
 * EARSHOT_IPC_CODE_CLOSED, EARSHOT_IPC_CODE_MESSAGE_TOO_LONG, EARSHOT_IPC_CODE_QUEUE_FULL and
 * EARSHOT_IPC_CODE_OUT_OF_MEMORY, and then the message was not taken; and with
 * EARSHOT_IPC_CODE_ENDED, and then it is among those that are counted as lost.
 */

/* Queues one message, to be sent with everything else by the next wait or flush. A token other than
 * 0 asks for an EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX, which carries it. */
int32_t earshot_ipc_schedule(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    const void *message,
    uint32_t bytes,
    int32_t token);

/* Sends one message now, behind what is queued for its connection already. 0 means that the system
 * has all of it; the rest goes out while waiting. */
int32_t earshot_ipc_write(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    const void *message,
    uint32_t bytes);

/*
 * The same with descriptors, at most EARSHOT_IPC_DESCRIPTORS_MAX, which go along with the message and
 * stay the caller's, to close when this has returned: what has to wait keeps copies of them. The peer
 * must have asked for them (descriptors_max), or the connection ends. Where they go along, the message
 * is a send of its own, and they belong to it. EARSHOT_IPC_CODE_DESCRIPTOR_UNPASSABLE,
 * EARSHOT_IPC_CODE_DESCRIPTORS_CROWDED, EARSHOT_IPC_CODE_DESCRIPTORS_TOO_MANY and
 * EARSHOT_IPC_CODE_DESCRIPTOR_LIMIT mean that nothing was taken, and so does
 * EARSHOT_IPC_CODE_NOT_AVAILABLE: a TCP connection carries none.
 */
int32_t earshot_ipc_send(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    const void *message,
    uint32_t bytes,
    const int32_t *descriptors,
    uint32_t descriptors_count);

/* With 1, reads nothing more from a connection, so that its peer comes to wait; with 0, goes on.
 * What the batch already has of it stays. A peer that is gone makes an end of the pause: what it
 * had still sent is reported, and then its disconnection. */
int32_t earshot_ipc_pause(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    uint32_t paused);

/* Changes a connection's `message_bytes_max`: what its peer may send, as more is known of it, and what
 * is sent to it. A message whose length has been read goes on. EARSHOT_IPC_CODE_INVALID_ARGUMENT if
 * `queue_bytes_max` has no room for such a message. A switch goes on with what it found. */
int32_t earshot_ipc_limit_messages(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    uint32_t message_bytes_max);

/* ---- what changes hands ---- */

/*
 * Takes over the descriptors that came with a message of this batch, by the `detail` of its event, and
 * returns how many there are. They are the caller's to close, and close-on-exec; what is not taken is
 * closed with the batch. EARSHOT_IPC_CODE_CLOSED if they were taken, or the batch has no such.
 */
int32_t earshot_ipc_take(
    earshot_ipc_context *context,
    int32_t detail,
    int32_t descriptors[EARSHOT_IPC_DESCRIPTORS_MAX]);

/*
 * Goes on with a socket that was made elsewhere: one that listens is a service from now on, whose name
 * is not looked after, and any other a connection. Returns its handle, and owns the descriptor then;
 * after a code it stays the caller's. Of the options, limits hold for both, and who may connect for a
 * service, unless that is of TCP: then everybody may.
 */
int32_t earshot_ipc_adopt(
    earshot_ipc_context *context,
    int32_t descriptor,
    const earshot_ipc_service_options *options,
    const uint32_t *users,
    uint32_t users_count,
    const uint32_t *groups,
    uint32_t groups_count);

/*
 * The same for a service that another process serves under its name, by copies of its socket and of its
 * lock (earshot_ipc_copies): the name is looked after here from now on. The other one leaves it
 * (EARSHOT_IPC_CLOSE_HOW_LEAVE) when this has succeeded; until then both accept.
 * EARSHOT_IPC_CODE_SERVICE_FOREIGN if the descriptors are not what serves this name.
 */
int32_t earshot_ipc_take_over(
    earshot_ipc_context *context,
    const char *directory,
    uint32_t directory_bytes,
    const char *name,
    uint32_t name_bytes,
    int32_t descriptor,
    int32_t lock,
    const earshot_ipc_service_options *options,
    const uint32_t *users,
    uint32_t users_count,
    const uint32_t *groups,
    uint32_t groups_count);

/*
 * Makes copies of what a handle stands for, to be given away, and returns how many: the socket of a
 * connection or a service, then the lock of a service that has one; or an external descriptor. They are
 * the caller's to close. EARSHOT_IPC_CODE_UNFINISHED for a connection that is in the middle of a message.
 */
int32_t earshot_ipc_copies(
    earshot_ipc_context *context,
    earshot_ipc_handle handle,
    int32_t descriptors[EARSHOT_IPC_COPIES_MAX]);

/* Two sockets that are connected to each other, for two processes that nothing leads to one another by.
 * They are the caller's; earshot_ipc_adopt makes one a connection, and earshot_ipc_send gives the other
 * away. */
int32_t earshot_ipc_pair(earshot_ipc_context *context, int32_t descriptors[2]);

/* ---- other machines ----
 *
 * For daemons that carry what is local over TCP. Nobody knows who is at the other end of these: their
 * user and group are 4294967295, and their process is 0.
 */

/* Accepts connections at an address, from anybody. Port 0 takes one that is free, which
 * earshot_ipc_address tells. All of IPv6, ::, stands for IPv4 as well; who comes by that has an
 * IPv4 address. */
int32_t earshot_ipc_listen(
    earshot_ipc_context *context,
    const struct earshot_ipc_address *address,
    uint32_t backlog,
    const earshot_ipc_limits *limits);

/* A connection to an address. It can be used once an EARSHOT_IPC_EVENT_TYPE_CONNECTION tells that it is
 * there; its disconnection tells that it cannot be (detail: the system's error number). */
int32_t earshot_ipc_dial(
    earshot_ipc_context *context,
    const struct earshot_ipc_address *address,
    const earshot_ipc_limits *limits);

/* Where the other end of a connection is, or where a service listens. EARSHOT_IPC_CODE_NOT_AVAILABLE
 * for what is not TCP. */
int32_t earshot_ipc_address(
    earshot_ipc_context *context,
    earshot_ipc_handle handle,
    struct earshot_ipc_address *address);

/* The same for this end of a connection: where it came to, which one that listens everywhere does not say. */
int32_t earshot_ipc_own_address(
    earshot_ipc_context *context,
    earshot_ipc_handle handle,
    struct earshot_ipc_address *address);

/* ---- closing ---- */

/*
 * Ends what the handle names. For a connection, `how` is an earshot_ipc_close_how and a later wait
 * reports the disconnection. A service gives up its name at once, and its connections go on; timers
 * and external descriptors end at once as well. None of these three is reported.
 */
int32_t earshot_ipc_close(earshot_ipc_context *context, earshot_ipc_handle handle, uint32_t how);

/* The same for everything in the context. */
int32_t earshot_ipc_close_all(earshot_ipc_context *context, uint32_t how);

/* ---- asking ---- */

/* Who is at the other end. Good until the disconnection has been reported. */
int32_t earshot_ipc_peer(
    earshot_ipc_context *context,
    earshot_ipc_handle connection,
    struct earshot_ipc_peer *peer);

/*
 * A descriptor of the peer's process, which goes on meaning that process when its number is already
 * another's; it is the caller's to close. EARSHOT_IPC_CODE_NOT_AVAILABLE where the system has none.
 */
int32_t earshot_ipc_peer_process(earshot_ipc_context *context, earshot_ipc_handle connection);

/* The figures of a connection or a service, or of the whole context for the handle 0. */
int32_t earshot_ipc_statistics(
    earshot_ipc_context *context,
    earshot_ipc_handle handle,
    struct earshot_ipc_statistics *statistics);

/* ---- the run directory ---- */

/*
 * How it stands with a name in a run directory, without a context. A service that is live notices
 * nothing. EARSHOT_IPC_CODE_SERVICE_MISSING if nothing has that name, EARSHOT_IPC_CODE_PATH_TAKEN
 * if something has that is not a socket. `shared` is as in earshot_ipc_service_options; `failure`
 * may be missing.
 */
int32_t earshot_ipc_inspect(
    const char *directory,
    uint32_t directory_bytes,
    uint32_t shared,
    const char *name,
    uint32_t name_bytes,
    earshot_ipc_inspection *inspection,
    earshot_ipc_failure *failure);

/*
 * Writes where services are found into `path` and returns its length: the first that is set of
 * `option`, EARSHOT_RUNDIR, RUNDIR, `earshot` in XDG_RUNTIME_DIR, and else /tmp/earshot-UID. For a
 * variable that is NULL the environment of the process is asked; an empty one counts as unset,
 * there as here. EARSHOT_IPC_CODE_PATH_TOO_LONG if `path` has too little room.
 */
int32_t earshot_ipc_run_directory(
    const char *option,
    uint32_t option_bytes,
    const char *earshot_rundir,
    uint32_t earshot_rundir_bytes,
    const char *rundir,
    uint32_t rundir_bytes,
    const char *xdg_runtime_dir,
    uint32_t xdg_runtime_dir_bytes,
    char *path,
    uint32_t path_bytes);

/* ---- pipes ----
 *
 * For two processes that talk in turns, over a pipe each way that a third has given them: a call waits, and
 * whoever makes it does nothing else meanwhile. They take no context, and `failure` may be missing.
 *
 * `timeout_ns` is how long to wait, for ever below zero; then it is EARSHOT_IPC_CODE_TIMED_OUT. `life`, unless
 * it is below zero, is something that can be read from, as a pipe, whose other end somebody holds open and never
 * writes to: when that is closed, or its holder dies, every wait is EARSHOT_IPC_CODE_CLOSED.
 */

/* The two ends of a pipe, to read from and to write to, close-on-exec and without blocking. They are the
 * caller's. */
int32_t earshot_ipc_pipe(int32_t descriptors[2], earshot_ipc_failure *failure);

/* Has an end wait by itself (1), or not any more (0): whoever waits without bounds needs one call less then. */
int32_t earshot_ipc_pipe_block(int32_t descriptor, uint32_t blocks, earshot_ipc_failure *failure);

/* Waits until something can be read, and returns how many bytes there were, `bytes_max` at most; 0 at the end. */
int32_t earshot_ipc_pipe_read(
    int32_t descriptor,
    uint8_t *bytes,
    uint32_t bytes_max,
    int32_t life,
    int64_t timeout_ns,
    earshot_ipc_failure *failure);

/* Writes all of it, and waits where there is no room; `timeout_ns` is for each wait. EARSHOT_IPC_CODE_ENDED if
 * nobody reads any more, which raises no signal. After any code a part of it may have gone. */
int32_t earshot_ipc_pipe_write(
    int32_t descriptor,
    const uint8_t *bytes,
    uint32_t bytes_count,
    int32_t life,
    int64_t timeout_ns,
    earshot_ipc_failure *failure);

/* ---- files ---- */

/*
 * Takes the lock on a file that is open for writing, without waiting: 1 if this descriptor has it now, 0 if
 * another one has, in whatever process. It goes when the descriptor and all its copies are closed, and so when
 * their processes end, however they do. It keeps out those alone who ask for it. `failure` may be missing.
 */
int32_t earshot_ipc_lock(int32_t descriptor, earshot_ipc_failure *failure);

/* ---- service managers ---- */

/*
 * Takes a descriptor that the process was started with for its own: close-on-exec, and without
 * blocking. Writes the path that clients find it by into `path` and returns its length, 0 for one that
 * has none. EARSHOT_IPC_CODE_NOT_STREAM if it is no Unix stream socket, EARSHOT_IPC_CODE_NOT_LISTENING
 * if nobody can connect to it. earshot_ipc_adopt goes on with it. `failure` may be missing.
 */
int32_t earshot_ipc_inherit(
    int32_t descriptor,
    char *path,
    uint32_t path_bytes,
    earshot_ipc_failure *failure);

/*
 * The sockets that launchd made for this process under `name` (launch_activate_socket(3)), and how many
 * there are. They are the caller's to close. EARSHOT_IPC_CODE_NOT_AVAILABLE where there is no launchd,
 * EARSHOT_IPC_CODE_SERVICE_MISSING if it has none of that name for this process,
 * EARSHOT_IPC_CODE_ALREADY_SERVED if it has given them out before. `failure` may be missing.
 */
int32_t earshot_ipc_launch_sockets(
    const char *name,
    uint32_t name_bytes,
    int32_t descriptors[EARSHOT_IPC_LAUNCH_SOCKETS_MAX],
    earshot_ipc_failure *failure);

/*
 * Sends one datagram, as sd_notify(3) does, to a path or, on Linux, to what follows an `@`: what
 * NOTIFY_SOCKET says. Waits for 5 seconds at most where the manager does not read. `failure` may be
 * missing.
 */
int32_t earshot_ipc_notify(
    const char *address,
    uint32_t address_bytes,
    const char *text,
    uint32_t text_bytes,
    earshot_ipc_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
