//! What a zygote and its owner say to each other, over a stream of frames as a context makes them: the length as 32 bits,
//! big-endian, and so many bytes.
//!
//!     owner ── Request, with one end of a pair ──▶ zygote
//!     owner ◀── Report, with a pidfd ──────────── zygote       forked, or not; and later, that a clone has ended

const std = @import("std");
const sys = @import("sys");

const Fd = sys.Fd;

/// Of a frame, before its bytes.
pub const header_bytes = 4;

/// One descriptor comes with it: the clone's end of its connection.
pub const Request = extern struct {
    id: u32,
    /// Whether the clone gets ready as far as it can before it is told what it is for.
    ahead: u32,
};

pub const ReportKind = enum(u32) {
    /// A pidfd comes with it.
    forked = 0,
    /// It could not be; `code` and the failure say why.
    failed = 1,
    /// `code` is that of its exit, or -1 with `signal`.
    ended = 2,
};

pub const Report = extern struct {
    kind: ReportKind,
    id: u32,
    pid: i32 = 0,
    code: i32 = 0,
    signal: i32 = 0,
    errno_value: i32 = 0,
    syscall: u32 = 0,
};

pub const Outcome = enum { done, ended };

/// Reads until `buffer` is full. What descriptors come on the way go to `arrivals`.
pub fn readAll(
    system: *sys.System,
    fd: Fd,
    buffer: []u8,
    arrivals: *sys.rights.Arrivals,
) error{Unexpected}!Outcome {
    var filled: usize = 0;
    var room = arrivals.*;
    while (filled < buffer.len) {
        // Those of a further read go behind those of the first.
        room.room = arrivals.room[arrivals.count..];
        room.count = 0;
        const received = system.receive(fd, buffer[filled..], &room);
        arrivals.count += room.count;
        arrivals.cut = arrivals.cut or room.cut;
        switch (received) {
            .bytes => |count| filled += count,
            .end, .reset => return .ended,
            .would_block => try await(system, fd, sys.POLL.IN),
            .failed => return error.Unexpected,
        }
    }
    return .done;
}

/// Writes all of `bytes`, with `fds` if there are any.
pub fn writeAll(system: *sys.System, fd: Fd, bytes: []const u8, fds: []const Fd) error{Unexpected}!Outcome {
    var rest = bytes;
    var beside = fds;
    while (rest.len > 0) {
        const part = [_]std.posix.iovec_const{.{ .base = rest.ptr, .len = rest.len }};
        if (beside.len > 0) {
            switch (system.sendRights(fd, &part, beside)) {
                .bytes => |count| {
                    rest = rest[count..];
                    beside = &.{};
                },
                .would_block => try await(system, fd, sys.POLL.OUT),
                .broken => return .ended,
                // It goes without them; who reads it sees that.
                .unpassable, .crowded => beside = &.{},
                .failed => return error.Unexpected,
            }
        } else switch (system.send(fd, &part)) {
            .bytes => |count| rest = rest[count..],
            .would_block => try await(system, fd, sys.POLL.OUT),
            .broken => return .ended,
            .failed => return error.Unexpected,
        }
    }
    return .done;
}

fn await(system: *sys.System, fd: Fd, events: i16) error{Unexpected}!void {
    var list = [_]sys.PollFd{.{ .fd = fd, .events = events, .revents = 0 }};
    _ = try system.poll(&list, null);
}

/// A frame around one structure.
pub fn frameOf(comptime Body: type, body: Body) [header_bytes + @sizeOf(Body)]u8 {
    var frame: [header_bytes + @sizeOf(Body)]u8 = undefined;
    std.mem.writeInt(u32, frame[0..header_bytes], @sizeOf(Body), .big);
    @memcpy(frame[header_bytes..], std.mem.asBytes(&body));
    return frame;
}

test "what is written in one piece is read in another" {
    var system: sys.System = .{};
    const ends = try system.pair();
    defer for (ends) |end| system.close(end);
    const extra = try system.pair();
    defer for (extra) |end| system.close(end);
    const frame = frameOf(Request, .{ .id = 7, .ahead = 1 });
    try std.testing.expectEqual(.done, try writeAll(&system, ends[0], &frame, extra[0..1]));
    var room: [2]Fd = undefined;
    var arrivals: sys.rights.Arrivals = .{ .room = &room };
    var first: [3]u8 = undefined;
    var rest: [frame.len - 3]u8 = undefined;
    try std.testing.expectEqual(.done, try readAll(&system, ends[1], &first, &arrivals));
    try std.testing.expectEqual(.done, try readAll(&system, ends[1], &rest, &arrivals));
    try std.testing.expectEqual(1, arrivals.count);
    system.close(room[0]);
    try std.testing.expectEqualSlices(u8, &frame, &(first ++ rest));
    system.shutdownWrite(ends[0]);
    try std.testing.expectEqual(.ended, try readAll(&system, ends[1], &first, &arrivals));
}
