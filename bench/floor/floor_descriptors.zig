//! The floor of handing descriptors over: open files from one plain program to another, as fast as
//! they go, by sendmsg and recvmsg with SCM_RIGHTS (unix(7)).
//!
//!     floor_descriptors serve PATH COUNT        receives
//!     floor_descriptors drive PATH COUNT        sends COUNT descriptors with each message
//!
//! The receiver reads a byte of each file and closes it. A message is a frame, a u32 in big-endian
//! order with the length and then the bytes, and goes out with one call; since a read ends with the
//! message whose descriptors it brings, it comes in with one.
//!
//!     round:  frame and descriptors, frame and descriptors, … empty frame  →
//!                                                          ←  u64 descriptors, u64 sum of bytes

const std = @import("std");
const builtin = @import("builtin");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");
const c = std.c;

const header_bytes = 4;
const files_count = 256;
const together_max = 64; // the suite asks for 8
const messages_batch = 32; // a clock is read once a batch
const scm_rights = 1;

// The system's own calls are used on Linux, so its own layout is, whatever the C library's is.
const Header = if (builtin.os.tag == .linux) std.os.linux.cmsghdr else c.cmsghdr;
const unit = if (builtin.os.tag == .macos) 4 else @alignOf(usize);
const data_at = std.mem.alignForward(usize, @sizeOf(Header), unit);
const beside_bytes = std.mem.alignForward(usize, data_at + together_max * @sizeOf(c.fd_t), unit);

var frame: [header_bytes + pattern.payload_bytes_max]u8 = undefined;
var beside: [beside_bytes]u8 align(@alignOf(Header)) = undefined;
var files: [files_count]c.fd_t = undefined;

/// What the receiver found out about a round, in the machine's own byte order.
const Tally = extern struct {
    descriptors: u64 = 0,
    sum: u64 = 0,
};

const usage = "floor_descriptors serve|drive PATH COUNT";

pub fn main(init: std.process.Init.Minimal) void {
    var role = roles.read(init, usage);
    const together = std.fmt.parseInt(usize, role.option(), 10) catch role.refuse();
    if (together == 0 or together > together_max) role.refuse();
    socket.raiseDescriptorLimit();
    switch (role.name) {
        .serve => serve(role.path, together),
        .drive => drive(role.path, together),
    }
}

fn serve(path: []const u8, together: usize) void {
    const listener = socket.listen(path);
    control.ready();
    const fd = socket.accept(listener);
    var tally: Tally = .{};
    while (true) {
        const length = receive(fd, together, &tally) orelse return;
        if (length > 0) continue;
        socket.sendAll(fd, std.mem.asBytes(&tally), .sleep);
        tally = .{};
    }
}

/// One message, and its files. Returns the length of its payload, null at the end of the stream.
fn receive(fd: socket.Fd, together: usize, tally: *Tally) ?usize {
    var have: usize = 0;
    var wanted: usize = header_bytes;
    while (have < wanted) {
        var part: std.posix.iovec = .{ .base = frame[have..].ptr, .len = frame.len - have };
        var message = std.mem.zeroes(c.msghdr);
        message.iov = @ptrCast(&part);
        message.iovlen = 1;
        message.control = &beside;
        message.controllen = @intCast(beside.len);
        const count = c.recvmsg(fd, &message, 0);
        if (count == 0) return null;
        if (count < 0) {
            if (c._errno().* == @intFromEnum(c.E.INTR)) continue;
            socket.die("recvmsg failed", .{});
        }
        have += @intCast(count);
        if (message.controllen > 0) use(@intCast(message.controllen), together, tally);
        if (have >= header_bytes) {
            wanted = header_bytes + std.mem.readInt(u32, frame[0..header_bytes], .big);
            if (wanted > frame.len) socket.die("frame too long", .{});
        }
    }
    if (have > wanted) socket.die("more than one frame", .{});
    return wanted - header_bytes;
}

