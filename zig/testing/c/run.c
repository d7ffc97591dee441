/*
 * Starts the program that a header shows, which has to end well by itself.
 *
 *     run TEMPLATE PROGRAM    the first is for programs that need a directory
 */
#include "must.h"
#include <sys/wait.h>

int main(int arguments_count, char **arguments)
{
    int status;
    pid_t program;

    MUST(arguments_count == 3);
    make_directory(arguments[1]);
    program = fork();
    MUST(program >= 0);
    if (program == 0) {
        char *words[] = { arguments[2], NULL };
        execv(arguments[2], words);
        _exit(127);
    }
    MUST(waitpid(program, &status, 0) == program);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    remove_directory();
    return 0;
}
