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
    /// What goes along with it.
    rights: []const u32,
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
    /// Lots of tokens among them that were compared.
    rights_compared: usize = 0,
    /// Messages up to here have been reported, if that was asked for.
    reported: usize = 0,

    /// Bytes of `socket.other.sent` that were delivered as messages, headers included.
    delivered: usize = 0,
    /// Lots of tokens that were delivered with them.
    rights_delivered: usize = 0,
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

    /// Bytes go as they are, so that messages are whatever is read at once.
    pub fn isRaw(side: *const Side) bool {
        return side.limits.framing == .raw;
    }

    /// What goes before each payload.
    pub fn headerBytes(side: *const Side) u32 {
        return if (side.isRaw()) 0 else header_bytes;
    }

    pub fn give(side: *Side, payload: Payload, token: i32, rights: []const u32) void {
        side.given_bytes += side.headerBytes() + payload.length;
        side.given.append(side.kernel.arena, .{
            .payload = payload,
            .end = side.given_bytes,
            .token = token,
            .rights = rights,
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
            const before = side.headerBytes();
            const at = side.compared - (given.end - before - given.payload.length);
            if (at == 0) side.compareRights(&given);
            const header = ipc.frame.encodeHeader(given.payload.length);
            const expected = if (at < before) header[at..] else given.payload.bytes()[at - before ..];
            const count = @min(expected.len, sent.len - side.compared);
            if (!std.mem.eql(u8, expected[0..count], sent[side.compared..][0..count]))
                return side.complain("sends message {d} wrong, at byte {d} of it", .{ side.whole, at });
            side.compared += count;
            // A header may end both itself and the message.
            if (side.compared < given.end) continue;
            side.whole += 1;
            const lots = side.socket.rights.items;
            if (side.rights_compared < lots.len and lots[side.rights_compared].begin < given.end)
                return side.complain("sends descriptors with message {d} that are none of its", .{side.whole - 1});
        }
    }

    /// What a message has goes along with its first byte, and with no byte of another.
    fn compareRights(side: *Side, given: *const Given) void {
        if (given.rights.len == 0) return;
        const lots = side.socket.rights.items;
        if (side.rights_compared == lots.len) return side.complain("sends message {d} without its descriptors", .{side.whole});
        const lot = lots[side.rights_compared];
        side.rights_compared += 1;
        if (lot.begin != side.compared or lot.end > given.end or !std.mem.eql(u32, lot.tokens, given.rights))
            side.complain("sends message {d} with wrong descriptors, or with others' bytes", .{side.whole});
    }

    /// Whether so many messages can be lost by now.
    pub fn canHaveLost(side: *const Side, messages: u64) bool {
        return messages == 0 or messages == side.unsentMessages() or side.isRaw();
    }

    // What the context says of it

    /// Returns the tokens that must be with it.
    pub fn expectMessage(side: *Side, event: *const Event, bytes: []const u8, batch_number: u64) []const u32 {
        const begin = side.delivered;
        side.expectPayload(event, bytes, batch_number);
        const lots = side.socket.other.rights.items[0..side.socket.rights_received];
        var tokens: std.ArrayList(u32) = .empty;
        while (side.rights_delivered < lots.len) : (side.rights_delivered += 1) {
            const lot = &lots[side.rights_delivered];
            if (lot.landed >= side.delivered) break;
            if (lot.landed < begin or (lot.of_message and lot.begin != begin and !side.isRaw()))
                side.complain("delivers descriptors with message {d} that are another's", .{side.messages_received - 1});
            tokens.appendSlice(side.kernel.arena, lot.tokens) catch @panic("out of memory");
        }
        if (tokens.items.len > side.limits.descriptors_max)
            side.complain("delivers a message that came with {d} descriptors", .{tokens.items.len});
        return tokens.items;
    }

    fn expectPayload(side: *Side, event: *const Event, bytes: []const u8, batch_number: u64) void {
        side.batch_number = batch_number;
        const received = side.socket.other.sent.items[0..side.socket.received];
        const rest = received[side.delivered..];
        if (side.isRaw()) {
            if (bytes.len == 0 or bytes.len > side.limits.message_bytes_max)
                return side.complain("delivers {d} bytes at once", .{bytes.len});
            if (bytes.len > rest.len or !std.mem.eql(u8, rest[0..bytes.len], bytes))
                return side.complain("delivers {d} bytes wrong, at {d}", .{ bytes.len, side.delivered });
            side.delivered += bytes.len;
            side.messages_received += 1;
            return;
        }
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
        if (side.isRaw()) {
            if (rest.len > 0) side.complain("holds back {d} bytes", .{rest.len});
            return;
        }
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
        // Without frames none is known to be sent before all are.
        const counts = messages == side.unsentMessages() or (side.isRaw() and messages >= side.unsentMessages());
        if (counts and bytes == side.unsentBytes() and (messages > 0) == (bytes > 0)) return;
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
            .message_too_long => !side.isRaw() and (ipc.frame.payloadLength(rest) orelse 0) > side.limits.message_bytes_max,
            .truncated => socket.told.end and rest.len > 0 and !side.isRaw(),
            .stalled => !side.isRaw() and side.limits.stall_ns > 0 and rest.len > 0 and !side.isPaused() and (socket.told.blocked or
                kernel.told_ns + clock_ns_max >= @max(socket.arrived_ns, side.resumed_ns) +| side.limits.stall_ns),
            .queue_limit => side.limits.queue_policy == .close and side.unsentBytes() > side.limits.queue_bytes_max,
            .out_of_memory => kernel.happened.get(.allocation_failed) > 0,
            .system => socket.told.failed or
                kernel.happened.get(.watch_failed) + kernel.happened.get(.rewatch_failed) > 0,
            .descriptors_unasked => side.limits.descriptors_max == 0 and socket.told.cut_room and side.isFirstOf(rest),
            .descriptors_too_many => side.limits.descriptors_max > 0 and side.hasTooMany() and side.isFirstOf(rest),
            .descriptor_limit => (socket.told.cut_table and side.isFirstOf(rest)) or
                side.hasBeenCrowded(),
            else => false,
        };
    }

    /// Nothing whole is among what was read and not told but the message that its last byte is of.
    fn isFirstOf(side: *const Side, rest: []const u8) bool {
        if (side.isRaw()) return true;
        const length = ipc.frame.payloadLength(rest) orelse return true;
        return header_bytes + @as(usize, length) >= rest.len;
    }

    /// More has come with a message than may, or may be held.
    fn hasTooMany(side: *const Side) bool {
        const lots = side.socket.other.rights.items[side.rights_delivered..side.socket.rights_received];
        var count: usize = 0;
        for (lots) |lot| count += lot.tokens.len;
        if (count > side.limits.descriptors_max) return true;
        // Others of the user may have had their share.
        return side.socket.told.cut_room and side.limits.descriptors_held_max < held_max_far;
    }

    /// Its descriptors were tried for long enough.
    fn hasBeenCrowded(side: *const Side) bool {
        const since_ns = side.socket.crowded_ns orelse return false;
        return side.hasUnsentRights() and side.kernel.told_ns + clock_ns_max >= since_ns +| ipc.connection.crowded_max_ns;
    }

    fn hasUnsentRights(side: *const Side) bool {
        for (side.given.items[side.whole..]) |given| if (given.rights.len > 0) return true;
        return false;
    }

    /// A run never reaches this.
    pub const held_max_far = 1000;
};
