/* Uses all of earshot/zygote.h as a C program would. */
#define _DEFAULT_SOURCE 1
#include "must.h"
#include <earshot/zygote.h>
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { clones = 3, files = 32, rest_ms = 400 };

static void pair(int *ends)
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
}

/* What one clone writes into its pair no other one reads, and only what it has written itself. */
static void use_own(const struct earshot_zygote_settings *settings)
{
    const pid_t own = getpid();
    pid_t heard = 0;

    MUST(write(settings->near, &own, sizeof own) == sizeof own);
    MUST(read(settings->far, &heard, sizeof heard) == sizeof heard && heard == own);
    MUST(recv(settings->far, &heard, sizeof heard, MSG_DONTWAIT) < 0);
}

/* What each clone does: gives files up, says so, and says it again when it is asked. */
static int live(const struct earshot_zygote_clone *clone)
{
    struct earshot_zygote_limits limits = { -1, -1, files, -1, -1, 1, 0 };
    struct earshot_zygote_certificate certificate;
    uint8_t byte;
    int arrived[1];
    uint32_t count;

    MUST(clone->pid == getpid());
    MUST(earshot_zygote_limit(&limits, &certificate) == EARSHOT_ZYGOTE_CODE_OK);
    MUST(certificate.code == 0 && certificate.pid == getpid());
    MUST(earshot_zygote_write(
             clone->connection, (const uint8_t *)&certificate, sizeof certificate) == 1);
    if (earshot_zygote_read(clone->connection, &byte, 1, arrived, 1, &count) == 0) return 7;
    MUST(count == 1);
    MUST(earshot_zygote_write(arrived[0], &byte, 1) == 1);
    for (;;) pause();
}

static int be_zygote(int control, int lifeline, pid_t owner)
{
    struct earshot_zygote_settings settings;
    struct earshot_zygote_clone clone;
    int32_t result;
    int own[2];

    pair(own);
    memset(&settings, 0, sizeof settings);
    settings.control = control;
    settings.lifeline = lifeline;
    settings.grace_ns = 10000000;
    settings.orphans = EARSHOT_ZYGOTE_ORPHANS_END;
    settings.near = own[0];
    settings.far = own[1];
    /* Of the pair that the zygote has, and no clone. */
    MUST(write(own[0], own, sizeof own) == sizeof own);
    MUST(earshot_zygote_follow(owner) == 1);
    MUST(earshot_zygote_follow(0) == 1);
    result = earshot_zygote_serve(&settings, &clone);
    MUST(result >= 0);
    if (result != 1) return 0;
    use_own(&settings);
    return live(&clone);
}

static void send_with(int socket, void *bytes, size_t count, int descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr header;
    } beside;
    struct iovec part;
    struct msghdr message;

    part.iov_base = bytes;
    part.iov_len = count;
    memset(&message, 0, sizeof message);
    memset(&beside, 0, sizeof beside);
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = beside.bytes;
    message.msg_controllen = sizeof beside.bytes;
    beside.header.cmsg_len = CMSG_LEN(sizeof(int));
    beside.header.cmsg_level = SOL_SOCKET;
    beside.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&beside.header), &descriptor, sizeof descriptor);
    MUST(sendmsg(socket, &message, 0) == (ssize_t)count);
}

static void hear(int control, struct earshot_zygote_report *report, int *pidfd)
{
    uint32_t length, count;

    MUST(earshot_zygote_read(control, (uint8_t *)&length, sizeof length, pidfd, 1, &count) == 1);
    MUST(ntohl(length) == sizeof *report);
    if (count == 0) *pidfd = -1;
    MUST(earshot_zygote_read(control, (uint8_t *)report, sizeof *report, NULL, 0, &count) == 1);
}

