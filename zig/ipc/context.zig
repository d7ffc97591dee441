//! A context: it owns a set of descriptors and one poller, and nothing else blocks. One call, `wait`, sends what was
//! handed over, waits if nothing is ready, and fills a batch with what has happened.
//!
//! `World` says what the context stands on: `System` (the operating system), `Poller` and `Claim` (a served name).
//! There are two: the real one, and the seeded fake of `zig/testing`.
//!
//! Inside, things that want doing stand in three queues of handles, each object at most once in each:
//!
//!     ready       a descriptor is readable or writable; worked off in turn, each within a bound
//!     unsent      messages were queued without being tried yet
//!     attention   something is to be reported: an end, a drained queue, a message that went out
//!
//! A stale handle in one of them finds nothing and is passed over.

const std = @import("std");
const sys = @import("sys");
const batches = @import("batch.zig");
const events = @import("event.zig");
const frame = @import("frame.zig");
const handles = @import("handle.zig");
const pollers = @import("poller/poller.zig");
const connections = @import("connection.zig");
const services = @import("service.zig");
const Batch = batches.Batch;
const Connection = connections.Connection;
const Deadline = @import("deadlines.zig").Deadline;
const Deadlines = @import("deadlines.zig").Deadlines;
const Event = events.Event;
const Handle = handles.Handle;
const Limits = connections.Limits;
const areFrames = @import("queue.zig").areFrames;
const Loan = @import("loan.zig").Loan;
const Reason = events.Reason;
const Statistics = @import("statistics.zig").Statistics;
const assert = std.debug.assert;

/// Connections accepted from one service in one go, so that a flood of new ones does not hold up the others.
const accept_max = 64;
/// After so many batches that were filled without asking the poller, it is asked: others may have become ready.
const unpolled_batches_max = 8;
/// Connections that are read directly while spinning; a read costs as much as asking the poller, so few.
const hot_max = 4;
/// While spinning, the poller is asked once in so many rounds of reading the hot connections.
const spin_rounds_per_poll = 16;
/// How many waits in a row may spin in vain before the context stops spinning.
const spin_credit_max = 4;
/// How long accepting pauses when no descriptor was left.
const accept_pause_ns = 50 * std.time.ns_per_ms;
/// What one call to the poller can report; more is reported by the next.
const poll_ready_max = 256;
const poller_token_wake: u64 = 0;

pub const Options = struct {
    poller: ?pollers.Kind = null,
    sizes: batches.Sizes = .{},
    /// How long `wait` looks for traffic before it sleeps. It does so only while looking has been worth it.
    spin_ns: u64 = spin_ns_default,
    /// Overwrite the bytes of a batch when the next one begins, so that a stale view shows.
    poison: bool = false,

    /// Sleeping and waking costs some 20 µs each way; looking for about as long as both together cannot cost
    /// more than twice the best choice.
    pub const spin_ns_default = 50 * std.time.ns_per_us;
};

pub const CloseHow = enum(u32) {
    /// What was taken is still sent, within `Limits.drain_ns`.
    drain = 0,
    /// At once; what is queued is lost and counted.
    now = 1,
};

pub const GuardError = error{WrongThread};
pub const AddError = GuardError || error{ OutOfMemory, HandleLimit, WatchLimit, InvalidArgument, Unexpected };
pub const SendError = GuardError || error{ Closed, MessageTooLong, QueueFull, Malformed, OutOfMemory };
pub const WaitError = GuardError || error{ InvalidArgument, Unexpected };
pub const CloseError = GuardError || error{Closed};

