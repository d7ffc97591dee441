//! Descriptors on their way from one process to another: how they are laid beside the bytes of a send, and taken out
//! from beside those of a read (unix(7), SCM_RIGHTS).
//!
//!     | length | level | type | padding | descriptor | descriptor | …
//!     '------ Header -------'         data_at

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const c = std.c;

const Fd = sys.Fd;

/// What one send can pass: SCM_MAX_FD of Linux, the smallest of the systems here.
pub const descriptors_max = 253;

/// Which byte of a read that brings descriptors is sure to be of the send that they came with. Linux ends such a read
/// with that send, and may begin it with others; BSD begins it there (soreceive), and may go on with others.
pub const come_with: enum { first_byte, last_byte } = if (builtin.os.tag == .linux) .last_byte else .first_byte;

/// Linux closes what there is no room for, and says so. BSD would leave such descriptors open under numbers that
/// nobody knows, and is given room for all there can be.
pub const cuts = builtin.os.tag == .linux;

/// The alignment of what is laid here: Linux and FreeBSD take that of a pointer, macOS four bytes.
const unit = if (builtin.os.tag == .macos) 4 else @alignOf(usize);
// The system's own calls are used on Linux, so its own layout is, whatever the C library's is.
const Header = if (builtin.os.tag == .linux) std.os.linux.cmsghdr else c.cmsghdr;
const data_at = std.mem.alignForward(usize, @sizeOf(Header), unit);
const scm_rights = 1;

/// Memory for what lies beside the bytes of one send or read.
pub const Control = struct {
    memory: [room_bytes]u8 align(@alignOf(Header)) = undefined,

    const room_bytes = std.mem.alignForward(usize, data_at + descriptors_max * @sizeOf(Fd), unit);

    /// Lays `fds`, at most `descriptors_max`, down to be sent.
    pub fn put(control: *Control, fds: []const Fd) []const u8 {
        const bytes = data_at + fds.len * @sizeOf(Fd);
        const total = std.mem.alignForward(usize, bytes, unit);
        @memset(control.memory[0..total], 0);
        const header: *Header = @ptrCast(&control.memory);
        header.len = @intCast(bytes);
        header.level = c.SOL.SOCKET;
        header.type = scm_rights;
        @memcpy(control.memory[data_at..bytes], std.mem.sliceAsBytes(fds));
        return control.memory[0..total];
    }

    /// Where a read leaves at most `count` descriptors.
    pub fn room(control: *Control, count: usize) []u8 {
        return control.memory[0 .. data_at + count * @sizeOf(Fd)];
    }

    /// The descriptors in the first `filled` bytes, as many as `into` holds; the rest is closed, and told by `cut`.
    /// Those are set not to outlive an exec where the system has not done so.
    pub fn take(control: *const Control, filled: usize, into: *Arrivals, close: *const fn (Fd) void) void {
        var at: usize = 0;
        while (at + data_at <= filled) {
            var header: Header = undefined;
            @memcpy(std.mem.asBytes(&header), control.memory[at..][0..@sizeOf(Header)]);
            const bytes: usize = @intCast(header.len);
            if (bytes < data_at or bytes > filled - at) return;
            if (header.level == c.SOL.SOCKET and header.type == scm_rights) {
                var place = at + data_at;
                while (place + @sizeOf(Fd) <= at + bytes) : (place += @sizeOf(Fd)) {
                    into.add(std.mem.bytesToValue(Fd, control.memory[place..][0..@sizeOf(Fd)]), close);
                }
            }
            at += std.mem.alignForward(usize, bytes, unit);
        }
    }
};

/// The descriptors that came with the bytes of one read. Who reads owns them.
pub const Arrivals = struct {
    /// Room for as many as are wanted. What comes beyond is closed.
    room: []Fd = &.{},
    count: usize = 0,
    /// Some were closed: there was no room for them, or no number in the process.
    cut: bool = false,

    pub fn fds(arrivals: *const Arrivals) []Fd {
        return arrivals.room[0..arrivals.count];
    }

    fn add(arrivals: *Arrivals, fd: Fd, close: *const fn (Fd) void) void {
        if (arrivals.count == arrivals.room.len) {
            arrivals.cut = true;
            return close(fd);
        }
        if (builtin.os.tag == .macos) _ = c.fcntl(fd, c.F.SETFD, @as(c_int, c.FD_CLOEXEC));
        arrivals.room[arrivals.count] = fd;
        arrivals.count += 1;
    }
};

test "what is laid down is taken out, and what is too much is closed" {
    const Closed = struct {
        var fds: [descriptors_max]Fd = undefined;
        var count: usize = 0;
        fn close(fd: Fd) void {
            fds[count] = fd;
            count += 1;
        }
    };
    var sent: [descriptors_max]Fd = undefined;
    for (&sent, 0..) |*fd, number| fd.* = @intCast(1000 + number);
    for ([_]usize{ 1, 2, 3, 100, descriptors_max }) |count| {
        var control: Control = .{};
        const laid = control.put(sent[0..count]);
        var room: [2]Fd = undefined;
        var arrivals: Arrivals = .{ .room = &room };
        Closed.count = 0;
        control.take(laid.len, &arrivals, Closed.close);
        const kept = @min(count, room.len);
        try std.testing.expectEqualSlices(Fd, sent[0..kept], arrivals.fds());
        try std.testing.expectEqual(count > room.len, arrivals.cut);
        try std.testing.expectEqualSlices(Fd, sent[kept..count], Closed.fds[0..Closed.count]);
    }
}

test "what is no descriptors is passed over, and a length that leads too far ends it" {
    const never = struct {
        fn close(_: Fd) void {
            unreachable;
        }
    }.close;
    var control: Control = .{};
    const laid = control.put(&.{ 7, 8 });
    const header: *Header = @ptrCast(&control.memory);
    var room: [4]Fd = undefined;
    var arrivals: Arrivals = .{ .room = &room };
    header.type = 99;
    control.take(laid.len, &arrivals, never);
    header.type = scm_rights;
    header.len = @intCast(laid.len + 1);
    control.take(laid.len, &arrivals, never);
    header.len = 1;
    control.take(laid.len, &arrivals, never);
    control.take(0, &arrivals, never);
    try std.testing.expectEqual(0, arrivals.count);
}
