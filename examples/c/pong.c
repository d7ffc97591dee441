/*
 * Sends a text to the service `pong` by the calls of LibIPC, and prints its answer.
 *
 *     pong TEXT
 */
#include <libipc.h>
#include <stdio.h>
#include <string.h>

int main(int count, char **arguments)
{
    void *context = NULL;
    char answer[65536];
    size_t length = sizeof answer;
    int service, result;

    if (count != 2) {
        fprintf(stderr, "usage: pong TEXT\n");
        return 2;
    }
    if (ipc_context_init(&context) != 0) {
        fprintf(stderr, "pong: cannot begin\n");
        return 1;
    }
    result = ipc_connect_service(context, &service, "pong", 4);
    if (result == 0) result = ipc_write(context, service, arguments[1], strlen(arguments[1]));
    if (result == 0) result = ipc_read_fd(context, service, answer, &length);
    if (result == 0) printf("%.*s\n", (int)length, answer);
    else fprintf(stderr, "pong: no answer (%d)\n", result);
    ipc_context_deinit(&context);
    return result == 0 ? 0 : 1;
}
