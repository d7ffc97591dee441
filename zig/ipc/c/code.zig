//! What a call returns when it fails: the code that is called like the error. One that has none does not compile.

const ipc = @import("ipc");
const library = @import("library");
const sys = @import("sys");

/// Every error that any operation can end with.
pub const Error = ipc.Context.InitError || ipc.context.AddError || ipc.context.SendError ||
    ipc.context.WaitError || ipc.context.CloseError || ipc.waiter.Waiter.StartError ||
    ipc.run_directory.OpenError || ipc.claim.ClaimError || ipc.claim.ConnectError ||
    ipc.claim.InspectError || ipc.context.SendRightsError || ipc.claim.TakeOverError ||
    ipc.handover.AdoptError || ipc.handover.CopyError || ipc.dialer.ListenError || ipc.dialer.DialError ||
    sys.manager.InheritError || sys.manager.NotifyError || sys.manager.LaunchError ||
    ipc.switches.AddError || ipc.lookup.Error || ipc.pipe.OpenError || ipc.pipe.ReadError || ipc.pipe.WriteError || error{NetworkInvalid};

/// Results are `i32`: a value from 0 up, or one of these.
pub const Code = enum(i32) {
    ok = 0,
    /// An argument is out of its range.
    invalid_argument = -1,
    /// The handle is stale, or its connection has ended.
    closed = -2,
    /// The context belongs to another thread.
    wrong_thread = -3,
    out_of_memory = -4,
    /// This system has no such poller.
    not_available = -5,
    /// The context holds as many objects as it can name.
    handle_limit = -6,
    /// The process or the system is out of descriptors.
    descriptor_limit = -7,
    /// The system watches no more descriptors for this user.
    watch_limit = -8,
    /// The system starts no more threads.
    thread_limit = -9,
    /// The message is over the connection's `message_bytes_max`.
    message_too_long = -10,
    /// The queue is at its limit, and the connection's policy is to refuse.
    queue_full = -11,
    /// The bytes in the outbox are not whole frames.
    malformed = -12,
    /// The connection is at its end by itself; its disconnection counts what was to be sent.
    ended = -13,
    /// What is to be adopted is no stream socket.
    not_stream = -14,
    /// A descriptor that was to go along is not open, or cannot be passed.
    descriptor_unpassable = -15,
    /// The system keeps no more descriptors of this user on their way.
    descriptors_crowded = -16,
    /// More descriptors than one message may have, or than are held for the peer's user.
    descriptors_too_many = -17,
    /// Part of a message has come, or waits to be sent.
    unfinished = -18,
    /// What is to be inherited is a socket that nobody can connect to.
    not_listening = -19,
    /// The name breaks a rule; detail: the rule (`NameFault`).
    name_invalid = -20,
    /// The path is longer than a socket address holds; detail: its length.
    path_too_long = -21,
    /// Nobody serves that name here.
    service_missing = -22,
    /// A socket is there, and nobody listens on it any more.
    service_gone = -23,
    /// The service's queue of new connections is full. Try again.
    service_busy = -24,
    /// What is at the path is not a service.
    service_foreign = -25,
    /// Somebody serves that name; detail: the process id, or 0 if it does not say.
    already_served = -26,
    /// Something that is not a socket is at the path, and stays there.
    path_taken = -27,
    permission = -28,
    no_space = -29,
    /// The path of the run directory does not start with a slash.
    path_relative = -30,
    /// The path of the run directory holds a zero byte.
    path_invalid = -31,
    /// Somebody listens at that address.
    address_in_use = -32,
    /// The address is none of this machine's.
    address_missing = -33,
    /// IPC_NETWORK cannot be understood; detail: which entry, from 1, or 0 if it is the whole.
    network_invalid = -34,
    /// ipcd found no way to a service elsewhere; detail: how many bytes the reason has.
    no_way = -35,
    /// It took longer than the caller was willing to wait.
    timed_out = -36,
    /// What one of two that are to be bound sends has nowhere to go; detail: which can only be read, 0 or 1.
    not_writable = -37,
    directory_missing = -40,
    directory_link = -41,
    not_directory = -42,
    /// The run directory is another user's; detail: that user.
    directory_owner = -43,
    /// Others can write to the run directory; detail: its mode.
    directory_writable = -44,
    /// The directory in which the run directory is to be made is missing.
    parent_missing = -45,
    /// The run directory was moved or removed meanwhile.
    directory_gone = -46,
    /// The socket of a service that is gone is another user's, and not ours to replace.
    socket_owner = -50,
    /// What is in the place of the lock is not a plain file.
    lock_not_file = -51,
    /// The lock is another user's.
    lock_owner = -52,
    /// What is in the place of the lock holds something else than a lock does.
    lock_foreign = -53,
    /// The system reported something else; errno and syscall say what.
    unexpected = -99,
};

pub fn of(failure: Error) i32 {
    return @intFromEnum(@as(Code, switch (failure) {
        error.CarriesNone => .not_available,
        error.Unpassable => .descriptor_unpassable,
        error.Crowded => .descriptors_crowded,
        error.NotFound => .service_missing,
        error.Refused => .service_gone,
        error.Busy => .service_busy,
        error.NotService => .service_foreign,
        error.NotSocket => .path_taken,
        error.Missing => .directory_missing,
        error.Link => .directory_link,
        error.Owner => .directory_owner,
        error.Writable => .directory_writable,
        inline else => |same| library.code.named(Code, same),
    }));
}
