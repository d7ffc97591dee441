//! A context: it owns a set of descriptors and one poller, and nothing else blocks. One call, `wait`, sends what was
//! handed over, waits if nothing is ready, and fills a batch with what has happened.
//!
//! `World` says what the context stands on: `System` (the operating system), `Poller` and `Claim` (a served name).
//! There are two: the real one, and the seeded fake of `zig/testing`.
//!
//! Inside, things that want doing stand in four queues of handles, each object at most once in each:
//!
//!     ready       a descriptor is readable or writable; worked off in turn, each within a bound
//!     unsent      messages were queued without being tried yet
//!     attention   something is to be reported: an end, a drained queue, a message that went out
//!     crowded     descriptors wait because the system keeps no more on their way; tried again after a while
//!
//! A stale handle in one of them finds nothing and is passed over.
//!
//! This file holds what a context is, and adds, closes and answers for its objects. What it does stands beside it:
//!
//!     wait.zig  ─▶  acceptor.zig    connections that come
//!               ─▶  receiver.zig    messages that arrive
//!               ─▶  sender.zig      messages that leave
//!               ─▶  switch.zig      bytes that pass from one descriptor to another
//!               ─▶  dialer.zig      other machines
//!               ─▶  reporter.zig    all else there is to tell
//!
//!     handover.zig    sockets that come from other contexts, or go there

const std = @import("std");
const sys = @import("sys");
const batches = @import("batch.zig");
const events = @import("event.zig");
const frame = @import("frame.zig");
const handles = @import("library").handle;
const pollers = @import("poller/poller.zig");
const connections = @import("connection.zig");
const services = @import("service.zig");
const splicers = @import("splicer.zig");
const switches = @import("switch.zig");
const Batch = batches.Batch;
const Connection = connections.Connection;
const Deadline = @import("deadlines.zig").Deadline;
const Descriptors = @import("descriptors.zig").Descriptors;
const Deadlines = @import("deadlines.zig").Deadlines;
const Event = events.Event;
const Handle = handles.Handle;
const Limits = connections.Limits;
const areFrames = @import("queue.zig").areFrames;
const Loan = @import("loan.zig").Loan;
const Reason = events.Reason;
const Statistics = @import("statistics.zig").Statistics;
const Switch = switches.Switch;
const assert = std.debug.assert;

/// Connections that are read directly while spinning; a read costs as much as asking the poller, so few.
pub const hot_max = 4;
/// What one call to the poller can report; more is reported by the next.
const poll_ready_max = 256;
pub const poller_token_wake: u64 = 0;

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
    /// The same, but a service leaves its name to whoever has copies of its descriptors.
    leave = 2,
};

pub const GuardError = error{WrongThread};
pub const AddError = GuardError || error{ OutOfMemory, HandleLimit, WatchLimit, InvalidArgument, Unexpected };
pub const AddExternalError = AddError || error{DescriptorLimit};
pub const SendError = GuardError || error{ Closed, Ended, MessageTooLong, QueueFull, Malformed, OutOfMemory };
pub const SendRightsError = SendError || error{
    InvalidArgument,
    /// More than one message may have, or than are held for the peer's user.
    DescriptorsTooMany,
    /// The connection carries bytes alone, as TCP does.
    CarriesNone,
    /// One of them is not open, or cannot be passed.
    Unpassable,
    /// The system keeps no more of them on their way.
    Crowded,
    DescriptorLimit,
};
pub const WaitError = GuardError || error{ InvalidArgument, Unexpected };
pub const CloseError = GuardError || error{Closed};
pub const LimitError = CloseError || error{InvalidArgument};

