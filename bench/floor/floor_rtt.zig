//! The floor of a round trip: two plain programs bounce one framed message over a Unix socket.
//!
//!     floor_rtt serve PATH sleep|spin|yield
//!     floor_rtt drive PATH sleep|spin|yield
//!
//! A frame is a u32 in big-endian order with the length, then the bytes. It goes out with one send
//! and, as far as the kernel has it whole, comes in with one recv. An empty frame ends a round: the
//! server answers it and goes to sleep until the next round begins, so that nobody spins while
//! another row is being measured.

const std = @import("std");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const samples = @import("common/samples.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");

const header_bytes = 4;
const trips_warm = 16; // enough to have both processes awake and their caches filled

var frame: [header_bytes + pattern.payload_bytes_max]u8 = undefined;

const usage = "floor_rtt serve|drive PATH sleep|spin|yield";

pub fn main(init: std.process.Init.Minimal) void {
    var role = roles.read(init, usage);
    const waiting = std.meta.stringToEnum(socket.Waiting, role.option()) orelse role.refuse();
    switch (role.name) {
        .serve => serve(role.path, waiting),
        .drive => drive(role.path, waiting),
    }
}

fn serve(path: []const u8, waiting: socket.Waiting) void {
    const listener = socket.listen(path);
    control.ready();
    const fd = socket.accept(listener);
    while (true) {
        socket.waitReadable(fd);
        while (true) {
            const bytes = receiveFrame(fd, waiting) orelse return;
            const whole = frame[0 .. header_bytes + bytes];
            const first = whole[@min(header_bytes, whole.len - 1)];
            std.mem.doNotOptimizeAway(first +% whole[whole.len - 1]);
            socket.sendAll(fd, whole, waiting);
            if (bytes == 0) break;
        }
    }
}

fn drive(path: []const u8, waiting: socket.Waiting) void {
    const fd = socket.connect(path);
    control.ready();
    while (control.next()) |plan| {
        for (0..trips_warm) |k| _ = trip(fd, k, plan.bytes, waiting);
        var round: samples.Round = .begin(plan);
        while (!round.over()) round.add(trip(fd, round.count, plan.bytes, waiting));
        sendFrame(fd, 0, waiting);
        if (receiveFrame(fd, waiting) != 0) socket.die("the round did not end", .{});
        round.tell();
    }
}

/// One round trip of message k, in nanoseconds. Writing the payload and comparing the answer lie
/// outside the timed part.
fn trip(fd: socket.Fd, k: usize, bytes: usize, waiting: socket.Waiting) u64 {
    const payload = pattern.payload(k, bytes);
    @memcpy(frame[header_bytes..][0..bytes], payload);
    const begin = control.now();
    sendFrame(fd, bytes, waiting);
    const answered = receiveFrame(fd, waiting) orelse socket.die("the server is gone", .{});
    const end = control.now();
    const answer = frame[header_bytes..][0..answered];
    if (!std.mem.eql(u8, answer, payload)) socket.die("wrong answer", .{});
    return end - begin;
}

fn sendFrame(fd: socket.Fd, bytes: usize, waiting: socket.Waiting) void {
    std.mem.writeInt(u32, frame[0..header_bytes], @intCast(bytes), .big);
    socket.sendAll(fd, frame[0 .. header_bytes + bytes], waiting);
}

/// Fills `frame` and returns the length of its payload. There is never more than one frame on its
/// way, so nothing of a second one can be read here.
fn receiveFrame(fd: socket.Fd, waiting: socket.Waiting) ?usize {
    var have: usize = 0;
    while (true) {
        have += socket.receive(fd, frame[have..], waiting) orelse return null;
        if (have < header_bytes) continue;
        const bytes = std.mem.readInt(u32, frame[0..header_bytes], .big);
        if (bytes > pattern.payload_bytes_max) socket.die("frame too long", .{});
        if (have == header_bytes + bytes) return bytes;
        if (have > header_bytes + bytes) socket.die("more than one frame", .{});
    }
}
