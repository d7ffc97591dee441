//! Two descriptors bound together: what arrives on one leaves by the other, without their owner.
//!
//!     one ── read ──▶ what the other does not take waits ── write ──▶ the other        and so the other way
//!
//! While something waits for one end nothing more is read from the other, so that its peer comes to wait as well. Where
//! the bytes of an end are over, that is passed on behind the last of them, and the other direction goes on; when both
//! are over, or either end breaks, so is the switch. Of an end whose peer is wholly gone the rest is still passed on: it
//! is no more than the kernel holds.
//!
//! An end may have callbacks, which then do its reading and writing in a format of their own. They speak in whole
//! frames, on a descriptor that blocks, as LibIPC's do.

const std = @import("std");
const sys = @import("sys");
const batches = @import("batch.zig");
const connections = @import("connection.zig");
const contexts = @import("context.zig");
const frame = @import("frame.zig");
const Handle = @import("handle.zig").Handle;
const Reason = @import("event.zig").Reason;
const Type = @import("event.zig").Type;
const Allocator = std.mem.Allocator;

/// What a callback says of what it did. The numbers are LibIPC's.
pub const Verdict = enum(c_int) {
    done = 0,
    failed = 1,
    /// Its descriptor has come to its end.
    closing = 2,
    /// There is nothing to pass on.
    ignore = 3,
    _,
};

/// Reads from its descriptor, and leaves frames in `bytes`; `length` is the room there, and then how much of it was filled.
pub const Input = *const fn (argument: ?*anyopaque, fd: sys.Fd, bytes: [*]u8, length: *u32) callconv(.c) Verdict;
/// Writes one frame, its header included, to its descriptor, all of it.
pub const Output = *const fn (argument: ?*anyopaque, fd: sys.Fd, bytes: [*]const u8, length: u32) callconv(.c) Verdict;

pub const Callbacks = struct {
    input: ?Input = null,
    output: ?Output = null,
    argument: ?*anyopaque = null,

    pub fn any(callbacks: Callbacks) bool {
        return callbacks.input != null or callbacks.output != null;
    }
};

/// What one call moves at most. No less than LibIPC gives a callback to fill, which is 100,000.
pub const buffer_bytes = 128 * 1024;
/// How much one direction moves in one batch, so that a busy switch starves nobody.
const moved_bytes_max = batches.read_bytes_max;
/// A frame for a callback that is announced as longer than this ends the switch.
pub const frame_bytes_max = (connections.Limits{}).message_bytes_max;
/// What one switch has to tell of one batch: of both ends what came and went, and that it is over.
pub const events_max = 5;

pub const End = struct {
    fd: sys.Fd,
    /// What its owner calls it, and callbacks are told.
    name: sys.Fd,
    /// It blocked before, and will again.
    blocks: bool,
    callbacks: Callbacks = .{},
    /// What is to be written here, from `head` on.
    waiting: std.ArrayList(u8) = .empty,
    head: usize = 0,
    readable: bool = false,
    /// Its peer is wholly gone, and takes nothing more either.
    hung_up: bool = false,
    /// Nothing more comes from it.
    ended: bool = false,
    /// It has been told that nothing more comes from the other.
    told: bool = false,
    /// Whether the poller knows it, and what it watches for.
    watched: bool = true,
    watches_readable: bool = false,
    watches_writable: bool = false,
    /// Bytes since they were last told of.
    received: u64 = 0,
    sent: u64 = 0,

    fn unsent(end: *const End) []const u8 {
        return end.waiting.items[end.head..];
    }

    fn drop(end: *End, allocator: Allocator, count: usize) void {
        end.head += count;
        const left = end.waiting.items.len - end.head;
        if (left == 0) {
            end.waiting.clearAndFree(allocator);
        } else if (left <= end.head) {
            // Each byte is moved once on average: when at least as many are gone as are left.
            @memmove(end.waiting.items[0..left], end.unsent());
            end.waiting.shrinkRetainingCapacity(left);
        } else return;
        end.head = 0;
    }
};

/// Why a switch is over, and which of its ends showed it.
pub const Over = struct { at: u1, reason: Reason, errno: i32 = 0 };

pub const Switch = struct {
    handle: Handle,
    ends: [2]End,
    over: ?Over = null,
    in_ready: bool = false,

    pub fn deinit(bound: *Switch, allocator: Allocator) void {
        for (&bound.ends) |*end| end.waiting.deinit(allocator);
        bound.* = undefined;
    }
};

