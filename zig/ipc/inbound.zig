//! What one connection has received of a message that is not whole yet, and the cutting of whole ones.
//!
//! Bytes are received straight into the inbox and cut there. A message whose end has not come stays behind when the
//! batch ends: it is copied out into `partial`, and put in front of the next bytes when it can be completed. One too
//! large for the inbox is received into a `Loan` from then on. Either way a byte is copied at most twice,
//! however small the pieces it comes in.
//!
//! Descriptors belong to the message that they were sent with, of which one byte is known (`sys.rights.come_with`).
//! Until that message is whole they stay here.

const std = @import("std");
const sys = @import("sys");
const batches = @import("batch.zig");
const events = @import("event.zig");
const frame = @import("frame.zig");
const Batch = batches.Batch;
const Arrivals = sys.rights.Arrivals;
const Descriptors = @import("descriptors.zig").Descriptors;
const Handle = @import("library").handle.Handle;
const Loan = @import("loan.zig").Loan;
const Reason = events.Reason;
const assert = std.debug.assert;

/// What may come from a peer, and where it goes.
pub const Terms = struct {
    batch: *Batch,
    loans: *std.ArrayList([*]u8),
    descriptors: *Descriptors,
    source: Handle,
    origin: Handle,
    message_bytes_max: u32,
    raw: bool = false,
    user: u32 = 0,
    /// With one message.
    descriptors_max: u32 = 0,
    /// How many more may be held for this user now.
    descriptors_left: u32 = 0,
};

pub const Outcome = struct {
    messages: u32 = 0,
    bytes: u32 = 0,
    /// Descriptors that came, and are held.
    descriptors: u32 = 0,
    /// The read was filled to its bound, so that there is probably more.
    more: bool = false,
    /// Why the connection is to end, if it is: for `peer_closed` after what is queued to it has been sent, else now.
    end: Reason = .none,
};

/// How many messages one read is to bring at most, as far as those before it let that be told: short ones cost their
/// owner as much as long ones, and while he has them nobody else has a turn. As many of 60 bytes fill a read.
pub const messages_wanted_max = 4096;

