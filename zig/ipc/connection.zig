//! One end of a conversation, as its context keeps it.
//!
//!     open ──peer sends no more──▶ finishing ──queue sent──▶ ended
//!       │                                                      ▲
//!       └──close──▶ draining ──────queue sent──────────────────┤
//!       └──any fault, or close at once ────────────────────────┘
//!
//! An ended connection holds no descriptor any more; it stays until its disconnection has been reported.

const std = @import("std");
const sys = @import("sys");
const frame = @import("frame.zig");
const queues = @import("queue.zig");
const Deadline = @import("deadlines.zig").Deadline;
const Handle = @import("library").handle.Handle;
const Inbound = @import("inbound.zig").Inbound;
const Reason = @import("event.zig").Reason;
const assert = std.debug.assert;

/// What one connection may take up. Part of the ABI.
pub const Limits = extern struct {
    /// The longest message, both ways.
    message_bytes_max: u32 = 16 * 1024 * 1024,
    /// Connections of one service; of no meaning to a client.
    connections_max: u32 = connections_max_default,
    /// Over this many queued bytes the sender is told to wait for the drain event.
    queue_bytes_high: u64 = 1024 * 1024,
    /// What is queued for a peer that does not read; `queue_policy` says what happens beyond it.
    queue_bytes_max: u64 = 64 * 1024 * 1024,
    /// A peer that begins a message and then sends nothing for so long is dropped; 0 waits for ever.
    stall_ns: u64 = 30 * std.time.ns_per_s,
    /// How long a closed connection goes on sending what it had taken.
    drain_ns: u64 = 5 * std.time.ns_per_s,
    queue_policy: QueuePolicy = .close,
    /// The most descriptors that may come with one message; with none, whoever sends some is dropped.
    descriptors_max: u32 = 0,
    /// The most that are held for all peers of one user together: what came and was not taken yet, and what waits to
    /// be sent.
    descriptors_held_max: u32 = 4 * sys.rights.descriptors_max,
    framing: Framing = .frames,

    /// More than a process has descriptors for by default; there to bound what one service may take of a context.
    pub const connections_max_default = 65_536;
    /// Lengths stay below 2 GiB, so that a length with its header fits an `i32` on either side of the boundary.
    pub const message_bytes_limit = (1 << 31) - 1 - frame.header_bytes;

    pub fn valid(limits: *const Limits) bool {
        return limits.message_bytes_max <= message_bytes_limit and
            limits.queue_bytes_high <= limits.queue_bytes_max and
            limits.queue_bytes_max >= @as(u64, limits.message_bytes_max) + frame.header_bytes and
            limits.queue_bytes_max <= 1 << 40 and limits.stall_ns <= 1 << 60 and limits.drain_ns <= 1 << 60 and
            limits.descriptors_max <= sys.rights.descriptors_max and
            limits.descriptors_held_max <= 1 << 20 and
            (limits.framing == .frames or (limits.framing == .raw and limits.message_bytes_max > 0)) and
            (limits.queue_policy == .close or limits.queue_policy == .refuse);
    }
};

/// How messages are told apart on the wire.
pub const Framing = enum(u32) {
    /// Each by its length before it.
    frames = 0,
    /// Not at all: what arrives is reported as it comes, at most `message_bytes_max` at once, and what is sent goes as
    /// it is.
    raw = 1,
    _,
};

/// What becomes of a connection whose queue is at its limit.
pub const QueuePolicy = enum(u32) {
    /// It ends, with the reason `queue_limit`.
    close = 0,
    /// The message is refused and the connection goes on.
    refuse = 1,
    _,
};

/// How often descriptors that the system has no room for are tried again, and how long nothing of a connection may go
/// for that reason: peers who read have read by then, and whoever waits is to know at last.
pub const crowded_retry_ns = 10 * std.time.ns_per_ms;
pub const crowded_max_ns = 3 * std.time.ns_per_s;

