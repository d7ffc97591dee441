//! A program in the run: it owns a context, calls it as a user would (and as a careless one would), and checks
//! everything that the context answers and reports against what must be.

const std = @import("std");
const ipc = @import("ipc");
const sys = @import("sys");
const kernels = @import("kernel.zig");
const Context = @import("world.zig").Context;
const FakeAllocator = @import("fake_allocator.zig").FakeAllocator;
const FakeClaim = @import("fake_claim.zig").FakeClaim;
const FakeSystem = @import("fake_system.zig").FakeSystem;
const Kernel = kernels.Kernel;
const Outbox = @import("outbox.zig").Outbox;
const Payload = @import("payload.zig").Payload;
const Side = @import("side.zig").Side;
const Socket = @import("socket.zig").Socket;
const Watched = @import("watched.zig").Watched;
const CloseHow = ipc.context.CloseHow;
const Event = ipc.event.Event;
const Handle = ipc.handle.Handle;
const Limits = ipc.connection.Limits;
const Reason = ipc.event.Reason;
const SendError = ipc.context.SendError;

/// So many waits may go by before a connection that has something to read is read: the poller is asked every eighth
/// time, may pass over it a few times, and then everybody else who is ready may come first.
const unserved_waits_max = 100;
/// Waiting takes a few calls to the clock longer than it was asked to.
const lateness_ns_max = 20 * std.time.ns_per_us;

pub const Service = struct {
    handle: Handle,
    listener: *kernels.Listener,
    limits: Limits,
    allow: ipc.service.Allow,
    open: bool = true,
    /// Waits in a row in which nobody was accepted although somebody was there.
    unserved: u32 = 0,
    accepts_before: u32 = 0,
};