pub const Inbound = struct {
    /// How much the next read may bring.
    read_bytes: u32 = batches.read_bytes_max,
    partial: std.ArrayList(u8) = .empty,
    loan: ?Loan = null,
    /// Those that came with the message.
    descriptors: std.ArrayList(sys.Fd) = .empty,

    /// Before it, `closeDescriptors`.
    pub fn deinit(inbound: *Inbound, allocator: std.mem.Allocator) void {
        assert(inbound.descriptors.items.len == 0);
        inbound.descriptors.deinit(allocator);
        inbound.partial.deinit(allocator);
        if (inbound.loan) |*loan| loan.deinit(allocator);
        inbound.* = .{};
    }

    /// Says how many there were.
    pub fn closeDescriptors(inbound: *Inbound, system: anytype) u32 {
        for (inbound.descriptors.items) |fd| system.close(fd);
        defer inbound.descriptors.clearRetainingCapacity();
        return @intCast(inbound.descriptors.items.len);
    }

    pub fn midMessage(inbound: *const Inbound) bool {
        return inbound.loan != null or inbound.partial.items.len > 0;
    }

    /// One read, and the events of all messages that it completes. The caller has checked `batch.hasRoom`.
    pub fn receive(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        system: anytype,
        fd: anytype,
        terms: Terms,
    ) Outcome {
        const into = inbound.space(allocator, &terms) catch return .{ .end = .out_of_memory };
        if (terms.descriptors_max == 0) {
            var none: Arrivals = .{};
            var outcome = inbound.receiveBytes(allocator, system, fd, &terms, into, &none);
            if (none.cut and outcome.end == .none) outcome.end = .descriptors_unasked;
            return outcome;
        }
        return inbound.receiveRights(allocator, system, fd, &terms, into);
    }

    /// The same where descriptors may come as well.
    noinline fn receiveRights(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        system: anytype,
        fd: anytype,
        terms: *const Terms,
        into: []u8,
    ) Outcome {
        var room: [sys.rights.descriptors_max]sys.Fd = undefined;
        var arrivals: Arrivals = .{ .room = room[0..@min(terms.descriptors_max, terms.descriptors_left)] };
        var outcome = inbound.receiveBytes(allocator, system, fd, terms, into, &arrivals);
        if (arrivals.cut) {
            // The system cuts where there is no more room, or where the process has no number left.
            if (outcome.end == .none) outcome.end = if (arrivals.count == arrivals.room.len) .descriptors_too_many else .descriptor_limit;
        } else if (outcome.end == .none and arrivals.count > 0 and sys.rights.come_with == .last_byte) {
            inbound.keep(allocator, terms, &outcome, arrivals.fds());
        }
        if (outcome.descriptors == 0) for (arrivals.fds()) |arrived| system.close(arrived);
        return outcome;
    }

    /// Descriptors that came with the last byte of a read.
    fn keep(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        terms: *const Terms,
        outcome: *Outcome,
        fds: []const sys.Fd,
    ) void {
        const whole = !inbound.midMessage();
        const had = if (whole) Descriptors.countOf(terms.batch.last().detail) else inbound.descriptors.items.len;
        if (had + fds.len > terms.descriptors_max) {
            outcome.end = .descriptors_too_many;
            if (whole) retract(allocator, terms, outcome);
            return;
        }
        const kept = if (whole)
            terms.descriptors.arrive(allocator, terms.batch.last(), terms.user, fds)
        else
            inbound.descriptors.appendSlice(allocator, fds);
        if (kept) |_| {
            outcome.descriptors = @intCast(fds.len);
        } else |_| {
            outcome.end = .out_of_memory;
            if (whole) retract(allocator, terms, outcome);
        }
    }

    /// The message whose event was pushed last lacks what came with it, and is not told of.
    fn retract(allocator: std.mem.Allocator, terms: *const Terms, outcome: *Outcome) void {
        if (terms.batch.last().flags & events.flag_loan != 0) Loan.free(allocator, terms.loans.pop().?);
        terms.batch.events_count -= 1;
        outcome.messages -= 1;
    }

    fn receiveBytes(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        system: anytype,
        fd: anytype,
        terms: *const Terms,
        into: []u8,
        arrivals: *Arrivals,
    ) Outcome {
        const received = switch (system.receive(fd, into, arrivals)) {
            .bytes => |count| count,
            .would_block => return .{},
            .end => return .{ .end = if (inbound.midMessage()) .truncated else .peer_closed },
            .reset => return .{ .end = .peer_reset },
            .failed => return .{ .end = .system },
        };
        var outcome: Outcome = .{ .bytes = @intCast(received), .more = received == into.len };
        if (arrivals.cut) {
            // Whose descriptors are lost has its last byte there, if it is whole; what lies before is owed all the same.
            if (sys.rights.come_with == .last_byte and inbound.loan == null and !terms.raw)
                inbound.cut(allocator, terms, @intCast(received - 1), &outcome);
            return outcome;
        }
        if (sys.rights.come_with == .first_byte and arrivals.count > 0) {
            inbound.keepAhead(allocator, terms, &outcome, arrivals.fds());
            if (outcome.end != .none) return outcome;
        }
        if (inbound.loan) |*loan| {
            loan.filled += @intCast(received);
            if (!loan.whole()) return outcome;
            terms.loans.ensureUnusedCapacity(allocator, 1) catch {
                outcome.end = .out_of_memory;
                return outcome;
            };
            const payload = loan.give();
            terms.loans.appendAssumeCapacity(payload);
            terms.batch.push(.{
                .type = .message_rx,
                .flags = events.flag_loan,
                .source = terms.source,
                .origin = terms.origin,
                .length = loan.length,
                .data = @intFromPtr(payload),
            });
            inbound.loan = null;
            inbound.complete(allocator, terms, &outcome);
            return outcome;
        }
        if (terms.raw) {
            terms.batch.push(.{
                .type = .message_rx,
                .source = terms.source,
                .origin = terms.origin,
                .offset = terms.batch.inbox_used,
                .length = @intCast(received),
            });
            terms.batch.inbox_used += @intCast(received);
            inbound.complete(allocator, terms, &outcome);
            return outcome;
        }
        inbound.cut(allocator, terms, @intCast(received), &outcome);
        inbound.adapt(@intCast(received), outcome.messages);
        return outcome;
    }

    /// Descriptors that came with the first byte of a read: of the message that it begins, or goes on with.
    fn keepAhead(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        terms: *const Terms,
        outcome: *Outcome,
        fds: []const sys.Fd,
    ) void {
        if (inbound.descriptors.items.len + fds.len > terms.descriptors_max) {
            outcome.end = .descriptors_too_many;
            return;
        }
        inbound.descriptors.appendSlice(allocator, fds) catch {
            outcome.end = .out_of_memory;
            return;
        };
        outcome.descriptors = @intCast(fds.len);
    }

    /// The message whose event was pushed last is whole, and has what came with it.
    fn complete(inbound: *Inbound, allocator: std.mem.Allocator, terms: *const Terms, outcome: *Outcome) void {
        outcome.messages += 1;
        if (inbound.descriptors.items.len == 0) return;
        terms.descriptors.arrive(allocator, terms.batch.last(), terms.user, inbound.descriptors.items) catch {
            outcome.end = .out_of_memory;
            return retract(allocator, terms, outcome);
        };
        inbound.descriptors.clearAndFree(allocator);
    }

    /// Where to receive: into the loan, else into the inbox behind the place the carried bytes are to take.
    fn space(inbound: *Inbound, allocator: std.mem.Allocator, terms: *const Terms) error{OutOfMemory}![]u8 {
        const batch = terms.batch;
        if (inbound.loan) |*loan| {
            const rest = try loan.rest(allocator);
            return rest[0..@min(rest.len, batches.read_bytes_max)];
        }
        const carried = inbound.partial.items.len;
        const room = batch.inboxRest()[carried..];
        if (terms.raw) return room[0..@min(room.len, batches.read_bytes_max, terms.message_bytes_max)];
        // A read of n bytes completes at most n/4 messages and the carried one, and each needs a record.
        const events_bound = (batch.eventsFree() - 1) * frame.header_bytes;
        return room[0..@min(room.len, inbound.read_bytes, events_bound)];
    }

    /// A read that brought too many makes those that follow shorter, and others let them grow again.
    fn adapt(inbound: *Inbound, received: u32, messages: u32) void {
        if (messages > messages_wanted_max) {
            const wanted = @as(u64, received) * messages_wanted_max / messages;
            // No message is shorter than its header.
            inbound.read_bytes = @max(@as(u32, @intCast(wanted)), messages_wanted_max * frame.header_bytes);
        } else if (messages < messages_wanted_max / 2) {
            inbound.read_bytes = @min(inbound.read_bytes *| 2, batches.read_bytes_max);
        }
    }

    /// Cuts the carried bytes and the `received` ones behind them.
    fn cut(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        terms: *const Terms,
        received: u32,
        outcome: *Outcome,
    ) void {
        const batch = terms.batch;
        const carried: u32 = @intCast(inbound.partial.items.len);
        const rest = batch.inboxRest();
        if (carried > 0) {
            if (!inbound.completes(rest[carried..][0..received])) {
                inbound.partial.appendSlice(allocator, rest[carried..][0..received]) catch {
                    outcome.end = .out_of_memory;
                };
                return;
            }
            @memcpy(rest[0..carried], inbound.partial.items);
            inbound.partial.clearRetainingCapacity();
        }
        const bytes = rest[0 .. carried + received];
        var at: u32 = 0;
        while (frame.payloadLength(bytes[at..])) |length| {
            if (length > terms.message_bytes_max) {
                outcome.end = .message_too_long;
                break;
            }
            if (bytes.len - at - frame.header_bytes < length) break;
            batch.push(.{
                .type = .message_rx,
                .source = terms.source,
                .origin = terms.origin,
                .offset = batch.inbox_used + at + frame.header_bytes,
                .length = length,
            });
            inbound.complete(allocator, terms, outcome);
            at += frame.header_bytes + length;
            if (outcome.end != .none) break;
        }
        batch.inbox_used += at;
        if (outcome.end == .none) inbound.carry(allocator, bytes[at..]) catch {
            outcome.end = .out_of_memory;
        };
    }

    /// Whether the carried bytes with `more` behind them contain a header that was cut, or a whole message.
    fn completes(inbound: *const Inbound, more: []const u8) bool {
        const length = frame.payloadLength(inbound.partial.items) orelse return true;
        return inbound.partial.items.len + more.len >= frame.header_bytes + @as(usize, length);
    }

    /// Keeps what is left of a batch's bytes: the beginning of a message.
    fn carry(inbound: *Inbound, allocator: std.mem.Allocator, rest: []const u8) error{OutOfMemory}!void {
        if (frame.payloadLength(rest)) |length| {
            if (length > batches.inbox_message_bytes_max) {
                // What was carried before is not needed until the whole of it is here.
                inbound.partial.clearAndFree(allocator);
                inbound.loan = try .begin(allocator, length, rest[frame.header_bytes..]);
                return;
            }
        }
        if (rest.len == 0) {
            // Nothing is carried, so nothing is kept: an idle connection costs next to nothing.
            inbound.partial.clearAndFree(allocator);
        } else {
            try inbound.partial.appendSlice(allocator, rest);
        }
    }
};

