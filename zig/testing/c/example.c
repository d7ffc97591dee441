/*
 * Starts the program that the header shows, and speaks to it.
 *
 *     example TEMPLATE PROGRAM   where mkdtemp(3) makes its run directory, and what to start
 */
#include "must.h"
#include <earshot/ipc.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static pid_t program;

static void stop_program(void)
{
    if (program > 0 && kill(program, SIGTERM) == 0) waitpid(program, NULL, 0);
}

static void start_program(char *path)
{
    char *arguments[] = { path, NULL };

    MUST(setenv("EARSHOT_RUNDIR", directory, 1) == 0);
    program = fork();
    MUST(program >= 0);
    if (program > 0) {
        MUST(atexit(stop_program) == 0);
        return;
    }
    execv(path, arguments);
    _exit(127);
}

/* It takes a moment until it serves. */
static earshot_ipc_handle connect_patiently(earshot_ipc_context *context)
{
    int tries;

    for (tries = 0; tries < 1000; tries++) {
        int32_t handle = earshot_ipc_connect(
            context, directory, strlen(directory), "pong", 4, NULL);
        if (handle > 0) return handle;
        MUST(waitpid(program, NULL, WNOHANG) == 0);
        MUST(earshot_ipc_wait(context, 10000000, 0, 0) == 0);
    }
    MUST(!"served");
    return 0;
}

int main(int arguments_count, char **arguments)
{
    earshot_ipc_context *context;
    earshot_ipc_areas areas;
    earshot_ipc_handle pong;

    MUST(arguments_count == 3);
    make_directory(arguments[1]);
    start_program(arguments[2]);
    MUST(earshot_ipc_context_open(NULL, &context, NULL) == 0);
    MUST(earshot_ipc_context_areas(context, &areas) == 0);
    pong = connect_patiently(context);
    MUST(earshot_ipc_write(context, pong, "hello", 5) == 0);
    MUST(earshot_ipc_wait(context, 10000000000, -1, 0) == 1);
    MUST(areas.events[0].type == EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX && areas.events[0].length == 5);
    MUST(memcmp(areas.inbox + areas.events[0].offset, "hello", 5) == 0);
    stop_program();
    program = 0;

    /* A service that was killed leaves its socket and its lock. The next one takes both over, and
     * what it closes it takes away. */
    pong = earshot_ipc_serve(
        context, directory, strlen(directory), "pong", 4, NULL, NULL, 0, NULL, 0);
    MUST((int32_t)pong > 0);
    MUST(earshot_ipc_context_close(context) == 0);
    remove_directory();
    return 0;
}
