/* The service `pong` by the calls of LibIPC: it sends everything back, until SIGINT or SIGTERM. */
#include <libipc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A wait that hears of nothing ends so often, in milliseconds, to see whether it is time to go. */
#define LOOK_MS 50

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

/* Twice the room, until the message fits. */
static int enlarge(char **buffer, size_t *room, size_t needed)
{
    while (*room < needed) *room *= 2;
    free(*buffer);
    *buffer = malloc(*room);
    return *buffer != NULL;
}

int main(void)
{
    void *context = NULL;
    size_t room = 4096, index, length;
    char *buffer = malloc(room), type;
    int service, origin, result = 0;

    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    if (buffer == NULL || ipc_context_init(&context) != 0) {
        fprintf(stderr, "pongd: cannot begin\n");
        return 1;
    }
    if (ipc_service_init(context, &service, "pong", 4) != 0) {
        fprintf(stderr, "pongd: cannot serve \"pong\"\n");
        ipc_context_deinit(&context);
        return 1;
    }
    ipc_context_timer(context, LOOK_MS);
    printf("pong: listening\n");
    fflush(stdout);
    while (!stopped) {
        length = room;
        result = ipc_wait_event(context, &type, &index, &origin, buffer, &length);
        if (result == -3 && enlarge(&buffer, &room, length)) continue;
        if (result != 0) break;
        if (type == MESSAGE_RX) ipc_schedule(context, origin, buffer, (uint32_t)length);
    }
    ipc_context_deinit(&context);
    free(buffer);
    return stopped ? 0 : 1;
}