pub const Actor = struct {
    kernel: *Kernel,
    number: u8,
    memory: FakeAllocator,
    context: Context = undefined,
    sides: std.ArrayList(*Side) = .empty,
    services: std.ArrayList(Service) = .empty,
    watched: Watched,
    /// Buffers of messages that were taken over.
    taken: std.ArrayList([*]u8) = .empty,
    /// Reasons that events have named, to hold against the statistics.
    reasons: [Reason.count]u64 = @splat(0),
    accepted: u64 = 0,
    made: u64 = 0,
    next_token: i32 = 1,
    /// Answers what it receives.
    answers: bool,
    /// Reads nothing more from who does not read its answers.
    is_careful: bool,
    /// Its messages may be as long as its limits allow.
    sends_large: bool,
    /// Some of its messages have descriptors.
    shares: bool,
    /// The run comes to its end: it sends nothing by itself any more.
    is_resting: bool = false,
    batch_number: u64 = 0,

    pub fn init(actor: *Actor, kernel: *Kernel, number: u8, child: std.mem.Allocator) Context.InitError!void {
        const die = kernel.random();
        actor.* = .{
            .kernel = kernel,
            .number = number,
            .memory = .{ .kernel = kernel, .child = child },
            .watched = .{ .kernel = kernel, .number = number },
            .answers = die.boolean(),
            .is_careful = die.boolean(),
            .sends_large = kernel.oneIn(8),
            .shares = die.boolean(),
        };
        kernel.beginCall();
        const sizes: ipc.batch.Sizes = .{
            .inbox_bytes = ipc.batch.Sizes.inbox_bytes_min,
            .outbox_bytes = Outbox.bytes_max,
        };
        try actor.context.init(actor.memory.allocator(), .{ .kernel = kernel, .number = number }, .{
            .sizes = sizes,
            .spin_ns = ([_]u64{ 0, 2_000, 50_000 })[die.uintLessThan(usize, 3)],
            .poison = die.boolean(),
        });
        // So that it is noticed if the context sleeps while it has something to do.
        actor.context.poller.duty = .{ .pointer = actor, .next = nextDuty };
    }

    fn nextDuty(pointer: *const anyopaque) ?u64 {
        const actor: *const Actor = @ptrCast(@alignCast(pointer));
        return actor.context.nextDeadline();
    }

    /// The context is gone when this returns, and so must be all that it held.
    pub fn deinit(actor: *Actor) void {
        actor.kernel.beginCall();
        actor.context.deinit() catch actor.complain("says that its own thread is another", .{});
        for (actor.sides.items) |side| {
            side.compare();
            if (!side.socket.closed) side.complain("stays open", .{});
        }
        for (actor.taken.items) |payload| ipc.loan.Loan.free(actor.memory.allocator(), payload);
        actor.watched.deinit();
        if (actor.memory.live != 0) actor.complain("leaves {d} allocations", .{actor.memory.live});
        const files = actor.kernel.countFiles(actor.number);
        if (files != 0) actor.complain("leaves {d} descriptors", .{files});
    }

    pub fn complain(actor: *Actor, comptime format: []const u8, arguments: anytype) void {
        actor.kernel.complain("context {d}: " ++ format, .{actor.number} ++ arguments);
    }

    fn trace(actor: *Actor, comptime format: []const u8, arguments: anytype) void {
        actor.kernel.trace("context {d} " ++ format, .{actor.number} ++ arguments);
    }

    // What it does

    pub fn serve(actor: *Actor, listener: *kernels.Listener) void {
        const kernel = actor.kernel;
        const die = kernel.random();
        const limits = drawLimits(kernel);
        const allow: ipc.service.Allow = switch (die.uintLessThan(u8, 4)) {
            0 => .{ .everyone = true },
            1 => .{ .users = &.{ 7, FakeSystem.own_user } },
            2 => .{ .groups = &.{100} },
            else => .{},
        };
        kernel.beginCall();
        var claim = FakeClaim.make(&actor.context.system, listener) catch {
            listener.closed = true;
            return;
        };
        const handle = actor.context.addService(claim, limits, allow) catch |failure| {
            claim.release(&actor.context.system);
            return actor.expectAddFailed(failure);
        };
        actor.services.append(kernel.arena, .{
            .handle = handle,
            .listener = listener,
            .limits = limits,
            .allow = allow,
        }) catch @panic("out of memory");
    }

    /// Takes over its end of a new connection.
    pub fn join(actor: *Actor, socket: *Socket) void {
        const kernel = actor.kernel;
        const limits = drawLimits(kernel);
        const fd = kernel.open(actor.number, .{ .socket = socket }) orelse return socket.close();
        kernel.beginCall();
        const handle = actor.context.addConnection(fd, limits) catch |failure| {
            kernel.close(actor.number, fd);
            return actor.expectAddFailed(failure);
        };
        actor.trace("makes connection {d} of socket {d}", .{ handle.number(), socket.number });
        actor.made += 1;
        _ = actor.addSide(socket, handle, .none, limits);
    }

    fn addSide(actor: *Actor, socket: *Socket, handle: Handle, origin: Handle, limits: Limits) *Side {
        const arena = actor.kernel.arena;
        const side = arena.create(Side) catch @panic("out of memory");
        side.* = .{
            .kernel = actor.kernel,
            .number = actor.number,
            .socket = socket,
            .handle = handle,
            .origin = origin,
            .limits = limits,
        };
        actor.sides.append(arena, side) catch @panic("out of memory");
        return side;
    }

    fn expectAddFailed(actor: *Actor, failure: ipc.context.AddError) void {
        const happened = &actor.kernel.happened;
        const cause = switch (failure) {
            error.OutOfMemory => happened.get(.allocation_failed) + happened.get(.watch_failed),
            error.WatchLimit => happened.get(.watch_failed),
            error.Unexpected => happened.get(.watch_failed) + happened.get(.credentials_failed),
            error.HandleLimit, error.InvalidArgument, error.WrongThread => 0,
        };
        if (cause == 0) actor.complain("adds nothing and says {t}", .{failure});
    }

    pub fn drawSide(actor: *Actor) ?*Side {
        if (actor.sides.items.len == 0) return null;
        return actor.sides.items[actor.kernel.random().uintLessThan(usize, actor.sides.items.len)];
    }

    pub fn drawPayload(actor: *Actor, limits: *const Limits) Payload {
        const die = actor.kernel.random();
        const limit = @min(limits.message_bytes_max, Payload.bytes_max - 1);
        const most: u32 = switch (die.uintLessThan(u8, 32)) {
            0...19 => 64,
            20...29 => 1_000,
            else => if (actor.sends_large) limit else 20_000,
        };
        // Nothing is no message where there are no frames.
        const least: u32 = if (limits.framing == .raw) 1 else 0;
        const length = @max(least, die.uintAtMost(u32, @min(limit, most)));
        return .draw(die, if (actor.sends_large and actor.kernel.oneIn(16)) limit else length);
    }

    pub fn drawToken(actor: *Actor) i32 {
        if (actor.kernel.oneIn(2)) return 0;
        actor.next_token += 1;
        return actor.next_token;
    }

    /// Sends one message by one of the three calls for it.
    pub fn send(actor: *Actor, side: *Side) void {
        if (actor.shares and actor.kernel.oneIn(2)) return actor.sendRights(side);
        const payload = actor.drawPayload(&side.limits);
        const answers = actor.isAnswerable(side);
        const token = actor.drawToken();
        const queued_before = side.unsentBytes();
        actor.kernel.beginCall();
        const scheduled = actor.kernel.oneIn(2);
        const result = if (scheduled)
            actor.context.schedule(side.handle, payload.bytes(), token)
        else
            actor.context.write(side.handle, payload.bytes());
        actor.trace("sends {d} bytes by connection {d}: {any}", .{ payload.length, side.handle.number(), result });
        actor.noteSent(side, &.{payload}, if (scheduled) token else 0, &.{}, answers, result);
        actor.expectRoom(side, payload, queued_before, result);
        if (actor.kernel.oneIn(32)) actor.sendTooMuch(side);
    }

    fn expectRoom(actor: *Actor, side: *Side, payload: Payload, queued_before: u64, result: SendError!u64) void {
        _ = actor;
        if (side.malformed) return;
        const queued = result catch |failure| {
            const total = queued_before + side.headerBytes() + payload.length;
            if (failure == error.QueueFull and total <= side.limits.queue_bytes_max) side.complain("refuses what it has room for", .{});
            return;
        };
        if (queued > side.limits.queue_bytes_max) side.complain("queues {d} bytes of {d}", .{ queued, side.limits.queue_bytes_max });
    }

    /// Sends one message with descriptors. They are the actor's, which closes them when the call is over.
    fn sendRights(actor: *Actor, side: *Side) void {
        const kernel = actor.kernel;
        const die = kernel.random();
        // Those that have ended have little to say about it.
        if (side.sealed and !kernel.oneIn(8)) return;
        const payload = actor.drawPayload(&side.limits);
        const answers = actor.isAnswerable(side);
        const queued_before = side.unsentBytes();
        const most = sys.rights.descriptors_max;
        var fds: [most + 1]sys.Fd = undefined;
        var rights = kernel.drawTokens(die.intRangeAtMost(usize, 1, 4));
        for (rights, 0..) |token, index| {
            fds[index] = kernel.open(actor.number, .{ .token = token }) orelse {
                rights = rights[0..index];
                break;
            };
        }
        if (rights.len == 0) return;
        const opened = rights.len;
        if (kernel.oneIn(64)) {
            // The same one over and over, which is one too many.
            rights = kernel.arena.alloc(u32, fds.len) catch @panic("out of memory");
            @memset(rights, kernel.tokenOf(actor.number, fds[0]).?);
            @memset(fds[opened..], fds[0]);
        }
        const wrong = kernel.oneIn(32);
        const right = fds[opened - 1];
        if (wrong) fds[opened - 1] = -1;
        const held = actor.context.descriptors.heldFor(side.socket.other.credentials.uid);
        kernel.beginCall();
        const result = actor.context.sendRights(side.handle, payload.bytes(), fds[0..rights.len]);
        fds[opened - 1] = right;
        for (fds[0..opened]) |fd| kernel.close(actor.number, fd);
        actor.trace("sends {d} bytes and {d} descriptors by connection {d}: {any}", .{
            payload.length, rights.len, side.handle.number(), result,
        });
        const so = if (result) |_| !wrong and rights.len <= most else |failure| switch (failure) {
            error.Unpassable => wrong,
            error.Crowded => kernel.happened.get(.rights_crowded) > 0,
            error.DescriptorLimit => kernel.happened.get(.accept_limit) > 0,
            error.DescriptorsTooMany => rights.len > most or held + rights.len > side.limits.descriptors_held_max,
            error.InvalidArgument, error.CarriesNone => false,
            else => |other| {
                actor.noteSent(side, &.{payload}, 0, rights, answers, other);
                return actor.expectRoom(side, payload, queued_before, other);
            },
        };
        if (!so) return side.complain("answers {d} descriptors with {any}", .{ rights.len, result });
        const queued = result catch return;
        if (held + rights.len > side.limits.descriptors_held_max) side.complain("takes more descriptors than it may hold", .{});
        actor.noteSent(side, &.{payload}, 0, rights, answers, queued);
        actor.expectRoom(side, payload, queued_before, queued);
    }

    fn sendTooMuch(actor: *Actor, side: *Side) void {
        // Bytes without frames are no messages.
        if (side.limits.framing == .raw) return;
        if (side.limits.message_bytes_max >= Payload.bytes_max) return;
        const payload: Payload = .draw(actor.kernel.random(), side.limits.message_bytes_max + 1);
        const known = actor.context.table.get(side.handle) != null;
        actor.kernel.beginCall();
        if (actor.context.schedule(side.handle, payload.bytes(), 0)) |_| {
            side.complain("takes a message over its limit", .{});
        } else |failure| {
            const expected: SendError = if (known) error.MessageTooLong else error.Closed;
            if (failure != expected) side.complain("refuses a message over its limit and says {t}", .{failure});
        }
    }

    /// Whether a message that is handed over now is the connection's to send or to lose: one that broke loses it, as
    /// long as its end has not been told and its owner has not closed it.
    pub fn isAnswerable(actor: *Actor, side: *const Side) bool {
        if (side.given_up or side.disconnected) return false;
        return actor.context.table.get(side.handle) != null;
    }

    /// Notes what became of messages that were handed over together; `answers` says whether the connection had to
    /// answer for them.
    pub fn noteSent(
        actor: *Actor,
        side: *Side,
        payloads: []const Payload,
        token: i32,
        rights: []const u32,
        answers: bool,
        result: SendError!u64,
    ) void {
        const queued = result catch |failure| return actor.noteRefused(side, payloads, rights, answers, failure);
        if (!answers or side.sealed) return side.complain("takes messages after it had said that it takes no more", .{});
        for (payloads) |payload| side.give(payload, token, rights);
        if (queued > side.limits.queue_bytes_high) side.press(actor.batch_number);
    }

    fn noteRefused(
        actor: *Actor,
        side: *Side,
        payloads: []const Payload,
        rights: []const u32,
        answers: bool,
        failure: SendError,
    ) void {
        switch (failure) {
            error.Closed => {
                if (answers) side.complain("loses messages and does not say so", .{});
                side.sealed = true;
            },
            error.Ended => {
                if (!answers) side.complain("says that its end will tell of messages, and has none to come", .{});
                for (payloads) |payload| side.give(payload, 0, rights);
                side.sealed = true;
            },
            error.QueueFull => {
                if (side.limits.queue_policy != .refuse) side.complain("refuses instead of closing", .{});
                side.press(actor.batch_number);
            },
            error.OutOfMemory => {
                if (actor.kernel.happened.get(.allocation_failed) == 0) side.complain("has no memory without reason", .{});
            },
            error.MessageTooLong, error.Malformed, error.WrongThread => side.complain("refuses a message and says {t}", .{failure}),
        }
    }

    pub fn close(actor: *Actor, side: *Side, how: CloseHow) void {
        const start_ns = actor.kernel.now_ns;
        actor.kernel.beginCall();
        actor.trace("closes connection {d}: {t}", .{ side.handle.number(), how });
        side.given_up = true;
        actor.context.close(side.handle, how) catch |failure| {
            if (failure != error.Closed) side.complain("does not close and says {t}", .{failure});
            return;
        };
        if (side.disconnected) side.complain("closes a second time", .{});
        side.noteClosed(how, start_ns);
    }

    /// Stops reading, or begins to read again.
    pub fn pause(actor: *Actor, side: *Side, paused: bool) void {
        actor.kernel.beginCall();
        actor.trace("pauses connection {d}: {}", .{ side.handle.number(), paused });
        actor.context.pause(side.handle, paused) catch |failure| {
            if (failure != error.Closed) side.complain("does not pause and says {t}", .{failure});
            return;
        };
        if (side.closed_by_owner) return;
        if (side.paused and !paused) side.resumed_ns = actor.kernel.now_ns;
        side.paused = paused;
    }

    pub fn closeService(actor: *Actor, service: *Service) void {
        if (!service.open) return;
        actor.kernel.beginCall();
        service.open = false;
        actor.context.close(service.handle, .drain) catch |failure|
            actor.complain("does not close a service and says {t}", .{failure});
        if (!service.listener.closed) actor.complain("closes a service that still listens", .{});
    }

    pub fn closeAll(actor: *Actor, how: CloseHow) void {
        const start_ns = actor.kernel.now_ns;
        actor.kernel.beginCall();
        for (actor.sides.items) |side| {
            // Those that have ended by themselves are only waiting to be reported.
            const figures = actor.context.statisticsOf(side.handle) catch continue;
            side.given_up = true;
            if (figures.connections_open == 1) side.noteClosed(how, start_ns);
        }
        actor.context.closeAll(how) catch |failure| actor.complain("does not close and says {t}", .{failure});
        actor.trace("closes everything: {t}", .{how});
        for (actor.services.items) |*service| service.open = false;
        actor.watched.forgetAll();
    }

    /// Calls with handles that are no more, or never were, find nothing.
    pub fn callStale(actor: *Actor) void {
        const die = actor.kernel.random();
        var handle: Handle = .from(die.int(u32));
        if (die.boolean()) {
            const side = actor.drawSide() orelse return;
            if (!side.disconnected) return;
            handle = side.handle;
        } else if (actor.context.table.get(handle) != null) return;
        const context = &actor.context;
        actor.kernel.beginCall();
        actor.expectClosed(context.schedule(handle, "x", 1));
        actor.expectClosed(context.write(handle, "x"));
        actor.expectClosed(context.close(handle, .now));
        actor.expectClosed(context.pause(handle, true));
        actor.expectClosed(context.peer(handle));
        actor.expectClosed(context.peerProcess(handle));
        if (handle != .none) actor.expectClosed(context.statisticsOf(handle));
    }

    fn expectClosed(actor: *Actor, result: anytype) void {
        if (result) |_| {
            actor.complain("finds something by a stale handle", .{});
        } else |failure| if (failure != error.Closed) actor.complain("says {t} of a stale handle", .{failure});
    }

    pub fn flush(actor: *Actor) void {
        var outbox: Outbox = .compose(actor);
        actor.kernel.beginCall();
        actor.trace("flushes {d} runs", .{outbox.count});
        actor.context.flush(outbox.bytes, Outbox.code) catch |failure| actor.complain("cannot flush and says {t}", .{failure});
        outbox.note(actor);
    }

    pub fn ring(actor: *Actor) void {
        actor.context.ring();
    }

    // Waiting, and what comes of it

    /// Returns how many events there were; null if the wait failed.
    pub fn wait(actor: *Actor, timeout_ns: i64, spin_ns: i64) ?u32 {
        const kernel = actor.kernel;
        var outbox: Outbox = .compose(actor);
        for (actor.sides.items) |side| side.reads_before = side.socket.reads;
        for (actor.services.items) |*service| service.accepts_before = service.listener.accepts;
        const clears = kernel.wake_clears;
        const failures = kernel.happened.get(.wait_failed);
        const start_ns = kernel.now_ns;
        kernel.beginCall();
        const result = actor.context.wait(timeout_ns, spin_ns, outbox.bytes, Outbox.code);
        outbox.note(actor);
        actor.batch_number += 1;
        const count = result catch |failure| {
            actor.trace("cannot wait: {t}", .{failure});
            if (failure != error.Unexpected or kernel.happened.get(.wait_failed) == failures)
                actor.complain("cannot wait and says {t}", .{failure});
            return null;
        };
        actor.trace("waits {d} ns of {d}: {d} events", .{ kernel.now_ns - start_ns, timeout_ns, count });
        const early = timeout_ns > 0 and kernel.now_ns < start_ns +| @as(u64, @intCast(timeout_ns));
        if (count == 0 and (timeout_ns < 0 or early) and kernel.wake_clears == clears and !outbox.hasRefused(actor))
            actor.complain("comes back early and has nothing to tell", .{});
        actor.expectLoans(count);
        for (actor.context.batch.events[0..count]) |*event| actor.meet(event, start_ns);
        actor.expectServed();
        actor.watched.expectFired(if (count == 0) kernel.now_ns -| lateness_ns_max else start_ns);
        if (actor.context.batch.eventsFree() > 0) actor.watched.expectReported();
        return count;
    }

    /// Only the buffers of this batch are kept for the reader.
    fn expectLoans(actor: *Actor, count: u32) void {
        var loans: usize = 0;
        for (actor.context.batch.events[0..count]) |*event| {
            loans += @intFromBool(event.type == .message_rx and event.flags & ipc.event.flag_loan != 0);
        }
        if (actor.context.loans.items.len != loans) actor.complain("keeps buffers of an old batch", .{});
    }

    fn meet(actor: *Actor, event: *const Event, start_ns: u64) void {
        actor.trace("meets {t} of {d}: reason {t}, length {d}, data {d}", .{
            event.type, event.source.number(), event.reason, event.length, event.data,
        });
        switch (event.type) {
            .connection => actor.meetConnection(event),
            .disconnection => {
                const side = actor.sideOf(event) orelse return;
                side.expectEnd(event, actor.batch_number);
                actor.reasons[@intFromEnum(event.reason)] += 1;
            },
            .message_rx => actor.meetMessage(event),
            .message_tx => (actor.sideOf(event) orelse return).expectReport(event),
            .drain => {
                const side = actor.sideOf(event) orelse return;
                side.expectDrain(event, actor.batch_number);
                if (actor.is_careful and side.paused and !side.pressed) actor.pause(side, false);
            },
            .timer => actor.watched.meetTimer(event, start_ns),
            .external => actor.watched.meetExternal(event),
            .@"error" => actor.meetError(event),
            .switch_rx, .switch_tx => actor.complain("reports {t}", .{event.type}),
        }
    }

    fn sideOf(actor: *Actor, event: *const Event) ?*Side {
        for (actor.sides.items) |side| {
            if (side.handle != event.source or side.disconnected) continue;
            if (side.origin != event.origin) side.complain("comes from {d} in an event", .{event.origin.number()});
            return side;
        }
        actor.complain("reports {t} of connection {d}, which there is not", .{ event.type, event.source.number() });
        return null;
    }

    fn serviceOf(actor: *Actor, handle: Handle) ?*Service {
        for (actor.services.items) |*service| {
            if (service.handle == handle) return service;
        }
        actor.complain("reports something of service {d}, which there is not", .{handle.number()});
        return null;
    }

    fn meetConnection(actor: *Actor, event: *const Event) void {
        const service = actor.serviceOf(event.origin) orelse return;
        const socket = actor.kernel.socketByProcess(event.detail) orelse
            return actor.complain("reports a connection of process {d}", .{event.detail});
        const who = socket.other.credentials;
        if (!socket.accepted or who.uid != event.length or who.gid != event.offset)
            return actor.complain("reports a connection of somebody else", .{});
        if (!service.allow.permits(who, FakeSystem.own_user)) return actor.complain("lets user {d} in", .{who.uid});
        actor.accepted += 1;
        _ = actor.addSide(socket, event.source, event.origin, service.limits);
        var open: u32 = 0;
        for (actor.sides.items) |side| open += @intFromBool(side.origin == event.origin and !side.socket.closed);
        if (open > service.limits.connections_max) actor.complain("has {d} connections of {d}", .{ open, service.limits.connections_max });
    }

    fn meetMessage(actor: *Actor, event: *const Event) void {
        const side = actor.sideOf(event) orelse return;
        const is_loan = event.flags & ipc.event.flag_loan != 0;
        const start: [*]u8 = if (is_loan) @ptrFromInt(event.data) else actor.context.batch.inbox[event.offset..].ptr;
        const rights = side.expectMessage(event, start[0..event.length], actor.batch_number);
        if (!side.malformed) actor.expectRights(side, event, rights);
        if (is_loan and actor.kernel.oneIn(2)) {
            actor.context.take(start) catch return actor.complain("does not hand over a message", .{});
            actor.taken.append(actor.kernel.arena, start) catch @panic("out of memory");
        }
        if (actor.is_resting) return;
        if (actor.answers and actor.kernel.oneIn(2)) actor.send(side);
        if (actor.is_careful and side.pressed and !side.paused) actor.pause(side, true);
    }

    /// What came with a message is what was sent with it; some of it is taken over.
    fn expectRights(actor: *Actor, side: *Side, event: *const Event, rights: []const u32) void {
        const kernel = actor.kernel;
        const descriptors = &actor.context.descriptors;
        const has = event.flags & ipc.event.flag_descriptors != 0;
        const count = if (has) ipc.descriptors.Descriptors.countOf(event.detail) else 0;
        if (count != rights.len) return side.complain("delivers {d} descriptors of {d}", .{ count, rights.len });
        if (count == 0) return;
        if (descriptors.heldFor(side.socket.other.credentials.uid) < count) side.complain("does not count what it holds", .{});
        var room: [sys.rights.descriptors_max]sys.Fd = undefined;
        if (kernel.oneIn(2)) {
            const begin = @as(u32, @bitCast(event.detail)) >> 8;
            for (descriptors.arrived.items[begin..][0..count], rights) |arrived, token| {
                if (kernel.tokenOf(actor.number, arrived.fd) != token) side.complain("delivers another descriptor", .{});
            }
            return;
        }
        const taken = actor.context.takeDescriptors(event.detail, &room) catch
            return side.complain("does not hand over what came with a message", .{});
        for (taken, rights) |fd, token| {
            if (kernel.tokenOf(actor.number, fd) != token) side.complain("delivers another descriptor", .{});
            kernel.close(actor.number, fd);
        }
        if (actor.context.takeDescriptors(event.detail, &room)) |_| {
            side.complain("hands over twice what came with a message", .{});
        } else |_| {}
    }

    fn meetError(actor: *Actor, event: *const Event) void {
        const service = actor.serviceOf(event.source) orelse return;
        const happened = &actor.kernel.happened;
        actor.reasons[@intFromEnum(event.reason)] += 1;
        const so = switch (event.reason) {
            .not_allowed, .connections_limit => return actor.meetRefused(service, event),
            .descriptor_limit => happened.get(.accept_limit) + happened.get(.watch_failed) > 0,
            .out_of_memory => happened.get(.allocation_failed) + happened.get(.watch_failed) > 0,
            .system => happened.get(.accept_failed) + happened.get(.watch_failed) +
                happened.get(.credentials_failed) + happened.get(.rewatch_failed) > 0,
            else => false,
        };
        if (!so) actor.complain("reports an error for the reason {t}, which is not so", .{event.reason});
    }

    fn meetRefused(actor: *Actor, service: *const Service, event: *const Event) void {
        const socket = actor.kernel.socketByProcess(@intCast(event.data)) orelse
            return actor.complain("refuses process {d}", .{event.data});
        if (!socket.accepted or !socket.closed) return actor.complain("refuses who has not come, or does not close", .{});
        const permitted = service.allow.permits(socket.other.credentials, FakeSystem.own_user);
        if (permitted == (event.reason == .not_allowed)) actor.complain("refuses for the wrong reason", .{});
    }

    /// A connection with something to read and a service with somebody to accept have their turn, whatever the others do.
    fn expectServed(actor: *Actor) void {
        for (actor.sides.items) |side| {
            const waits_for_turn = !side.disconnected and !side.closed_by_owner and !side.isPaused() and !side.socket.closed and
                !side.socket.told.end and side.socket.isReadable() and side.socket.reads == side.reads_before;
            side.unserved = if (waits_for_turn) side.unserved + 1 else 0;
            if (side.unserved > unserved_waits_max) side.complain("is not read in {d} waits", .{side.unserved});
        }
        for (actor.services.items) |*service| {
            const listener = service.listener;
            const waits_for_turn = service.open and listener.backlog.items.len > 0 and
                listener.accepts == service.accepts_before and !actor.isPaused(service);
            service.unserved = if (waits_for_turn) service.unserved + 1 else 0;
            if (service.unserved > unserved_waits_max) actor.complain("does not accept in {d} waits", .{service.unserved});
        }
    }

    /// Whether it waits for descriptors to accept with.
    fn isPaused(actor: *Actor, service: *const Service) bool {
        return switch (actor.context.table.get(service.handle) orelse return false) {
            .service => |known| known.paused,
            else => false,
        };
    }

    // What must hold at any moment

    pub fn audit(actor: *Actor) void {
        const context = &actor.context;
        const figures = context.statisticsOf(.none) catch return actor.complain("hides its statistics", .{});
        var sum: ipc.statistics.Statistics = .{};
        for (actor.sides.items) |side| actor.auditSide(side, &sum);
        for (actor.services.items) |*service| if (service.open) actor.auditService(service);
        // Who sends what is no message, or what has no end, leaves messages uncounted.
        const malformed = actor.hasUncounted();
        const expected = .{
            .{ "messages_received", sum.messages_received },
            .{ "bytes_received", sum.bytes_received },
            .{ "bytes_sent", sum.bytes_sent },
            .{ "queued_bytes", sum.queued_bytes },
            .{ "connections_open", sum.connections_open },
            .{ "connections_accepted", actor.accepted },
            .{ "connections_made", actor.made },
            .{ "descriptors", actor.kernel.countFiles(actor.number) },
            .{ "messages_sent", if (malformed) figures.messages_sent else sum.messages_sent },
            .{ "messages_lost", if (malformed) figures.messages_lost else sum.messages_lost },
        };
        inline for (expected) |entry| {
            const said = @field(figures, entry[0]);
            if (said != entry[1]) actor.complain("counts {d} " ++ entry[0] ++ ", and there are {d}", .{ said, entry[1] });
        }
        actor.auditSockets();
        actor.auditHeld();
    }

    /// What is said to be held of each user's is what is held.
    fn auditHeld(actor: *Actor) void {
        const context = &actor.context;
        var counts: [8]struct { user: u32, count: u32 } = undefined;
        var users: usize = 0;
        const note = struct {
            fn note(those: anytype, known: *usize, user: u32, count: usize) void {
                if (count == 0) return;
                for (those[0..known.*]) |*entry| if (entry.user == user) {
                    entry.count += @intCast(count);
                    return;
                };
                those[known.*] = .{ .user = user, .count = @intCast(count) };
                known.* += 1;
            }
        }.note;
        for (context.descriptors.arrived.items) |arrived| note(&counts, &users, arrived.user, @intFromBool(arrived.fd != -1));
        var objects = context.table.iterator();
        while (objects.next()) |object| switch (object) {
            .connection => |connection| {
                const user = connection.credentials.uid;
                note(&counts, &users, user, connection.inbound.descriptors.items.len);
                for (0..connection.attachments.len) |index| {
                    note(&counts, &users, user, connection.attachments.at(index).fds.len);
                }
            },
            else => {},
        };
        var total: u32 = 0;
        for (counts[0..users]) |entry| {
            total += entry.count;
            const said = context.descriptors.heldFor(entry.user);
            if (said != entry.count) actor.complain("holds {d} descriptors for user {d} and says {d}", .{ entry.count, entry.user, said });
        }
        if (context.descriptors.held.count() != users or context.descriptors.held_count != total)
            actor.complain("holds {d} descriptors for {d} users and says {d} for {d}", .{
                total, users, context.descriptors.held_count, context.descriptors.held.count(),
            });
    }

    fn hasUncounted(actor: *const Actor) bool {
        for (actor.sides.items) |side| {
            if (side.malformed or side.isRaw()) return true;
        }
        return false;
    }

    fn auditSide(actor: *Actor, side: *Side, sum: *ipc.statistics.Statistics) void {
        side.compare();
        sum.messages_received += side.messages_received;
        sum.bytes_received += side.socket.received;
        sum.bytes_sent += side.socket.sent.items.len;
        sum.messages_sent += side.whole;
        if (side.disconnected) {
            sum.messages_lost += side.lost_messages;
            return;
        }
        const figures = actor.context.statisticsOf(side.handle) catch
            return side.complain("is gone without having been reported", .{});
        sum.queued_bytes += figures.queued_bytes;
        sum.messages_lost += figures.messages_lost;
        sum.connections_open += figures.connections_open;
        if (figures.connections_open == 1) side.expectNothingHeldBack();
        if ((figures.connections_open == 1) == side.socket.closed) side.complain("is open and closed at once", .{});
        if (side.malformed) return;
        const queued = if (figures.messages_lost > 0) 0 else side.unsentBytes();
        if (!side.canHaveLost(figures.messages_lost))
            side.complain("counts {d} messages lost, and there are {d}", .{ figures.messages_lost, side.unsentMessages() });
        const expected = .{
            .{ "messages_received", side.messages_received },
            .{ "bytes_received", side.socket.received },
            .{ "bytes_sent", side.socket.sent.items.len },
            .{ "messages_sent", if (side.isRaw()) figures.messages_sent else side.whole },
            .{ "queued_bytes", queued },
        };
        inline for (expected) |entry| {
            const said = @field(figures, entry[0]);
            if (said != entry[1]) side.complain("counts {d} " ++ entry[0] ++ ", and there are {d}", .{ said, entry[1] });
        }
    }

    fn auditService(actor: *Actor, service: *const Service) void {
        const figures = actor.context.statisticsOf(service.handle) catch
            return actor.complain("has lost a service", .{});
        var received: u64 = 0;
        var bytes_received: u64 = 0;
        var bytes_sent: u64 = 0;
        var queued: u64 = 0;
        var open: u64 = 0;
        for (actor.sides.items) |side| {
            if (side.origin != service.handle) continue;
            received += side.messages_received;
            bytes_received += side.socket.received;
            bytes_sent += side.socket.sent.items.len;
            if (side.disconnected) continue;
            const own = actor.context.statisticsOf(side.handle) catch continue;
            queued += own.queued_bytes;
            open += own.connections_open;
        }
        if (figures.messages_received != received or figures.bytes_received != bytes_received or
            figures.bytes_sent != bytes_sent or figures.queued_bytes != queued or figures.connections_open != open)
            actor.complain("miscounts what service {d} has done", .{service.handle.number()});
    }

    /// Every socket that it holds is a connection somebody knows of.
    fn auditSockets(actor: *Actor) void {
        for (actor.kernel.files, 0..) |slot, fd| {
            const file = slot orelse continue;
            if (file.owner != actor.number or file.body != .socket) continue;
            for (actor.sides.items) |side| {
                if (side.socket == file.body.socket) break;
            } else actor.complain("holds descriptor {d} and has not told of it", .{fd});
        }
    }

    /// Everything was closed, and each connection has been reported as ended.
    pub fn expectOver(actor: *Actor) void {
        actor.audit();
        for (actor.sides.items) |side| {
            if (!side.disconnected) side.complain("was closed and is not reported", .{});
        }
        if (actor.context.table.used != 0) actor.complain("keeps {d} objects", .{actor.context.table.used});
    }

    /// Everybody reads but its own owner, who has paused some connections: those send all the same.
    pub fn auditPaused(actor: *Actor) void {
        for (actor.sides.items) |side| {
            if (side.disconnected or side.malformed or !side.paused or side.sealed or side.socket.told.broken) continue;
            side.compare();
            // The other end may be a connection that is paused as well.
            if (side.unsentBytes() > 0 and side.socket.space() > 0) side.complain("does not send while it is paused", .{});
            if (side.unsentBytes() == 0 and side.pressed) side.complain("owes a drain while it is paused", .{});
        }
    }

    /// Nothing is left to do: what was to be said has been said, what was to be read has been read.
    pub fn auditAtRest(actor: *Actor) void {
        actor.audit();
        for (actor.sides.items) |side| {
            if (side.disconnected) continue;
            const socket = side.socket;
            if (side.malformed) continue;
            side.expectAllReported();
            const waits_for_peer = socket.told.end or side.closed_by_owner;
            if (!waits_for_peer and socket.isReadable()) side.complain("does not read what there is", .{});
            if (side.unsentBytes() > 0 and !side.sealed and !socket.told.broken) side.complain("does not send what it took", .{});
            if (side.pressed and !side.sealed and !socket.told.broken) side.complain("owes a drain", .{});
            if (socket.told.end) side.complain("has read the end and does not end", .{});
            if (side.closed_by_owner) side.complain("was closed and does not end", .{});
            if (side.delivered < socket.received and side.limits.stall_ns > 0)
                side.complain("waits for ever for the rest of a message", .{});
        }
        for (actor.services.items) |*service| {
            if (service.open and service.listener.backlog.items.len > 0)
                actor.complain("does not accept who waits for service {d}", .{service.handle.number()});
        }
        const figures = actor.context.statisticsOf(.none) catch return;
        if (!std.mem.eql(u64, &figures.reasons, &actor.reasons)) actor.complain("miscounts its reasons", .{});
    }
};

