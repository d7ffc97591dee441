//! Two descriptors bound together: what arrives on one leaves by the other, without their owner.
//!
//!     one ── read ──▶ what the other does not take waits ── write ──▶ the other        and so the other way
//!
//! While something waits for one end nothing more is read from the other, so that its peer comes to wait as well. Where
//! the bytes of an end are over, that is passed on behind the last of them, and the other direction goes on; when both
//! are over, or either end breaks, so is the switch. Of an end whose peer is wholly gone the rest is still passed on: it
//! is no more than the kernel holds.
//!
//! Much that comes at once passes through a pipe of the kernel's, and is not copied to this process (`splicer.zig`).
//!
//! An end may have a format of its own. Callbacks do its reading and writing themselves: they speak in whole frames, on a
//! descriptor that blocks, as LibIPC's do. Converters are given what was read, and what is to be written, and say what it
//! becomes (`convert`).

const std = @import("std");
const sys = @import("sys");
const batches = @import("batch.zig");
const connections = @import("connection.zig");
const contexts = @import("context.zig");
const frame = @import("frame.zig");
const splicers = @import("splicer.zig");
const ByteQueue = @import("byte_queue.zig").ByteQueue;
const Handle = @import("library").handle.Handle;
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

/// Is given bytes that have come, or the payload of a message that is to leave, and hands over what they become by
/// `Context.convert`, once or several times or not at all.
pub const Converter = *const fn (argument: ?*anyopaque, bytes: [*]const u8, length: u32) callconv(.c) Verdict;

pub const Callbacks = struct {
    input: ?Input = null,
    output: ?Output = null,
    /// Makes messages of what comes: each that is handed over is one.
    decode: ?Converter = null,
    /// Makes bytes of a message.
    encode: ?Converter = null,
    argument: ?*anyopaque = null,

    /// Those that read and write by themselves have no way to tell of an end.
    fn blocks(callbacks: Callbacks) bool {
        return callbacks.input != null or callbacks.output != null;
    }

    /// Bytes pass as they are.
    fn none(callbacks: Callbacks) bool {
        return !callbacks.blocks() and callbacks.decode == null and callbacks.encode == null;
    }

    /// What is to leave here comes in whole frames.
    fn takesFrames(callbacks: Callbacks) bool {
        return callbacks.output != null or callbacks.encode != null;
    }
};

/// What one call moves at most. No less than LibIPC gives a callback to fill, which is 100,000.
pub const buffer_bytes = 128 * 1024;
/// A read that brings so much is worth a pipe for those that follow; one that brings less is not.
const splice_bytes_min = 32 * 1024;
/// How much one direction moves in one batch, so that a busy switch starves nobody.
const moved_bytes_max = batches.read_bytes_max;
/// The same as a connection has it by itself, for what is bound and is none.
const frame_bytes_max_default = (connections.Limits{}).message_bytes_max;
/// What one switch has to tell of one batch: of both ends what came and went, and that it is over.
pub const events_max = 5;

pub const End = struct {
    fd: sys.Fd,
    /// What its owner calls it, and callbacks are told.
    name: sys.Fd,
    /// It blocked before, and will again.
    blocks: bool,
    callbacks: Callbacks = .{},
    /// Whether anything can be written to it.
    writes: bool = true,
    /// The longest message that it speaks, both ways: a frame for the other's format that is announced as longer ends
    /// the switch.
    frame_bytes_max: u32 = frame_bytes_max_default,
    /// What is to be written here; where that goes through an encoder, frames for it.
    waiting: ByteQueue = .{},
    /// What the encoder has made, and is to be written.
    encoded: ByteQueue = .{},
    /// What passes from here to the other end by the kernel alone, while much comes.
    pipe: ?splicers.Pipe = null,
    /// One of the two is of a kind that this cannot be done with.
    unspliceable: bool = false,
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

    /// What is written as it is.
    fn outgoing(end: *End) *ByteQueue {
        return if (end.callbacks.encode != null) &end.encoded else &end.waiting;
    }

    /// The next whole frame for a callback or the encoder; null if there is none yet. The other end sent it.
    fn nextFrame(end: *const End, bytes_max: u32) ?Frame {
        const bytes = end.waiting.bytes();
        const length = frame.payloadLength(bytes) orelse return null;
        const total = frame.header_bytes + @as(usize, length);
        if (length > bytes_max) return .too_long;
        return if (bytes.len < total) null else .{ .bytes = bytes[0..total] };
    }

    const Frame = union(enum) { bytes: []const u8, too_long };
};

