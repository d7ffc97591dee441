/*
 * What the programs of this folder share: a check that ends them, and a run directory of their own.
 * It comes first, since it asks the system for more than C99 has.
 */
#define _XOPEN_SOURCE 700
#define _DARWIN_C_SOURCE 1

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (condition) break;                                                                      \
        fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                    \
        exit(1);                                                                                   \
    } while (0)

static char *directory;

static void make_directory(char *template)
{
    directory = mkdtemp(template);
    MUST(directory != NULL);
}

/* It must be empty: what the library put there, it has taken away. */
static void remove_directory(void)
{
    MUST(rmdir(directory) == 0);
}
