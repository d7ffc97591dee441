//! The floor of a one-way stream: framed messages through a Unix socket, by blocking calls.
//!
//!     floor_stream serve PATH        receives
//!     floor_stream drive PATH        sends
//!
//! The strongest plain form known to us: the sender packs frames into one large buffer, and gives
//! it to the kernel with one send; the receiver reads as much as there is into a large buffer,
//! cuts it into messages where they lie, and touches the first and last byte of each. Large
//! messages are not packed: header and payload go out by writev from where they are.
//!
//!     round:  frame, frame, frame … empty frame  →
//!                                                ←  u64 messages, u64 bytes, u64 sum of the ends

const std = @import("std");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");

const header_bytes = 4;
const send_bytes = 256 * 1024; // larger than a socket takes at once by default
const receive_bytes = 1024 * 1024;
const packed_bytes_max = 16 * 1024; // above, a copy costs more than a longer vector
const gathered = 2; // messages in one writev; more were not faster

var outgoing: [send_bytes]u8 = undefined;
var incoming: [receive_bytes + pattern.payload_bytes_max]u8 = undefined;

/// What the receiver found out about a round, in the machine's own byte order.
const Tally = extern struct {
    messages: u64 = 0,
    bytes: u64 = 0,
    sum: u64 = 0,
};

const usage = "floor_stream serve|drive PATH";

pub fn main(init: std.process.Init.Minimal) void {
    const role = roles.read(init, usage);
    switch (role.name) {
        .serve => serve(role.path),
        .drive => drive(role.path),
    }
}

fn serve(path: []const u8) void {
    const listener = socket.listen(path);
    control.ready();
    const fd = socket.accept(listener);
    var tally: Tally = .{};
    var have: usize = 0;
    while (true) {
        have += socket.receive(fd, incoming[have..][0..receive_bytes], .sleep) orelse return;
        var at: usize = 0;
        while (have - at >= header_bytes) {
            const bytes = std.mem.readInt(u32, incoming[at..][0..header_bytes], .big);
            if (bytes > pattern.payload_bytes_max) socket.die("frame too long", .{});
            if (bytes == 0) {
                socket.sendAll(fd, std.mem.asBytes(&tally), .sleep);
                tally = .{};
                at += header_bytes;
                continue;
            }
            if (have - at < header_bytes + bytes) break;
            const message = incoming[at + header_bytes ..][0..bytes];
            tally.messages += 1;
            tally.bytes += bytes;
            tally.sum += @as(u64, message[0]) + message[bytes - 1];
            at += header_bytes + bytes;
        }
        std.mem.copyForwards(u8, incoming[0 .. have - at], incoming[at..have]);
        have -= at;
    }
}

fn drive(path: []const u8) void {
    const fd = socket.connect(path);
    control.ready();
    while (control.next()) |plan| {
        const begin = control.now();
        var expected: Tally = .{};
        while (control.now() - begin < plan.nanoseconds) {
            if (plan.bytes <= packed_bytes_max) {
                sendPacked(fd, plan.bytes, &expected);
            } else {
                sendGathered(fd, plan.bytes, &expected);
            }
        }
        socket.sendAll(fd, &.{ 0, 0, 0, 0 }, .sleep);
        const found = receiveTally(fd);
        const total = control.now() - begin;
        if (!std.meta.eql(found, expected)) socket.die("the receiver found something else", .{});
        tell(total, found.messages);
    }
}

/// One buffer full of frames, one send.
fn sendPacked(fd: socket.Fd, bytes: usize, expected: *Tally) void {
    var length: usize = 0;
    while (send_bytes - length >= header_bytes + bytes) {
        std.mem.writeInt(u32, outgoing[length..][0..header_bytes], @intCast(bytes), .big);
        const payload = pattern.payload(expected.messages, bytes);
        @memcpy(outgoing[length + header_bytes ..][0..bytes], payload);
        length += header_bytes + bytes;
        count(bytes, expected);
    }
    socket.sendAll(fd, outgoing[0..length], .sleep);
}

/// A few frames from where they lie, one writev.
fn sendGathered(fd: socket.Fd, bytes: usize, expected: *Tally) void {
    var header: [header_bytes]u8 = undefined;
    std.mem.writeInt(u32, &header, @intCast(bytes), .big);
    var parts: [2 * gathered]std.posix.iovec_const = undefined;
    for (0..gathered) |index| {
        const payload = pattern.payload(expected.messages, bytes);
        parts[2 * index] = .{ .base = &header, .len = header_bytes };
        parts[2 * index + 1] = .{ .base = payload.ptr, .len = bytes };
        count(bytes, expected);
    }
    sendParts(fd, &parts);
}

fn sendParts(fd: socket.Fd, parts: []std.posix.iovec_const) void {
    var first: usize = 0;
    while (first < parts.len) {
        const written = std.c.writev(fd, parts[first..].ptr, @intCast(parts.len - first));
        if (written < 0) {
            if (std.c._errno().* == @intFromEnum(std.c.E.INTR)) continue;
            socket.die("writev failed", .{});
        }
        var left: usize = @intCast(written);
        while (first < parts.len and left >= parts[first].len) : (first += 1) {
            left -= parts[first].len;
        }
        if (left > 0) {
            parts[first].base += left;
            parts[first].len -= left;
        }
    }
}

fn count(bytes: usize, expected: *Tally) void {
    expected.sum += pattern.ends(expected.messages, bytes);
    expected.messages += 1;
    expected.bytes += bytes;
}

fn receiveTally(fd: socket.Fd) Tally {
    var tally: Tally = undefined;
    const bytes = std.mem.asBytes(&tally);
    var have: usize = 0;
    while (have < bytes.len) {
        have += socket.receive(fd, bytes[have..], .sleep) orelse
            socket.die("the receiver is gone", .{});
    }
    return tally;
}

fn tell(total: u64, messages: u64) void {
    var report: [128]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&report);
    const form = "{{\"nanoseconds\":{d},\"count\":{d},\"samples\":[]}}\n";
    writer.print(form, .{ total, messages }) catch socket.die("the report is too long", .{});
    control.writeAll(writer.buffered());
}
