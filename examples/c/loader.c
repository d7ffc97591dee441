/*
 * The calls of a library that is loaded at run time: found by name, and all of them before any is made. A file that was
 * cut short is the system's loader's to notice, which may end the program over it.
 */
#include "calls.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#ifdef __APPLE__
#define LIBRARY "libearshot-ipc.dylib"
#else
#define LIBRARY "libearshot-ipc.so"
#endif

static struct calls calls;
static void *handle;

/* A pointer to data is no pointer to a function in C, but has the same bytes wherever there is dlsym(3). */
static int look_up(const char *name, void *into)
{
    void *found = dlsym(handle, name);

    memcpy(into, &found, sizeof found);
    return found != NULL;
}

static const struct calls *give_up(void)
{
    calls_close();
    return NULL;
}

const struct calls *calls_open(const char *library, char *why, size_t room)
{
    const char *path = library != NULL ? library : LIBRARY;

    calls_close();
    handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(why, room, "cannot load the library: %s", dlerror());
        return NULL;
    }
    /* The version first: another one may well lack what is looked for. */
    if (!look_up("earshot_ipc_abi", &calls.abi)) {
        snprintf(why, room, "%s is not libearshot-ipc: it has no earshot_ipc_abi", path);
        return give_up();
    }
    if (calls.abi() != EARSHOT_IPC_ABI) {
        snprintf(why, room, "%s has ABI %d, this program needs %d", path, calls.abi(),
            EARSHOT_IPC_ABI);
        return give_up();
    }
#define EACH(name)                                                                                 \
    if (!look_up("earshot_ipc_" #name, &calls.name)) {                                             \
        snprintf(why, room, "%s lacks earshot_ipc_" #name, path);                                  \
        return give_up();                                                                          \
    }
    CALLS(EACH)
#undef EACH
    return &calls;
}

void calls_close(void)
{
    if (handle != NULL) dlclose(handle);
    handle = NULL;
}
