//! What the tests of a context share: a context on the real system, raw sockets for the peers, a run directory of its
//! own, and a record of all that the context has reported. Peers live in the same thread, so whatever waits for a
//! peer lets the context have a turn as well.

const std = @import("std");
const sys = @import("sys");
const claims = @import("../claim.zig");
const connections = @import("../connection.zig");
const contexts = @import("../context.zig");
const events = @import("../event.zig");
const frame = @import("../frame.zig");
const ipc = @import("../ipc.zig");
const Event = events.Event;
const Handle = @import("library").handle.Handle;
const Kind = @import("../poller/poller.zig").Kind;
const Limits = connections.Limits;
const Reason = events.Reason;
const RunDirectory = @import("../run_directory.zig").RunDirectory;
const Scratch = @import("../scratch.zig").Scratch;
const Type = events.Type;
const testing = std.testing;

/// Far longer than anything here takes on the slowest machine.
const patience_ns = 30 * std.time.ns_per_s;

/// An event, with the bytes it spoke of, and the descriptors that were taken over with them.
pub const Seen = struct { event: Event, bytes: []const u8, fds: []const sys.Fd = &.{} };

pub const Rig = struct {
    system: sys.System,
    context: ipc.Context,
    scratch: Scratch,
    /// Open in the process before this began.
    descriptors_before: usize,
    directory: RunDirectory,
    arena: std.heap.ArenaAllocator,
    seen: std.ArrayList(Seen),
    /// Descriptors of peers, closed at the end unless a test did.
    peers: std.ArrayList(sys.Fd),
    /// Takes over the descriptors of the messages it sees, which count among those of peers then.
    takes: bool = false,

    pub const Peer = struct { handle: Handle, fd: sys.Fd };

    pub fn begin(rig: *Rig, kind: Kind) !void {
        return rig.beginWith(kind, .{}, testing.allocator);
    }

    pub fn beginWith(rig: *Rig, kind: Kind, options: contexts.Options, allocator: std.mem.Allocator) !void {
        rig.* = .{
            .system = .{},
            .context = undefined,
            .scratch = try .init(),
            .descriptors_before = Scratch.descriptors(),
            .directory = undefined,
            .arena = .init(testing.allocator),
            .seen = .empty,
            .peers = .empty,
        };
        errdefer rig.scratch.deinit();
        errdefer rig.arena.deinit();
        rig.scratch.makeDirectory("run", 0o700);
        rig.directory = try RunDirectory.open(&rig.system, rig.scratch.path("run"), .{});
        errdefer rig.directory.close(&rig.system);
        var chosen = options;
        chosen.poller = kind;
        try rig.context.init(allocator, .{}, chosen);
    }

    /// Also sees that no descriptor stays behind.
    pub fn end(rig: *Rig) void {
        rig.context.deinit() catch @panic("the context does not know its own thread");
        for (rig.peers.items) |fd| if (rig.system.isOpen(fd)) rig.system.close(fd);
        rig.directory.close(&rig.system);
        rig.arena.deinit();
        rig.scratch.deinit();
        if (sys.kqueue.foreign) return;
        testing.expectEqual(rig.descriptors_before, Scratch.descriptors()) catch @panic("a descriptor leaked");
    }

    // Connections

    pub fn serve(rig: *Rig, name: []const u8, limits: Limits, allow: ipc.service.Allow) !Handle {
        var claim = try claims.Claim.make(&rig.context.system, &rig.directory, name, .{});
        errdefer claim.release(&rig.context.system);
        return rig.context.addService(claim, limits, allow);
    }

    /// A raw socket that is connected to a service.
    pub fn connect(rig: *Rig, name: []const u8) !sys.Fd {
        const fd = try claims.connectTo(&rig.system, &rig.directory, name);
        try rig.own(fd);
        return fd;
    }

    /// A connection of the context, and the raw socket at its other end.
    pub fn pair(rig: *Rig, limits: Limits) !Peer {
        const fds = try rig.system.pair();
        try rig.own(fds[1]);
        errdefer rig.system.close(fds[0]);
        return .{ .handle = try rig.context.addConnection(fds[0], limits), .fd = fds[1] };
    }

    /// Two connections of the context that lead to each other.
    pub fn both(rig: *Rig, one: Limits, other: Limits) ![2]Handle {
        const fds = try rig.system.pair();
        const first = rig.context.addConnection(fds[0], one) catch |failure| {
            for (fds) |fd| rig.system.close(fd);
            return failure;
        };
        errdefer rig.system.close(fds[1]);
        return .{ first, try rig.context.addConnection(fds[1], other) };
    }

    pub fn own(rig: *Rig, fd: sys.Fd) !void {
        errdefer rig.system.close(fd);
        try rig.peers.append(rig.arena.allocator(), fd);
    }

    /// Closes a raw socket.
    pub fn drop(rig: *Rig, fd: sys.Fd) void {
        for (rig.peers.items, 0..) |other, index| {
            if (other == fd) _ = rig.peers.swapRemove(index);
            if (other == fd) break;
        }
        rig.system.close(fd);
    }

    // Waiting

    /// What `code` makes of errors: numbers below zero that can be told apart.
    pub fn code(failure: contexts.SendError) i32 {
        return -@as(i32, @intFromError(failure));
    }

    /// One wait, whose events are added to those seen. Returns how many there were.
    pub fn wait(rig: *Rig, timeout_ns: i64) !u32 {
        return rig.waitWith(timeout_ns, 0);
    }

    pub fn waitWith(rig: *Rig, timeout_ns: i64, outbox_bytes: u32) !u32 {
        const count = try rig.context.wait(timeout_ns, 0, outbox_bytes, code);
        for (rig.context.batch.events[0..count]) |event| {
            const bytes = if (event.type == .message_rx) rig.payloadOf(&event) else "";
            const kept = try rig.arena.allocator().dupe(u8, bytes);
            try rig.seen.append(rig.arena.allocator(), .{ .event = event, .bytes = kept, .fds = try rig.takeFrom(&event) });
        }
        return count;
    }

    fn takeFrom(rig: *Rig, event: *const Event) ![]const sys.Fd {
        if (!rig.takes or event.type != .message_rx or event.flags & events.flag_descriptors == 0) return &.{};
        const room = try rig.arena.allocator().alloc(sys.Fd, sys.rights.descriptors_max);
        const fds = try rig.context.takeDescriptors(event.detail, room);
        for (fds) |fd| try rig.own(fd);
        return fds;
    }

    pub fn payloadOf(rig: *Rig, event: *const Event) []const u8 {
        if (event.flags & events.flag_loan != 0) {
            const start: [*]const u8 = @ptrFromInt(event.data);
            return start[0..event.length];
        }
        return rig.context.batch.inbox[event.offset..][0..event.length];
    }

    /// A turn for the context while a test waits for something else.
    fn turn(rig: *Rig, begin_ns: u64) !void {
        _ = try rig.wait(0);
        if (rig.system.monotonic() - begin_ns > patience_ns) return error.NeverHappened;
    }

    /// Waits until so many events of that type have been seen, all in all.
    pub fn until(rig: *Rig, kind: Type, count: usize) !void {
        const begin_ns = rig.system.monotonic();
        while (rig.countOf(kind) < count) {
            _ = try rig.wait(10 * std.time.ns_per_ms);
            if (rig.system.monotonic() - begin_ns > patience_ns) return error.NeverHappened;
        }
    }

    /// Gives the context turns until it has nothing to do; what is delayed on purpose is not waited for.
    pub fn untilQuiet(rig: *Rig) !void {
        while (try rig.wait(0) > 0) {}
    }

    /// The owner does something else.
    pub fn sleep(rig: *Rig, time_ns: u64) !void {
        const begin_ns = rig.system.monotonic();
        while (rig.system.monotonic() - begin_ns < time_ns) _ = try rig.system.poll(&.{}, time_ns);
    }

    /// What is open in this process and not the context's.
    pub fn descriptorsElsewhere(rig: *Rig) usize {
        // The run directory, and what was there before the context.
        return rig.descriptors_before + 1 + rig.peers.items.len;
    }

    pub fn expectDescriptors(rig: *Rig, outside: usize) !void {
        if (sys.kqueue.foreign) return;
        const figures = try rig.context.statisticsOf(.none);
        try testing.expectEqual(Scratch.descriptors() - outside, figures.descriptors);
    }

    pub fn countOf(rig: *const Rig, kind: Type) usize {
        var count: usize = 0;
        for (rig.seen.items) |seen| count += @intFromBool(seen.event.type == kind);
        return count;
    }

    /// The first event of that type about `source`.
    pub fn find(rig: *const Rig, kind: Type, source: Handle) !*const Event {
        for (rig.seen.items) |*seen| {
            if (seen.event.type == kind and seen.event.source == source) return &seen.event;
        }
        return error.NeverReported;
    }

    /// The connections that a service has accepted, in order.
    pub fn accepted(rig: *const Rig, index: usize) !Handle {
        var left = index;
        for (rig.seen.items) |seen| {
            if (seen.event.type != .connection) continue;
            if (left == 0) return seen.event.source;
            left -= 1;
        }
        return error.NeverAccepted;
    }

    pub fn forget(rig: *Rig) void {
        rig.seen.clearRetainingCapacity();
    }

    pub fn expectMessages(rig: *const Rig, source: Handle, expected: []const []const u8) !void {
        var next: usize = 0;
        for (rig.seen.items) |seen| {
            if (seen.event.type != .message_rx or seen.event.source != source) continue;
            if (next == expected.len) return error.TooManyMessages;
            try testing.expectEqualSlices(u8, expected[next], seen.bytes);
            next += 1;
        }
        try testing.expectEqual(expected.len, next);
    }

    /// That the connection was reported as ended, once, for this reason, and nothing after it.
    pub fn expectEnd(rig: *const Rig, source: Handle, reason: Reason) !void {
        var ended = false;
        for (rig.seen.items) |seen| {
            if (seen.event.source != source) continue;
            if (ended) return error.ReportedAfterItsEnd;
            if (seen.event.type != .disconnection) continue;
            ended = true;
            try testing.expectEqual(reason, seen.event.reason);
        }
        if (!ended) return error.NeverReported;
    }

    // Raw peers

    /// Sends all of it, while the context reads.
    pub fn feed(rig: *Rig, fd: sys.Fd, bytes: []const u8) !void {
        const begin_ns = rig.system.monotonic();
        var at: usize = 0;
        while (at < bytes.len) {
            const sent = rig.sendSome(fd, bytes[at..]);
            if (sent == 0) try rig.turn(begin_ns);
            at += sent;
        }
    }

    pub fn sendSome(rig: *Rig, fd: sys.Fd, bytes: []const u8) usize {
        const part = [_]std.posix.iovec_const{.{ .base = bytes.ptr, .len = bytes.len }};
        return switch (rig.system.send(fd, &part)) {
            .bytes => |count| count,
            .would_block, .broken, .failed => 0,
        };
    }

    /// Sends to a peer that does not read until something stays queued for it. Returns how many messages that took.
    pub fn fill(rig: *Rig, peer: Peer) !usize {
        const payload: [10_000]u8 = @splat('f');
        var count: usize = 0;
        while (true) {
            count += 1;
            if (try rig.context.write(peer.handle, &payload) > 0) return count;
        }
    }

    /// Sends one message.
    pub fn feedMessage(rig: *Rig, fd: sys.Fd, payload: []const u8) !void {
        try rig.feed(fd, &frame.encodeHeader(@intCast(payload.len)));
        try rig.feed(fd, payload);
    }

    /// Reads until `buffer` is full, while the context sends.
    pub fn drink(rig: *Rig, fd: sys.Fd, buffer: []u8) !void {
        const begin_ns = rig.system.monotonic();
        var at: usize = 0;
        while (at < buffer.len) {
            switch (rig.system.read(fd, buffer[at..])) {
                .bytes => |count| at += count,
                .would_block => try rig.turn(begin_ns),
                .end, .reset, .failed => return error.EndedTooEarly,
            }
        }
    }

    /// Reads all that there is now, without a turn for the context.
    pub fn drinkAll(rig: *Rig, fd: sys.Fd) !void {
        var buffer: [64 * 1024]u8 = undefined;
        while (true) switch (rig.system.read(fd, &buffer)) {
            .bytes => {},
            .would_block => return,
            .end, .reset, .failed => return error.EndedTooEarly,
        };
    }

    pub fn expectDrinks(rig: *Rig, fd: sys.Fd, payload: []const u8) !void {
        var header: [frame.header_bytes]u8 = undefined;
        try rig.drink(fd, &header);
        try testing.expectEqual(payload.len, frame.payloadLength(&header).?);
        const bytes = try testing.allocator.alloc(u8, payload.len);
        defer testing.allocator.free(bytes);
        try rig.drink(fd, bytes);
        try testing.expectEqualSlices(u8, payload, bytes);
    }

    /// That nothing more comes, and the conversation is over.
    pub fn expectOver(rig: *Rig, fd: sys.Fd) !void {
        const begin_ns = rig.system.monotonic();
        var buffer: [64]u8 = undefined;
        while (true) switch (rig.system.read(fd, &buffer)) {
            .end, .reset => return,
            .would_block => try rig.turn(begin_ns),
            .bytes => return error.MoreCame,
            .failed => return error.ReceiveFailed,
        };
    }
};

/// Bytes that differ from place to place, so that nothing can be mistaken for its neighbour.
pub fn pattern(buffer: []u8, salt: u64) []u8 {
    var prng: std.Random.DefaultPrng = .init(salt);
    prng.random().bytes(buffer);
    return buffer;
}
