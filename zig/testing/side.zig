//! What the model knows of one connection of a context: what it was given to send, what it has delivered, and so
//! what it owes. The fake kernel keeps every byte that crossed, and this compares.
//!
//!     given     |----- sent, whole -----|-- sent in part --|-- queued --|   each message once, in this order
//!     kernel    |---------------------- socket.sent -------|
//!
//! A message that was refused is not given. One that was handed to a connection which has ended without its owner's
//! knowing is: it counts among the lost.

const std = @import("std");
const ipc = @import("ipc");
const Kernel = @import("kernel.zig").Kernel;
const Payload = @import("payload.zig").Payload;
const Socket = @import("socket.zig").Socket;
const Handle = ipc.handle.Handle;
const Event = ipc.event.Event;
const header_bytes = ipc.frame.header_bytes;

/// One look at the clock serves for a whole wait, so that what arrives in the middle of it counts as a bit older.
const clock_ns_max = 20 * std.time.ns_per_us;

pub const Given = struct {
    payload: Payload,
    /// Where in the bytes of the connection it ends.
    end: u64,
    token: i32,
};

pub const Side = struct {
    kernel: *Kernel,
    /// Which context has it.
    number: u8,
    socket: *Socket,
    handle: Handle,
    origin: Handle,
    limits: ipc.connection.Limits,

    given: std.ArrayList(Given) = .empty,
    given_bytes: u64 = 0,
    /// Bytes of `socket.sent` that were compared, and messages of `given` that are whole among them.
    compared: usize = 0,
    whole: usize = 0,
    /// Messages up to here have been reported, if that was asked for.
    reported: usize = 0,

    /// Bytes of `socket.other.sent` that were delivered as messages, headers included.
    delivered: usize = 0,
    messages_received: u64 = 0,
    /// The last batch that had a message of it.
    batch_number: u64 = 0,

    /// It has said that its queue is over the high-water mark, and owes a drain.
    pressed: bool = false,
    /// In which batch it said so last: a drain in the rest of that batch is about what was before.
    pressed_number: u64 = 0,
    /// Nothing more is taken: a call has said that it is closed.
    sealed: bool = false,
    /// It was handed something that is no run of frames, so what it sends is not what it was given.
    malformed: bool = false,
    /// Its owner reads nothing from it for now.
    paused: bool = false,
    resumed_ns: u64 = 0,
    /// Its owner has called to close it, and so cares no more for what it cannot send.
    given_up: bool = false,
    /// That call is why it ends.
    closed_by_owner: bool = false,
    closed_how: ipc.context.CloseHow = .drain,
    closed_ns: u64 = 0,
    disconnected: bool = false,
    lost_messages: u64 = 0,
    /// Waits in a row that did not read it although there was something to read.
    unserved: u32 = 0,
    reads_before: u32 = 0,

    pub fn give(side: *Side, payload: Payload, token: i32) void {
        side.given_bytes += header_bytes + payload.length;
        side.given.append(side.kernel.arena, .{
            .payload = payload,
            .end = side.given_bytes,
            .token = token,
        }) catch @panic("out of memory");
    }

    pub fn unsentMessages(side: *const Side) u64 {
        return side.given.items.len - side.whole;
    }

    pub fn unsentBytes(side: *const Side) u64 {
        return side.given_bytes -| side.socket.sent.items.len;
    }

    pub fn complain(side: *Side, comptime format: []const u8, arguments: anytype) void {
        side.kernel.complain("context {d}, socket {d}: " ++ format, .{ side.number, side.socket.number } ++ arguments);
    }

    /// Compares what the kernel was given since the last time with what there was to send.
    pub fn compare(side: *Side) void {
        if (side.malformed) {
            side.compared = side.socket.sent.items.len;
            return;
        }
        const sent = side.socket.sent.items;
        while (side.compared < sent.len) {
            if (side.whole == side.given.items.len)
                return side.complain("sends {d} bytes that nobody gave it", .{sent.len - side.compared});
            const given = side.given.items[side.whole];
            const at = side.compared - (given.end - header_bytes - given.payload.length);
            const header = ipc.frame.encodeHeader(given.payload.length);
            const expected = if (at < header_bytes) header[at..] else given.payload.bytes()[at - header_bytes ..];
            const count = @min(expected.len, sent.len - side.compared);
            if (!std.mem.eql(u8, expected[0..count], sent[side.compared..][0..count]))
                return side.complain("sends message {d} wrong, at byte {d} of it", .{ side.whole, at });
            side.compared += count;
            // A header may end both itself and the message.
            if (side.compared == given.end) side.whole += 1;
        }
    }

    /// Whether so many messages can be lost by now.
    pub fn canHaveLost(side: *const Side, messages: u64) bool {
        return messages == 0 or messages == side.unsentMessages();
    }

    // What the context says of it

    pub fn expectMessage(side: *Side, event: *const Event, bytes: []const u8, batch_number: u64) void {
        side.batch_number = batch_number;
        const received = side.socket.other.sent.items[0..side.socket.received];
        const rest = received[side.delivered..];
        const length = ipc.frame.payloadLength(rest) orelse
            return side.complain("delivers a message of {d} bytes that has not arrived", .{event.length});
        if (length != event.length) return side.complain("delivers {d} bytes of a message of {d}", .{ event.length, length });
        if (rest.len - header_bytes < length) return side.complain("delivers {d} bytes before all have arrived", .{length});
        if (!std.mem.eql(u8, rest[header_bytes..][0..length], bytes))
            return side.complain("delivers message {d} wrong, of {d} bytes", .{ side.messages_received, length });
        side.delivered += header_bytes + length;
        side.messages_received += 1;
    }

    /// What has been read and is whole must have been delivered.
    pub fn expectNothingHeldBack(side: *Side) void {
        const received = side.socket.other.sent.items[0..side.socket.received];
        const rest = received[side.delivered..];
        const length = ipc.frame.payloadLength(rest) orelse return;
        if (length > side.limits.message_bytes_max) return side.complain("reads on behind a length of {d}", .{length});
        if (rest.len - header_bytes >= length) side.complain("holds back a message of {d} bytes", .{length});
    }

    pub fn expectReport(side: *Side, event: *const Event) void {
        if (side.malformed) return;
        side.compare();
        while (side.reported < side.given.items.len) {
            const given = side.given.items[side.reported];
            side.reported += 1;
            if (given.token == 0) continue;
            if (given.token != event.data or given.payload.length != event.length)
                return side.complain("reports message {d}, and {d} is next", .{ event.data, given.token });
            if (given.end > side.socket.sent.items.len)
                return side.complain("reports message {d} before the kernel has it", .{event.data});
            return;
        }
        side.complain("reports message {d}, which nobody asked about", .{event.data});
    }

    /// No message that is with the kernel still waits to be reported.
    pub fn expectAllReported(side: *Side) void {
        for (side.given.items[side.reported..]) |given| {
            if (given.end > side.socket.sent.items.len) return;
            if (given.token != 0) return side.complain("never reports message {d}", .{given.token});
        }
    }

    pub fn expectDrain(side: *Side, event: *const Event, batch_number: u64) void {
        if (!side.pressed and !side.malformed) side.complain("reports a drain without pressure", .{});
        if (event.data > side.limits.queue_bytes_high) side.complain("reports a drain with {d} bytes queued", .{event.data});
        if (side.pressed_number != batch_number) side.pressed = false;
    }

    pub fn press(side: *Side, batch_number: u64) void {
        side.pressed = true;
        side.pressed_number = batch_number;
    }

    /// Whether it is to be left unread. When its peer is gone the pause is over, whatever its owner has said.
    pub fn isPaused(side: *const Side) bool {
        return side.paused and !side.socket.hasEnded();
    }

    /// It was closed by its owner, once or again; what is closed at once stays so.
    pub fn noteClosed(side: *Side, how: ipc.context.CloseHow, now_ns: u64) void {
        side.sealed = true;
        if (side.disconnected or (side.closed_by_owner and side.closed_how == .now)) return;
        if (!side.closed_by_owner) side.closed_ns = now_ns;
        side.closed_by_owner = true;
        side.paused = false;
        side.closed_how = how;
    }

    /// The last event it has. What it took and did not send must be counted in it, and the reason must be true.
    pub fn expectEnd(side: *Side, event: *const Event, batch_number: u64) void {
        side.compare();
        side.disconnected = true;
        side.lost_messages = event.length;
        if (!side.socket.closed) side.complain("is reported as ended and its descriptor is open", .{});
        if (side.malformed) return;
        side.expectLoss(event.length, event.data);
        side.expectAllReported();
        if (event.reason == .peer_closed and side.batch_number == batch_number)
            side.complain("ends before its last messages can be answered", .{});
        if (!side.isTrue(event)) side.complain("ends with the reason {t}, which is not so", .{event.reason});
    }

    fn expectLoss(side: *Side, messages: u64, bytes: u64) void {
        if (messages == side.unsentMessages() and bytes == side.unsentBytes()) return;
        side.complain("counts {d} messages of {d} bytes as lost, and lost are {d} of {d}", .{
            messages,
            bytes,
            side.unsentMessages(),
            side.unsentBytes(),
        });
    }

    fn isTrue(side: *Side, event: *const Event) bool {
        const socket = side.socket;
        const rest = socket.other.sent.items[side.delivered..socket.received];
        const lost = event.length > 0;
        const kernel = side.kernel;
        return switch (event.reason) {
            // It has tried to the last moment.
            .closed => side.closed_by_owner and (!lost or side.closed_how == .now or socket.told.broken or
                socket.refused_ns + clock_ns_max >= side.closed_ns +| side.limits.drain_ns),
            .peer_closed => socket.told.end and !lost and rest.len == 0,
            .peer_reset => socket.told.reset or socket.told.broken,
            .message_too_long => (ipc.frame.payloadLength(rest) orelse 0) > side.limits.message_bytes_max,
            .truncated => socket.told.end and rest.len > 0,
            .stalled => side.limits.stall_ns > 0 and rest.len > 0 and !side.isPaused() and (socket.told.blocked or
                kernel.told_ns + clock_ns_max >= @max(socket.arrived_ns, side.resumed_ns) +| side.limits.stall_ns),
            .queue_limit => side.limits.queue_policy == .close and side.unsentBytes() > side.limits.queue_bytes_max,
            .out_of_memory => kernel.happened.get(.allocation_failed) > 0,
            .system => socket.told.failed or
                kernel.happened.get(.watch_failed) + kernel.happened.get(.rewatch_failed) > 0,
            else => false,
        };
    }
};