/// Reads a byte of each that has come, and closes it.
fn use(filled: usize, together: usize, tally: *Tally) void {
    const header: *const Header = @ptrCast(&beside);
    const bytes: usize = @intCast(header.len);
    if (filled < data_at or header.type != scm_rights or bytes != data_at + together * @sizeOf(c.fd_t)) {
        socket.die("not the descriptors that were sent", .{});
    }
    const fds = std.mem.bytesAsSlice(c.fd_t, beside[data_at..bytes]);
    for (fds, 1..) |file, place| {
        var byte: [1]u8 = undefined;
        if (c.pread(file, &byte, 1, 0) != 1) socket.die("no byte", .{});
        tally.sum += place * byte[0];
        _ = c.close(file);
    }
    tally.descriptors += together;
}

fn drive(path: []const u8, together: usize) void {
    openFiles(path);
    const fd = socket.connect(path);
    control.ready();
    while (control.next()) |plan| {
        const begin = control.now();
        var expected: Tally = .{};
        var k: usize = 0;
        while (control.now() - begin < plan.nanoseconds) {
            for (0..messages_batch) |_| {
                send(fd, k, plan.bytes, together, &expected);
                k += 1;
            }
        }
        socket.sendAll(fd, &.{ 0, 0, 0, 0 }, .sleep);
        const found = receiveTally(fd);
        const total = control.now() - begin;
        if (!std.meta.eql(found, expected)) socket.die("the receiver found something else", .{});
        tell(total, found.descriptors);
    }
}

/// Files of one byte each, all different; message k takes along those from k on.
fn openFiles(path: []const u8) void {
    for (&files, 0..) |*file, byte| {
        var room: [256]u8 = undefined;
        const name = std.fmt.bufPrintSentinel(&room, "{s}.file", .{path}, 0) catch socket.die("the path is too long", .{});
        file.* = c.open(name, .{ .ACCMODE = .RDWR, .CREAT = true }, @as(c.mode_t, 0o600));
        const content = [1]u8{@intCast(byte)};
        if (file.* < 0 or c.write(file.*, &content, 1) != 1) socket.die("cannot write {s}", .{name});
        _ = c.unlink(name);
    }
}

fn send(fd: socket.Fd, k: usize, bytes: usize, together: usize, expected: *Tally) void {
    std.mem.writeInt(u32, frame[0..header_bytes], @intCast(bytes), .big);
    @memcpy(frame[header_bytes..][0..bytes], pattern.payload(k, bytes));
    const header: *Header = @ptrCast(&beside);
    header.* = std.mem.zeroes(Header);
    header.len = @intCast(data_at + together * @sizeOf(c.fd_t));
    header.level = c.SOL.SOCKET;
    header.type = scm_rights;
    const fds = std.mem.bytesAsSlice(c.fd_t, beside[data_at..][0 .. together * @sizeOf(c.fd_t)]);
    for (fds, 0..) |*file, index| {
        const byte = (k + index) % files_count;
        file.* = files[byte];
        expected.sum += (index + 1) * byte;
    }
    expected.descriptors += together;
    sendWhole(fd, header_bytes + bytes, data_at + together * @sizeOf(c.fd_t));
}

fn sendWhole(fd: socket.Fd, length: usize, filled: usize) void {
    var part: std.posix.iovec_const = .{ .base = &frame, .len = length };
    var message = std.mem.zeroes(c.msghdr_const);
    message.iov = @ptrCast(&part);
    message.iovlen = 1;
    message.control = &beside;
    message.controllen = @intCast(std.mem.alignForward(usize, filled, unit));
    while (true) {
        const count = c.sendmsg(fd, &message, c.MSG.NOSIGNAL);
        if (count >= 0) {
            const sent: usize = @intCast(count);
            return socket.sendAll(fd, frame[sent..length], .sleep);
        }
        if (c._errno().* != @intFromEnum(c.E.INTR)) socket.die("sendmsg failed", .{});
    }
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

fn tell(total: u64, descriptors: u64) void {
    var report: [128]u8 = undefined;
    var writer: std.Io.Writer = .fixed(&report);
    const form = "{{\"nanoseconds\":{d},\"count\":{d},\"samples\":[]}}\n";
    writer.print(form, .{ total, descriptors }) catch socket.die("the report is too long", .{});
    control.writeAll(writer.buffered());
}
