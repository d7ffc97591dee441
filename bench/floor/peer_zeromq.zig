//! The peer `zeromq-ipc`: round trips between two plain programs by ZeroMQ, a PAIR at each end of an `ipc://` address.
//!
//!     peer_zeromq serve|drive PATH
//!     peer_zeromq version
//!
//! The library is looked for when it runs, so that this is built wherever the benchmarks are; where there is none, it says
//! so and fails. A message without bytes ends a round, as in the floor programs.

const std = @import("std");
const control = @import("common/control.zig");
const pattern = @import("common/pattern.zig");
const samples = @import("common/samples.zig");
const roles = @import("common/role.zig");
const socket = @import("common/socket.zig");

const trips_warm = 16; // enough to have both processes awake and their caches filled
const names = [_][]const u8{ "libzmq.so.5", "libzmq.5.dylib", "/opt/homebrew/lib/libzmq.5.dylib" };

/// zmq.h of ZeroMQ 4.
const pair = 0;
const linger = 17;

/// What is used of it; `zmq_` comes before each.
const Calls = struct {
    version: *const fn (*c_int, *c_int, *c_int) callconv(.c) void,
    ctx_new: *const fn () callconv(.c) ?*anyopaque,
    socket: *const fn (*anyopaque, c_int) callconv(.c) ?*anyopaque,
    setsockopt: *const fn (*anyopaque, c_int, *const anyopaque, usize) callconv(.c) c_int,
    bind: *const fn (*anyopaque, [*:0]const u8) callconv(.c) c_int,
    connect: *const fn (*anyopaque, [*:0]const u8) callconv(.c) c_int,
    send: *const fn (*anyopaque, [*]const u8, usize, c_int) callconv(.c) c_int,
    recv: *const fn (*anyopaque, [*]u8, usize, c_int) callconv(.c) c_int,
};

var zmq: Calls = undefined;
var message: [pattern.payload_bytes_max]u8 = undefined;

const usage = "peer_zeromq serve|drive PATH, or peer_zeromq version";

pub fn main(init: std.process.Init.Minimal) void {
    zmq = load() orelse socket.die("there is no libzmq on this machine", .{});
    var arguments = init.args.iterate();
    _ = arguments.next();
    if (std.mem.eql(u8, arguments.next() orelse "", "version")) return tellVersion();
    const role = roles.read(init, usage);
    switch (role.name) {
        .serve => serve(role.path),
        .drive => drive(role.path),
    }
}

fn load() ?Calls {
    var library = for (names) |name| {
        break std.DynLib.open(name) catch continue;
    } else return null;
    var calls: Calls = undefined;
    inline for (@typeInfo(Calls).@"struct".fields) |field|
        @field(calls, field.name) = library.lookup(field.type, "zmq_" ++ field.name) orelse return null;
    return calls;
}

fn tellVersion() void {
    var numbers: [3]c_int = undefined;
    zmq.version(&numbers[0], &numbers[1], &numbers[2]);
    var line: [64]u8 = undefined;
    const text = std.fmt.bufPrint(&line, "{d}.{d}.{d}\n", .{ numbers[0], numbers[1], numbers[2] }) catch unreachable;
    control.writeAll(text);
}

/// A socket at one end of the address, for as long as the program runs.
fn open(path: []const u8, comptime how: enum { bind, connect }) *anyopaque {
    const context = zmq.ctx_new() orelse socket.die("zmq_ctx_new failed", .{});
    const end = zmq.socket(context, pair) orelse socket.die("zmq_socket failed", .{});
    // Nobody waits for what is left when it is over.
    if (zmq.setsockopt(end, linger, &@as(c_int, 0), @sizeOf(c_int)) != 0) socket.die("zmq_setsockopt failed", .{});
    var buffer: [256]u8 = undefined;
    const address = std.fmt.bufPrintSentinel(&buffer, "ipc://{s}", .{path}, 0) catch socket.die("the path is too long", .{});
    if (@field(zmq, @tagName(how))(end, address) != 0) socket.die("cannot {t} {s}", .{ how, address });
    return end;
}

fn serve(path: []const u8) void {
    const end = open(path, .bind);
    control.ready();
    while (true) {
        const payload = receive(end);
        std.mem.doNotOptimizeAway(if (payload.len == 0) 0 else payload[0] +% payload[payload.len - 1]);
        send(end, payload);
    }
}

fn drive(path: []const u8) void {
    const end = open(path, .connect);
    control.ready();
    while (control.next()) |plan| {
        for (0..trips_warm) |k| _ = trip(end, k, plan.bytes);
        var round: samples.Round = .begin(plan);
        while (!round.over()) round.add(trip(end, round.count, plan.bytes));
        send(end, "");
        if (receive(end).len != 0) socket.die("the round did not end", .{});
        round.tell();
    }
}

/// One round trip of message k, in nanoseconds, from the bytes in hand to the answer in hand.
/// Comparing lies outside the timed part.
fn trip(end: *anyopaque, k: usize, bytes: usize) u64 {
    const payload = pattern.payload(k, bytes);
    const begin = control.now();
    send(end, payload);
    const answer = receive(end);
    const until = control.now();
    if (!std.mem.eql(u8, answer, payload)) socket.die("wrong answer", .{});
    return until - begin;
}

fn send(end: *anyopaque, bytes: []const u8) void {
    if (zmq.send(end, bytes.ptr, bytes.len, 0) < 0) socket.die("zmq_send failed", .{});
}

fn receive(end: *anyopaque) []const u8 {
    const count = zmq.recv(end, &message, message.len, 0);
    if (count < 0 or count > message.len) socket.die("zmq_recv failed", .{});
    return message[0..@intCast(count)];
}
