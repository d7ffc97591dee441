/*
 * libearshot-zygote: a process that waits to be forked, and its forks. Linux has it; elsewhere what
 * needs a fork answers EARSHOT_ZYGOTE_CODE_NOT_AVAILABLE.
 *
 * A zygote gets itself ready once, and calls earshot_zygote_serve, which returns in each fork, as often
 * as its owner asks for one. This program is the owner, and its child the zygote:
 *
 *     #include <earshot/zygote.h>
 *     #include <arpa/inet.h>
 *     #include <string.h>
 *     #include <sys/socket.h>
 *     #include <sys/wait.h>
 *     #include <unistd.h>
 *
 *     int main(void)
 *     {
 *         struct { uint32_t length; struct earshot_zygote_request request; } frame;
 *         union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr header; } beside;
 *         struct earshot_zygote_settings settings = { 0, -1, 1000000000, EARSHOT_ZYGOTE_ORPHANS_END, 0, 0, 0 };
 *         struct earshot_zygote_clone clone;
 *         struct iovec part = { &frame, sizeof frame };
 *         struct msghdr message;
 *         int control[2], ends[2], status;
 *         char said[5];
 *         pid_t zygote;
 *
 *         if (earshot_zygote_abi() != EARSHOT_ZYGOTE_ABI) return 1;
 *         if (socketpair(AF_UNIX, SOCK_STREAM, 0, control) != 0) return 1;
 *         if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return 1;
 *         zygote = fork();
 *         if (zygote == 0) {
 *             close(control[0]);
 *             settings.control = control[1];
 *             if (earshot_zygote_serve(&settings, &clone) != 1) _exit(0);
 *             _exit(earshot_zygote_write(clone.connection, (const uint8_t *)"hello", 5) != 1);
 *         }
 *         memset(&message, 0, sizeof message);
 *         memset(&beside, 0, sizeof beside);
 *         frame.length = htonl(sizeof frame.request);
 *         frame.request.id = 1;
 *         frame.request.ahead = 0;
 *         message.msg_iov = &part;
 *         message.msg_iovlen = 1;
 *         message.msg_control = beside.bytes;
 *         message.msg_controllen = sizeof beside.bytes;
 *         beside.header.cmsg_len = CMSG_LEN(sizeof(int));
 *         beside.header.cmsg_level = SOL_SOCKET;
 *         beside.header.cmsg_type = SCM_RIGHTS;
 *         memcpy(CMSG_DATA(&beside.header), &ends[1], sizeof(int));
 *         if (sendmsg(control[0], &message, 0) != (ssize_t)sizeof frame) return 1;
 *         close(ends[1]);
 *         if (recv(ends[0], said, 5, MSG_WAITALL) != 5 || memcmp(said, "hello", 5) != 0) return 1;
 *         close(control[0]);
 *         if (waitpid(zygote, &status, 0) != zygote) return 1;
 *         return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
 *     }
 *
 * Wire      Owner and zygote speak over a Unix stream socket, in frames as contexts have them: the length
 *           as 32 bits, big-endian, and so many bytes, which are a structure as the processor has it.
 *           With an earshot_zygote_request comes one descriptor, the clone's end of a pair of sockets;
 *           with an earshot_zygote_report that says `forked`, the clone's pidfd.
 * Results   are int32_t: a value from 0 up, or an earshot_zygote_code below 0.
 * Threads   earshot_zygote_serve is for a process that has one.
 * Signals   None is used, and no handler installed.
 * Pointers  One that is missing is EARSHOT_ZYGOTE_CODE_INVALID_ARGUMENT.
 */
#ifndef EARSHOT_ZYGOTE_H
#define EARSHOT_ZYGOTE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- numbers ---- */

/* What this header describes, to be compared with earshot_zygote_abi(). */
#define EARSHOT_ZYGOTE_ABI 1

/* What a clone exits with, before it returns from earshot_zygote_serve, if the system refuses it the descriptors of
 * its own that it needs. */
#define EARSHOT_ZYGOTE_UNSETTLED_EXIT 125

/* What becomes of the clones of a zygote that was killed. */
enum earshot_zygote_orphans {
    EARSHOT_ZYGOTE_ORPHANS_END = 0,
    EARSHOT_ZYGOTE_ORPHANS_KEEP = 1
};

enum earshot_zygote_report_kind {
    /* The clone's pidfd comes with it. */
    EARSHOT_ZYGOTE_REPORT_KIND_FORKED = 0,
    /* It could not be forked: the rest says why. */
    EARSHOT_ZYGOTE_REPORT_KIND_FAILED = 1,
    /* The clone has ended: `code` is that of its exit, or -1, and `signal` what killed it. */
    EARSHOT_ZYGOTE_REPORT_KIND_ENDED = 2
};

enum earshot_zygote_code {
    EARSHOT_ZYGOTE_CODE_OK = 0,
    /* An argument is out of its range. */
    EARSHOT_ZYGOTE_CODE_INVALID_ARGUMENT = -1,
    EARSHOT_ZYGOTE_CODE_OUT_OF_MEMORY = -4,
    /* The system has no such thing. */
    EARSHOT_ZYGOTE_CODE_NOT_AVAILABLE = -5,
    /* The process or the system is out of descriptors. */
    EARSHOT_ZYGOTE_CODE_DESCRIPTOR_LIMIT = -7,
    EARSHOT_ZYGOTE_CODE_PERMISSION = -28,
    /* The user has as many processes, or namespaces, as he may have. */
    EARSHOT_ZYGOTE_CODE_PROCESS_LIMIT = -90,
    /* The process has threads, which could hold locks that a fork needs. */
    EARSHOT_ZYGOTE_CODE_NOT_ALONE = -91,
    /* The process has more of something than is provided for: event loops, or what they watch. */
    EARSHOT_ZYGOTE_CODE_TOO_MANY = -92,
    /* There is no such process any more. */
    EARSHOT_ZYGOTE_CODE_GONE = -93,
    /* The system reported something else. */
    EARSHOT_ZYGOTE_CODE_UNEXPECTED = -99
};