/// Room for more reports than this is given back when none is left, so that an idle connection costs next to nothing.
const idle_reports_max = 32;

/// A message whose sending is to be reported, and where in the connection's bytes it ends.
const Report = struct { end: u64, length: u32, token: i32 };

/// Descriptors that go along with a message in the queue: copies, which the connection owns, and where in its bytes
/// that message begins and ends.
const Attachment = struct { begin: u64, end: u64, fds: []sys.Fd };

pub const Sent = enum {
    /// What the kernel took is sent, the rest is queued.
    taken,
    /// The peer takes no more, now or ever.
    broken,
    failed,
    /// What was to be sent is not frames.
    malformed,
    out_of_memory,
    /// One of the descriptors is not open, or cannot be passed; nothing was taken.
    unpassable,
    /// The system keeps no more descriptors on their way, until others have been read; nothing was taken of theirs.
    crowded,
    /// There is no descriptor left for the copies that are to wait; nothing was taken.
    descriptor_limit,
};

pub const State = enum {
    /// Being made: the other end has not answered yet.
    connecting,
    open,
    finishing,
    draining,
    ended,
};

pub const Connection = struct {
    handle: Handle,
    /// The service that accepted it, or none.
    origin: Handle,
    fd: sys.Fd,
    limits: Limits,
    credentials: sys.Credentials,
    state: State = .open,
    inbound: Inbound = .{},
    queue: queues.Queue = .{},
    reports: std.Deque(Report) = .empty,
    attachments: std.Deque(Attachment) = .empty,
    /// Bytes ever taken to be sent and ever sent: where reports stand.
    bytes_taken: u64 = 0,
    bytes_sent: u64 = 0,
    bytes_received: u64 = 0,
    messages_sent: u64 = 0,
    messages_received: u64 = 0,
    messages_lost: u32 = 0,
    bytes_lost: u64 = 0,
    /// Copies that were sent and closed since that was last counted.
    descriptors_gone: u32 = 0,
    /// Set while a message is cut short (stall) or the connection is draining.
    deadline: Deadline = .{},
    progress_ns: u64 = 0,
    /// The number of the last batch that holds a message of this connection.
    batch_number: u64 = 0,
    /// The number of the last batch for which it was read.
    read_number: u64 = 0,
    /// Its last read ended with a message that brought descriptors.
    cut_short: bool = false,
    end_reason: Reason = .none,
    end_errno: i32 = 0,
    /// Since when the system has kept no more of its descriptors on their way.
    crowded_ns: ?u64 = null,
    /// In the context's lists.
    in_crowded: bool = false,
    in_ready: bool = false,
    in_attention: bool = false,
    in_unsent: bool = false,
    readable: bool = false,
    writable: bool = false,
    /// Its owner takes no more messages for now.
    paused: bool = false,
    /// The poller has said that the conversation is over.
    hung_up: bool = false,
    /// What the poller watches for.
    watches_readable: bool = true,
    watches_writable: bool = false,
    /// The peer takes no more bytes.
    broken: bool = false,
    /// Its owner has closed it, and so knows that it takes no more messages.
    given_up: bool = false,
    /// Over the high-water mark, and the owner is waiting for the drain event.
    pressed: bool = false,
    drained: bool = false,

    /// For one that has ended: it holds nothing any more but reports of what was sent before.
    pub fn destroy(connection: *Connection, allocator: std.mem.Allocator) void {
        assert(connection.attachments.len == 0);
        connection.attachments.deinit(allocator);
        connection.reports.deinit(allocator);
        allocator.destroy(connection);
    }

    pub fn takesMessages(connection: *const Connection) bool {
        return !connection.broken and (connection.state == .open or connection.state == .finishing);
    }

    /// Sends `head` and `body`, which are `messages` whole frames between them (with a head, one), and queues
    /// what the kernel does not take. Nothing may be queued before.
    pub fn send(
        connection: *Connection,
        allocator: std.mem.Allocator,
        system: anytype,
        head: []const u8,
        body: []const u8,
        messages: u32,
    ) Sent {
        assert(connection.queue.bytes() == 0);
        const parts: [2]std.posix.iovec_const = .{
            .{ .base = head.ptr, .len = head.len },
            .{ .base = body.ptr, .len = body.len },
        };
        return switch (system.send(connection.fd, if (head.len == 0) parts[1..] else &parts)) {
            .bytes => |count| connection.keepRest(allocator, head, body, messages, count),
            .would_block => connection.keepRest(allocator, head, body, messages, 0),
            .broken => .broken,
            .failed => .failed,
        };
    }

    /// The same for one message that `fds` go along with. What has to wait keeps copies of them.
    pub fn sendRights(
        connection: *Connection,
        allocator: std.mem.Allocator,
        system: anytype,
        head: []const u8,
        body: []const u8,
        fds: []const sys.Fd,
    ) Sent {
        assert(connection.queue.bytes() == 0);
        const parts: [2]std.posix.iovec_const = .{
            .{ .base = head.ptr, .len = head.len },
            .{ .base = body.ptr, .len = body.len },
        };
        const sent = switch (system.sendRights(connection.fd, if (head.len == 0) parts[1..] else &parts, fds)) {
            .bytes => |count| count,
            .would_block => 0,
            .broken => return .broken,
            .failed => return .failed,
            .unpassable => return .unpassable,
            .crowded => return .crowded,
        };
        if (sent > 0) return connection.keepRest(allocator, head, body, 1, sent);
        const begin = connection.bytes_sent;
        connection.attach(allocator, system, begin, begin + head.len + body.len, fds) catch |failure|
            return switch (failure) {
                error.OutOfMemory => .out_of_memory,
                error.DescriptorLimit => .descriptor_limit,
                error.Unpassable => .unpassable,
            };
        const kept = connection.keepRest(allocator, head, body, 1, 0);
        if (kept != .taken) _ = connection.dropAttachments(allocator, system);
        return kept;
    }

    /// Keeps copies of `fds` for a message that begins and ends at those of its bytes, and waits to be sent.
    pub fn attach(
        connection: *Connection,
        allocator: std.mem.Allocator,
        system: anytype,
        begin: u64,
        end: u64,
        fds: []const sys.Fd,
    ) error{ OutOfMemory, DescriptorLimit, Unpassable }!void {
        try connection.attachments.ensureUnusedCapacity(allocator, 1);
        const copies = try allocator.alloc(sys.Fd, fds.len);
        errdefer allocator.free(copies);
        for (fds, copies, 0..) |fd, *copy, count| {
            copy.* = system.duplicate(fd) catch |failure| {
                for (copies[0..count]) |made| system.close(made);
                return switch (failure) {
                    error.DescriptorLimit => error.DescriptorLimit,
                    error.Unexpected => error.Unpassable,
                };
            };
        }
        connection.attachments.pushBackAssumeCapacity(.{ .begin = begin, .end = end, .fds = copies });
    }

    /// Closes the copies of what will not be sent, and says how many there were.
    pub fn dropAttachments(connection: *Connection, allocator: std.mem.Allocator, system: anytype) u32 {
        var count: u32 = 0;
        while (connection.attachments.popFront()) |attachment| {
            count += @intCast(attachment.fds.len);
            release(allocator, system, attachment);
        }
        connection.attachments.deinit(allocator);
        connection.attachments = .empty;
        return count;
    }

    fn release(allocator: std.mem.Allocator, system: anytype, attachment: Attachment) void {
        for (attachment.fds) |fd| system.close(fd);
        allocator.free(attachment.fds);
    }

    /// Queues what of `head` and `body` is left when `sent` bytes of them are gone.
    fn keepRest(
        connection: *Connection,
        allocator: std.mem.Allocator,
        head: []const u8,
        body: []const u8,
        messages: u32,
        sent: usize,
    ) Sent {
        const total = head.len + body.len;
        connection.bytes_sent += sent;
        if (sent == total) {
            connection.messages_sent += messages;
            return .taken;
        }
        const progress: queues.Progress = if (connection.queue.raw)
            .{}
        else if (head.len > 0)
            .{ .frame_bytes_left = if (sent == 0) 0 else total - sent }
        else whole: {
            // The queue relies on what is in it, so the rest is looked at as well.
            if (!queues.areFrames(body, messages)) return .malformed;
            break :whole queues.Progress.of(body, sent).?;
        };
        connection.messages_sent += progress.messages;
        const rest = connection.queue.reserve(allocator, total - sent) catch return .out_of_memory;
        const head_rest = head[@min(sent, head.len)..];
        @memcpy(rest[0..head_rest.len], head_rest);
        @memcpy(rest[head_rest.len..], body[sent -| head.len..]);
        connection.queue.commit(rest.len, messages - progress.messages);
        connection.queue.frame_bytes_left = progress.frame_bytes_left;
        return .taken;
    }

    /// Sends from the queue until it is empty or the kernel takes no more.
    pub fn sendQueued(connection: *Connection, allocator: std.mem.Allocator, system: anytype) Sent {
        while (connection.queue.bytes() > 0) {
            const unsent = connection.queue.unsent();
            const next = connection.attachments.front();
            // Descriptors go with a send of their message alone, so that the other side knows whose they are.
            const before = if (next) |attachment| attachment.begin - connection.bytes_sent else unsent.len;
            if (next != null and before == 0) {
                const begin = connection.bytes_sent;
                const sent = connection.sendAttached(allocator, system, unsent);
                if (sent != .taken) return sent;
                // It did not go, so nothing behind it does.
                if (connection.bytes_sent == begin) break;
                continue;
            }
            const part: [1]std.posix.iovec_const = .{.{ .base = unsent.ptr, .len = @intCast(before) }};
            switch (system.send(connection.fd, &part)) {
                .bytes => |count| {
                    connection.noteGone(allocator, count);
                    // A short write says that the kernel is full: asking again would only confirm it.
                    if (count < part[0].len) break;
                },
                .would_block => break,
                .broken => return .broken,
                .failed => return .failed,
            }
        }
        return .taken;
    }

    fn sendAttached(connection: *Connection, allocator: std.mem.Allocator, system: anytype, unsent: []const u8) Sent {
        const first = connection.attachments.front().?;
        const part: [1]std.posix.iovec_const = .{.{ .base = unsent.ptr, .len = @intCast(first.end - first.begin) }};
        switch (system.sendRights(connection.fd, &part, first.fds)) {
            .bytes => |count| {
                if (count == 0) return .taken;
                release(allocator, system, connection.attachments.popFront().?);
                connection.descriptors_gone += @intCast(first.fds.len);
                connection.noteGone(allocator, count);
            },
            .would_block => {},
            .broken => return .broken,
            // They were open when they were copied, and can be passed or not for good.
            .failed, .unpassable => return .failed,
            .crowded => return .crowded,
        }
        return .taken;
    }

    fn noteGone(connection: *Connection, allocator: std.mem.Allocator, count: usize) void {
        connection.bytes_sent += count;
        connection.messages_sent += connection.queue.consume(allocator, count);
    }

    pub fn report(
        connection: *Connection,
        allocator: std.mem.Allocator,
        end: u64,
        length: u32,
        token: i32,
    ) error{OutOfMemory}!void {
        try connection.reports.pushBack(allocator, .{ .end = end, .length = length, .token = token });
    }

    /// The next report that is due.
    pub fn popReport(connection: *Connection, allocator: std.mem.Allocator) ?Report {
        const first = connection.reports.front() orelse {
            if (connection.reports.buffer.len > idle_reports_max) {
                connection.reports.deinit(allocator);
                connection.reports = .empty;
            }
            return null;
        };
        if (first.end > connection.bytes_sent) return null;
        return connection.reports.popFront();
    }
};
