/*
 * A program in C that serves a name and connects to it, in one context: what the header promises,
 * checked from the other side of it.
 *
 *     conversation TEMPLATE      where mkdtemp(3) makes its run directory
 */
#include "must.h"
#include <earshot/ipc.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static const int64_t second_ns = 1000000000;

static earshot_ipc_context *context;
static earshot_ipc_areas areas;
static earshot_ipc_handle service, client, server;

/* How far the batch has been walked. */
static int32_t at, count;

static earshot_ipc_event next_event(uint32_t outbox_bytes)
{
    while (at >= count) {
        count = earshot_ipc_wait(context, 10 * second_ns, -1, outbox_bytes);
        MUST(count > 0);
        at = 0;
        outbox_bytes = 0;
    }
    return areas.events[at++];
}

static earshot_ipc_event expect_event(uint8_t type)
{
    earshot_ipc_event event = next_event(0);
    MUST(event.type == type);
    return event;
}

static uint8_t *message_of(const earshot_ipc_event *event)
{
    int is_loan = (event->flags & EARSHOT_IPC_EVENT_FLAG_LOAN) != 0;
    return is_loan ? (uint8_t *)(uintptr_t)event->data : areas.inbox + event->offset;
}

static earshot_ipc_handle connect_to(const char *name)
{
    int32_t handle = earshot_ipc_connect(
        context, directory, strlen(directory), name, strlen(name), NULL);
    MUST(handle > 0);
    return handle;
}

