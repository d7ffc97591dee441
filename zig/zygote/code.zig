//! What a call returns when it fails, and what a zygote says of a fork that it could not make: the code that is called like
//! the error. One that has none does not compile. Where libearshot-ipc has the same code, the number is the same.

const library = @import("library");
const sys = @import("sys");
const pages = @import("pages.zig");
const inheritance = @import("inheritance.zig");

/// Every error that any operation can end with.
pub const Error = sys.process.Error || pages.Error || inheritance.StudyError || error{NotAlone};

/// Results are `i32`: a value from 0 up, or one of these.
pub const Code = enum(i32) {
    ok = 0,
    /// An argument is out of its range.
    invalid_argument = -1,
    out_of_memory = -4,
    /// The system has no such thing.
    not_available = -5,
    /// The process or the system is out of descriptors.
    descriptor_limit = -7,
    permission = -28,
    /// The user has as many processes, or namespaces, as he may have.
    process_limit = -90,
    /// The process has threads, which could hold locks that a fork needs.
    not_alone = -91,
    /// The process has more of something than is provided for: event loops, or what they watch.
    too_many = -92,
    /// There is no such process any more.
    gone = -93,
    /// The system reported something else.
    unexpected = -99,
};

pub fn of(failure: Error) i32 {
    return switch (failure) {
        inline else => |known| @intFromEnum(library.code.named(Code, known)),
    };
}
