//! What a call returns when it fails. Every error of every operation has a code: the switch below has no `else`, so a
//! new error does not compile until it is given one. Where libearshot-ipc has the same code, the number is the same.

const memory = @import("memory");
const sys = @import("sys");

/// Every error that any operation can end with.
pub const Error = sys.shared.CreateError || memory.ring.OpenError || memory.ring.Corrupt ||
    error{ InvalidArgument, MessageTooLong };

/// Results are `i32`: a value from 0 up, or one of these.
pub const Code = enum(i32) {
    ok = 0,
    /// An argument is out of its range.
    invalid_argument = -1,
    out_of_memory = -4,
    /// The process or the system is out of descriptors.
    descriptor_limit = -7,
    /// The message is longer than the ring takes.
    message_too_long = -10,
    /// The descriptor is no shared memory whose size, or whose bytes, can change no more.
    not_sealed = -80,
    /// It is, but of another size.
    wrong_size = -81,
    /// The other side has written what no ring holds.
    corrupt = -82,
    /// The system reported something else.
    unexpected = -99,
};

pub fn of(failure: Error) i32 {
    return @intFromEnum(codeOf(failure));
}

fn codeOf(failure: Error) Code {
    return switch (failure) {
        error.InvalidArgument => .invalid_argument,
        error.OutOfMemory => .out_of_memory,
        error.DescriptorLimit => .descriptor_limit,
        error.MessageTooLong => .message_too_long,
        error.NotSealed => .not_sealed,
        error.WrongSize => .wrong_size,
        error.Corrupt => .corrupt,
        error.Unexpected => .unexpected,
    };
}
