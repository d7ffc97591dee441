/*
 * What libipc.h promises, checked by a program that speaks to itself: two contexts, and raw sockets.
 *
 *     libipc TEMPLATE      where mkdtemp(3) makes its run directory
 */
#include "must.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <libipc.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define PATIENCE_MS 10000

static void *server, *client;
static int service;

/* The last event of a context. */
static char type;
static size_t at, length;
static int origin;
static char buffer[1 << 16];

static int wait_within(void *context, size_t room)
{
    length = room;
    return ipc_wait_event(context, &type, &at, &origin, buffer, &length);
}

static void expect(void *context, enum event_types expected)
{
    MUST(wait_within(context, sizeof buffer) == 0);
    MUST(type == (char)expected);
}

static void expect_message(void *context, int fd, const char *text)
{
    expect(context, MESSAGE_RX);
    MUST(origin == fd && length == strlen(text) && memcmp(buffer, text, length) == 0);
}

/* A connection of the client's, and the same as the server sees it. */
static int join(int *accepted)
{
    int fd;

    MUST(ipc_connect_service(client, &fd, "talk", 4) == 0);
    expect(server, CONNECTION);
    MUST(origin == service && length == 0);
    /* Nothing else tells the descriptor of the new one but its first message. */
    MUST(ipc_write(client, fd, "hello", 5) == 0);
    expect(server, MESSAGE_RX);
    *accepted = origin;
    return fd;
}

static int is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static void begin(void)
{
    MUST(ipc_context_init(NULL) == -1);
    MUST(ipc_context_init(&server) == 0 && ipc_context_init(&client) == 0);
    MUST(ipc_service_init(server, &service, "../talk", 7) == -1);
    MUST(ipc_service_init(server, NULL, "talk", 4) == -1);
    MUST(ipc_connect_service(client, &service, "talk", 4) == -1);
    MUST(ipc_service_init(server, &service, "talk", 4) == 0);
    MUST(ipc_service_init(client, &origin, "talk", 4) == -1);
    MUST(ipc_wait_event(server, NULL, &at, &origin, buffer, &length) == -1);
    MUST(ipc_wait_event(NULL, &type, &at, &origin, buffer, &length) == -1);
    ipc_context_timer(server, PATIENCE_MS);
    ipc_context_timer(client, PATIENCE_MS);
}

static void talk(void)
{
    int accepted, fd = join(&accepted);
    int i;

    MUST(ipc_write(client, accepted + 1000, "x", 1) == -1);
    MUST(ipc_write(client, fd, NULL, 1) == -1);
    MUST(ipc_schedule(client, fd, "", 0) == 0);
    MUST(ipc_schedule(client, fd, "two", 3) == 0);
    for (i = 0; i < 2; i++) {
        expect(client, MESSAGE_TX);
        MUST(origin == fd && length == 0);
    }
    expect_message(server, accepted, "");
    expect_message(server, accepted, "two");

    /* One that does not fit stays, and so does its place among the others. */
    MUST(ipc_write(server, accepted, "too long for that", 17) == 0);
    MUST(ipc_write(server, accepted, "short", 5) == 0);
    length = sizeof buffer;
    MUST(ipc_wait_event(client, &type, &at, &origin, NULL, &length) == -3 && length == 17);
    for (i = 0; i < 2; i++) {
        MUST(wait_within(client, 4) == -3);
        MUST(length == 17 && type == MESSAGE_RX && origin == fd);
    }
    expect_message(client, fd, "too long for that");
    expect_message(client, fd, "short");

    MUST(ipc_close_fd(client, fd) == 0 && ipc_close_fd(client, fd) == -1);
    expect(server, DISCONNECTION);
    MUST(origin == accepted);
    MUST(ipc_write(server, accepted, "late", 4) == -1);
}

/* A message of one connection, whatever else happens meanwhile. */
static void read_one(void)
{
    int one_accepted, other_accepted;
    int one = join(&one_accepted), other = join(&other_accepted);

    MUST(ipc_write(client, other, "from the other", 14) == 0);
    MUST(ipc_write(client, one, "first", 5) == 0);
    MUST(ipc_write(client, one, "second", 6) == 0);
    length = 2;
    MUST(ipc_read_fd(server, one_accepted, buffer, &length) == -3 && length == 5);
    length = sizeof buffer;
    MUST(ipc_read_fd(server, one_accepted, buffer, &length) == 0);
    MUST(length == 5 && memcmp(buffer, "first", 5) == 0);
    expect_message(server, other_accepted, "from the other");
    expect_message(server, one_accepted, "second");

    MUST(ipc_close_fd(client, one) == 0);
    length = sizeof buffer;
    MUST(ipc_read_fd(server, one_accepted, buffer, &length) == -2);
    expect(server, DISCONNECTION);
    MUST(origin == one_accepted);
    MUST(ipc_read_fd(server, one_accepted, buffer, &length) == -1);
    MUST(ipc_read_fd(server, service, buffer, &length) == -1);
    MUST(ipc_read(server, 1000, buffer, &length) == -1);
    MUST(ipc_close_fd(client, other) == 0);
    expect(server, DISCONNECTION);
}

