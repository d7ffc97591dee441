//! What a call returns when it fails: the code that is called like the error. One that has none does not compile. Where
//! libearshot-ipc has the same code, the number is the same.

const memory = @import("memory");
const library = @import("library");
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
    /// The descriptor is no shared memory whose size, or whose bytes, can change no more; or can only be read, or written.
    not_sealed = -80,
    /// It is, but of another size.
    wrong_size = -81,
    /// The other side has written what no ring holds.
    corrupt = -82,
    /// The system reported something else.
    unexpected = -99,
};

pub fn of(failure: Error) i32 {
    return switch (failure) {
        inline else => |known| @intFromEnum(library.code.named(Code, known)),
    };
}