/// A peer whose bytes come in the pieces that a test makes of them; behind the last it goes away.
const Pieces = struct {
    pieces: []const []const u8,
    at: usize = 0,

    const Received = union(enum) { bytes: usize, would_block, end, reset, failed };

    /// None of them brings a descriptor.
    fn close(_: *Pieces, _: sys.Fd) void {
        unreachable;
    }

    fn receive(pieces: *Pieces, _: void, into: []u8, _: *Arrivals) Received {
        if (pieces.pieces.len == 0) return .end;
        const rest = pieces.pieces[0][pieces.at..];
        const count = @min(rest.len, into.len);
        @memcpy(into[0..count], rest[0..count]);
        pieces.at += count;
        if (pieces.at == pieces.pieces[0].len) {
            pieces.pieces = pieces.pieces[1..];
            pieces.at = 0;
        }
        return .{ .bytes = count };
    }
};

/// An inbound with all that it receives by.
const Rig = struct {
    const allocator = std.testing.allocator;

    system: sys.System = .{},
    descriptors: Descriptors = .{},
    batch: Batch = undefined,
    inbound: Inbound = .{},
    loans: std.ArrayList([*]u8) = .empty,

    fn init(rig: *Rig) !void {
        rig.* = .{};
        rig.batch = try .init(&rig.system, .{});
    }

    fn deinit(rig: *Rig) void {
        rig.nextBatch();
        rig.loans.deinit(allocator);
        rig.descriptors.deinit(allocator);
        rig.inbound.deinit(allocator);
        rig.batch.deinit(&rig.system);
    }

    fn nextBatch(rig: *Rig) void {
        for (rig.loans.items) |payload| Loan.free(allocator, payload);
        rig.loans.clearRetainingCapacity();
        rig.batch.reset(true);
    }

    /// Receives all pieces, each in a batch of its own, and holds the messages against `payloads`, of which each is
    /// owed at once. Returns how it ended.
    fn run(
        rig: *Rig,
        pieces: []const []const u8,
        message_bytes_max: u32,
        payloads: []const []const u8,
    ) !Reason {
        var peer: Pieces = .{ .pieces = pieces };
        var messages: usize = 0;
        while (true) {
            rig.nextBatch();
            const outcome = rig.inbound.receive(allocator, &peer, {}, .{
                .batch = &rig.batch,
                .loans = &rig.loans,
                .descriptors = &rig.descriptors,
                .source = .from(1),
                .origin = .none,
                .message_bytes_max = message_bytes_max,
            });
            try std.testing.expectEqual(rig.batch.events_count, outcome.messages);
            for (rig.batch.events[0..rig.batch.events_count]) |event| {
                try std.testing.expectEqualSlices(u8, payloads[messages], rig.payloadOf(event));
                messages += 1;
            }
            if (outcome.end == .none) continue;
            try std.testing.expectEqual(payloads.len, messages);
            return outcome.end;
        }
    }

    fn payloadOf(rig: *Rig, event: events.Event) []const u8 {
        if (event.flags & events.flag_loan == 0) return rig.batch.inbox[event.offset..][0..event.length];
        const payload: [*]const u8 = @ptrFromInt(event.data);
        return payload[0..event.length];
    }
};