static void connect_to_talk(int fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof address.sun_path, "%s/talk", directory);
    MUST(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    expect(server, CONNECTION);
}

static int connect_plainly(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    connect_to_talk(fd);
    return fd;
}

static void be_late(void)
{
    const struct timespec late = {0, 50000000};

    nanosleep(&late, NULL);
}

/* What is readable all the time is told once by a read that waits for something else. */
static void read_beside_others(void)
{
    int ends[2], fd = connect_plainly(), status, told = 0;
    pid_t writer;

    MUST(write(fd, "\0\0\0\0", 4) == 4);
    expect(server, MESSAGE_RX);
    MUST(pipe(ends) == 0 && ipc_add_external(server, ends[0]) == 0);
    MUST(write(ends[1], "x", 1) == 1);
    writer = fork();
    MUST(writer >= 0);
    if (writer == 0) {
        be_late();
        _exit(write(fd, "\0\0\0\1m", 5) == 5 ? 0 : 1);
    }
    length = sizeof buffer;
    MUST(ipc_read_fd(server, origin, buffer, &length) == 0 && length == 1 && buffer[0] == 'm');
    MUST(waitpid(writer, &status, 0) == writer && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    MUST(read(ends[0], buffer, 1) == 1);
    ipc_context_timer(server, 0);
    while (wait_within(server, sizeof buffer) == 0 && type == EXTERNAL) told++;
    MUST(type == TIMER && told == 1);
    MUST(write(ends[1], "y", 1) == 1);
    expect(server, EXTERNAL);
    MUST(origin == ends[0]);
    ipc_context_timer(server, PATIENCE_MS);
    MUST(ipc_close_fd(server, ends[0]) == 0 && close(ends[1]) == 0 && close(fd) == 0);
    expect(server, DISCONNECTION);
}

/* A program that closes a descriptor of its own by itself harms nothing. */
static void close_by_hand(void)
{
    int ends[2], fd = connect_plainly(), other, status;
    pid_t writer;

    MUST(write(fd, "\0\0\0\0", 4) == 4);
    expect(server, MESSAGE_RX);
    MUST(pipe(ends) == 0 && ipc_add_external(server, ends[0]) == 0);
    MUST(close(ends[0]) == 0 && ipc_close_fd(server, ends[0]) == 0 && close(ends[1]) == 0);

    MUST(pipe(ends) == 0 && ipc_add_external(server, ends[0]) == 0);
    MUST(write(ends[1], "x", 1) == 1);
    writer = fork();
    MUST(writer >= 0);
    if (writer == 0) {
        be_late();
        _exit(write(fd, "\0\0\0\1m", 5) == 5 ? 0 : 1);
    }
    length = sizeof buffer;
    MUST(ipc_read_fd(server, origin, buffer, &length) == 0);
    MUST(waitpid(writer, &status, 0) == writer && status == 0);
    /* Its number goes to the next that is accepted. */
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    MUST(close(ends[0]) == 0);
    connect_to_talk(other);
    MUST(write(other, "\0\0\0\1o", 5) == 5);
    expect(server, MESSAGE_RX);
    MUST(origin == ends[0] && buffer[0] == 'o');
    MUST(close(other) == 0);
    expect(server, DISCONNECTION);
    MUST(close(ends[1]) == 0 && close(fd) == 0);
    expect(server, DISCONNECTION);
}

static double now(void)
{
    struct timespec time;

    MUST(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pass_time(void)
{
    double start = now();
    int i;

    ipc_context_timer(server, 20);
    for (i = 0; i < 3; i++) {
        expect(server, TIMER);
        MUST(at == 0 && origin == 0 && length == 0);
    }
    MUST(now() - start >= 0.060);
    ipc_context_timer(server, PATIENCE_MS);
}

/* The last one takes the place of one that is closed. */
static void keep_places(void)
{
    int accepted[3], fds[3], i;
    size_t places[3];

    for (i = 0; i < 3; i++) {
        fds[i] = join(&accepted[i]);
        places[i] = at;
        MUST(places[i] == (size_t)i + 1);
    }
    MUST(ipc_close(server, places[0]) == 0);
    expect(client, DISCONNECTION);
    MUST(origin == fds[0]);
    MUST(ipc_write(client, fds[2], "moved", 5) == 0);
    expect_message(server, accepted[2], "moved");
    MUST(at == places[0]);
    MUST(ipc_read(server, places[2], buffer, &length) == -1);
    for (i = 1; i < 3; i++) {
        MUST(ipc_close_fd(client, fds[i]) == 0);
        expect(server, DISCONNECTION);
    }
}

static void watch_others(void)
{
    int ends[2];

    MUST(pipe(ends) == 0);
    MUST(ipc_add_external(server, ends[0]) == 0 && ipc_add_external(server, ends[0]) == -1);
    MUST(ipc_add_external(server, 100000) == -1);
    MUST(write(ends[1], "x", 1) == 1);
    expect(server, EXTERNAL);
    MUST(origin == ends[0] && length == 0);
    expect(server, EXTERNAL);
    MUST(read(ends[0], buffer, 1) == 1);
    MUST(ipc_close_fd(server, ends[0]) == 0 && !is_open(ends[0]));
    MUST(close(ends[1]) == 0);
}

/* Two descriptors of the server's that are bound together, and their far ends. */
static void bind_two(int near[2], int far[2])
{
    int pair[2], i;

    for (i = 0; i < 2; i++) {
        MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        near[i] = pair[0];
        far[i] = pair[1];
        MUST(ipc_add_external(server, near[i]) == 0);
    }
    MUST(ipc_add_switch(server, near[0], near[0]) == -1);
    MUST(ipc_add_switch(server, near[0], service) == -1);
    MUST(ipc_add_switch(server, near[0], near[1]) == 0);
}

static void expect_switch_over(int near[2], int far[2], enum event_types how, int whose)
{
    do MUST(wait_within(server, sizeof buffer) == 0);
    while (type == SWITCH_RX || type == SWITCH_TX);
    MUST(type == (char)how && origin == whose);
    MUST(!is_open(near[0]) && !is_open(near[1]));
    MUST(close(far[0]) == 0 && close(far[1]) == 0);
}

static void pass_bytes(void)
{
    int near[2], far[2];

    bind_two(near, far);
    MUST(write(far[0], "anything", 8) == 8);
    expect(server, SWITCH_RX);
    MUST(origin == near[0]);
    expect(server, SWITCH_TX);
    MUST(origin == near[1]);
    MUST(read(far[1], buffer, sizeof buffer) == 8 && memcmp(buffer, "anything", 8) == 0);
    MUST(shutdown(far[1], SHUT_RDWR) == 0);
    expect_switch_over(near, far, DISCONNECTION, near[1]);
}

/* A connection, with what has come of it and was not told yet, becomes one side of a switch. */
static void pass_messages(void)
{
    int accepted, fd = join(&accepted), pair[2];
    const char expected[] = "\0\0\0\3one\0\0\0\3two\0\0\0\5three";

    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(ipc_add_external(server, pair[0]) == 0);
    MUST(ipc_write(client, fd, "first", 5) == 0);
    MUST(ipc_write(client, fd, "one", 3) == 0);
    MUST(ipc_write(client, fd, "two", 3) == 0);
    expect_message(server, accepted, "first");
    MUST(ipc_add_switch(server, accepted, pair[0]) == 0);
    MUST(ipc_write(client, fd, "three", 5) == 0);
    for (length = 0; length < sizeof expected - 1;) {
        ssize_t count;
        char now_type;
        size_t none = 0;

        MUST(ipc_wait_event(server, &now_type, &at, &origin, NULL, &none) == 0);
        MUST(now_type == SWITCH_RX || now_type == SWITCH_TX);
        count = recv(pair[1], buffer + length, sizeof buffer - length, MSG_DONTWAIT);
        if (count > 0) length += (size_t)count;
    }
    MUST(memcmp(buffer, expected, sizeof expected - 1) == 0);
    MUST(write(pair[1], "\0\0\0\4back", 8) == 8);
    do MUST(wait_within(server, sizeof buffer) == 0);
    while (type != SWITCH_RX || origin != pair[0]);
    expect_message(client, fd, "back");
    MUST(ipc_close_fd(server, accepted) == 0);
    MUST(!is_open(pair[0]));
    expect(client, DISCONNECTION);
    MUST(close(pair[1]) == 0);
}

static enum cb_event_types says;
static int spoken_to;

/* The format of the other side is lines. */
static enum cb_event_types read_line(int orig, const char *payload, uint32_t *count)
{
    char *bytes = (char *)payload;
    ssize_t got;
    uint32_t header;

    MUST(*count >= 100000 && orig == spoken_to);
    got = read(orig, bytes + 4, 100);
    if (got <= 0) return CB_FD_CLOSING;
    header = htonl((uint32_t)got - 1);
    memcpy(bytes, &header, 4);
    *count = (uint32_t)got + 3;
    return says;
}

static enum cb_event_types write_line(int dest, char *payload, uint32_t count)
{
    /* The context is in the middle of its wait. */
    MUST(ipc_close_fd(server, dest) == -1 && ipc_schedule(server, dest, "x", 1) == -1);
    MUST(dest == spoken_to && count >= 4 && write(dest, payload + 4, count - 4) == (ssize_t)count - 4);
    MUST(write(dest, "\n", 1) == 1);
    return CB_NO_ERROR;
}

static void speak_otherwise(void)
{
    int near[2], far[2], i;

    for (i = 0; i < 2; i++) {
        says = CB_NO_ERROR;
        MUST(ipc_set_switch_callbacks(server, service, read_line, write_line) == -1);
        bind_two(near, far);
        spoken_to = near[0];
        MUST((i == 0 ? ipc_set_switch_callbacks : ipc_switching_callbacks)(
            server, near[0], read_line, write_line) == 0);
        MUST(write(far[0], "a line\n", 7) == 7);
        expect(server, SWITCH_RX);
        expect(server, SWITCH_TX);
        MUST(read(far[1], buffer, sizeof buffer) == 10 && memcmp(buffer, "\0\0\0\6a line", 10) == 0);
        MUST(write(far[1], "\0\0\0\1x\0\0\0\2yz", 11) == 11);
        expect(server, SWITCH_RX);
        MUST(origin == near[1]);
        expect(server, SWITCH_TX);
        MUST(read(far[0], buffer, sizeof buffer) == 5 && memcmp(buffer, "x\nyz\n", 5) == 0);
        if (i == 0) {
            says = CB_ERROR;
            MUST(write(far[0], "wrong\n", 6) == 6);
            expect_switch_over(near, far, ERROR, near[0]);
        } else {
            MUST(shutdown(far[0], SHUT_WR) == 0);
            expect_switch_over(near, far, DISCONNECTION, near[0]);
        }
    }
}

/* What was written is sent, though its context ends, to a peer that reads it late. */
static void say_farewell(void)
{
    int fd = connect_plainly(), status;
    const size_t total = 4 * 1000 * 1000;
    char *bytes = calloc(1, total);
    size_t got = 0;
    pid_t reader;

    MUST(write(fd, "\0\0\0\0", 4) == 4);
    expect(server, MESSAGE_RX);
    MUST(ipc_write(server, origin, bytes, (uint32_t)total) == 0);
    reader = fork();
    MUST(reader >= 0);
    if (reader == 0) {
        ssize_t count = 1;

        be_late();
        /* It has the other end as well, and so would never see the end. */
        while (got < total + 4 && (count = read(fd, buffer, sizeof buffer)) > 0) got += (size_t)count;
        _exit(got == total + 4 ? 0 : 1);
    }
    MUST(close(fd) == 0);
    ipc_context_deinit(&server);
    MUST(server == NULL);
    ipc_context_deinit(&server);
    ipc_context_deinit(NULL);
    MUST(waitpid(reader, &status, 0) == reader && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    free(bytes);
}

int main(int arguments_count, char **arguments)
{
    int accepted;

    MUST(arguments_count == 2);
    make_directory(arguments[1]);
    MUST(unsetenv("EARSHOT_RUNDIR") == 0 && setenv("RUNDIR", directory, 1) == 0);
    begin();
    talk();
    read_one();
    read_beside_others();
    close_by_hand();
    pass_time();
    keep_places();
    watch_others();
    pass_bytes();
    pass_messages();
    speak_otherwise();
    join(&accepted);
    MUST(ipc_close_all(client) == 0);
    expect(server, DISCONNECTION);
    ipc_context_deinit(&client);
    MUST(client == NULL);
    say_farewell();
    remove_directory();
    return 0;
}