/// Limits near and far: those that are reached all the time, and those never reached.
fn drawLimits(kernel: *Kernel) Limits {
    const die = kernel.random();
    const message_bytes_max: u32 = ([_]u32{ 0, 60, 1_000, 70_000, 300_000, Payload.bytes_max })[die.uintLessThan(usize, 6)];
    const is_raw = kernel.has_raw and message_bytes_max > 0 and kernel.oneIn(2);
    const least = message_bytes_max + ipc.frame.header_bytes;
    const queue_bytes_max = least + die.uintLessThan(u64, if (die.boolean()) 1_000 else 1_000_000);
    return .{
        .message_bytes_max = message_bytes_max,
        .connections_max = if (die.boolean()) die.uintAtMost(u32, 3) else 1_000,
        .queue_bytes_high = die.uintAtMost(u64, if (die.boolean()) queue_bytes_max else @min(queue_bytes_max, 500)),
        .queue_bytes_max = queue_bytes_max,
        .stall_ns = ([_]u64{ 0, 10_000, std.time.ns_per_ms, std.time.ns_per_s })[die.uintLessThan(usize, 4)],
        .drain_ns = ([_]u64{ 0, std.time.ns_per_ms, std.time.ns_per_s })[die.uintLessThan(usize, 3)],
        .queue_policy = if (die.boolean()) .close else .refuse,
        .framing = if (is_raw) .raw else .frames,
        .descriptors_max = ([_]u32{ 0, 1, 2, 4, 4, sys.rights.descriptors_max })[die.uintLessThan(usize, 6)],
        .descriptors_held_max = if (kernel.oneIn(3)) die.uintAtMost(u32, 6) else 4 * sys.rights.descriptors_max,
    };
}