static void open_both_ends(uint32_t poller)
{
    earshot_ipc_context_options options = EARSHOT_IPC_CONTEXT_OPTIONS_DEFAULT;
    earshot_ipc_failure failure;
    struct earshot_ipc_peer peer;
    earshot_ipc_event event;

    MUST(earshot_ipc_abi() == EARSHOT_IPC_ABI);
    options.inbox_bytes = 524291;
    MUST(earshot_ipc_context_open(&options, &context, &failure) ==
        EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(context == NULL && failure.error_number == 0);
    options.inbox_bytes = 524292;
    options.poller = poller;
    options.poison = 1;
    MUST(earshot_ipc_context_open(&options, &context, &failure) == 0);
    MUST(earshot_ipc_context_areas(context, &areas) == 0);

    service = earshot_ipc_serve(
        context, directory, strlen(directory), "talk", 4, NULL, NULL, 0, NULL, 0);
    MUST((int32_t)service > 0);
    client = connect_to("talk");
    event = expect_event(EARSHOT_IPC_EVENT_TYPE_CONNECTION);
    server = event.source;
    MUST(event.origin == service && event.length == getuid());
    MUST(earshot_ipc_peer(context, client, &peer) == 0);
    MUST(peer.uid == getuid() && peer.gid == getgid());
}

/* One message goes over, is reported, and comes back. */
static void echo(uint32_t bytes)
{
    uint8_t *given = malloc(bytes + 1), *kept = NULL;
    uint32_t i;
    int arrived = 0, reported = 0, drains = 0;

    for (i = 0; i < bytes; i++) given[i] = (uint8_t)(i * 31 + bytes);
    MUST(earshot_ipc_schedule(context, client, bytes > 0 ? given : NULL, bytes, -7) > 0);
    while (arrived < 2 || !reported) {
        earshot_ipc_event event = next_event(0);
        if (event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX) {
            MUST(event.source == client && event.length == bytes && (int32_t)event.data == -7);
            reported = 1;
            continue;
        }
        if (event.type == EARSHOT_IPC_EVENT_TYPE_DRAIN) {
            drains++;
            continue;
        }
        MUST(event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX && event.length == bytes);
        MUST(event.source == (arrived == 0 ? server : client));
        MUST(memcmp(message_of(&event), given, bytes) == 0);
        if (arrived++ == 0)
            MUST(earshot_ipc_write(context, server, message_of(&event), bytes) >= 0);
        else if (event.flags & EARSHOT_IPC_EVENT_FLAG_LOAN) {
            kept = message_of(&event);
            MUST(earshot_ipc_loan_take(context, kept) == 0);
            MUST(earshot_ipc_loan_take(context, kept) == EARSHOT_IPC_CODE_CLOSED);
        }
    }
    /* A view is gone with the next wait, and a message that was taken is not. */
    MUST(at == count && earshot_ipc_wait(context, 0, 0, 0) == 0);
    MUST((kept != NULL) == (bytes > 256 * 1024) && (drains == 2) == (bytes > 1024 * 1024));
    MUST(kept == NULL || memcmp(kept, given, bytes) == 0);
    earshot_ipc_loan_release(kept, NULL);
    free(given);
}

/* Writes a run into the outbox and returns what it takes up there. */
static uint32_t put_run(
    uint32_t offset,
    earshot_ipc_handle connection,
    const void *frames,
    uint32_t bytes,
    uint32_t messages,
    int32_t token)
{
    earshot_ipc_run run = { connection, bytes, messages, token };
    memcpy(areas.outbox + offset, &run, sizeof run);
    memcpy(areas.outbox + offset + sizeof run, frames, bytes);
    return (uint32_t)((sizeof run + bytes + 3) / 4 * 4);
}

static int32_t result_at(uint32_t offset)
{
    return ((earshot_ipc_run *)(areas.outbox + offset))->token_or_result;
}

static void send_from_outbox(void)
{
    uint32_t first = put_run(0, client, "\0\0\0\5hello\0\0\0\0", 13, 2, 0);
    uint32_t all = first + put_run(first, client, "\0\0\0\1!", 5, 1, 9);
    uint32_t i;

    MUST(first == 32 && at == count);
    for (i = 0; i < 3; i++) {
        earshot_ipc_event event = next_event(i == 0 ? all : 0);
        if (event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX) {
            MUST(event.data == 9);
            event = next_event(0);
        }
        MUST(event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX && event.source == server);
        MUST(event.length == (i == 0 ? 5u : i == 1 ? 0u : 1u));
        MUST(i != 0 || memcmp(message_of(&event), "hello", 5) == 0);
    }
    MUST(result_at(0) == 0 && result_at(first) == 0);
    while (at < count) expect_event(EARSHOT_IPC_EVENT_TYPE_MESSAGE_TX);
}

static void pass_time(void)
{
    int32_t timer;

    MUST(earshot_ipc_wait(context, 0, 0, 0) == 0);
    MUST(earshot_ipc_wait(context, 1000000, -1, 0) == 0);
    timer = earshot_ipc_timer(context, 1000000, 0);
    MUST(expect_event(EARSHOT_IPC_EVENT_TYPE_TIMER).source == (earshot_ipc_handle)timer);
    MUST(earshot_ipc_close(context, timer, EARSHOT_IPC_CLOSE_HOW_NOW) == EARSHOT_IPC_CODE_CLOSED);
    earshot_ipc_ring(context);
    MUST(earshot_ipc_wait(context, -1, -1, 0) == 0);
}

/* Lies on the stack of every thread, the library's included. */
static __thread char ballast[768 * 1024];

static int bell[2];

static void ring_bell(void)
{
    ballast[0] = '!';
    MUST(write(bell[1], ballast, 1) == 1);
}

static uint64_t count_descriptors(void)
{
    uint64_t open = 0;
    int fd;

    for (fd = 0; fd < 1024; fd++) open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

/* What a context says it holds is what it holds, with a thread that waits in its stead as well. */
static void count_what_is_held(uint32_t poller, int has_bell, int is_given)
{
    earshot_ipc_context_options options = EARSHOT_IPC_CONTEXT_OPTIONS_DEFAULT;
    const uint64_t before = count_descriptors();
    struct earshot_ipc_statistics statistics;
    earshot_ipc_context *counted;
    int pair[2];
    int rung = -1;

    options.poller = poller;
    MUST(earshot_ipc_context_open(&options, &counted, NULL) == 0);
    MUST(earshot_ipc_statistics(counted, 0, &statistics) == 0);
    MUST(statistics.descriptors == count_descriptors() - before);
    if (is_given) {
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        MUST(earshot_ipc_bell_on(counted, -1) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
        MUST(earshot_ipc_bell_on(counted, pair[0]) == 0);
        MUST(earshot_ipc_bell_on(counted, pair[0]) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
        rung = pair[1];
    } else if (has_bell) {
        MUST((rung = earshot_ipc_bell(counted)) >= 0);
    }
    MUST(earshot_ipc_arm(counted, has_bell ? NULL : ring_bell) == 0);
    MUST(earshot_ipc_statistics(counted, 0, &statistics) == 0);
    MUST(statistics.descriptors == count_descriptors() - before - has_bell);
    MUST(earshot_ipc_context_close(counted) == 0);
    if (has_bell) MUST(close(rung) == 0);
    MUST(count_descriptors() == before);
}

static void let_a_thread_wait(void)
{
    struct pollfd rung;

    MUST(pipe(bell) == 0);
    rung.fd = bell[0];
    rung.events = POLLIN;
    MUST(earshot_ipc_arm(context, ring_bell) == 0);
    MUST(earshot_ipc_write(context, client, "!", 1) == 0);
    MUST(poll(&rung, 1, 10000) == 1);
    count = earshot_ipc_wait(context, 0, -1, 0);
    at = 0;
    MUST(expect_event(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX).source == server);
    MUST(earshot_ipc_schedule(context, client, "!", 1, 0) == 5);
    MUST(earshot_ipc_arm(context, ring_bell) == 1);
    expect_event(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX);
}

/* The loop of a host that polls by epoll finds its socket readable, and no thread sleeps for it. */
static void stand_beside_a_socket(void)
{
#ifdef __linux__
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
    const int host = epoll_create1(EPOLL_CLOEXEC);
    earshot_ipc_context *quiet;
    int pair[2];
    char byte;

    MUST(earshot_ipc_context_open(NULL, &quiet, NULL) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    MUST(earshot_ipc_bell_beside(quiet, pair[0], -1) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(epoll_ctl(host, EPOLL_CTL_ADD, pair[1], &event) == 0);
    MUST(earshot_ipc_bell_beside(quiet, pair[0], pair[1]) == 1);
    MUST(earshot_ipc_bell_beside(quiet, pair[0], pair[1]) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_arm(quiet, ring_bell) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_arm(quiet, NULL) == 0);
    MUST(epoll_wait(host, &event, 1, 0) == 0);
    earshot_ipc_ring(quiet);
    event.data.u64 = 0;
    MUST(epoll_wait(host, &event, 1, 10000) == 1 && event.data.u64 == 42);
    MUST(read(pair[1], &byte, 1) == 1);
    MUST(earshot_ipc_bell_heard(quiet) == 0);
    MUST(earshot_ipc_wait(quiet, 0, 0, 0) == 0);
    /* Another one may follow, and where the socket is not registered it has a thread. */
    MUST(earshot_ipc_bell_end(quiet) == 0);
    MUST(read(pair[1], &byte, 1) == 0 && close(pair[1]) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    MUST(earshot_ipc_bell_beside(quiet, pair[0], pair[1]) == 0);
    MUST(earshot_ipc_arm(quiet, NULL) == 0);
    earshot_ipc_ring(quiet);
    MUST(read(pair[1], &byte, 1) == 1);
    MUST(earshot_ipc_context_close(quiet) == 0);
    MUST(close(pair[1]) == 0 && close(host) == 0);
#endif
}

static int connect_plainly(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, name);
    MUST(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* Messages that nobody of the context's received. */
static uint64_t sent_plainly;

/* A connection that ends in a call while the thread sleeps on it ends for its peer at once. */
static void end_what_is_slept_on(void)
{
    static char bytes[1 << 16];
    earshot_ipc_service_options options = EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT;
    struct earshot_ipc_statistics statistics;
    earshot_ipc_handle narrow, victim;
    int32_t result;
    int peer;

    options.limits.message_bytes_max = sizeof bytes;
    options.limits.queue_bytes_max = sizeof bytes + 4;
    options.limits.queue_bytes_high = 1;
    narrow = earshot_ipc_serve(
        context, directory, strlen(directory), "narrow", 6, &options, NULL, 0, NULL, 0);
    peer = connect_plainly("narrow");
    victim = expect_event(EARSHOT_IPC_EVENT_TYPE_CONNECTION).source;
    MUST(at == count && earshot_ipc_arm(context, ring_bell) == 0);
    do result = earshot_ipc_write(context, victim, bytes, sizeof bytes);
    while (result >= 0);
    MUST(result == EARSHOT_IPC_CODE_ENDED);
    MUST(earshot_ipc_statistics(context, victim, &statistics) == 0);
    sent_plainly = statistics.messages_sent;
    while (read(peer, bytes, sizeof bytes) > 0) continue;
    MUST(close(peer) == 0);
    MUST(expect_event(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION).reason ==
        EARSHOT_IPC_REASON_QUEUE_LIMIT);
    MUST(earshot_ipc_close(context, narrow, EARSHOT_IPC_CLOSE_HOW_NOW) == 0);
}

/* What is known of a peer changes how long its messages may be. */
static void hold_to_less(void)
{
    const earshot_ipc_limits limits = EARSHOT_IPC_LIMITS_DEFAULT;

    MUST(earshot_ipc_limit_messages(context, client, 4) == 0);
    MUST(earshot_ipc_write(context, client, "hello", 5) == EARSHOT_IPC_CODE_MESSAGE_TOO_LONG);
    MUST(earshot_ipc_limit_messages(context, client, UINT32_MAX) ==
        EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_limit_messages(context, service, 4) == EARSHOT_IPC_CODE_CLOSED);
    MUST(earshot_ipc_limit_messages(context, client, limits.message_bytes_max) == 0);
}

/* The library's thread does not take what this program blocks and waits for. */
static void keep_signals(void)
{
    sigset_t awaited, before, after;
    int signal;

    MUST(sigemptyset(&awaited) == 0 && sigaddset(&awaited, SIGTERM) == 0);
    MUST(pthread_sigmask(SIG_BLOCK, &awaited, &before) == 0);
    MUST(earshot_ipc_arm(context, ring_bell) == 0);
    MUST(pthread_sigmask(SIG_BLOCK, NULL, &after) == 0 && !sigismember(&after, SIGINT));
    MUST(kill(getpid(), SIGTERM) == 0);
    MUST(sigwait(&awaited, &signal) == 0 && signal == SIGTERM);
    MUST(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void *intrude(void *unused)
{
    (void)unused;
    MUST(earshot_ipc_wait(context, 0, 0, 0) == EARSHOT_IPC_CODE_WRONG_THREAD);
    MUST(earshot_ipc_watch(context, 0) == EARSHOT_IPC_CODE_WRONG_THREAD);
    MUST(earshot_ipc_context_close(context) == EARSHOT_IPC_CODE_WRONG_THREAD);
    earshot_ipc_ring(context);
    return NULL;
}

static int32_t serve_in(
    const char *path,
    uint32_t path_bytes,
    const char *name,
    const earshot_ipc_service_options *options,
    uint32_t users_count)
{
    static const uint32_t users[EARSHOT_IPC_ALLOW_ENTRIES_MAX + 1];

    return earshot_ipc_serve(
        context, path, path_bytes, name, strlen(name), options, users, users_count, NULL, 0);
}

static uint64_t inode_of(int fd)
{
    struct stat found;

    MUST(fstat(fd, &found) == 0);
    return found.st_ino;
}

static earshot_ipc_event expect_from(uint8_t type, earshot_ipc_handle source)
{
    earshot_ipc_event event;

    do event = next_event(0);
    while (event.type != type || event.source != source);
    return event;
}

/* Descriptors go along with messages, to who has asked for them, and are taken once. */
static void pass_descriptors(void)
{
    earshot_ipc_service_options options = EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT;
    int32_t taken[EARSHOT_IPC_DESCRIPTORS_MAX], given[EARSHOT_IPC_DESCRIPTORS_MAX + 1];
    const uint64_t before = count_descriptors();
    struct earshot_ipc_statistics statistics;
    earshot_ipc_handle end, other;
    earshot_ipc_event event;
    int pair[2], file[2];
    uint32_t i;

    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(file) == 0);
    options.limits.descriptors_max = 2;
    MUST((int32_t)(end = earshot_ipc_adopt(context, pair[0], NULL, NULL, 0, NULL, 0)) > 0);
    MUST((int32_t)(other = earshot_ipc_adopt(context, pair[1], &options, NULL, 0, NULL, 0)) > 0);
    MUST(earshot_ipc_adopt(context, file[0], NULL, NULL, 0, NULL, 0) == EARSHOT_IPC_CODE_NOT_STREAM);
    MUST(earshot_ipc_adopt(context, -1, NULL, NULL, 0, NULL, 0) == EARSHOT_IPC_CODE_NOT_STREAM);

    MUST(earshot_ipc_write(context, end, "before", 6) == 0);
    MUST(earshot_ipc_send(context, end, "with", 4, file, 2) == 0);
    MUST(earshot_ipc_send(context, end, "none", 4, NULL, 0) == 0);
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX, other);
    MUST(event.length == 6 && event.flags == 0 && event.detail == 0);
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX, other);
    MUST(event.length == 4 && memcmp(message_of(&event), "with", 4) == 0);
    MUST(event.flags == EARSHOT_IPC_EVENT_FLAG_DESCRIPTORS && (event.detail & 255) == 2);
    MUST(earshot_ipc_take(context, event.detail, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_take(context, 0, taken) == EARSHOT_IPC_CODE_CLOSED);
    MUST(earshot_ipc_take(context, INT32_MAX, taken) == EARSHOT_IPC_CODE_CLOSED);
    MUST(earshot_ipc_take(context, event.detail, taken) == 2);
    MUST(earshot_ipc_take(context, event.detail, taken) == EARSHOT_IPC_CODE_CLOSED);
    for (i = 0; i < 2; i++) {
        MUST(taken[i] != file[i] && inode_of(taken[i]) == inode_of(file[i]));
        MUST(fcntl(taken[i], F_GETFD) == FD_CLOEXEC && close(taken[i]) == 0);
    }
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX, other);
    MUST(event.flags == 0);

    /* What is refused costs nothing; what was not asked for costs the connection. */
    for (i = 0; i <= EARSHOT_IPC_DESCRIPTORS_MAX; i++) given[i] = file[0];
    MUST(earshot_ipc_send(context, end, "x", 1, given, EARSHOT_IPC_DESCRIPTORS_MAX + 1) ==
        EARSHOT_IPC_CODE_DESCRIPTORS_TOO_MANY);
    given[1] = -1;
    MUST(earshot_ipc_send(context, end, "x", 1, given, 2) ==
        EARSHOT_IPC_CODE_DESCRIPTOR_UNPASSABLE);
    MUST(areas.control->error_number == EBADF);
    MUST(earshot_ipc_send(context, end, "x", 1, NULL, 1) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_send(context, other, "x", 1, file, 1) == 0);
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION, end);
    MUST(event.reason == EARSHOT_IPC_REASON_DESCRIPTORS_UNASKED);
    expect_from(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION, other);
    MUST(earshot_ipc_statistics(context, 0, &statistics) == 0);
    MUST(statistics.reasons[EARSHOT_IPC_REASON_DESCRIPTORS_UNASKED] == 1);
    MUST(close(file[0]) == 0 && close(file[1]) == 0);
    MUST(count_descriptors() == before);
    sent_plainly += 1;
}

/* A service goes over to copies of itself, and back. */
static void change_hands(void)
{
    int32_t copies[EARSHOT_IPC_COPIES_MAX], one[EARSHOT_IPC_COPIES_MAX];
    const uint32_t length = strlen(directory);
    earshot_ipc_handle first, second;

    first = serve_in(directory, length, "moves", NULL, 0);
    MUST((int32_t)first > 0 && earshot_ipc_copies(context, first, copies) == 2);
    MUST(earshot_ipc_take_over(context, directory, length, "talk", 4, copies[0], copies[1], NULL,
             NULL, 0, NULL, 0) == EARSHOT_IPC_CODE_SERVICE_FOREIGN);
    MUST(earshot_ipc_take_over(context, directory, length, "moves", 5, copies[1], copies[0], NULL,
             NULL, 0, NULL, 0) == EARSHOT_IPC_CODE_SERVICE_FOREIGN);
    second = earshot_ipc_take_over(
        context, directory, length, "moves", 5, copies[0], copies[1], NULL, NULL, 0, NULL, 0);
    MUST((int32_t)second > 0);
    MUST(earshot_ipc_close(context, first, EARSHOT_IPC_CLOSE_HOW_LEAVE) == 0);
    MUST(earshot_ipc_copies(context, first, copies) == EARSHOT_IPC_CODE_CLOSED);
    MUST(serve_in(directory, length, "moves", NULL, 0) == EARSHOT_IPC_CODE_ALREADY_SERVED);
    MUST(earshot_ipc_copies(context, client, one) == 1 && close(one[0]) == 0);
    MUST(earshot_ipc_copies(context, client, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_close(context, second, EARSHOT_IPC_CLOSE_HOW_NOW) == 0);
}

/* Over TCP, as to another machine; without frames at one end. */
static void reach_far(void)
{
    struct earshot_ipc_address place = { .family = 4, .bytes = { 127, 0, 0, 1 } }, found;
    earshot_ipc_limits raw = EARSHOT_IPC_LIMITS_DEFAULT;
    earshot_ipc_handle listener, far, near = 0;
    earshot_ipc_event event;
    const char framed[] = "\0\0\0\2hi";
    uint64_t pieces = 0;
    int i, arrived = 0;

    MUST((int32_t)(listener = earshot_ipc_listen(context, &place, 8, NULL)) > 0);
    MUST(earshot_ipc_address(context, listener, &place) == 0);
    MUST(place.family == 4 && place.port > 0 && place.bytes[0] == 127 && place.scope == 0);
    MUST(earshot_ipc_listen(context, &place, 8, NULL) == EARSHOT_IPC_CODE_ADDRESS_IN_USE);
    MUST(earshot_ipc_listen(context, &place, UINT32_MAX, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_listen(context, NULL, 8, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_address(context, service, &found) == EARSHOT_IPC_CODE_NOT_AVAILABLE);
    raw.framing = EARSHOT_IPC_FRAMING_RAW;
    MUST((int32_t)(far = earshot_ipc_dial(context, &place, &raw)) > 0);
    for (i = 0; i < 2; i++) {
        event = expect_event(EARSHOT_IPC_EVENT_TYPE_CONNECTION);
        MUST(event.length == UINT32_MAX && event.offset == UINT32_MAX && event.detail == 0);
        MUST(event.origin == (event.source == far ? 0 : listener));
        if (event.source != far) near = event.source;
    }
    MUST(near != 0 && earshot_ipc_address(context, far, &found) == 0);
    MUST(memcmp(&found, &place, sizeof place) == 0);
    MUST(earshot_ipc_send(context, far, "x", 1, &i, 1) == EARSHOT_IPC_CODE_NOT_AVAILABLE);
    MUST(earshot_ipc_write(context, far, "\0\0\0\5hello", 9) == 0);
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX, near);
    MUST(event.length == 5 && memcmp(message_of(&event), "hello", 5) == 0);
    MUST(earshot_ipc_write(context, near, "hi", 2) == 0);
    while (arrived < 6) {
        event = expect_from(EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX, far);
        MUST(memcmp(message_of(&event), &framed[arrived], event.length) == 0);
        arrived += event.length;
        pieces++;
    }
    /* One message was sent, and each piece of it counts as one that has come. */
    sent_plainly -= pieces - 1;
    MUST(earshot_ipc_close(context, listener, EARSHOT_IPC_CLOSE_HOW_NOW) == 0);
    MUST(earshot_ipc_close(context, far, EARSHOT_IPC_CLOSE_HOW_DRAIN) == 0);
    expect_from(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION, far);
    expect_from(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION, near);

    MUST((int32_t)(far = earshot_ipc_dial(context, &place, NULL)) > 0);
    MUST(earshot_ipc_write(context, far, "early", 5) == EARSHOT_IPC_CODE_CLOSED);
    event = expect_from(EARSHOT_IPC_EVENT_TYPE_DISCONNECTION, far);
    MUST(event.reason == EARSHOT_IPC_REASON_SYSTEM && event.detail == ECONNREFUSED);
    place.family = 5;
    MUST(earshot_ipc_dial(context, &place, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
}

/* What is out of its range is refused before anything is made, and a length that no path has before
 * any of it is read. */
static void ask_too_much(void)
{
    const earshot_ipc_service_options usual = EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT;
    earshot_ipc_service_options options = usual;
    earshot_ipc_connect_options connect_options = EARSHOT_IPC_CONNECT_OPTIONS_DEFAULT;
    char path[EARSHOT_IPC_RUN_DIRECTORY_BYTES_MAX];
    earshot_ipc_inspection found;
    uint32_t length = (uint32_t)snprintf(path, sizeof path, "%s/new", directory);
    static const uint32_t lengths[] = { sizeof path + 1, INT32_MAX, UINT32_MAX };
    uint32_t i;

    MUST(serve_in(path, length, "talk", &usual, EARSHOT_IPC_ALLOW_ENTRIES_MAX + 1) ==
        EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    options.limits.queue_policy = 77;
    MUST(serve_in(path, length, "talk", &options, 0) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    options = usual;
    options.limits.queue_bytes_max = options.limits.message_bytes_max;
    MUST(serve_in(path, length, "talk", &options, 0) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    options = usual;
    options.mode = 01000;
    MUST(serve_in(path, length, "talk", &options, 0) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(serve_in(path, length, "talk.lock", NULL, 0) == EARSHOT_IPC_CODE_NAME_INVALID);
    MUST(areas.control->detail == EARSHOT_IPC_NAME_FAULT_RESERVED_ENDING);
    memset(path + length, 'd', 70);
    MUST(serve_in(path, length + 70, "a-name-that-is-good-in-a-shorter-directory", NULL, 0) ==
        EARSHOT_IPC_CODE_PATH_TOO_LONG);
    MUST(areas.control->detail == (int64_t)length + 70 + 1 + 42);
    connect_options.limits.queue_policy = 77;
    MUST(earshot_ipc_connect(context, path, length, "talk", 4, &connect_options) ==
        EARSHOT_IPC_CODE_INVALID_ARGUMENT);

    for (i = 0; i < 3; i++) {
        MUST(serve_in(path, lengths[i], "talk", NULL, 0) == EARSHOT_IPC_CODE_PATH_TOO_LONG);
        MUST(areas.control->detail == (int64_t)lengths[i] + 1 + 4);
        MUST(earshot_ipc_connect(context, path, lengths[i], "talk", 4, NULL) ==
            EARSHOT_IPC_CODE_PATH_TOO_LONG);
        MUST(earshot_ipc_inspect(path, lengths[i], 0, "talk", 4, &found, NULL) ==
            EARSHOT_IPC_CODE_PATH_TOO_LONG);
        MUST(earshot_ipc_run_directory(
                 path, lengths[i], NULL, 0, NULL, 0, NULL, 0, path, sizeof path) ==
            EARSHOT_IPC_CODE_PATH_TOO_LONG);
    }
    path[length] = 0;
    MUST(access(path, F_OK) != 0);
}

/* What a program does wrong is a code. */
static void do_wrong(void)
{
    const uint32_t length = strlen(directory);
    const earshot_ipc_control *met = areas.control;
    earshot_ipc_inspection found;
    pthread_t other;

    MUST(earshot_ipc_serve(context, directory, length, "talk", 4, NULL, NULL, 0, NULL, 0) ==
        EARSHOT_IPC_CODE_ALREADY_SERVED);
    MUST(met->detail == getpid());
    MUST(earshot_ipc_connect(context, directory, length, "../talk", 7, NULL) ==
        EARSHOT_IPC_CODE_NAME_INVALID);
    MUST(met->detail == EARSHOT_IPC_NAME_FAULT_LEADING_DOT);
    MUST(earshot_ipc_connect(context, directory, length, "nobody", 6, NULL) ==
        EARSHOT_IPC_CODE_SERVICE_MISSING);
    MUST(met->error_number != 0 && met->syscall == EARSHOT_IPC_SYSCALL_CONNECT);
    /* The system had no part in this one, and is not said to have. */
    MUST(earshot_ipc_write(context, service, "!", 1) == EARSHOT_IPC_CODE_CLOSED);
    MUST(met->error_number == 0 && met->syscall == EARSHOT_IPC_SYSCALL_NONE);
    MUST(earshot_ipc_inspect(directory, length, 0, "talk", 4, &found, NULL) == 0);
    MUST(found.state == EARSHOT_IPC_INSPECTION_STATE_LIVE && found.pid == getpid());

    ask_too_much();

    MUST(earshot_ipc_wait(NULL, 0, 0, 0) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_wait(context, 0, 0, 8) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_write(context, client, NULL, 1) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_arm(context, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_statistics(context, 0, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_context_open(NULL, NULL, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);

    MUST(pthread_create(&other, NULL, intrude, NULL) == 0 && pthread_join(other, NULL) == 0);
    MUST(earshot_ipc_wait(context, -1, -1, 0) == 0);
}

/* A run that is not what it says costs its connection, and nobody else theirs. */
static void send_nonsense(uint32_t messages, int32_t token)
{
    earshot_ipc_handle victim = connect_to("talk");
    earshot_ipc_handle other = expect_event(EARSHOT_IPC_EVENT_TYPE_CONNECTION).source;
    earshot_ipc_event event;
    int ends;

    MUST(at == count);
    event = next_event(put_run(0, victim, "\0\0\0\0\0\0\0\0", 8, messages, token));
    MUST(result_at(0) == EARSHOT_IPC_CODE_MALFORMED);
    for (ends = 1;; ends++) {
        MUST(event.type == EARSHOT_IPC_EVENT_TYPE_DISCONNECTION);
        MUST(event.source == other || event.source == victim);
        MUST(event.source == other || event.reason == EARSHOT_IPC_REASON_MALFORMED);
        if (ends == 2) return;
        event = next_event(0);
    }
}

static void close_everything(void)
{
    struct earshot_ipc_statistics statistics;
    earshot_ipc_event event;

    MUST(earshot_ipc_close(context, client, EARSHOT_IPC_CLOSE_HOW_DRAIN) == 0);
    do event = next_event(0);
    while (event.type != EARSHOT_IPC_EVENT_TYPE_DISCONNECTION || event.source != server);
    MUST(event.origin == service && event.reason == EARSHOT_IPC_REASON_PEER_CLOSED);
    MUST(earshot_ipc_statistics(context, 0, &statistics) == 0);
    MUST(statistics.connections_made == 7 && statistics.connections_open == 0);
    MUST(statistics.reasons[EARSHOT_IPC_REASON_MALFORMED] == 2);
    MUST(statistics.messages_sent == statistics.messages_received + sent_plainly);

    /* Who holds a reference may look at the areas when the context has gone. */
    earshot_ipc_area_reference(areas.control);
    MUST(earshot_ipc_context_close(context) == 0);
    MUST(areas.inbox[areas.inbox_bytes - 1] == 0);
    earshot_ipc_area_release(areas.inbox, areas.control);
}

/* The system's own poller is 0. */
static void converse(uint32_t poller)
{
    open_both_ends(poller);
    echo(0);
    echo(5);
    echo(256 * 1024);
    echo(3000000);
    send_from_outbox();
    pass_time();
    let_a_thread_wait();
    stand_beside_a_socket();
    end_what_is_slept_on();
    count_what_is_held(poller, 0, 0);
    count_what_is_held(poller, 1, 0);
    count_what_is_held(poller, 1, 1);
    hold_to_less();
    keep_signals();
    do_wrong();
    pass_descriptors();
    change_hands();
    reach_far();
    send_nonsense(2, 1);
    send_nonsense(UINT32_MAX, 0);
    close_everything();
}

/* In turns with itself, and no longer than what it lives by is there. */
static void speak_by_pipe(void)
{
    int32_t fds[2], life[2];
    uint8_t said[8];
    earshot_ipc_failure failure;

    MUST(earshot_ipc_pipe(NULL, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_pipe(fds, &failure) == 0 && earshot_ipc_pipe(life, NULL) == 0);
    MUST(earshot_ipc_pipe_write(fds[1], (const uint8_t *)"hello", 5, -1, -1, NULL) == 0);
    MUST(earshot_ipc_pipe_write(fds[1], NULL, 5, -1, -1, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_pipe_read(fds[0], said, 0, -1, -1, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_pipe_read(fds[0], NULL, 8, -1, -1, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_pipe_read(fds[0], said, sizeof said, life[0], -1, &failure) == 5);
    MUST(memcmp(said, "hello", 5) == 0);
    MUST(earshot_ipc_pipe_block(fds[0], 2, NULL) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(earshot_ipc_pipe_block(fds[0], 1, NULL) == 0 && earshot_ipc_pipe_block(fds[0], 0, &failure) == 0);
    MUST(earshot_ipc_pipe_read(fds[0], said, sizeof said, life[0], 1000, &failure) == EARSHOT_IPC_CODE_TIMED_OUT);
    MUST(failure.error_number == 0);
    MUST(close(life[1]) == 0);
    MUST(earshot_ipc_pipe_read(fds[0], said, sizeof said, life[0], -1, NULL) == EARSHOT_IPC_CODE_CLOSED);
    MUST(close(fds[0]) == 0);
    MUST(earshot_ipc_pipe_write(fds[1], said, 1, -1, -1, NULL) == EARSHOT_IPC_CODE_ENDED);
    MUST(close(fds[1]) == 0);
    MUST(earshot_ipc_pipe_write(fds[1], said, 1, -1, -1, &failure) == EARSHOT_IPC_CODE_UNEXPECTED);
    MUST(failure.error_number == EBADF && failure.syscall == EARSHOT_IPC_SYSCALL_WRITE);
    MUST(close(life[0]) == 0);
}

static const char network[] = "other unix://a; far tcp://host:1/far";

/* Gives `given` away with the bytes, if it is none below zero. */
static void say(int fd, const char *text, int given)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } beside;
    struct iovec part = {(char *)text, strlen(text)};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    memset(&beside, 0, sizeof beside);
    if (given >= 0) {
        message.msg_control = beside.room;
        message.msg_controllen = sizeof beside.room;
        beside.header.cmsg_len = CMSG_LEN(sizeof given);
        beside.header.cmsg_level = SOL_SOCKET;
        beside.header.cmsg_type = SCM_RIGHTS;
        memcpy(CMSG_DATA(&beside.header), &given, sizeof given);
    }
    MUST(sendmsg(fd, &message, 0) == (ssize_t)part.iov_len);
}

/* What ipcd does, once for each of these: leads there, refuses, ends, says nothing. */
static void lead(int listener)
{
    const char expected[] = "far;other unix://a; far tcp://host:1/far";
    char request[4 + sizeof expected - 1];
    int round;

    for (round = 0; round < 4; round++) {
        int pair[2], fd = accept(listener, NULL, NULL);

        MUST(recv(fd, request, sizeof request, MSG_WAITALL) == (ssize_t)sizeof request);
        MUST(memcmp(request, "\0\0\0", 3) == 0 && request[3] == (char)(sizeof request - 4));
        MUST(memcmp(request + 4, expected, sizeof request - 4) == 0);
        if (round == 0) {
            MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
            MUST(write(pair[1], "\0\0\0\7welcome", 11) == 11);
            say(fd, "ok", pair[0]);
            MUST(close(pair[0]) == 0 && close(pair[1]) == 0);
        } else if (round == 1) {
            say(fd, "error: because", -1);
        } else if (round == 3) {
            MUST(read(fd, request, 1) == 0);
        }
        MUST(close(fd) == 0);
    }
}

static int32_t look_up_in(const char *given, uint32_t bytes, int64_t timeout_ns, char *reason)
{
    return earshot_ipc_lookup(
        context, directory, strlen(directory), "far", 3, given, bytes, timeout_ns, NULL, reason);
}

/* A name that a network lists is led to by ipcd, which is waited for. */
static void look_up(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const uint32_t bytes = sizeof network - 1;
    char reason[EARSHOT_IPC_REASON_BYTES_MAX];
    earshot_ipc_event event;
    const uint8_t *message;
    int32_t handle;
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), status;
    pid_t ipcd;

    MUST(unsetenv("IPC_NETWORK") == 0);
    MUST(earshot_ipc_context_open(NULL, &context, NULL) == 0);
    MUST(earshot_ipc_context_areas(context, &areas) == 0);
    /* Nobody is there: neither ipcd nor, where it is to be here, the service. */
    MUST(look_up_in(network, bytes, second_ns, reason) == EARSHOT_IPC_CODE_SERVICE_MISSING);
    MUST(look_up_in(NULL, 0, second_ns, reason) == EARSHOT_IPC_CODE_SERVICE_MISSING);
    MUST(look_up_in("", 0, second_ns, reason) == EARSHOT_IPC_CODE_SERVICE_MISSING);
    MUST(look_up_in("far", 3, second_ns, reason) == EARSHOT_IPC_CODE_NETWORK_INVALID);
    MUST(areas.control->detail == 1 && reason[0] == 0);
    MUST(look_up_in(NULL, 1, second_ns, reason) == EARSHOT_IPC_CODE_INVALID_ARGUMENT);
    MUST(look_up_in(network, UINT32_MAX, 0, NULL) == EARSHOT_IPC_CODE_NETWORK_INVALID);
    MUST(areas.control->detail == 0);
    MUST(earshot_ipc_lookup(NULL, "/", 1, "far", 3, NULL, 0, 0, NULL, NULL) ==
        EARSHOT_IPC_CODE_INVALID_ARGUMENT);

    snprintf(address.sun_path, sizeof address.sun_path, "%s/ipc", directory);
    MUST(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    MUST(listen(listener, 4) == 0);
    ipcd = fork();
    MUST(ipcd >= 0);
    if (ipcd == 0) {
        lead(listener);
        _exit(0);
    }
    /* As the environment has it, and as it is given. */
    MUST(setenv("IPC_NETWORK", network, 1) == 0);
    handle = look_up_in(NULL, 0, -1, reason);
    MUST(handle > 0 && reason[0] == 0);
    MUST(earshot_ipc_next(context, 10 * second_ns, &event, &message) == 1);
    MUST(event.type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX && event.source == (uint32_t)handle);
    MUST(event.length == 7 && memcmp(message, "welcome", 7) == 0);
    MUST(look_up_in(network, bytes, 10 * second_ns, reason) == EARSHOT_IPC_CODE_NO_WAY);
    MUST(strcmp(reason, "because") == 0 && areas.control->detail == 7);
    MUST(look_up_in(network, bytes, 10 * second_ns, NULL) == EARSHOT_IPC_CODE_NO_WAY);
    MUST(areas.control->detail > 0);
    MUST(look_up_in(network, bytes, second_ns / 100, reason) == EARSHOT_IPC_CODE_TIMED_OUT);
    MUST(reason[0] == 0);
    MUST(waitpid(ipcd, &status, 0) == ipcd && status == 0);
    MUST(earshot_ipc_context_close(context) == 0);
    MUST(close(listener) == 0 && unlink(address.sun_path) == 0);
    MUST(unsetenv("IPC_NETWORK") == 0);
}

int main(int arguments_count, char **arguments)
{
    MUST(arguments_count == 2);
    make_directory(arguments[1]);
    look_up();
    speak_by_pipe();
    converse(0);
    converse(EARSHOT_IPC_POLLER_KIND_POLL);
    remove_directory();
    return 0;
}
