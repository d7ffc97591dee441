//! The floor of a request over pipes: two plain programs, one pipe each way, blocking calls. The
//! driver says in a few bytes which payload it wants, and the server answers with it.
//!
//!     floor_pipe serve PATH
//!     floor_pipe drive PATH
//!
//! The pipes are PATH.up and PATH.down, which mkfifo makes: by a name as without one, a pipe is the
//! same in the kernel. A frame is a u32 in big-endian order with the length, then the bytes.

const std = @import("std");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const samples = @import("common/samples.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");
const c = std.c;

const header_bytes = 4;
const request_bytes = header_bytes + 8; // which payload, and how long it is
const trips_warm = 16; // enough to have both processes awake and their caches filled

extern "c" fn mkfifo(path: [*:0]const u8, mode: c.mode_t) c_int;

var frame: [header_bytes + pattern.payload_bytes_max]u8 = undefined;

const usage = "floor_pipe serve|drive PATH";

pub fn main(init: std.process.Init.Minimal) void {
    const role = roles.read(init, usage);
    switch (role.name) {
        .serve => serve(role.path),
        .drive => drive(role.path),
    }
}

fn serve(path: []const u8) void {
    for ([_][]const u8{ "up", "down" }) |way| {
        var buffer: [std.fs.max_path_bytes]u8 = undefined;
        if (mkfifo(nameOf(&buffer, path, way), 0o600) != 0) socket.die("mkfifo failed", .{});
    }
    control.ready();
    const from = open(path, "up", .RDONLY);
    const to = open(path, "down", .WRONLY);
    while (receiveFrame(from)) |bytes| {
        if (bytes != request_bytes - header_bytes) socket.die("no request", .{});
        const k = std.mem.readInt(u32, frame[header_bytes..][0..4], .big);
        const wanted = std.mem.readInt(u32, frame[header_bytes + 4 ..][0..4], .big);
        @memcpy(frame[header_bytes..][0..wanted], pattern.payload(k, wanted));
        std.mem.writeInt(u32, frame[0..header_bytes], wanted, .big);
        writeAll(to, frame[0 .. header_bytes + wanted]);
    }
}

fn drive(path: []const u8) void {
    const to = open(path, "up", .WRONLY);
    const from = open(path, "down", .RDONLY);
    control.ready();
    while (control.next()) |plan| {
        for (0..trips_warm) |k| _ = trip(from, to, k, plan.bytes);
        var round: samples.Round = .begin(plan);
        while (!round.over()) round.add(trip(from, to, round.count, plan.bytes));
        round.tell();
    }
}

/// One round trip for payload k, in nanoseconds. Comparing the answer lies outside the timed part.
fn trip(from: socket.Fd, to: socket.Fd, k: usize, bytes: usize) u64 {
    const begin = control.now();
    std.mem.writeInt(u32, frame[0..header_bytes], request_bytes - header_bytes, .big);
    std.mem.writeInt(u32, frame[header_bytes..][0..4], @intCast(k), .big);
    std.mem.writeInt(u32, frame[header_bytes + 4 ..][0..4], @intCast(bytes), .big);
    writeAll(to, frame[0..request_bytes]);
    const answered = receiveFrame(from) orelse socket.die("the server is gone", .{});
    const end = control.now();
    const answer = frame[header_bytes..][0..answered];
    if (!std.mem.eql(u8, answer, pattern.payload(k, bytes))) socket.die("wrong answer", .{});
    return end - begin;
}

fn nameOf(buffer: []u8, path: []const u8, way: []const u8) [*:0]const u8 {
    const name = std.fmt.bufPrintSentinel(buffer, "{s}.{s}", .{ path, way }, 0) catch
        socket.die("path too long: {s}", .{path});
    return name.ptr;
}

fn open(path: []const u8, way: []const u8, mode: std.posix.ACCMODE) socket.Fd {
    var buffer: [std.fs.max_path_bytes]u8 = undefined;
    const fd = c.open(nameOf(&buffer, path, way), .{ .ACCMODE = mode });
    if (fd < 0) socket.die("no pipe {s}.{s}", .{ path, way });
    return fd;
}

/// Fills `frame` and returns the length of its payload; null at the end. There is never more than
/// one frame on its way, so nothing of a second one can be read here.
fn receiveFrame(fd: socket.Fd) ?usize {
    var have: usize = 0;
    while (true) {
        const count = c.read(fd, frame[have..].ptr, frame.len - have);
        if (count < 0 and c._errno().* == @intFromEnum(c.E.INTR)) continue;
        if (count <= 0) return null;
        have += @intCast(count);
        if (have < header_bytes) continue;
        const bytes = std.mem.readInt(u32, frame[0..header_bytes], .big);
        if (bytes > pattern.payload_bytes_max) socket.die("frame too long", .{});
        if (have == header_bytes + bytes) return bytes;
        if (have > header_bytes + bytes) socket.die("more than one frame", .{});
    }
}

fn writeAll(fd: socket.Fd, bytes: []const u8) void {
    var written: usize = 0;
    while (written < bytes.len) {
        const count = c.write(fd, bytes[written..].ptr, bytes.len - written);
        if (count < 0 and c._errno().* == @intFromEnum(c.E.INTR)) continue;
        if (count < 0) socket.die("nobody reads", .{});
        written += @intCast(count);
    }
}