/// Where what a converter makes goes.
pub const Conversion = struct {
    queue: *ByteQueue,
    /// Each piece is a message.
    framed: bool,
    /// The longest of those.
    frame_bytes_max: u32 = frame_bytes_max_default,
    out_of_memory: bool = false,
    too_long: bool = false,
};

/// Why a switch is over, and which of its ends showed it.
pub const Over = struct { at: u1, reason: Reason, errno: i32 = 0 };

pub const Switch = struct {
    handle: Handle,
    ends: [2]End,
    over: ?Over = null,
    in_ready: bool = false,

    fn nextFrame(bound: *const Switch, at: u1) ?End.Frame {
        return bound.ends[at].nextFrame(bound.ends[1 - at].frame_bytes_max);
    }

    pub fn deinit(bound: *Switch, allocator: Allocator) void {
        for (&bound.ends) |*end| {
            end.waiting.deinit(allocator);
            end.encoded.deinit(allocator);
        }
        bound.* = undefined;
    }
};

pub const AddError = contexts.AddError || error{
    Closed,
    /// What would come from one has nowhere to go: the other, which is `Context.unwritable`, can only be read.
    NotWritable,
};

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
            // A pipe has one direction, and two of them may have none between them.
            if (!leads(&ends[0], &ends[1]) and !leads(&ends[1], &ends[0])) return error.InvalidArgument;
            for ([_]u1{ 0, 1 }) |at| try findWay(context, &ends, at, bound_handles[at], early[at]);
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

        /// The same where the batch, from its event `seen` on, holds messages of the two that their owner has not had:
        /// they go before all else as well, and the batch speaks of the two no more.
        pub fn addSwitchBehind(context: *Context, bound_handles: [2]Handle, seen: u32) AddError!Handle {
            try context.check();
            const batch = &context.batch;
            const rest = batch.events[@min(seen, batch.events_count)..batch.events_count];
            var early: [2]std.ArrayList(u8) = .{ .empty, .empty };
            defer for (&early) |*bytes| bytes.deinit(context.allocator);
            for (bound_handles, &early) |handle, *bytes| {
                const connection = context.connectionOf(handle) catch continue;
                for (rest) |event| {
                    if (event.type != .message_rx or event.source != handle) continue;
                    if (!connection.queue.raw)
                        try bytes.appendSlice(context.allocator, &frame.encodeHeader(event.length));
                    try bytes.appendSlice(context.allocator, batch.payloadOf(event));
                }
            }
            const bound = try addSwitch(context, bound_handles, .{ early[0].items, early[1].items });
            for (rest) |*event| {
                if (event.source == bound_handles[0] or event.source == bound_handles[1])
                    event.* = .{ .type = .@"error", .source = .none };
            }
            return bound;
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
            if (callbacks.blocks()) end.readable = false;
            context.line(bound);
        }

        /// Whether anything could ever pass from the one to the other.
        fn leads(from: *const End, to: *const End) bool {
            return !from.ended and to.writes;
        }

        /// What comes from the end `at` needs the other to take it, or nothing may come: it can only be written, or is a
        /// connection whose owner has paused it, and then it is not read here either.
        fn findWay(context: *Context, ends: *[2]End, at: u1, handle: Handle, early: []const u8) AddError!void {
            const from = &ends[at];
            if (from.ended or ends[1 - at].writes) return;
            if (context.connectionOf(handle)) |connection| {
                const has_said = early.len > 0 or connection.inbound.loan != null or connection.inbound.partial.items.len > 0;
                if (connection.paused and !has_said) {
                    from.ended = true;
                    return;
                }
            } else |_| {}
            context.unwritable = 1 - at;
            return error.NotWritable;
        }

        fn endOf(context: *Context, handle: Handle) AddError!End {
            var frame_bytes_max: u32 = frame_bytes_max_default;
            const fd, const name = switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| if (!connection.takesMessages())
                    return error.Closed
                else if (connection.attachments.len > 0)
                    // Bytes alone go over a switch, and these wait for theirs.
                    return error.InvalidArgument
                else framed: {
                    if (!connection.queue.raw) frame_bytes_max = connection.limits.message_bytes_max;
                    break :framed .{ connection.fd, connection.fd };
                },
                .external => |external| .{ external.duplicate, external.fd },
                .service, .timer, .bound => return error.Closed,
            };
            const access = try context.system.access(fd);
            try context.system.setBlocking(fd, false);
            return .{
                .fd = fd,
                .name = name,
                .blocks = access.blocks,
                .ended = !access.reads,
                .writes = access.writes,
                .frame_bytes_max = frame_bytes_max,
            };
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
            try other.waiting.append(context.allocator, early);
            const connection = context.connectionOf(handle) catch return;
            try end.waiting.prepend(context.allocator, connection.queue.unsent());
            if (connection.inbound.loan) |*loan| {
                try other.waiting.append(context.allocator, &frame.encodeHeader(loan.length));
                try other.waiting.append(context.allocator, loan.arrived());
            }
            try other.waiting.append(context.allocator, connection.inbound.partial.items);
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
                if (end.pipe) |pipe| context.splicer.giveBack(&context.system, pipe);
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
            while (bound.over == null and from.readable and !from.ended and (takes(bound, 1 - at) or from.hung_up)) {
                if (moved >= moved_bytes_max) return true;
                if (from.pipe) |pipe| {
                    // Whose peer is gone is read to its end, whether the other takes it or not: a pipe that holds
                    // something is no way for that.
                    if (pipe.bytes > 0) copyOut(context, bound, at) else moved += splice(context, bound, at) orelse continue;
                    continue;
                }
                const bytes = read(context, bound, at) orelse break;
                from.received += bytes.len;
                moved += bytes.len;
                deliver(context, bound, 1 - at, bytes);
                if (bytes.len >= splice_bytes_min) beginSplicing(context, bound, at);
            }
            if (bound.over == null and from.ended) noteEnd(context, bound, at);
            return false;
        }

        /// Whether more may be read for this end.
        fn takes(bound: *const Switch, at: u1) bool {
            const end = &bound.ends[at];
            if (bound.ends[1 - at].pipe) |pipe| if (pipe.bytes > 0) return false;
            if (end.callbacks.output != null) return true;
            if (end.callbacks.encode != null) return end.encoded.isEmpty() and bound.nextFrame(at) == null;
            return end.waiting.isEmpty();
        }

        // ---- by the kernel alone ----

        fn beginSplicing(context: *Context, bound: *Switch, at: u1) void {
            const from = &bound.ends[at];
            const plain = from.callbacks.none() and bound.ends[1 - at].callbacks.none();
            if (!Context.System.splices or !plain or from.unspliceable or bound.over != null) return;
            from.pipe = context.splicer.lend(&context.system);
        }

        fn endSplicing(context: *Context, from: *End) void {
            context.splicer.giveBack(&context.system, from.pipe.?);
            from.pipe = null;
        }

        /// One round through the pipe, which is empty before. Null if nothing more comes now, or not in this way.
        fn splice(context: *Context, bound: *Switch, at: u1) ?usize {
            const from = &bound.ends[at];
            switch (context.system.splice(from.fd, from.pipe.?.source, splicers.pipe_bytes)) {
                .bytes => |count| {
                    from.pipe.?.bytes = count;
                    from.received += count;
                    drain(context, bound, at);
                    // What comes in small pieces is better copied.
                    if (count < splice_bytes_min and from.pipe != null and from.pipe.?.bytes == 0) endSplicing(context, from);
                    return count;
                },
                .would_block => from.readable = false,
                .end => from.ended = true,
                .reset, .broken => bound.over = .{ .at = at, .reason = .peer_reset },
                .unable => from.unspliceable = true,
                .failed => bound.over = .{ .at = at, .reason = .system, .errno = context.system.failure.errno },
            }
            endSplicing(context, from);
            return null;
        }

        /// From the pipe to the other end, as far as that takes it.
        fn drain(context: *Context, bound: *Switch, at: u1) void {
            const from = &bound.ends[at];
            const to = &bound.ends[1 - at];
            while (bound.over == null and from.pipe.?.bytes > 0) {
                const pipe = &from.pipe.?;
                switch (context.system.splice(pipe.target, to.fd, pipe.bytes)) {
                    .bytes => |count| {
                        pipe.bytes -= count;
                        to.sent += count;
                    },
                    .would_block => return,
                    // A pipe that we write to ourselves has no end while it holds something.
                    .end, .unable => return copyOut(context, bound, at),
                    .reset, .broken => bound.over = .{ .at = 1 - at, .reason = .peer_reset },
                    .failed => bound.over = .{ .at = 1 - at, .reason = .system, .errno = context.system.failure.errno },
                }
            }
        }

        /// The other end takes nothing from a pipe, or not soon enough: what is in there is copied to it, and all that follows.
        fn copyOut(context: *Context, bound: *Switch, at: u1) void {
            const from = &bound.ends[at];
            from.unspliceable = true;
            while (from.pipe.?.bytes > 0 and bound.over == null) {
                switch (context.system.read(from.pipe.?.target, context.switch_buffer)) {
                    .bytes => |count| {
                        from.pipe.?.bytes -= count;
                        deliver(context, bound, 1 - at, context.switch_buffer[0..count]);
                    },
                    .would_block, .end, .reset, .failed => bound.over = .{
                        .at = at,
                        .reason = .system,
                        .errno = context.system.failure.errno,
                    },
                }
            }
            endSplicing(context, from);
        }

        // ---- by copying ----

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
                .bytes => |count| {
                    // A short read says that there is no more: asking again would only confirm it.
                    if (count < buffer.len and !end.hung_up) end.readable = false;
                    return buffer[0..count];
                },
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

        /// Writes what came behind what waits; what is not taken waits too. `at` is where it goes.
        fn deliver(context: *Context, bound: *Switch, at: u1, bytes: []const u8) void {
            const end = &bound.ends[at];
            if (bound.ends[1 - at].callbacks.decode) |decode| {
                convertBy(context, bound, 1 - at, decode, bytes, .{
                    .queue = &end.waiting,
                    .framed = true,
                    .frame_bytes_max = end.frame_bytes_max,
                });
                return pass(context, bound, at);
            }
            var rest = bytes;
            if (!end.callbacks.takesFrames() and end.waiting.isEmpty()) {
                rest = bytes[write(context, bound, at, bytes)..];
                if (rest.len == 0 or bound.over != null) return;
            }
            end.waiting.append(context.allocator, rest) catch {
                bound.over = .{ .at = at, .reason = .out_of_memory };
                return;
            };
            if (end.callbacks.takesFrames()) pass(context, bound, at);
        }

        /// Writes what waits for an end, as far as it takes it.
        fn pass(context: *Context, bound: *Switch, at: u1) void {
            if (bound.ends[1 - at].pipe != null) drain(context, bound, 1 - at);
            const end = &bound.ends[at];
            while (bound.over == null) {
                const outgoing = end.outgoing();
                if (end.callbacks.output == null and !outgoing.isEmpty()) {
                    const count = write(context, bound, at, outgoing.bytes());
                    if (count == 0) return;
                    outgoing.drop(context.allocator, count);
                    continue;
                }
                if (!end.callbacks.takesFrames()) return;
                const next = switch (bound.nextFrame(at) orelse return) {
                    .bytes => |bytes| bytes,
                    .too_long => {
                        bound.over = .{ .at = 1 - at, .reason = .message_too_long };
                        return;
                    },
                };
                if (end.callbacks.output) |output| {
                    beginCallback(context, end);
                    const verdict = output(end.callbacks.argument, end.name, next.ptr, @intCast(next.len));
                    endCallback(context, end);
                    if (verdict != .done) {
                        bound.over = .{ .at = at, .reason = reasonOf(verdict) };
                        return;
                    }
                    end.sent += next.len;
                } else {
                    const payload = next[frame.header_bytes..];
                    convertBy(context, bound, at, end.callbacks.encode.?, payload, .{ .queue = &end.encoded, .framed = false });
                }
                end.waiting.drop(context.allocator, next.len);
            }
        }

        fn convertBy(
            context: *Context,
            bound: *Switch,
            at: u1,
            converter: Converter,
            bytes: []const u8,
            conversion: Conversion,
        ) void {
            var going = conversion;
            context.conversion = &going;
            context.in_callback = true;
            const verdict = converter(bound.ends[at].callbacks.argument, bytes.ptr, @intCast(bytes.len));
            context.in_callback = false;
            context.conversion = null;
            if (going.out_of_memory) {
                bound.over = .{ .at = at, .reason = .out_of_memory };
            } else if (going.too_long) {
                bound.over = .{ .at = at, .reason = .message_too_long };
            } else if (verdict != .done and verdict != .ignore) {
                bound.over = .{ .at = at, .reason = reasonOf(verdict) };
            }
        }

        /// From within a converter: this is what it has made, or a part of it.
        pub fn convert(context: *Context, bytes: []const u8) error{ InvalidArgument, OutOfMemory, MessageTooLong }!void {
            const conversion = context.conversion orelse return error.InvalidArgument;
            if (conversion.framed and bytes.len > conversion.frame_bytes_max) {
                conversion.too_long = true;
                return error.MessageTooLong;
            }
            errdefer conversion.out_of_memory = true;
            if (conversion.framed)
                try conversion.queue.append(context.allocator, &frame.encodeHeader(@intCast(bytes.len)));
            try conversion.queue.append(context.allocator, bytes);
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

        /// Nothing more comes from the end `at`. Once all that came has left, the other end is told.
        fn noteEnd(context: *Context, bound: *Switch, at: u1) void {
            const to = &bound.ends[1 - at];
            if (bound.ends[at].pipe) |pipe| {
                if (pipe.bytes > 0) return;
                endSplicing(context, &bound.ends[at]);
            }
            if (!to.encoded.isEmpty()) return;
            if (to.waiting.isEmpty()) return passEnd(context, bound, at);
            // The rest of a message, of which nothing more comes.
            if (to.callbacks.takesFrames() and bound.nextFrame(1 - at) == null)
                bound.over = .{ .at = at, .reason = .truncated };
        }

        fn passEnd(context: *Context, bound: *Switch, at: u1) void {
            const from = &bound.ends[at];
            const to = &bound.ends[1 - at];
            // A callback has no way to tell.
            if (from.callbacks.blocks() or to.callbacks.blocks() or to.ended or from.hung_up) {
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
            const readable = !end.ended and !other.hung_up and takes(bound, 1 - at);
            const piped = if (other.pipe) |pipe| pipe.bytes > 0 else false;
            const writable = piped or (end.callbacks.output == null and !end.outgoing().isEmpty());
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
