/*
 * Sends a text to a service, here or where IPC_NETWORK says it is, and prints its answer.
 *
 *     ask NAME TEXT
 *     ask --library PATH NAME TEXT     where the library is loaded at run time
 */
#include "calls.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const int64_t patience_ns = INT64_C(10000000000);
/* ipcd may have to wait for a machine far away. */
static const int64_t lookup_ns = INT64_C(35000000000);

static const struct calls *ipc;

static int complain(const char *what, int32_t code)
{
    fprintf(stderr, "ask: %s (code %" PRId32 ")\n", what, code);
    return 1;
}

/* Prints the first answer. */
static int hear(earshot_ipc_context *context)
{
    earshot_ipc_event event;
    const uint8_t *message;
    int32_t result;

    while ((result = ipc->next(context, patience_ns, &event, &message)) > 0) {
        if (event.type == EARSHOT_IPC_EVENT_TYPE_DISCONNECTION)
            return complain("the service is gone", event.reason);
        if (event.type != EARSHOT_IPC_EVENT_TYPE_MESSAGE_RX) continue;
        fwrite(message, 1, event.length, stdout);
        putchar('\n');
        return 0;
    }
    return complain("no answer", result);
}

static int ask(earshot_ipc_context *context, const char *name, const char *text)
{
    char directory[EARSHOT_IPC_RUN_DIRECTORY_BYTES_MAX], reason[EARSHOT_IPC_REASON_BYTES_MAX];
    int32_t result = ipc->run_directory(
        NULL, 0, NULL, 0, NULL, 0, NULL, 0, directory, sizeof directory);

    if (result < 0) return complain("there is no run directory", result);
    result = ipc->lookup(
        context, directory, result, name, strlen(name), NULL, 0, lookup_ns, NULL, reason);
    if (result == EARSHOT_IPC_CODE_NO_WAY) return complain(reason, result);
    if (result < 0) return complain("cannot connect", result);
    result = ipc->write(context, result, text, strlen(text));
    if (result < 0) return complain("cannot send", result);
    return hear(context);
}

int main(int count, char **arguments)
{
    const char *library = NULL;
    earshot_ipc_context *context;
    char why[1024];
    int status;
    int32_t result;

    if (count == 5 && strcmp(arguments[1], "--library") == 0) {
        library = arguments[2];
        arguments += 2;
        count -= 2;
    }
    if (count != 3) {
        fprintf(stderr, "usage: ask [--library PATH] NAME TEXT\n");
        return 2;
    }
    ipc = calls_open(library, why, sizeof why);
    if (ipc == NULL) {
        fprintf(stderr, "ask: %s\n", why);
        return 1;
    }
    result = ipc->context_open(NULL, &context, NULL);
    if (result < 0) {
        status = complain("cannot open a context", result);
    } else {
        status = ask(context, arguments[1], arguments[2]);
        ipc->context_close(context);
    }
    calls_close();
    return status;
}
