/*
 * What header.zig reads of the C headers of libearshot-ipc: all of them, and the defaults, which are only text until
 * something begins with them.
 */
#include <earshot/ipc.h>
#include <libipc.h>

static const earshot_ipc_limits default_limits = EARSHOT_IPC_LIMITS_DEFAULT;
static const earshot_ipc_context_options default_context_options =
    EARSHOT_IPC_CONTEXT_OPTIONS_DEFAULT;
static const earshot_ipc_service_options default_service_options =
    EARSHOT_IPC_SERVICE_OPTIONS_DEFAULT;
static const earshot_ipc_connect_options default_connect_options =
    EARSHOT_IPC_CONNECT_OPTIONS_DEFAULT;
