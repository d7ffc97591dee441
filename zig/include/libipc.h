/*
 * The calls of LibIPC 0.1, by libearshot-ipc: a C program written for LibIPC compiles with this header
 * unchanged, and talks to earshot's services and to LibIPC's. Link it with earshot-ipc.
 *
 *     #include <libipc.h>
 *     #include <stdio.h>
 *
 *     int main(void)
 *     {
 *         void *context = NULL;
 *         int service, origin;
 *         size_t index, length;
 *         char type, message[65536];
 *
 *         if (ipc_context_init(&context) != 0) return 1;
 *         if (ipc_service_init(context, &service, "pong", 4) != 0) return 1;
 *         for (;;) {
 *             length = sizeof message;
 *             if (ipc_wait_event(context, &type, &index, &origin, message, &length) != 0) return 1;
 *             if (type == MESSAGE_RX) ipc_schedule(context, origin, message, length);
 *         }
 *     }
 *
 * Results   0; -1, something failed; -2, there is no message; -3, the buffer is too small: the message
 *           is kept, and how many bytes it has is in the length.
 * Messages  are a length and bytes, none of which is looked at. The longest is 16 MiB.
 * Names     The run directory is EARSHOT_RUNDIR, else RUNDIR, else $XDG_RUNTIME_DIR/earshot, else
 *           /tmp/earshot-UID. To meet programs of LibIPC's own, set RUNDIR for both.
 * Threads   A context belongs to the thread that made it; to any other its calls answer -1.
 * Ends      A connection or service is closed by its descriptor or by its index, and never with
 *           close(2). What was written or scheduled is still sent, for up to 5 seconds; by a switch,
 *           what the system takes at once.
 *
 * earshot/ipc.h has the same and more, with reasons for every end, limits, and many events a call.
 */
#ifndef LIBIPC
#define LIBIPC

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What ipc_wait_event tells of: `origin` and `index` are of whom. */
enum event_types {
    /* A callback of a switch has failed, and the switch is closed with both its descriptors. */
    ERROR = 0,
    /* Somebody has connected. `index` is the new connection, `origin` the service. */
    CONNECTION = 1,
    /* A connection, or one side of a switch and with it the other, has ended. It is closed. */
    DISCONNECTION = 2,
    /* A message has come, and is in the buffer. */
    MESSAGE_RX = 3,
    /* A message that was scheduled is with the system, which keeps it for the peer. */
    MESSAGE_TX = 4,
    /* Nothing else has happened for as long as ipc_context_timer says. */
    TIMER = 5,
    /* An external descriptor is readable, or has ended. It is told again for as long as it is so. */
    EXTERNAL = 6,
    /* Bytes have come on one side of a switch. */
    SWITCH_RX = 7,
    /* Bytes have left by one side of a switch. */
    SWITCH_TX = 8
};

/* What a callback of a switch returns. */
enum cb_event_types {
    /* A message was read, or written. */
    CB_NO_ERROR = 0,
    /* Something failed: the switch is closed, and ERROR is told. */
    CB_ERROR = 1,
    /* The descriptor has come to its end: the switch is closed, and DISCONNECTION is told. */
    CB_FD_CLOSING = 2,
    /* There is nothing to pass on. From `out` it is an error. */
    CB_IGNORE = 3
};

/* Makes a context, or leaves NULL there. */
int ipc_context_init(void **context);

/* Ends a context, sets the pointer to NULL, and sends what was not sent yet, for up to 5 seconds. */
void ipc_context_deinit(void **context);

/* Serves a name, of so many bytes, in the run directory, which is made if it is missing. */
int ipc_service_init(void *context, int *servicefd, const char *name, uint16_t name_length);

/* Connects to a service. One that the environment variable IPC_NETWORK names is elsewhere: the service
 * `ipc` of the run directory is asked for the way, and waited for, for up to 35 seconds. With a variable
 * that cannot be understood nothing is connected to. */
int ipc_connect_service(void *context, int *servicefd, const char *name, uint16_t name_length);

/* Sends a message now. What the system does not take at once goes out while waiting. */
int ipc_write(void *context, int fd, char *bytes, uint32_t length);

/* Sends a message with the next wait, and tells MESSAGE_TX when it is with the system. */
int ipc_schedule(void *context, int fd, const char *bytes, uint32_t length);

/* Waits for the next message of one connection; what else happens is told by later waits. -2 when the
 * connection has ended. `length` is the room in the buffer, and then the bytes of the message. */
int ipc_read_fd(void *context, int fd, char *buffer, size_t *length);
int ipc_read(void *context, size_t index, char *buffer, size_t *length);

/* Waits for one event. `length` is the room in the buffer, and then the bytes of the message, 0 for
 * all other events. -3 tells type, index and origin too; the next call tells the same message again. */
int ipc_wait_event(
    void *context,
    char *type,
    size_t *index,
    int *originfd,
    char *buffer,
    size_t *length);

/* Each wait tells TIMER when so many milliseconds have passed and nothing else has happened. Below 0
 * there is no timer, as in the beginning. */
void ipc_context_timer(void *context, int ms);

/* The last one takes the index of one that is closed. */
int ipc_close_fd(void *context, int fd);
int ipc_close(void *context, size_t index);
int ipc_close_all(void *context);

/* Tells EXTERNAL of a descriptor of the program's own. Closing it by ipc_close or ipc_close_fd closes
 * the descriptor, as the end of the context does. */
int ipc_add_external(void *context, int fd);

/* Binds two descriptors of the context: what arrives on one leaves by the other, without the program.
 * They are closed together. -1 if one of the two can only be read, and the other can be read as well:
 * what comes from that would have nowhere to go. */
int ipc_add_switch(void *context, int fd1, int fd2);

/*
 * Has one side of a switch read and written by the program, in a format of its own; either may be
 * NULL. `in` is called when there is something to read from `orig`: it reads it, and puts a message
 * with its header (its length as a big-endian uint32_t, then its bytes) into `payload`, where there is
 * room for *length bytes; *length is then how many it was. `out` is given a message with its header,
 * and writes it, all of it, to `dest`. The descriptor blocks while a callback has it, and
 * calls on the context answer -1 meanwhile.
 */
int ipc_set_switch_callbacks(
    void *context,
    int fd,
    enum cb_event_types (*in)(int orig, const char *payload, uint32_t *length),
    enum cb_event_types (*out)(int dest, char *payload, uint32_t length));

/* The older name of the same. */
int ipc_switching_callbacks(
    void *context,
    int fd,
    enum cb_event_types (*in)(int orig, const char *payload, uint32_t *length),
    enum cb_event_types (*out)(int dest, char *payload, uint32_t length));

#ifdef __cplusplus
}
#endif

#endif