pub const AddError = contexts.AddError || error{Closed};

/// Which of a switch's two descriptors a poller speaks of stands above the handle in its token.
pub fn tokenOf(handle: Handle, at: u1) u64 {
    return @as(u64, at) << 32 | handle.number();
}

pub fn SwitcherType(comptime Context: type) type {
    return struct {
        /// Binds two connections or external descriptors: what arrives on one leaves by the other from now on. Their
        /// handles are stale then, without a word; the switch reports what it moves, and its end. `early` is what their
        /// owner had of each and passes on: it goes before all else.
        pub fn addSwitch(context: *Context, bound_handles: [2]Handle, early: [2][]const u8) AddError!Handle {
            try context.check();
            if (bound_handles[0] == bound_handles[1]) return error.InvalidArgument;
            var ends: [2]End = undefined;
            ends[0] = try endOf(context, bound_handles[0]);
            errdefer restore(context, &ends[0]);
            ends[1] = try endOf(context, bound_handles[1]);
            errdefer restore(context, &ends[1]);
            if (context.switch_buffer.len == 0)
                context.switch_buffer = try context.allocator.alloc(u8, buffer_bytes);
            for (bound_handles, early, 0..) |handle, bytes, at| {
                errdefer for (&ends) |*end| end.waiting.deinit(context.allocator);
                try carryOver(context, handle, &ends[at], &ends[1 - at], bytes);
            }
            errdefer for (&ends) |*end| end.waiting.deinit(context.allocator);
            const bound = try context.allocator.create(Switch);
            errdefer context.allocator.destroy(bound);
            const switch_handle = try context.addObject(.{ .bound = bound });
            bound.* = .{ .handle = switch_handle, .ends = ends };
            // Where nothing could ever come, the other side is not told that nothing will.
            for ([_]u1{ 0, 1 }) |at| bound.ends[1 - at].told = ends[at].ended;
            for (bound_handles, &bound.ends, 0..) |handle, *end, at| {
                forget(context, handle);
                end.watches_readable = true;
                end.readable = true;
                context.poller.modify(end.fd, tokenOf(switch_handle, @intCast(at)), .{ .readable = true }) catch {
                    bound.over = .{ .at = @intCast(at), .reason = .system, .errno = context.system.failure.errno };
                };
            }
            context.line(bound);
            return switch_handle;
        }

        /// Has one end of a switch read and written by callbacks, for each of which the descriptor blocks.
        pub fn setCallbacks(context: *Context, handle: Handle, at: u1, callbacks: Callbacks) contexts.CloseError!void {
            try context.check();
            const bound = switch (context.table.get(handle) orelse return error.Closed) {
                .bound => |bound| bound,
                else => return error.Closed,
            };
            const end = &bound.ends[at];
            end.callbacks = callbacks;
            // Who blocks is not to be called before the poller has said that there is something.
            end.readable = false;
            context.line(bound);
        }

        fn endOf(context: *Context, handle: Handle) AddError!End {
            const fd, const name = switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| if (!connection.takesMessages())
                    return error.Closed
                else if (connection.attachments.len > 0)
                    // Bytes alone go over a switch, and these wait for theirs.
                    return error.InvalidArgument
                else
                    .{ connection.fd, connection.fd },
                .external => |external| .{ external.duplicate, external.fd },
                .service, .timer, .bound => return error.Closed,
            };
            const access = try context.system.access(fd);
            try context.system.setBlocking(fd, false);
            return .{ .fd = fd, .name = name, .blocks = access.blocks, .ended = !access.reads };
        }

        /// Others may have what it stands for as well.
        fn restore(context: *Context, end: *const End) void {
            if (end.blocks) context.system.setBlocking(end.fd, true) catch {};
        }

        /// What had come of a message goes to the other end, and what was to be sent stays this one's.
        fn carryOver(
            context: *Context,
            handle: Handle,
            end: *End,
            other: *End,
            early: []const u8,
        ) error{OutOfMemory}!void {
            try other.waiting.appendSlice(context.allocator, early);
            const connection = context.connectionOf(handle) catch return;
            try end.waiting.insertSlice(context.allocator, 0, connection.queue.unsent());
            if (connection.inbound.loan) |*loan| {
                try other.waiting.appendSlice(context.allocator, &frame.encodeHeader(loan.length));
                try other.waiting.appendSlice(context.allocator, loan.arrived());
            }
            try other.waiting.appendSlice(context.allocator, connection.inbound.partial.items);
        }

        /// Its descriptor is a switch's now.
        fn forget(context: *Context, handle: Handle) void {
            switch (context.table.get(handle).?) {
                .connection => |connection| {
                    const queued = connection.queue.bytes();
                    context.statistics.queued_bytes -= queued;
                    if (context.serviceOf(connection)) |service| service.statistics.queued_bytes -= queued;
                    connection.queue.deinit(context.allocator);
                    context.letGo(connection);
                    context.table.remove(handle);
                    connection.destroy(context.allocator);
                },
                .external => |external| {
                    context.table.remove(handle);
                    context.allocator.destroy(external);
                },
                .service, .timer, .bound => unreachable, // None of these is an end.
            }
        }

        /// Its owner closes it: what waits goes as far as the system takes it now.
        pub fn closeSwitch(context: *Context, bound: *Switch) void {
            for ([_]u1{ 0, 1 }) |at| if (!bound.ends[at].hung_up) pass(context, bound, at);
            endSwitch(context, bound);
        }

        pub fn endSwitch(context: *Context, bound: *Switch) void {
            for (&bound.ends) |*end| {
                if (end.watched) context.poller.remove(end.fd);
                restore(context, end);
                context.system.close(end.fd);
            }
            context.statistics.descriptors -= 2;
            context.table.remove(bound.handle);
            bound.deinit(context.allocator);
            context.allocator.destroy(bound);
        }

        /// Moves what there is to move. Returns false if the batch has no room to tell of it.
        pub fn workSwitch(context: *Context, bound: *Switch) bool {
            if (context.batch.eventsLeft() < events_max) return false;
            var more = false;
            for ([_]u1{ 0, 1 }) |at| more = move(context, bound, at) or more;
            for ([_]u1{ 0, 1 }) |at| tell(context, bound, at, .switch_rx, &bound.ends[at].received);
            for ([_]u1{ 0, 1 }) |at| tell(context, bound, at, .switch_tx, &bound.ends[at].sent);
            if (bound.over) |over| {
                context.batch.push(.{
                    .type = .disconnection,
                    .reason = over.reason,
                    .source = bound.handle,
                    .offset = over.at,
                    .detail = over.errno,
                });
                context.endSwitch(bound);
                return true;
            }
            for ([_]u1{ 0, 1 }) |at| watchEnd(context, bound, at);
            if (more or bound.over != null) context.line(bound);
            return true;
        }

        /// From the end `at` to the other. Returns whether there is more to move at once.
        fn move(context: *Context, bound: *Switch, at: u1) bool {
            const from = &bound.ends[at];
            const to = &bound.ends[1 - at];
            if (to.hung_up) {
                // Nothing gets there any more; what came from there is still passed on, if that can be.
                if (from.hung_up) bound.over = .{ .at = at, .reason = .peer_closed };
                return false;
            }
            pass(context, bound, 1 - at);
            var moved: usize = 0;
            while (bound.over == null and from.readable and !from.ended and (takes(to) or from.hung_up)) {
                if (moved >= moved_bytes_max) return true;
                const bytes = read(context, bound, at) orelse break;
                from.received += bytes.len;
                moved += bytes.len;
                deliver(context, bound, 1 - at, bytes);
            }
            if (bound.over == null and from.ended and to.waiting.items.len == 0) passEnd(context, bound, at);
            return false;
        }

        fn takes(end: *const End) bool {
            return end.callbacks.output != null or end.waiting.items.len == 0;
        }

        /// Null if there is nothing to pass on: not yet, or not any more.
        fn read(context: *Context, bound: *Switch, at: u1) ?[]const u8 {
            const end = &bound.ends[at];
            const buffer = context.switch_buffer;
            if (end.callbacks.input) |input| {
                // It blocks when it is called without need, so it is called once for each time it is said to be readable.
                end.readable = false;
                var length: u32 = buffer_bytes;
                beginCallback(context, end);
                const verdict = input(end.callbacks.argument, end.name, buffer.ptr, &length);
                endCallback(context, end);
                if (verdict == .done and length <= buffer.len) return buffer[0..length];
                if (verdict != .ignore) bound.over = .{ .at = at, .reason = reasonOf(verdict) };
                return null;
            }
            switch (context.system.read(end.fd, buffer)) {
                .bytes => |count| return buffer[0..count],
                .would_block => end.readable = false,
                .end => end.ended = true,
                .reset => bound.over = .{ .at = at, .reason = .peer_reset },
                .failed => bound.over = .{ .at = at, .reason = .system, .errno = context.system.failure.errno },
            }
            return null;
        }

        /// The descriptor blocks meanwhile, as callbacks expect, and nobody calls the context: it is in the middle of this.
        fn beginCallback(context: *Context, end: *const End) void {
            context.system.setBlocking(end.fd, true) catch {};
            context.in_callback = true;
        }

        fn endCallback(context: *Context, end: *const End) void {
            context.in_callback = false;
            context.system.setBlocking(end.fd, false) catch {};
        }

        fn reasonOf(verdict: Verdict) Reason {
            return if (verdict == .closing) .peer_closed else .malformed;
        }

        /// Writes what came behind what waits; what is not taken waits too.
        fn deliver(context: *Context, bound: *Switch, at: u1, bytes: []const u8) void {
            const end = &bound.ends[at];
            var rest = bytes;
            if (end.callbacks.output == null and end.waiting.items.len == 0) {
                rest = bytes[write(context, bound, at, bytes)..];
                if (rest.len == 0 or bound.over != null) return;
            }
            end.waiting.appendSlice(context.allocator, rest) catch {
                bound.over = .{ .at = at, .reason = .out_of_memory };
                return;
            };
            if (end.callbacks.output != null) pass(context, bound, at);
        }

        /// Writes what waits for an end, as far as it takes it.
        fn pass(context: *Context, bound: *Switch, at: u1) void {
            const end = &bound.ends[at];
            while (bound.over == null and end.unsent().len > 0) {
                const bytes = end.unsent();
                if (end.callbacks.output) |output| {
                    const length = frame.payloadLength(bytes) orelse return;
                    if (length > frame_bytes_max) {
                        bound.over = .{ .at = 1 - at, .reason = .message_too_long };
                        return;
                    }
                    const total = frame.header_bytes + length;
                    if (bytes.len < total) return;
                    beginCallback(context, end);
                    const verdict = output(end.callbacks.argument, end.name, bytes.ptr, total);
                    endCallback(context, end);
                    if (verdict != .done) {
                        bound.over = .{ .at = at, .reason = reasonOf(verdict) };
                        return;
                    }
                    end.sent += total;
                    end.drop(context.allocator, total);
                } else {
                    const count = write(context, bound, at, bytes);
                    if (count == 0) return;
                    end.drop(context.allocator, count);
                }
            }
        }

        fn write(context: *Context, bound: *Switch, at: u1, bytes: []const u8) usize {
            const end = &bound.ends[at];
            switch (context.system.write(end.fd, bytes)) {
                .bytes => |count| {
                    end.sent += count;
                    return count;
                },
                .would_block => {},
                .broken => bound.over = .{ .at = at, .reason = .peer_reset },
                .failed => bound.over = .{ .at = at, .reason = .system, .errno = context.system.failure.errno },
            }
            return 0;
        }

        /// The bytes from the end `at` are over, and all of them have left.
        fn passEnd(context: *Context, bound: *Switch, at: u1) void {
            const from = &bound.ends[at];
            const to = &bound.ends[1 - at];
            // A callback has no way to tell.
            if (from.callbacks.any() or to.callbacks.any() or to.ended or from.hung_up) {
                bound.over = .{ .at = at, .reason = .peer_closed };
            } else if (!to.told) {
                to.told = true;
                context.system.shutdownWrite(to.fd);
            }
        }

        fn tell(context: *Context, bound: *Switch, at: u1, what: Type, bytes: *u64) void {
            if (bytes.* == 0) return;
            context.batch.push(.{ .type = what, .source = bound.handle, .offset = at, .data = bytes.* });
            bytes.* = 0;
        }

        fn watchEnd(context: *Context, bound: *Switch, at: u1) void {
            const end = &bound.ends[at];
            if (!end.watched) return;
            // A hang-up is told of without being asked for, again and again.
            if (end.hung_up and end.ended) {
                context.poller.remove(end.fd);
                end.watched = false;
                return;
            }
            const other = &bound.ends[1 - at];
            const readable = !end.ended and !other.hung_up and takes(other);
            const writable = end.callbacks.output == null and end.waiting.items.len > 0;
            if (readable == end.watches_readable and writable == end.watches_writable) return;
            context.poller.modify(end.fd, tokenOf(bound.handle, at), .{
                .readable = readable,
                .writable = writable,
            }) catch {
                bound.over = .{ .at = at, .reason = .system, .errno = context.system.failure.errno };
                return;
            };
            end.watches_readable = readable;
            end.watches_writable = writable;
        }
    };
}