pub fn ContextType(comptime World: type) type {
    return struct {
        allocator: std.mem.Allocator,
        system: World.System,
        poller: World.Poller,
        wake: World.System.Wake,
        owner_thread: u64,
        own_user: u32,
        yielder: sys.Yielder,
        options: Options,
        batch: Batch,
        batch_number: u64 = 0,
        /// Payloads of this batch that are too large for the inbox and were not taken over.
        loans: std.ArrayList([*]u8) = .empty,
        descriptors: Descriptors = .{},
        table: handles.TableType(Object) = .{},
        ready: std.Deque(Handle) = .empty,
        unsent: std.Deque(Handle) = .empty,
        attention: std.Deque(Handle) = .empty,
        crowded: std.Deque(Handle) = .empty,
        /// When those are tried again.
        crowded_due_ns: ?u64 = null,
        deadlines: Deadlines = .{},
        statistics: Statistics = .{},
        /// Who sent in the last batch, and is read first in the next wait.
        hot: [hot_max]Handle = @splat(.none),
        hot_count: usize = 0,
        unpolled_batches: u32 = 0,
        /// As many were accepted as may be in one go, and the poller has not been asked since who of them has spoken.
        unheard: bool = false,
        spin_credit: u32 = 0,
        woken: bool = false,
        poll_buffer: [poll_ready_max]pollers.Ready = undefined,
        /// What switches move their bytes through; there is none before there is a switch.
        switch_buffer: []u8 = &.{},
        /// Which of two that were to be bound last could only be read.
        unwritable: u1 = 0,
        splicer: splicers.Splicer = .{},
        /// A callback of a switch is running, in the middle of a wait.
        in_callback: bool = false,
        /// It is a converter, and this is where what it makes goes.
        conversion: ?*switches.Conversion = null,

        const Context = @This();
        pub const System = World.System;
        pub const Service = services.ServiceType(World.Claim);
        pub const Listener = services.ListenerType(World.Claim);
        pub const Timer = struct { handle: Handle, deadline: Deadline = .{}, period_ns: u64 };
        pub const External = struct {
            handle: Handle,
            /// Its owner's name for it.
            fd: sys.Fd,
            /// What the poller watches. Were it the owner's own, closing that first would leave the poller with
            /// something that has no name any more, or that is called like a connection which came later.
            duplicate: sys.Fd,
            in_ready: bool = false,
        };
        pub const Object = union(enum) {
            connection: *Connection,
            service: *Service,
            timer: *Timer,
            external: *External,
            bound: *Switch,
        };

        const Sender = @import("sender.zig").SenderType(Context);
        const Receiver = @import("receiver.zig").ReceiverType(Context);
        const Acceptor = @import("acceptor.zig").AcceptorType(Context);
        const Reporter = @import("reporter.zig").ReporterType(Context);
        const Switcher = switches.SwitcherType(Context);
        const Handover = @import("handover.zig").HandoverType(Context);
        const Dialer = @import("dialer.zig").DialerType(Context);
        const Wait = @import("wait.zig").WaitType(Context);

        // What the owner calls.
        pub const flush = Sender.flush;
        pub const schedule = Sender.schedule;
        pub const write = Sender.write;
        pub const sendRights = Sender.sendRights;
        pub const addSwitch = Switcher.addSwitch;
        pub const addSwitchBehind = Switcher.addSwitchBehind;
        pub const setCallbacks = Switcher.setCallbacks;
        pub const convert = Switcher.convert;
        pub const adopt = Handover.adopt;
        pub const copies = Handover.copies;
        pub const listenAt = Dialer.listenAt;
        pub const dial = Dialer.dial;
        pub const addressOf = Dialer.addressOf;
        pub const ownAddressOf = Dialer.ownAddressOf;
        pub const wait = Wait.wait;

        // What the parts call of each other.
        pub const sendOutbox = Sender.sendOutbox;
        pub const sendQueued = Sender.sendQueued;
        pub const sendUnsent = Sender.sendUnsent;
        pub const sendCrowded = Sender.sendCrowded;
        pub const dropQueue = Sender.dropQueue;
        pub const readHot = Receiver.readHot;
        pub const readOn = Receiver.readOn;
        pub const receive = Receiver.receive;
        pub const noteProgress = Receiver.noteProgress;
        pub const workConnection = Receiver.workConnection;
        pub const accept = Acceptor.accept;
        pub const arrive = Dialer.arrive;
        pub const resumeAccepting = Acceptor.resumeAccepting;
        pub const workSwitch = Switcher.workSwitch;
        pub const closeSwitch = Switcher.closeSwitch;
        pub const endSwitch = Switcher.endSwitch;
        pub const workDue = Reporter.workDue;
        pub const workAttention = Reporter.workAttention;

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
                .yielder = undefined,
                .options = options,
                .batch = undefined,
            };
            context.owner_thread = context.system.threadId();
            context.own_user = context.system.userId();
            context.yielder = .init(&context.system);
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
                .service => |service| context.endService(service, false),
                .timer => |timer| context.endTimer(timer),
                .external => |external| context.endExternal(external),
                .bound => |bound| context.closeSwitch(bound),
            };
            context.allocator.free(context.switch_buffer);
            context.splicer.deinit(&context.system);
            context.releaseLoans();
            context.loans.deinit(context.allocator);
            context.descriptors.closeArrived(&context.system);
            context.descriptors.deinit(context.allocator);
            context.table.deinit(context.allocator);
            context.ready.deinit(context.allocator);
            context.unsent.deinit(context.allocator);
            context.attention.deinit(context.allocator);
            context.crowded.deinit(context.allocator);
            context.poller.deinit();
            context.wake.close();
            context.batch.deinit(&context.system);
            context.* = undefined;
        }

        // ---- adding ----

        /// Serves what `claim` holds. On success the claim is the context's; on failure it stays the caller's.
        pub fn addService(context: *Context, claim: World.Claim, limits: Limits, allow: services.Allow) AddError!Handle {
            return context.addListener(.{ .claim = claim }, limits, allow);
        }

        pub fn addListener(context: *Context, listener: Listener, limits: Limits, allow: services.Allow) AddError!Handle {
            try context.check();
            if (!limits.valid() or !allow.valid()) return error.InvalidArgument;
            var own_allow = try allow.dupe(context.allocator);
            errdefer own_allow.free(context.allocator);
            const service = try context.allocator.create(Service);
            errdefer context.allocator.destroy(service);
            const handle = try context.addObject(.{ .service = service });
            errdefer context.table.remove(handle);
            service.* = .{ .handle = handle, .listener = listener, .limits = limits, .allow = own_allow };
            try context.poller.add(service.listener.descriptor(), handle.number(), .{ .readable = true });
            context.statistics.descriptors += service.listener.descriptors();
            return handle;
        }

        /// Takes over a connected socket. On failure the descriptor stays the caller's.
        pub fn addConnection(context: *Context, fd: sys.Fd, limits: Limits) AddError!Handle {
            try context.check();
            if (!limits.valid()) return error.InvalidArgument;
            const credentials = context.system.credentials(fd) catch return error.Unexpected;
            const connection = try context.attach(fd, .none, limits, credentials, .open);
            context.statistics.connections_made += 1;
            return connection.handle;
        }

        /// Reports when `fd` is readable or has ended. The descriptor stays the caller's; what it stands for is kept
        /// open until the handle is closed.
        pub fn addExternal(context: *Context, fd: sys.Fd) AddExternalError!Handle {
            try context.check();
            const duplicate = try context.system.duplicate(fd);
            errdefer context.system.close(duplicate);
            const external = try context.allocator.create(External);
            errdefer context.allocator.destroy(external);
            const handle = try context.addObject(.{ .external = external });
            errdefer context.table.remove(handle);
            external.* = .{ .handle = handle, .fd = fd, .duplicate = duplicate };
            try context.poller.add(duplicate, handle.number(), .{ .readable = true });
            context.statistics.descriptors += 1;
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

        pub fn addObject(context: *Context, object: Object) error{ OutOfMemory, HandleLimit }!Handle {
            // Putting a handle into a queue must not fail, so each queue has room for all of them.
            const count = context.table.used + 1;
            try reserve(&context.ready, context.allocator, count);
            try reserve(&context.unsent, context.allocator, count);
            try reserve(&context.attention, context.allocator, count);
            try reserve(&context.crowded, context.allocator, count);
            return context.table.add(context.allocator, object);
        }

        /// Stale handles may still stand in a queue, so room is counted from what is there.
        fn reserve(queue: *std.Deque(Handle), allocator: std.mem.Allocator, count: usize) error{OutOfMemory}!void {
            try queue.ensureTotalCapacity(allocator, queue.len + count);
        }

        pub fn attach(
            context: *Context,
            fd: sys.Fd,
            origin: Handle,
            limits: Limits,
            credentials: sys.Credentials,
            state: connections.State,
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
                .queue = .{ .raw = limits.framing == .raw },
                .state = state,
                .watches_readable = state == .open,
                .watches_writable = state == .connecting,
            };
            try context.poller.add(fd, handle.number(), .{
                .readable = connection.watches_readable,
                .writable = connection.watches_writable,
            });
            context.statistics.connections_open += 1;
            context.statistics.descriptors += 1;
            return connection;
        }

        pub fn watch(context: *Context, connection: *Connection) void {
            const readable = connection.state == .open and !connection.paused;
            const writable = connection.state == .connecting or
                (connection.queue.bytes() > 0 and !connection.broken and !connection.in_unsent and
                    connection.crowded_ns == null);
            if (readable == connection.watches_readable and writable == connection.watches_writable) return;
            context.poller.modify(connection.fd, connection.handle.number(), .{
                .readable = readable,
                .writable = writable,
            }) catch return context.end(connection, .system, context.system.failure.errno);
            connection.watches_readable = readable;
            connection.watches_writable = writable;
        }

        /// Reads nothing more from a connection, so that its peer comes to wait, until it is resumed or the peer is gone.
        pub fn pause(context: *Context, handle: Handle, paused: bool) CloseError!void {
            try context.check();
            const connection = try context.connectionOf(handle);
            if (connection.state == .ended) return error.Closed;
            if (connection.paused == paused) return;
            connection.paused = paused;
            if (paused and connection.state == .open) context.deadlines.clear(&connection.deadline);
            context.watch(connection);
            // The peer is not to blame for the time in which nobody read.
            if (!paused and connection.state == .open) context.noteProgress(connection, context.system.monotonic());
        }

        /// From the next message on none is longer, either way: what a peer may say changes with what is known of him. A
        /// message whose length was read before goes on.
        pub fn limitMessages(context: *Context, handle: Handle, bytes_max: u32) LimitError!void {
            try context.check();
            const connection = try context.connectionOf(handle);
            if (connection.state == .ended) return error.Closed;
            var limits = connection.limits;
            limits.message_bytes_max = bytes_max;
            if (!limits.valid()) return error.InvalidArgument;
            connection.limits = limits;
        }

        // ---- closing ----

        /// A connection's disconnection is reported by a later `wait`. A service stops accepting; its connections go on.
        pub fn close(context: *Context, handle: Handle, how: CloseHow) CloseError!void {
            try context.check();
            switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| try context.closeConnection(connection, how),
                .service => |service| context.endService(service, how == .leave),
                .timer => |timer| context.endTimer(timer),
                .external => |external| context.endExternal(external),
                .bound => |bound| context.closeSwitch(bound),
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
            connection.given_up = true;
            switch (connection.state) {
                .ended => return error.Closed,
                .draining => if (how == .drain) return error.Closed,
                .connecting, .open, .finishing => {},
            }
            if (how == .drain and connection.in_unsent) context.sendQueued(connection);
            if (connection.state == .ended) return;
            if (how != .drain or connection.queue.bytes() == 0) return context.end(connection, .closed, 0);
            connection.state = .draining;
            context.dropInbound(connection);
            context.deadlines.set(&connection.deadline, connection.handle, context.system.monotonic() +| connection.limits.drain_ns);
            context.watch(connection);
        }

        /// Gives up the descriptor and everything held for the peer; what is left is the report.
        pub fn end(context: *Context, connection: *Connection, reason: Reason, errno: i32) void {
            if (connection.state == .ended) return;
            connection.state = .ended;
            connection.end_reason = reason;
            connection.end_errno = errno;
            context.dropQueue(connection);
            context.letGo(connection);
            context.poller.remove(connection.fd);
            context.system.close(connection.fd);
            context.statistics.descriptors -= 1;
            context.statistics.count(reason);
            if (context.serviceOf(connection)) |service| service.statistics.count(reason);
            context.attend(connection);
        }

        /// It is none of the open ones any more; what becomes of its descriptor is the caller's to say.
        pub fn letGo(context: *Context, connection: *Connection) void {
            context.dropInbound(connection);
            context.deadlines.clear(&connection.deadline);
            context.statistics.connections_open -= 1;
            const service = context.serviceOf(connection) orelse return;
            service.statistics.connections_open -= 1;
            service.statistics.descriptors -= 1;
        }

        fn dropInbound(context: *Context, connection: *Connection) void {
            const dropped = connection.inbound.closeDescriptors(&context.system);
            context.descriptors.release(connection.credentials.uid, dropped);
            connection.inbound.deinit(context.allocator);
        }

        fn endExternal(context: *Context, external: *External) void {
            context.poller.remove(external.duplicate);
            context.system.close(external.duplicate);
            context.statistics.descriptors -= 1;
            context.table.remove(external.handle);
            context.allocator.destroy(external);
        }

        fn endService(context: *Context, service: *Service, keeps_name: bool) void {
            if (!service.paused) context.poller.remove(service.listener.descriptor());
            context.deadlines.clear(&service.deadline);
            context.statistics.descriptors -= service.listener.descriptors();
            service.listener.release(&context.system, keeps_name);
            service.allow.free(context.allocator);
            context.table.remove(service.handle);
            context.allocator.destroy(service);
        }

        pub fn endTimer(context: *Context, timer: *Timer) void {
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
                figures.descriptors += context.poller.held() + 2 * context.splicer.pipes +
                    context.descriptors.held_count;
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
                .timer, .external, .bound => return error.Closed,
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

        /// Gives away the descriptors that came with a message of this batch, by its event's `detail`; they go into `out`,
        /// and are the caller's then. What is not taken is closed by the next wait.
        pub fn takeDescriptors(context: *Context, detail: i32, out: []sys.Fd) CloseError![]sys.Fd {
            try context.check();
            return context.descriptors.take(detail, out);
        }

        /// Whether the calling thread is the owner's, and is not in a wait already.
        pub fn check(context: *Context) GuardError!void {
            if (context.system.threadId() != context.owner_thread or context.in_callback) return error.WrongThread;
        }

        /// Whether the next `wait` has something to do or to report without waiting for it.
        pub fn pending(context: *const Context) bool {
            return context.ready.len > 0 or context.unsent.len > 0 or context.attention.len > 0;
        }

        /// The next moment at which there is something to do though nothing has come.
        pub fn nextDeadline(context: *const Context) ?u64 {
            const next_ns = context.deadlines.next();
            const crowded_ns = context.crowded_due_ns orelse return next_ns;
            return @min(crowded_ns, next_ns orelse crowded_ns);
        }

        pub fn line(context: *Context, object: anytype) void {
            if (object.in_ready) return;
            object.in_ready = true;
            context.ready.pushBackAssumeCapacity(object.handle);
        }

        pub fn attend(context: *Context, connection: *Connection) void {
            if (connection.in_attention) return;
            connection.in_attention = true;
            context.attention.pushBackAssumeCapacity(connection.handle);
        }

        /// The batch is full: this one comes first in the next.
        pub fn lineAgain(context: *Context, object: anytype) void {
            object.in_ready = true;
            context.ready.pushFrontAssumeCapacity(object.handle);
        }

        // ---- inside ----

        pub fn connectionOf(context: *Context, handle: Handle) error{Closed}!*Connection {
            return switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| connection,
                else => error.Closed,
            };
        }

        pub fn serviceOf(context: *Context, connection: *const Connection) ?*Service {
            if (connection.origin == .none) return null;
            return switch (context.table.get(connection.origin) orelse return null) {
                .service => |service| service,
                else => null,
            };
        }

        pub fn releaseLoans(context: *Context) void {
            for (context.loans.items) |payload| Loan.free(context.allocator, payload);
            context.loans.clearRetainingCapacity();
        }
    };
}