int main(int arguments_count, char **arguments)
{
    int control[2], ends[clones][2], extra[2], pidfds[clones], none, status, index;
    int32_t lifeline[2];
    struct earshot_zygote_report report;
    struct earshot_zygote_certificate certificate;
    struct rusage usage;
    struct {
        uint32_t length;
        struct earshot_zygote_request request;
    } frame;
    uint8_t names[256], byte = 9;
    uint32_t count;
    pid_t zygote, own = getpid();
    struct rlimit core;

    MUST(arguments_count == 2);
    make_directory(arguments[1]);
    remove_directory();
    MUST(earshot_zygote_abi() == EARSHOT_ZYGOTE_ABI);
    MUST(strstr(earshot_zygote_manifest(), "earshot_zygote_serve") != NULL);
    if (earshot_zygote_threads(names, sizeof names) == EARSHOT_ZYGOTE_CODE_NOT_AVAILABLE) return 0;
    MUST(earshot_zygote_threads(names, sizeof names) == 0 && names[0] == 0);
    MUST(earshot_zygote_threads(NULL, 0) == EARSHOT_ZYGOTE_CODE_INVALID_ARGUMENT);
    MUST(earshot_zygote_lifeline(lifeline) == 0);
    pair(control);
    zygote = fork();
    MUST(zygote >= 0);
    if (zygote == 0) {
        close(control[0]);
        _exit(be_zygote(control[1], lifeline[0], own));
    }
    close(control[1]);
    for (index = 0; index < clones; index += 1) {
        pair(ends[index]);
        frame.length = htonl(sizeof frame.request);
        frame.request.id = 100 + (uint32_t)index;
        frame.request.ahead = 0;
        send_with(control[0], &frame, sizeof frame, ends[index][1]);
        close(ends[index][1]);
        hear(control[0], &report, &pidfds[index]);
        MUST(report.kind == EARSHOT_ZYGOTE_REPORT_KIND_FORKED && report.id == frame.request.id);
        MUST(pidfds[index] >= 0);
        MUST(earshot_zygote_read(ends[index][0], (uint8_t *)&certificate, sizeof certificate, NULL, 0,
                 &count) == 1);
        MUST(certificate.pid == report.pid);
        none = earshot_zygote_process(report.pid);
        MUST(none >= 0 && close(none) == 0);
    }
    /* The first talks through a socket that it is given. */
    pair(extra);
    send_with(ends[0][0], &byte, 1, extra[1]);
    close(extra[1]);
    MUST(recv(extra[0], names, 1, MSG_WAITALL) == 1 && names[0] == 9);
    /* The second ends when its connection does, the first is killed. */
    close(ends[1][0]);
    hear(control[0], &report, &none);
    MUST(report.kind == EARSHOT_ZYGOTE_REPORT_KIND_ENDED && report.id == 101 && report.code == 7);
    MUST(earshot_zygote_signal(pidfds[1], SIGKILL) == EARSHOT_ZYGOTE_CODE_GONE);
    MUST(earshot_zygote_signal(pidfds[0], SIGKILL) == 0);
    hear(control[0], &report, &none);
    MUST(report.id == 100 && report.code == -1 && report.signal == SIGKILL);
    /* Meanwhile the zygote rests, though the pidfds of both are still here. */
    MUST(poll(NULL, 0, rest_ms) == 0);
    /* The third goes with the zygote. */
    close(control[0]);
    MUST(waitpid(zygote, &status, 0) == zygote && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    MUST(getrusage(RUSAGE_CHILDREN, &usage) == 0 && usage.ru_utime.tv_sec == 0);
    MUST(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec < rest_ms * 1000 / 2);
    MUST(earshot_zygote_signal(pidfds[2], 0) == EARSHOT_ZYGOTE_CODE_GONE);
    /* And who hangs on a lifeline when nobody holds its other end. */
    zygote = fork();
    if (zygote == 0) {
        MUST(earshot_zygote_attach(lifeline[0]) == 0);
        close(lifeline[1]);
        for (;;) pause();
    }
    close(lifeline[1]);
    MUST(waitpid(zygote, &status, 0) == zygote && WIFSIGNALED(status));
    /* And who keeps secrets. */
    MUST(earshot_zygote_harden() >= 0 && earshot_zygote_harden() <= 1);
    MUST(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
    return 0;
}