/* ---- structures ---- */

struct earshot_zygote_settings {
    /* The zygote's end of the conversation with its owner. */
    int32_t control;
    /* The end to read from of a pipe (earshot_zygote_lifeline) whose other end owner and zygote hold and
     * nobody else: clones are killed when both are gone. -1 without. */
    int32_t lifeline;
    /* What clones are given to end by themselves when the owner is gone. */
    int64_t grace_ns;
    /* An earshot_zygote_orphans. */
    uint32_t orphans;
    /* Both ends of a socket pair, which each clone has anew under the same numbers, watched by the same
     * event loops: for what such a loop is woken by. 0 without. */
    int32_t near;
    int32_t far;
    uint32_t padding;
};

/* What a clone is told of itself. */
struct earshot_zygote_clone {
    /* Its end of the pair that came with the request. */
    int32_t connection;
    int32_t pid;
    /* As in the request. */
    uint32_t ahead;
};

/* What a clone gives up; -1 for nothing. */
struct earshot_zygote_limits {
    /* How much memory it may write to besides what it has when this is asked (RLIMIT_DATA). */
    int64_t memory_bytes;
    int64_t cpu_seconds;
    /* The number that no descriptor reaches. */
    int64_t files;
    int64_t uid;
    int64_t gid;
    /* 1: no program that it starts can have rights that it lacks. */
    uint32_t no_new_privileges;
    /* 1: a network of its own, with nothing in it. */
    uint32_t no_network;
};

/* What came of that. */
struct earshot_zygote_certificate {
    /* 0, or an earshot_zygote_code. */
    int32_t code;
    /* What the system said, in which call (an earshot_ipc_syscall). */
    int32_t errno_value;
    uint32_t syscall;
    int32_t pid;
};

struct earshot_zygote_request {
    uint32_t id;
    /* 1 if the clone is forked before it is known what for. */
    uint32_t ahead;
};

struct earshot_zygote_report {
    /* An earshot_zygote_report_kind. */
    uint32_t kind;
    /* As in the request. */
    uint32_t id;
    int32_t pid;
    int32_t code;
    int32_t signal;
    int32_t errno_value;
    uint32_t syscall;
};

/* ---- the library ---- */

/* The ABI the library has. Anything but EARSHOT_ZYGOTE_ABI means that it and this header do not fit. */
int32_t earshot_zygote_abi(void);

/* The ABI in JSON: structures, numbers, functions. It belongs to the library. */
const char *earshot_zygote_manifest(void);

/* ---- the zygote ---- */

/* Counts the threads of this process besides the one that calls, and writes their names, a line for each,
 * as far as they fit. The rest of the room is zeros. */
int32_t earshot_zygote_threads(uint8_t *names, uint32_t names_bytes);

/* A pipe: the end to read from, and the one to write to, which are the caller's to close. */
int32_t earshot_zygote_lifeline(int32_t *ends);

/* Forks for each request, and reports it, until the owner is gone and all clones are: 0. In a clone it
 * returns 1: that has a session of its own, no signal blocked, no descriptors but 0, 1, 2 and its
 * connection, and new epolls, eventfds and timerfds in the place of the old. */
int32_t earshot_zygote_serve(
    const struct earshot_zygote_settings *settings, struct earshot_zygote_clone *clone);

/* Has this process a session of its own, and killed when its parent `pid` ends; with 0 it is not any more.
 * Returns 1, or 0 if that has ended already. */
int32_t earshot_zygote_follow(int32_t pid);

/* Has this process killed when nobody holds the other end of the pipe any more. */
int32_t earshot_zygote_attach(int lifeline);

/* ---- a clone ---- */

/* Reads so many bytes, and waits for them: 1, or 0 if the other side has ended. Descriptors that come with
 * them are the caller's; without room for them, in the list or in the process, it fails. */
int32_t earshot_zygote_read(
    int descriptor,
    uint8_t *bytes,
    uint32_t count,
    int *descriptors,
    uint32_t descriptors_max,
    uint32_t *descriptors_count);

/* Writes all bytes, and waits until they are taken: 1, or 0 if the other side has ended. */
int32_t earshot_zygote_write(int descriptor, const uint8_t *bytes, uint32_t count);

/* Gives up what `limits` says, all threads alike but for the network and new privileges, which only the
 * thread that calls gives up and those that it starts. The result is the certificate's code. */
int32_t earshot_zygote_limit(
    const struct earshot_zygote_limits *limits, struct earshot_zygote_certificate *certificate);

/* For a process that keeps secrets, a clone or any other: no core is written of it, and nobody else of its user
 * looks into its memory, which cannot be had back. 1 if that is never swapped out either, 0 where the system
 * does not allow it (RLIMIT_MEMLOCK). What it forks is in the same state, but that its memory is not locked. */
int32_t earshot_zygote_harden(void);

/* ---- the owner ---- */

/* A descriptor for a process that cannot be mistaken for a later one of its number. */
int32_t earshot_zygote_process(int32_t pid);

/*
 * Sends a process a signal. With 0 it is sent nothing, and EARSHOT_ZYGOTE_GONE says that it has ended, though its parent may
 * not have waited for it yet.
 */
int32_t earshot_zygote_signal(int descriptor, int32_t signal);

#ifdef __cplusplus
}
#endif

#endif