pub fn ContextType(comptime World: type) type {
    return struct {
        allocator: std.mem.Allocator,
        system: World.System,
        poller: World.Poller,
        wake: World.System.Wake,
        owner_thread: u64,
        own_user: u32,
        yields: bool,
        options: Options,
        batch: Batch,
        batch_number: u64 = 0,
        /// Payloads of this batch that are too large for the inbox and were not taken over.
        loans: std.ArrayList([*]u8) = .empty,
        table: handles.TableType(Object) = .{},
        ready: std.Deque(Handle) = .empty,
        unsent: std.Deque(Handle) = .empty,
        attention: std.Deque(Handle) = .empty,
        deadlines: Deadlines = .{},
        statistics: Statistics = .{},
        /// Who sent in the last batch, and is read first in the next wait.
        hot: [hot_max]Handle = @splat(.none),
        hot_count: usize = 0,
        unpolled_batches: u32 = 0,
        spin_credit: u32 = 0,
        woken: bool = false,
        poll_buffer: [poll_ready_max]pollers.Ready = undefined,

        const Context = @This();
        pub const Service = services.ServiceType(World.Claim);
        const Timer = struct { handle: Handle, deadline: Deadline = .{}, period_ns: u64 };
        const External = struct { handle: Handle, fd: sys.Fd, in_ready: bool = false };
        const Object = union(enum) {
            connection: *Connection,
            service: *Service,
            timer: *Timer,
            external: *External,
        };

        pub const InitError = error{ OutOfMemory, InvalidArgument, NotAvailable, DescriptorLimit, Unexpected };

        /// The context belongs to the calling thread from now on. It must not move.
        pub fn init(context: *Context, allocator: std.mem.Allocator, system: World.System, options: Options) InitError!void {
            const sizes = options.sizes;
            if (sizes.inbox_bytes < batches.Sizes.inbox_bytes_min or
                sizes.inbox_bytes > batches.Sizes.area_bytes_max or
                sizes.outbox_bytes < batches.Sizes.outbox_bytes_min or
                sizes.outbox_bytes > batches.Sizes.area_bytes_max) return error.InvalidArgument;
            context.* = .{
                .allocator = allocator,
                .system = system,
                .poller = undefined,
                .wake = undefined,
                .owner_thread = undefined,
                .own_user = undefined,
                .yields = undefined,
                .options = options,
                .batch = undefined,
            };
            context.owner_thread = context.system.threadId();
            context.own_user = context.system.userId();
            context.yields = context.system.processorsUsable() == 1;
            context.batch = try .init(&context.system, sizes);
            errdefer context.batch.deinit(&context.system);
            context.poller = try World.Poller.init(options.poller orelse .default, &context.system, allocator);
            errdefer context.poller.deinit();
            context.wake = try context.system.wakeCreate();
            errdefer context.wake.close();
            context.poller.add(context.wake.descriptor(), poller_token_wake, .{ .readable = true }) catch |failure|
                return switch (failure) {
                    error.OutOfMemory => error.OutOfMemory,
                    error.WatchLimit => error.DescriptorLimit,
                    error.Unexpected => error.Unexpected,
                };
            context.statistics.descriptors = World.System.Wake.descriptors;
        }

        /// Closes everything at once; what is queued goes out as far as the kernel takes it now.
        /// The shared areas go when nobody maps them any more.
        pub fn deinit(context: *Context) GuardError!void {
            try context.check();
            context.sendUnsent();
            var objects = context.table.iterator();
            while (objects.next()) |object| switch (object) {
                .connection => |connection| {
                    context.end(connection, .closed, 0);
                    connection.destroy(context.allocator);
                },
                .service => |service| context.endService(service),
                .timer => |timer| context.endTimer(timer),
                .external => |external| context.allocator.destroy(external),
            };
            context.releaseLoans();
            context.loans.deinit(context.allocator);
            context.table.deinit(context.allocator);
            context.ready.deinit(context.allocator);
            context.unsent.deinit(context.allocator);
            context.attention.deinit(context.allocator);
            context.poller.deinit();
            context.wake.close();
            context.batch.deinit(&context.system);
            context.* = undefined;
        }

        // ---- adding ----

        /// Serves what `claim` holds. On success the claim is the context's; on failure it stays the caller's.
        pub fn addService(context: *Context, claim: World.Claim, limits: Limits, allow: services.Allow) AddError!Handle {
            try context.check();
            if (!limits.valid()) return error.InvalidArgument;
            if (allow.users.len > services.Allow.entries_max or allow.groups.len > services.Allow.entries_max)
                return error.InvalidArgument;
            var own_allow = try allow.dupe(context.allocator);
            errdefer own_allow.free(context.allocator);
            const service = try context.allocator.create(Service);
            errdefer context.allocator.destroy(service);
            const handle = try context.addObject(.{ .service = service });
            errdefer context.table.remove(handle);
            service.* = .{ .handle = handle, .claim = claim, .limits = limits, .allow = own_allow };
            try context.poller.add(service.claim.listener(), handle.number(), .{ .readable = true });
            context.statistics.descriptors += World.Claim.descriptors;
            return handle;
        }

        /// Takes over a connected socket. On failure the descriptor stays the caller's.
        pub fn addConnection(context: *Context, fd: sys.Fd, limits: Limits) AddError!Handle {
            try context.check();
            if (!limits.valid()) return error.InvalidArgument;
            const credentials = context.system.credentials(fd) catch return error.Unexpected;
            const connection = try context.attach(fd, .none, limits, credentials);
            context.statistics.connections_made += 1;
            return connection.handle;
        }

        /// Reports when `fd` is readable or has ended. The descriptor stays the caller's, who closes the handle
        /// before the descriptor.
        pub fn addExternal(context: *Context, fd: sys.Fd) AddError!Handle {
            try context.check();
            const external = try context.allocator.create(External);
            errdefer context.allocator.destroy(external);
            const handle = try context.addObject(.{ .external = external });
            errdefer context.table.remove(handle);
            external.* = .{ .handle = handle, .fd = fd };
            try context.poller.add(fd, handle.number(), .{ .readable = true });
            return handle;
        }

        /// A timer that is due in `first_ns`, and every `period_ns` from then on unless that is 0.
        pub fn addTimer(context: *Context, first_ns: u64, period_ns: u64) AddError!Handle {
            try context.check();
            const timer = try context.allocator.create(Timer);
            errdefer context.allocator.destroy(timer);
            const handle = try context.addObject(.{ .timer = timer });
            timer.* = .{ .handle = handle, .period_ns = period_ns };
            context.deadlines.set(&timer.deadline, handle, context.system.monotonic() +| first_ns);
            return handle;
        }

        fn addObject(context: *Context, object: Object) error{ OutOfMemory, HandleLimit }!Handle {
            // Putting a handle into a queue must not fail, so each queue has room for all of them.
            const count = context.table.used + 1;
            try reserve(&context.ready, context.allocator, count);
            try reserve(&context.unsent, context.allocator, count);
            try reserve(&context.attention, context.allocator, count);
            return context.table.add(context.allocator, object);
        }

        /// Stale handles may still stand in a queue, so room is counted from what is there.
        fn reserve(queue: *std.Deque(Handle), allocator: std.mem.Allocator, count: usize) error{OutOfMemory}!void {
            try queue.ensureTotalCapacity(allocator, queue.len + count);
        }

        fn attach(
            context: *Context,
            fd: sys.Fd,
            origin: Handle,
            limits: Limits,
            credentials: sys.Credentials,
        ) AddError!*Connection {
            const connection = try context.allocator.create(Connection);
            errdefer context.allocator.destroy(connection);
            const handle = try context.addObject(.{ .connection = connection });
            errdefer context.table.remove(handle);
            connection.* = .{
                .handle = handle,
                .origin = origin,
                .fd = fd,
                .limits = limits,
                .credentials = credentials,
            };
            try context.poller.add(fd, handle.number(), .{ .readable = true });
            context.statistics.connections_open += 1;
            context.statistics.descriptors += 1;
            return connection;
        }

        // ---- sending ----

        /// Sends the runs in the first `outbox_bytes` of the outbox. Each run's `token_or_result` then holds the
        /// bytes queued for its connection, or the code for why none of it was taken, as `code` maps it.
        pub fn flush(context: *Context, outbox_bytes: u32, comptime code: fn (SendError) i32) WaitError!void {
            try context.check();
            try context.sendOutbox(outbox_bytes, code);
            context.sendUnsent();
        }

        fn sendOutbox(context: *Context, outbox_bytes: u32, comptime code: fn (SendError) i32) error{InvalidArgument}!void {
            const outbox = context.batch.outbox;
            if (outbox_bytes > outbox.len) return error.InvalidArgument;
            var at: usize = 0;
            while (at < outbox_bytes) {
                if (outbox_bytes - at < @sizeOf(batches.Run) or at % @alignOf(batches.Run) != 0)
                    return error.InvalidArgument;
                const run: *batches.Run = @ptrCast(@alignCast(outbox[at..].ptr));
                at += @sizeOf(batches.Run);
                if (run.bytes > outbox_bytes - at) return error.InvalidArgument;
                const frames = outbox[at..][0..run.bytes];
                at = std.mem.alignForward(usize, at + run.bytes, @alignOf(batches.Run));
                run.token_or_result = if (context.transmit(run.connection, "", frames, run.messages, run.token_or_result)) |queued|
                    @intCast(@min(queued, std.math.maxInt(i32)))
                else |failure|
                    code(failure);
            }
        }

        /// Queues one message, to be sent by the next `wait` or `flush`. A `token` other than 0 asks for a
        /// `message_tx` event. Returns the bytes queued for the connection.
        pub fn schedule(context: *Context, handle: Handle, payload: []const u8, token: i32) SendError!u64 {
            try context.check();
            const connection = try context.sendable(handle, payload.len);
            const total = frame.header_bytes + payload.len;
            if (connection.queue.bytes() + total > connection.limits.queue_bytes_max) {
                // Some of it may be gone by now: only what the peer really does not take counts against it.
                context.sendQueued(connection);
                if (!connection.takesMessages()) return context.lost(connection, 1, total);
                if (connection.queue.bytes() + total > connection.limits.queue_bytes_max)
                    return context.overLimit(connection, 1, total);
            }
            const space = try connection.queue.reserve(context.allocator, total);
            try context.noteTaken(connection, total, 1, token);
            space[0..frame.header_bytes].* = frame.encodeHeader(@intCast(payload.len));
            @memcpy(space[frame.header_bytes..], payload);
            connection.queue.commit(total, 1);
            context.statistics.queued_bytes += total;
            if (context.serviceOf(connection)) |service| service.statistics.queued_bytes += total;
            if (!connection.in_unsent) {
                connection.in_unsent = true;
                context.unsent.pushBackAssumeCapacity(handle);
            }
            context.noteQueue(connection);
            return connection.queue.bytes();
        }

        /// Sends one message now, behind what is queued for the connection already. What the kernel does not take
        /// is queued. Returns the bytes queued for the connection: 0 where the kernel has everything.
        pub fn write(context: *Context, handle: Handle, payload: []const u8) SendError!u64 {
            try context.check();
            _ = try context.sendable(handle, payload.len);
            const header = frame.encodeHeader(@intCast(payload.len));
            return context.transmit(handle, &header, payload, 1, 0);
        }

        fn sendable(context: *Context, handle: Handle, payload_bytes: usize) SendError!*Connection {
            const connection = try context.connectionOf(handle);
            if (!connection.takesMessages()) return error.Closed;
            if (payload_bytes > connection.limits.message_bytes_max) return error.MessageTooLong;
            return connection;
        }

        fn transmit(
            context: *Context,
            handle: Handle,
            head: []const u8,
            body: []const u8,
            messages: u32,
            token: i32,
        ) SendError!u64 {
            const connection = try context.connectionOf(handle);
            const total = head.len + body.len;
            // No message is shorter than its header, and a report speaks of one message.
            if (messages > total / frame.header_bytes or (token != 0 and messages != 1))
                return context.malformed(connection);
            if (!connection.takesMessages()) return error.Closed;
            if (connection.queue.bytes() > 0) {
                context.sendQueued(connection);
                if (!connection.takesMessages()) return context.lost(connection, messages, total);
            }
            const queued = connection.queue.bytes();
            if (queued + total > connection.limits.queue_bytes_max and queued > 0)
                return context.overLimit(connection, messages, total);
            if (queued > 0) {
                if (head.len == 0 and !areFrames(body, messages)) return context.malformed(connection);
                const space = try connection.queue.reserve(context.allocator, total);
                try context.noteTaken(connection, total, messages, token);
                @memcpy(space[0..head.len], head);
                @memcpy(space[head.len..], body);
                connection.queue.commit(total, messages);
                context.noteSent(connection, connection.bytes_sent, connection.messages_sent, queued);
                context.noteQueue(connection);
                return connection.queue.bytes();
            }
            try context.noteTaken(connection, total, messages, token);
            const bytes_sent = connection.bytes_sent;
            const messages_sent = connection.messages_sent;
            const sent = connection.send(context.allocator, &context.system, head, body, messages);
            context.noteSent(connection, bytes_sent, messages_sent, 0);
            switch (sent) {
                .taken => {},
                .malformed => return context.malformed(connection),
                .out_of_memory => {
                    // The front of it may be with the kernel, so the connection cannot go on.
                    const messages_left = messages - @as(u32, @intCast(connection.messages_sent - messages_sent));
                    context.lose(connection, messages_left, total - @as(usize, @intCast(connection.bytes_sent - bytes_sent)));
                    context.end(connection, .out_of_memory, 0);
                    return error.OutOfMemory;
                },
                .broken, .failed => {
                    context.breakOff(connection, sent);
                    return context.lost(connection, messages, total);
                },
            }
            if (connection.queue.bytes() > connection.limits.queue_bytes_max and
                connection.limits.queue_policy == .close)
            {
                context.end(connection, .queue_limit, 0);
                return error.Closed;
            }
            context.noteQueue(connection);
            return connection.queue.bytes();
        }

        fn overLimit(context: *Context, connection: *Connection, messages: u32, bytes: usize) SendError {
            if (connection.limits.queue_policy == .refuse) return error.QueueFull;
            context.end(connection, .queue_limit, 0);
            return context.lost(connection, messages, bytes);
        }

        /// For messages over which the connection ended: its disconnection counts them, as it does those queued before.
        fn lost(context: *Context, connection: *Connection, messages: u32, bytes: usize) SendError {
            context.lose(connection, messages, bytes);
            return error.Closed;
        }

        fn malformed(context: *Context, connection: *Connection) SendError {
            context.end(connection, .malformed, 0);
            return error.Malformed;
        }

        fn sendQueued(context: *Context, connection: *Connection) void {
            const bytes_sent = connection.bytes_sent;
            const messages_sent = connection.messages_sent;
            const queued = connection.queue.bytes();
            const sent = connection.sendQueued(context.allocator, &context.system);
            context.noteSent(connection, bytes_sent, messages_sent, queued);
            switch (sent) {
                .taken => context.noteQueue(connection),
                .broken, .failed => context.breakOff(connection, sent),
                .malformed, .out_of_memory => unreachable, // The queue holds whole frames and needs nothing more.
            }
        }

        fn sendUnsent(context: *Context) void {
            while (context.unsent.popFront()) |handle| {
                const connection = context.connectionOf(handle) catch continue;
                connection.in_unsent = false;
                if (connection.state != .ended and !connection.broken) context.sendQueued(connection);
            }
        }

        /// The peer takes no more. What it has sent may still be unread, so an open connection goes on until its end.
        fn breakOff(context: *Context, connection: *Connection, sent: connections.Sent) void {
            if (sent == .failed) return context.end(connection, .system, context.system.failure.errno);
            connection.broken = true;
            context.dropQueue(connection);
            if (connection.state != .open) return context.end(connection, .peer_reset, 0);
            context.watch(connection);
            context.attend(connection);
        }

        fn dropQueue(context: *Context, connection: *Connection) void {
            const queued = connection.queue.bytes();
            context.lose(connection, connection.queue.messages, queued);
            context.statistics.queued_bytes -= queued;
            if (context.serviceOf(connection)) |service| service.statistics.queued_bytes -= queued;
            connection.queue.deinit(context.allocator);
        }

        fn lose(context: *Context, connection: *Connection, messages: u32, bytes: usize) void {
            connection.messages_lost +|= messages;
            connection.bytes_lost += bytes;
            context.statistics.messages_lost += messages;
            if (context.serviceOf(connection)) |service| service.statistics.messages_lost += messages;
        }

        fn noteTaken(context: *Context, connection: *Connection, bytes: usize, messages: u32, token: i32) error{OutOfMemory}!void {
            const end_at = connection.bytes_taken + bytes;
            if (token != 0) {
                assert(messages == 1);
                try connection.report(context.allocator, end_at, @intCast(bytes - frame.header_bytes), token);
            }
            connection.bytes_taken = end_at;
        }

        fn noteSent(context: *Context, connection: *Connection, bytes_before: u64, messages_before: u64, queued_before: usize) void {
            const bytes = connection.bytes_sent - bytes_before;
            const messages = connection.messages_sent - messages_before;
            const queued = connection.queue.bytes();
            add(&context.statistics, bytes, messages, queued, queued_before);
            if (context.serviceOf(connection)) |service| add(&service.statistics, bytes, messages, queued, queued_before);
            if (bytes > 0 and connection.reports.len > 0) context.attend(connection);
        }

        fn add(statistics: *Statistics, bytes: u64, messages: u64, queued: usize, queued_before: usize) void {
            statistics.bytes_sent += bytes;
            statistics.messages_sent += messages;
            statistics.queued_bytes = statistics.queued_bytes + queued - queued_before;
        }

        /// After the queue has changed: watch for what is wanted, and tell who waits for it to empty.
        fn noteQueue(context: *Context, connection: *Connection) void {
            const queued = connection.queue.bytes();
            if (queued > connection.limits.queue_bytes_high) {
                connection.pressed = true;
                connection.drained = false;
            } else if (connection.pressed and queued <= connection.limits.queue_bytes_high / 2) {
                connection.pressed = false;
                connection.drained = true;
                context.attend(connection);
            }
            if (queued == 0 and connection.state != .open) context.attend(connection);
            context.watch(connection);
        }

        fn watch(context: *Context, connection: *Connection) void {
            if (!connection.watched) return;
            const readable = connection.state == .open and !connection.paused;
            const writable = connection.queue.bytes() > 0 and !connection.broken and !connection.in_unsent;
            if (readable == connection.watches_readable and writable == connection.watches_writable) return;
            context.poller.modify(connection.fd, connection.handle.number(), .{
                .readable = readable,
                .writable = writable,
            }) catch return context.end(connection, .system, context.system.failure.errno);
            connection.watches_readable = readable;
            connection.watches_writable = writable;
        }

        /// Reads nothing more from a connection, so that its peer comes to wait, until it is resumed.
        pub fn pause(context: *Context, handle: Handle, paused: bool) CloseError!void {
            try context.check();
            const connection = try context.connectionOf(handle);
            if (connection.state == .ended) return error.Closed;
            if (connection.paused == paused) return;
            connection.paused = paused;
            if (paused and connection.state == .open) context.deadlines.clear(&connection.deadline);
            if (!paused and !connection.watched) {
                context.poller.add(connection.fd, handle.number(), .{}) catch
                    return context.end(connection, .system, context.system.failure.errno);
                connection.watched = true;
                connection.watches_readable = false;
                connection.watches_writable = false;
            }
            context.watch(connection);
            // The peer is not to blame for the time in which nobody read.
            if (!paused and connection.state == .open) context.noteProgress(connection, context.system.monotonic());
        }

        // ---- closing ----

        /// A connection's disconnection is reported by a later `wait`. A service stops accepting; its connections go on.
        pub fn close(context: *Context, handle: Handle, how: CloseHow) CloseError!void {
            try context.check();
            switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| try context.closeConnection(connection, how),
                .service => |service| context.endService(service),
                .timer => |timer| context.endTimer(timer),
                .external => |external| {
                    context.poller.remove(external.fd);
                    context.table.remove(handle);
                    context.allocator.destroy(external);
                },
            }
        }

        pub fn closeAll(context: *Context, how: CloseHow) GuardError!void {
            try context.check();
            var objects = context.table.iterator();
            while (objects.next()) |object| {
                const handle = switch (object) {
                    inline else => |item| item.handle,
                };
                context.close(handle, how) catch |failure| switch (failure) {
                    error.WrongThread => unreachable, // Checked above.
                    error.Closed => {}, // It has ended by itself and waits to be reported.
                };
            }
        }

        fn closeConnection(context: *Context, connection: *Connection, how: CloseHow) error{Closed}!void {
            switch (connection.state) {
                .ended => return error.Closed,
                .draining => if (how == .drain) return error.Closed,
                .open, .finishing => {},
            }
            if (how == .drain and connection.in_unsent) context.sendQueued(connection);
            if (connection.state == .ended) return;
            if (how == .now or connection.queue.bytes() == 0) return context.end(connection, .closed, 0);
            connection.state = .draining;
            connection.inbound.deinit(context.allocator);
            context.deadlines.set(&connection.deadline, connection.handle, context.system.monotonic() +| connection.limits.drain_ns);
            context.watch(connection);
        }

        /// Gives up the descriptor and everything held for the peer; what is left is the report.
        fn end(context: *Context, connection: *Connection, reason: Reason, errno: i32) void {
            if (connection.state == .ended) return;
            connection.state = .ended;
            connection.end_reason = reason;
            connection.end_errno = errno;
            context.dropQueue(connection);
            context.deadlines.clear(&connection.deadline);
            if (connection.watched) context.poller.remove(connection.fd);
            context.system.close(connection.fd);
            connection.inbound.deinit(context.allocator);
            context.statistics.descriptors -= 1;
            context.statistics.connections_open -= 1;
            context.statistics.count(reason);
            if (context.serviceOf(connection)) |service| {
                service.statistics.connections_open -= 1;
                service.statistics.descriptors -= 1;
                service.statistics.count(reason);
            }
            context.attend(connection);
        }

        fn endService(context: *Context, service: *Service) void {
            if (!service.paused) context.poller.remove(service.claim.listener());
            context.deadlines.clear(&service.deadline);
            service.claim.release(&context.system);
            context.statistics.descriptors -= World.Claim.descriptors;
            service.allow.free(context.allocator);
            context.table.remove(service.handle);
            context.allocator.destroy(service);
        }

        fn endTimer(context: *Context, timer: *Timer) void {
            context.deadlines.clear(&timer.deadline);
            context.table.remove(timer.handle);
            context.allocator.destroy(timer);
        }

        // ---- asking ----

        pub fn peer(context: *Context, handle: Handle) CloseError!sys.Credentials {
            try context.check();
            return (try context.connectionOf(handle)).credentials;
        }

        /// A descriptor of the peer's process that no other process can come to bear, or null where the system
        /// has none. It is the caller's to close.
        pub fn peerProcess(context: *Context, handle: Handle) CloseError!?sys.Fd {
            try context.check();
            const connection = try context.connectionOf(handle);
            if (connection.state == .ended) return error.Closed;
            return context.system.processDescriptor(connection.fd, connection.credentials.pid);
        }

        /// The figures of a connection or service, or of the whole context for `Handle.none`.
        pub fn statisticsOf(context: *Context, handle: Handle) CloseError!Statistics {
            try context.check();
            if (handle == .none) {
                var figures = context.statistics;
                figures.descriptors += context.poller.held();
                return figures;
            }
            switch (context.table.get(handle) orelse return error.Closed) {
                .service => |service| return service.statistics,
                .connection => |connection| return .{
                    .messages_received = connection.messages_received,
                    .messages_sent = connection.messages_sent,
                    .bytes_received = connection.bytes_received,
                    .bytes_sent = connection.bytes_sent,
                    .queued_bytes = connection.queue.bytes(),
                    .messages_lost = connection.messages_lost,
                    .connections_open = @intFromBool(connection.state != .ended),
                    .descriptors = @intFromBool(connection.state != .ended),
                },
                .timer, .external => return error.Closed,
            }
        }

        /// Lets a `wait` on the owner's thread return early. The one call that any thread may make.
        pub fn ring(context: *Context) void {
            context.wake.ring();
        }

        /// Takes over the buffer of a message of this batch that is too large for the inbox, which otherwise goes
        /// with the next batch; `Loan.free` frees it.
        pub fn take(context: *Context, payload: [*]u8) CloseError!void {
            try context.check();
            const at = std.mem.indexOfScalar([*]u8, context.loans.items, payload) orelse return error.Closed;
            _ = context.loans.swapRemove(at);
        }

        /// Whether the calling thread is the owner's.
        pub fn check(context: *Context) GuardError!void {
            if (context.system.threadId() != context.owner_thread) return error.WrongThread;
        }

        /// Whether the next `wait` has something to do or to report without waiting for it.
        pub fn pending(context: *const Context) bool {
            return context.ready.len > 0 or context.unsent.len > 0 or context.attention.len > 0;
        }

        // ---- waiting ----

        /// Sends the outbox, waits for up to `timeout_ns` (for ever if negative) until there is something to
        /// report, and returns how many events the batch now holds. Everything of the batch before is gone.
        /// `spin_ns` says how long to look before sleeping; negative leaves it to the context.
        pub fn wait(
            context: *Context,
            timeout_ns: i64,
            spin_ns: i64,
            outbox_bytes: u32,
            comptime code: fn (SendError) i32,
        ) WaitError!u32 {
            try context.check();
            context.releaseLoans();
            context.batch.reset(context.options.poison);
            context.batch_number += 1;
            context.woken = false;
            try context.sendOutbox(outbox_bytes, code);
            context.sendUnsent();

            const start_ns = context.clock(timeout_ns > 0);
            context.collect(start_ns);
            // Whoever goes to sleep at once would only find out that nothing is there yet.
            if (context.batch.events_count == 0 and timeout_ns == 0) context.readHot();
            if (context.unpolled_batches >= unpolled_batches_max or
                (context.batch.events_count == 0 and timeout_ns == 0)) context.poll(0) catch |failure| {
                // What the batch holds already would be lost; a failure that lasts shows in a later wait.
                if (context.batch.events_count == 0) return failure;
            };
            context.collect(start_ns);
            if (context.batch.events_count == 0 and timeout_ns != 0) try context.lookOrSleep(timeout_ns, spin_ns);
            context.unpolled_batches += 1;
            return context.batch.events_count;
        }

        /// The time, or 0 where nothing depends on it: the clock is a good part of what a short wait costs.
        fn clock(context: *Context, needed: bool) u64 {
            return if (needed or context.deadlines.next() != null) context.system.monotonic() else 0;
        }

        fn lookOrSleep(context: *Context, timeout_ns: i64, spin_ns: i64) WaitError!void {
            const learns = context.options.spin_ns > 0;
            const spin: u64 = if (spin_ns >= 0)
                @intCast(spin_ns)
            else if (context.spin_credit > 0) context.options.spin_ns else 0;
            const timed = timeout_ns > 0 or spin > 0 or learns;
            const start_ns = context.clock(timed);
            const deadline_ns = if (timeout_ns < 0) std.math.maxInt(u64) else start_ns +| @as(u64, @intCast(timeout_ns));
            var now_ns = start_ns;
            if (spin > 0) {
                if (try context.look(@min(start_ns +| spin, deadline_ns))) {
                    context.spin_credit = spin_credit_max;
                    return;
                }
                context.spin_credit -|= 1;
                now_ns = context.system.monotonic();
            }
            while (context.batch.events_count == 0 and !context.woken and now_ns < deadline_ns) {
                const until_ns = @min(deadline_ns, context.deadlines.next() orelse std.math.maxInt(u64));
                // What was collected may have brought the first deadline.
                if (now_ns == 0) now_ns = context.clock(timed);
                try context.poll(if (until_ns == std.math.maxInt(u64)) null else until_ns -| now_ns);
                now_ns = context.clock(timed);
                context.collect(now_ns);
            }
            // Traffic that came about as soon as looking would have found it makes looking worth it again.
            if (learns and context.hot_count > 0 and now_ns - start_ns <= 2 * context.options.spin_ns)
                context.spin_credit = spin_credit_max;
        }

        /// Looks for traffic until `until_ns` without sleeping, and says whether there was any.
        fn look(context: *Context, until_ns: u64) WaitError!bool {
            var rounds: u32 = 0;
            while (true) : (rounds += 1) {
                context.readHot();
                if (context.batch.events_count > 0) return true;
                if (context.hot_count == 0 or rounds % spin_rounds_per_poll == spin_rounds_per_poll - 1) {
                    try context.poll(0);
                }
                const now_ns = context.system.monotonic();
                context.collect(now_ns);
                if (context.batch.events_count > 0 or context.woken) return true;
                if (now_ns >= until_ns) return false;
                if (context.yields) context.system.yield() else std.atomic.spinLoopHint();
            }
        }

        /// Asks the poller and puts what is ready in line.
        fn poll(context: *Context, timeout_ns: ?u64) WaitError!void {
            context.unpolled_batches = 0;
            // What stands in line already is not waited for.
            const wait_ns = if (context.ready.len > 0) 0 else timeout_ns;
            const count = context.poller.wait(&context.poll_buffer, wait_ns) catch return error.Unexpected;
            for (context.poll_buffer[0..count]) |ready| {
                if (ready.token == poller_token_wake) {
                    context.wake.clear();
                    context.woken = true;
                    continue;
                }
                const handle: Handle = .from(@intCast(ready.token));
                switch (context.table.get(handle) orelse continue) {
                    .connection => |connection| {
                        if (connection.state == .ended) continue;
                        connection.readable = connection.readable or ready.readable or ready.ended;
                        connection.writable = connection.writable or ready.writable or ready.ended;
                        connection.hung_up = connection.hung_up or ready.ended;
                        context.line(connection);
                    },
                    .service => |service| context.line(service),
                    .external => |external| context.line(external),
                    .timer => {},
                }
            }
        }

        fn line(context: *Context, object: anytype) void {
            if (object.in_ready) return;
            object.in_ready = true;
            context.ready.pushBackAssumeCapacity(object.handle);
        }

        fn attend(context: *Context, connection: *Connection) void {
            if (connection.in_attention) return;
            connection.in_attention = true;
            context.attention.pushBackAssumeCapacity(connection.handle);
        }

        /// Turns what is known into events, as far as the batch has room.
        fn collect(context: *Context, now_ns: u64) void {
            context.workReady(now_ns);
            context.workDue(now_ns);
            context.workAttention();
        }

        fn workReady(context: *Context, now_ns: u64) void {
            var left = context.ready.len;
            if (left > 0) context.hot_count = 0;
            while (left > 0) : (left -= 1) {
                const handle = context.ready.popFront() orelse break;
                switch (context.table.get(handle) orelse continue) {
                    .connection => |connection| {
                        connection.in_ready = false;
                        if (!context.workConnection(connection, now_ns)) return context.lineAgain(connection);
                    },
                    .service => |service| {
                        service.in_ready = false;
                        if (service.paused) continue;
                        if (context.batch.eventsLeft() < accept_max) return context.lineAgain(service);
                        context.accept(service, now_ns);
                    },
                    .external => |external| {
                        external.in_ready = false;
                        if (context.batch.eventsLeft() == 0) return context.lineAgain(external);
                        context.batch.push(.{ .type = .external, .source = handle, .detail = external.fd });
                    },
                    .timer => {},
                }
            }
        }

        /// The batch is full: this one comes first in the next.
        fn lineAgain(context: *Context, object: anytype) void {
            object.in_ready = true;
            context.ready.pushFrontAssumeCapacity(object.handle);
        }

        /// Returns false if the batch has no room for what the connection may bring.
        fn workConnection(context: *Context, connection: *Connection, now_ns: u64) bool {
            if (connection.writable) {
                connection.writable = false;
                if (!connection.broken and connection.queue.bytes() > 0) context.sendQueued(connection);
            }
            if (!connection.readable) return true;
            switch (connection.state) {
                .open => {},
                // All there is left to do is to send; a peer that has gone shows when that is tried.
                .finishing, .draining => {
                    connection.readable = false;
                    return true;
                },
                .ended => return true,
            }
            if (connection.paused) {
                connection.readable = false;
                if (!connection.hung_up) return true;
                // An end is reported without being asked for, again and again; it is looked at on resuming.
                context.poller.remove(connection.fd);
                connection.watched = false;
                return true;
            }
            if (!context.batch.hasRoom(connection.inbound.partial.items.len)) return false;
            connection.readable = false;
            if (context.receive(connection, now_ns)) {
                connection.readable = true;
                context.line(connection);
            }
            return true;
        }

        fn readHot(context: *Context) void {
            const hot = context.hot;
            const count = context.hot_count;
            context.hot_count = 0;
            for (hot[0..count]) |handle| {
                const connection = context.connectionOf(handle) catch continue;
                if (connection.state != .open or connection.in_ready or connection.paused) continue;
                if (!context.batch.hasRoom(connection.inbound.partial.items.len)) break;
                if (context.receive(connection, 0)) {
                    connection.readable = true;
                    context.line(connection);
                }
            }
            // Who is silent for now stays hot until others come.
            if (context.hot_count == 0) {
                context.hot = hot;
                context.hot_count = count;
            }
        }

        /// One read. Returns whether there is probably more.
        fn receive(context: *Context, connection: *Connection, now_ns: u64) bool {
            const outcome = connection.inbound.receive(
                context.allocator,
                &context.system,
                connection.fd,
                &context.batch,
                &context.loans,
                connection.limits.message_bytes_max,
                connection.handle,
                connection.origin,
            );
            if (outcome.bytes > 0) context.noteReceived(connection, outcome.messages, outcome.bytes, now_ns);
            switch (outcome.end) {
                .none => return outcome.more,
                .peer_closed => {
                    // Answers to this batch's messages may follow; the end comes when they are sent.
                    connection.state = .finishing;
                    context.deadlines.clear(&connection.deadline);
                    context.attend(connection);
                    context.watch(connection);
                },
                else => |reason| context.end(connection, reason, if (reason == .system) context.system.failure.errno else 0),
            }
            return false;
        }

        fn noteReceived(context: *Context, connection: *Connection, messages: u32, bytes: u32, now_ns: u64) void {
            connection.messages_received += messages;
            connection.bytes_received += bytes;
            context.statistics.messages_received += messages;
            context.statistics.bytes_received += bytes;
            if (context.serviceOf(connection)) |service| {
                service.statistics.messages_received += messages;
                service.statistics.bytes_received += bytes;
            }
            if (messages > 0) {
                connection.batch_number = context.batch_number;
                if (context.hot_count < hot_max) {
                    context.hot[context.hot_count] = connection.handle;
                    context.hot_count += 1;
                }
            }
            context.noteProgress(connection, now_ns);
        }

        fn noteProgress(context: *Context, connection: *Connection, now_ns: u64) void {
            if (!connection.inbound.midMessage()) return context.deadlines.clear(&connection.deadline);
            if (connection.limits.stall_ns == 0) return;
            connection.progress_ns = if (now_ns == 0) context.system.monotonic() else now_ns;
            // The deadline is not moved with each piece; when it comes due it is set anew if there was progress.
            if (!connection.deadline.armed) context.deadlines.set(
                &connection.deadline,
                connection.handle,
                connection.progress_ns +| connection.limits.stall_ns,
            );
        }

        fn accept(context: *Context, service: *Service, now_ns: u64) void {
            var accepted: u32 = 0;
            while (accepted < accept_max) : (accepted += 1) {
                const fd = (context.system.accept(service.claim.listener()) catch |failure| return context.pauseAccepting(service, switch (failure) {
                    error.DescriptorLimit => .descriptor_limit,
                    error.Unexpected => .system,
                }, now_ns)) orelse return;
                context.welcome(service, fd) catch |failure| {
                    context.system.close(fd);
                    switch (failure) {
                        error.Refused => {},
                        error.OutOfMemory => return context.pauseAccepting(service, .out_of_memory, now_ns),
                        error.WatchLimit, error.HandleLimit => return context.pauseAccepting(service, .descriptor_limit, now_ns),
                        error.WrongThread, error.InvalidArgument, error.Unexpected => return context.pauseAccepting(service, .system, now_ns),
                    }
                };
            }
            // There may be more; they come after everybody else.
            context.line(service);
        }

        fn welcome(context: *Context, service: *Service, fd: sys.Fd) (AddError || error{Refused})!void {
            // Nobody knows who it was, so nobody can be let in; those who come after are not to wait for that.
            const credentials = context.system.credentials(fd) catch |failure| switch (failure) {
                error.NotConnected => return error.Refused,
                error.Unexpected => {
                    context.note(service, .system);
                    return error.Refused;
                },
            };
            const refusal: Reason = if (!service.allow.permits(credentials, context.own_user))
                .not_allowed
            else if (service.statistics.connections_open >= service.limits.connections_max)
                .connections_limit
            else
                .none;
            if (refusal != .none) {
                service.statistics.count(refusal);
                context.statistics.count(refusal);
                context.batch.push(.{
                    .type = .@"error",
                    .reason = refusal,
                    .source = service.handle,
                    .length = credentials.uid,
                    .data = @intCast(@max(credentials.pid, 0)),
                });
                return error.Refused;
            }
            const connection = try context.attach(fd, service.handle, service.limits, credentials);
            context.statistics.connections_accepted += 1;
            service.statistics.connections_accepted += 1;
            service.statistics.connections_open += 1;
            service.statistics.descriptors += 1;
            context.batch.push(.{
                .type = .connection,
                .source = connection.handle,
                .origin = service.handle,
                .detail = credentials.pid,
                .length = credentials.uid,
                .offset = credentials.gid,
            });
        }

        /// Stops accepting for a moment: the clients wait in the kernel's queue meanwhile.
        fn pauseAccepting(context: *Context, service: *Service, reason: Reason, now_ns: u64) void {
            const paused_ns = if (now_ns == 0) context.system.monotonic() else now_ns;
            context.deadlines.set(&service.deadline, service.handle, paused_ns +| accept_pause_ns);
            if (service.paused) return;
            service.paused = true;
            // Unlike watching it for nothing, this cannot fail, and then report it over and over.
            context.poller.remove(service.claim.listener());
            context.note(service, reason);
        }

        /// Reports trouble that a service had with the system.
        fn note(context: *Context, service: *Service, reason: Reason) void {
            service.statistics.count(reason);
            context.statistics.count(reason);
            context.batch.push(.{
                .type = .@"error",
                .reason = reason,
                .source = service.handle,
                .detail = context.system.failure.errno,
            });
        }

        fn workDue(context: *Context, now_ns: u64) void {
            while (context.batch.eventsLeft() > accept_max) {
                const due = context.deadlines.popDue(now_ns) orelse return;
                switch (context.table.get(due.handle).?) {
                    .timer => |timer| context.fire(timer, due.at_ns, now_ns),
                    .connection => |connection| context.expire(connection, now_ns),
                    .service => |service| {
                        // Accepting by hand shows whether descriptors are there again before it is watched again.
                        context.accept(service, now_ns);
                        if (service.deadline.armed) continue;
                        if (context.poller.add(service.claim.listener(), service.handle.number(), .{ .readable = true })) {
                            service.paused = false;
                        } else |_| context.deadlines.set(&service.deadline, service.handle, now_ns +| accept_pause_ns);
                    },
                    .external => unreachable, // It has no deadline.
                }
            }
        }

        fn fire(context: *Context, timer: *Timer, due_ns: u64, now_ns: u64) void {
            var periods: u64 = 1;
            if (timer.period_ns > 0) periods += (now_ns - due_ns) / timer.period_ns;
            context.batch.push(.{ .type = .timer, .source = timer.handle, .data = periods });
            if (timer.period_ns == 0) return context.endTimer(timer);
            context.deadlines.set(&timer.deadline, timer.handle, due_ns +| periods *| timer.period_ns);
        }

        fn expire(context: *Context, connection: *Connection, now_ns: u64) void {
            const stalled_at_ns = connection.progress_ns +| connection.limits.stall_ns;
            // It may have been this side that was away, so a last look shows whose fault it is.
            if (connection.state == .draining) {
                context.sendQueued(connection);
                context.end(connection, .closed, 0);
            } else if (stalled_at_ns > now_ns) {
                context.deadlines.set(&connection.deadline, connection.handle, stalled_at_ns);
            } else if (!context.batch.hasRoom(connection.inbound.partial.items.len)) {
                context.deadlines.set(&connection.deadline, connection.handle, now_ns +| 1);
            } else {
                if (context.receive(connection, now_ns)) {
                    connection.readable = true;
                    context.line(connection);
                }
                if (connection.state == .open and connection.inbound.midMessage() and connection.progress_ns != now_ns)
                    context.end(connection, .stalled, 0);
            }
        }

        fn workAttention(context: *Context) void {
            var left = context.attention.len;
            while (left > 0) : (left -= 1) {
                const handle = context.attention.popFront() orelse return;
                const connection = context.connectionOf(handle) catch continue;
                connection.in_attention = false;
                if (!context.report(connection)) {
                    connection.in_attention = true;
                    return context.attention.pushFrontAssumeCapacity(handle);
                }
            }
        }

        /// Returns false if the batch has no room for all there is to report.
        fn report(context: *Context, connection: *Connection) bool {
            const handle = connection.handle;
            while (context.batch.eventsLeft() > 2) {
                const sent = connection.popReport(context.allocator) orelse break;
                context.batch.push(.{
                    .type = .message_tx,
                    .source = handle,
                    .origin = connection.origin,
                    .length = sent.length,
                    .data = @as(u32, @bitCast(sent.token)),
                });
            } else return false;
            if (connection.drained and connection.state != .ended) {
                connection.drained = false;
                context.batch.push(.{
                    .type = .drain,
                    .source = handle,
                    .origin = connection.origin,
                    .data = connection.queue.bytes(),
                });
            }
            switch (connection.state) {
                .open => {},
                .draining => if (connection.queue.bytes() == 0) context.end(connection, .closed, 0),
                .finishing => if (connection.batch_number == context.batch_number) {
                    // Its messages are in this very batch; they can be answered before the next.
                    context.attend(connection);
                } else if (connection.queue.bytes() == 0 or connection.broken) {
                    context.end(connection, if (connection.messages_lost > 0) .peer_reset else .peer_closed, 0);
                },
                .ended => {},
            }
            if (connection.state != .ended) return true;
            if (context.batch.eventsLeft() == 0) return false;
            context.batch.push(.{
                .type = .disconnection,
                .reason = connection.end_reason,
                .source = handle,
                .origin = connection.origin,
                .detail = connection.end_errno,
                .length = connection.messages_lost,
                .data = connection.bytes_lost,
            });
            context.table.remove(handle);
            connection.destroy(context.allocator);
            return true;
        }

        // ---- inside ----

        fn connectionOf(context: *Context, handle: Handle) error{Closed}!*Connection {
            return switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| connection,
                else => error.Closed,
            };
        }

        fn serviceOf(context: *Context, connection: *const Connection) ?*Service {
            if (connection.origin == .none) return null;
            return switch (context.table.get(connection.origin) orelse return null) {
                .service => |service| service,
                else => null,
            };
        }

        fn releaseLoans(context: *Context) void {
            for (context.loans.items) |payload| Loan.free(context.allocator, payload);
            context.loans.clearRetainingCapacity();
        }
    };
}