/// The bytes that several texts of hexadecimal digits stand for.
fn unhexAll(arena: std.mem.Allocator, digits: []const []const u8) ![]const []const u8 {
    const all = try arena.alloc([]const u8, digits.len);
    for (all, digits) |*one, text| {
        const bytes = try arena.alloc(u8, text.len / 2);
        one.* = try std.fmt.hexToBytes(bytes, text);
    }
    return all;
}

test "the shared vectors: whole messages however their bytes come, and an end for everything else" {
    const vectors = @import("vectors.zig");
    const frames = try vectors.read(vectors.Frames, "frames");
    defer frames.deinit();
    var arenas: std.heap.ArenaAllocator = .init(std.testing.allocator);
    defer arenas.deinit();
    const arena = arenas.allocator();
    for (frames.value.streams) |stream| {
        const wire = (try unhexAll(arena, &.{stream.wire}))[0];
        const payloads = try unhexAll(arena, stream.payloads);
        for (1..wire.len) |cut| try expectEnd(.peer_closed, &.{ wire[0..cut], wire[cut..] }, 1024, payloads);
        try expectEnd(.peer_closed, &.{wire}, 1024, payloads);
        const single = try arena.alloc([]const u8, wire.len);
        for (single, 0..) |*piece, at| piece.* = wire[at..][0..1];
        try expectEnd(.peer_closed, single, 1024, payloads);
    }
    for (frames.value.truncated) |stream| {
        const wire = (try unhexAll(arena, &.{stream.wire}))[0];
        try expectEnd(.truncated, &.{wire}, 1024, try unhexAll(arena, stream.payloads));
    }
    for (frames.value.too_long) |stream| {
        const wire = (try unhexAll(arena, &.{stream.wire}))[0];
        const payloads = try unhexAll(arena, stream.payloads);
        try expectEnd(.message_too_long, &.{wire}, stream.message_bytes_max, payloads);
        for (1..wire.len) |cut| try expectEnd(
            .message_too_long,
            &.{ wire[0..cut], wire[cut..] },
            stream.message_bytes_max,
            payloads,
        );
    }
    for (frames.value.lengths) |vector| {
        const header = (try unhexAll(arena, &.{vector.header}))[0];
        const payload = try arena.alloc(u8, vector.bytes);
        for (payload, 0..) |*byte, at| byte.* = @truncate(at *% 31 +% (at >> 8));
        const pieces: []const []const u8 = if (payload.len == 0) &.{header} else &.{ header, payload };
        try expectEnd(.peer_closed, pieces, 16 * 1024 * 1024, &.{payload});
    }
}

fn expectEnd(
    end: Reason,
    pieces: []const []const u8,
    message_bytes_max: u32,
    payloads: []const []const u8,
) !void {
    var rig: Rig = undefined;
    try rig.init();
    defer rig.deinit();
    try std.testing.expectEqual(end, try rig.run(pieces, message_bytes_max, payloads));
}
