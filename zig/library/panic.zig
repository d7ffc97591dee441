//! A broken invariant of our own ends the host's process, so it says what it was and nothing more: the standard
//! library's handler would bring half of it along to print a stack trace.

const std = @import("std");

/// The handler of a library, to stand as `panic` in its root; `name` is as its file is called.
pub fn PanicType(comptime name: []const u8) type {
    return std.debug.FullPanic(struct {
        const prefix = name ++ ": panic: ";

        fn panicked(message: []const u8, _: ?usize) noreturn {
            @branchHint(.cold);
            const parts = [_]std.posix.iovec_const{
                .{ .base = prefix.ptr, .len = prefix.len },
                .{ .base = message.ptr, .len = message.len },
                .{ .base = "\n", .len = 1 },
            };
            _ = std.c.writev(std.c.STDERR_FILENO, &parts, parts.len);
            std.c.abort();
        }
    }.panicked);
}
