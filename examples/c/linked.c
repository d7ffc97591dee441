/* The calls as the linker found them. */
#include "calls.h"
#include <stdio.h>

static const struct calls calls = {
#define EACH(name) .name = earshot_ipc_##name,
    CALLS(EACH)
#undef EACH
};

const struct calls *calls_open(const char *library, char *why, size_t room)
{
    if (library != NULL) {
        snprintf(why, room, "this program has its library already; %s is not looked at", library);
        return NULL;
    }
    /* A shared library can be exchanged under a program; its soname keeps another ABI out, and this
     * whatever else goes by that name. */
    if (calls.abi() != EARSHOT_IPC_ABI) {
        snprintf(why, room, "the library has ABI %d, this program needs %d", calls.abi(),
            EARSHOT_IPC_ABI);
        return NULL;
    }
    return &calls;
}

void calls_close(void)
{
}
