//! What one connection has received of a message that is not whole yet, and the cutting of whole ones.
//!
//! Bytes are received straight into the inbox and cut there. A message whose end has not come stays behind when the
//! batch ends: it is copied out into `partial`, and put in front of the next bytes when it can be completed. One too
//! large for the inbox is received into a `Loan` from then on. Either way a byte is copied at most twice,
//! however small the pieces it comes in.

const std = @import("std");
const batches = @import("batch.zig");
const events = @import("event.zig");
const frame = @import("frame.zig");
const Batch = batches.Batch;
const Handle = @import("handle.zig").Handle;
const Loan = @import("loan.zig").Loan;
const Reason = events.Reason;
const assert = std.debug.assert;

pub const Outcome = struct {
    messages: u32 = 0,
    bytes: u32 = 0,
    /// The read was filled to its bound, so that there is probably more.
    more: bool = false,
    /// Why the connection is to end, if it is: for `peer_closed` after what is queued to it has been sent, else now.
    end: Reason = .none,
};

pub const Inbound = struct {
    partial: std.ArrayList(u8) = .empty,
    loan: ?Loan = null,

    pub fn deinit(inbound: *Inbound, allocator: std.mem.Allocator) void {
        inbound.partial.deinit(allocator);
        if (inbound.loan) |*loan| loan.deinit(allocator);
        inbound.* = .{};
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
        batch: *Batch,
        loans: *std.ArrayList([*]u8),
        message_bytes_max: u32,
        source: Handle,
        origin: Handle,
    ) Outcome {
        const into = inbound.space(allocator, batch) catch return .{ .end = .out_of_memory };
        const received = switch (system.receive(fd, into)) {
            .bytes => |count| count,
            .would_block => return .{},
            .end => return .{ .end = if (inbound.midMessage()) .truncated else .peer_closed },
            .reset => return .{ .end = .peer_reset },
            .failed => return .{ .end = .system },
        };
        var outcome: Outcome = .{ .bytes = @intCast(received), .more = received == into.len };
        if (inbound.loan) |*loan| {
            loan.filled += @intCast(received);
            if (!loan.whole()) return outcome;
            loans.ensureUnusedCapacity(allocator, 1) catch {
                outcome.end = .out_of_memory;
                return outcome;
            };
            const payload = loan.give();
            loans.appendAssumeCapacity(payload);
            batch.push(.{
                .type = .message_rx,
                .flags = events.flag_loan,
                .source = source,
                .origin = origin,
                .length = loan.length,
                .data = @intFromPtr(payload),
            });
            inbound.loan = null;
            outcome.messages = 1;
            return outcome;
        }
        inbound.cut(allocator, batch, @intCast(received), message_bytes_max, source, origin, &outcome);
        return outcome;
    }

    /// Where to receive: into the loan, else into the inbox behind the place the carried bytes are to take.
    fn space(inbound: *Inbound, allocator: std.mem.Allocator, batch: *Batch) error{OutOfMemory}![]u8 {
        if (inbound.loan) |*loan| {
            const rest = try loan.rest(allocator);
            return rest[0..@min(rest.len, batches.read_bytes_max)];
        }
        const carried = inbound.partial.items.len;
        const room = batch.inboxRest()[carried..];
        // A read of n bytes completes at most n/4 messages and the carried one, and each needs a record.
        const events_bound = (batch.eventsFree() - 1) * frame.header_bytes;
        return room[0..@min(room.len, batches.read_bytes_max, events_bound)];
    }

    /// Cuts the carried bytes and the `received` ones behind them.
    fn cut(
        inbound: *Inbound,
        allocator: std.mem.Allocator,
        batch: *Batch,
        received: u32,
        message_bytes_max: u32,
        source: Handle,
        origin: Handle,
        outcome: *Outcome,
    ) void {
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
            if (length > message_bytes_max) {
                outcome.end = .message_too_long;
                break;
            }
            if (bytes.len - at - frame.header_bytes < length) break;
            batch.push(.{
                .type = .message_rx,
                .source = source,
                .origin = origin,
                .offset = batch.inbox_used + at + frame.header_bytes,
                .length = length,
            });
            outcome.messages += 1;
            at += frame.header_bytes + length;
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

    fn receive(pieces: *Pieces, _: void, into: []u8) Received {
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

    system: @import("sys").System = .{},
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
            const outcome = rig.inbound.receive(
                allocator,
                &peer,
                {},
                &rig.batch,
                &rig.loans,
                message_bytes_max,
                .from(1),
                .none,
            );
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
