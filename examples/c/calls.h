/*
 * What ask.c calls of libearshot-ipc, as a table, so that the same program can be put together three ways:
 *
 *     linked.c   the linker fills it in, from the static library or from the shared one
 *     loader.c   it is filled in at run time, from a library that the program is told
 *
 *     cc ask.c linked.c libearshot-ipc.a                              statically
 *     cc ask.c linked.c -L lib -learshot-ipc -Wl,-rpath,'$ORIGIN'     dynamically
 *     cc ask.c loader.c -ldl                                          at run time
 */
#ifndef CALLS_H
#define CALLS_H

#include <earshot/ipc.h>

/* A call that is wanted is a word here, and has the type that the header gives it. */
#define CALLS(EACH)                                                                                \
    EACH(abi)                                                                                      \
    EACH(run_directory)                                                                            \
    EACH(context_open)                                                                             \
    EACH(context_close)                                                                            \
    EACH(lookup)                                                                                   \
    EACH(write)                                                                                    \
    EACH(next)

struct calls {
#define EACH(name) __typeof__(earshot_ipc_##name) *name;
    CALLS(EACH)
#undef EACH
};

/* The table, or NULL, and why in `why`, which has room for so many bytes. `library` is for the loader. */
const struct calls *calls_open(const char *library, char *why, size_t room);

/* No call may be made any more, and no context be open. */
void calls_close(void);

#endif
