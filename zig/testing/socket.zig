//! One end of a connection in the fake. All that this end ever sent is kept, so the model can compare; what the
//! other end has not received yet is simply the rest of it.
//!
//!     sent   |------------------------------|........|
//!            0              other.received ^          ^ sent.items.len       at most `capacity` between them

const std = @import("std");
const sys = @import("sys");
const assert = std.debug.assert;

/// Tokens that went with the bytes of one send. Linux hands them out with the first of those bytes that is read, and
/// ends that read with the last at the latest.
pub const Rights = struct {
    begin: usize,
    end: usize,
    tokens: []const u32,
    /// A context sent them, and so with one message.
    of_message: bool,
    /// The last byte of the read that brought them, once one has.
    landed: usize = 0,
};

pub const Socket = struct {
    number: u32,
    other: *Socket,
    /// Who is at this end, as the other is told.
    credentials: sys.Credentials,
    /// How much may lie between the ends, on its way from this one.
    capacity: usize,
    sent: std.ArrayList(u8) = .empty,
    received: usize = 0,
    /// Descriptors that went along with what this end sent, and how many such lots the other end has had.
    rights: std.ArrayList(Rights) = .empty,
    rights_received: usize = 0,
    /// What a planted mistake keeps from its message.
    rights_late: []const u32 = &.{},
    /// When this end last could not send all that it had.
    refused_ns: u64 = 0,
    /// Since when the system has let none of its descriptors go.
    crowded_ns: ?u64 = null,
    /// When the other end last put something on its way here.
    arrived_ns: u64 = 0,
    closed: bool = false,
    /// This end has said that it sends no more, or that it reads no more.
    writes_ended: bool = false,
    reads_ended: bool = false,
    /// The next read that finds nothing says so.
    reset: bool = false,
    /// What was on its way here is lost, and nothing more comes.
    severed: bool = false,
    accepted: bool = false,

    /// What the owner of this end was told, for the model to know.
    told: Told = .{},
    /// How often the owner tried to read.
    reads: u32 = 0,

    const Told = packed struct {
        end: bool = false,
        reset: bool = false,
        broken: bool = false,
        failed: bool = false,
        /// The last read was told to come again although there was something.
        blocked: bool = false,
        /// Some of what came along was closed: there was no room for it, or no descriptor.
        cut_room: bool = false,
        cut_table: bool = false,
    };

    pub fn unread(socket: *const Socket) []const u8 {
        if (socket.severed) return "";
        return socket.other.sent.items[socket.received..];
    }

    pub fn space(socket: *const Socket) usize {
        return socket.capacity -| (socket.sent.items.len - socket.other.received);
    }

    /// Nobody will ever read what is sent from here.
    pub fn isBroken(socket: *const Socket) bool {
        return socket.other.closed or socket.other.reads_ended or socket.writes_ended or socket.severed;
    }

    /// Nothing more will ever come.
    pub fn isOver(socket: *const Socket) bool {
        return socket.other.closed or socket.other.writes_ended or socket.reads_ended or socket.severed;
    }

    pub fn isReadable(socket: *const Socket) bool {
        return socket.unread().len > 0 or socket.reset or socket.isOver();
    }

    pub fn isWritable(socket: *const Socket) bool {
        return socket.isBroken() or socket.space() > 0;
    }

    /// A hang-up or an error, which pollers report to those who asked for nothing as well.
    pub fn hasEnded(socket: *const Socket) bool {
        return socket.other.closed or socket.severed or socket.reset;
    }

    /// Takes what there is space for.
    pub fn put(socket: *Socket, arena: std.mem.Allocator, bytes: []const u8, now_ns: u64) usize {
        assert(!socket.closed and !socket.isBroken());
        const count = @min(bytes.len, socket.space());
        socket.sent.appendSlice(arena, bytes[0..count]) catch @panic("out of memory");
        if (count > 0) socket.other.arrived_ns = now_ns;
        return count;
    }

    pub fn take(socket: *Socket, count: usize) []const u8 {
        assert(!socket.closed);
        const bytes = socket.unread()[0..count];
        socket.received += count;
        return bytes;
    }

    /// The next lot of tokens on its way here.
    pub fn rightsAhead(socket: *const Socket) ?*Rights {
        const all = socket.other.rights.items;
        return if (socket.rights_received < all.len) &all[socket.rights_received] else null;
    }

    /// These go along with the bytes from `begin` on that this end has sent.
    pub fn putRights(socket: *Socket, arena: std.mem.Allocator, begin: usize, tokens: []const u32, of_message: bool) void {
        if (begin == socket.sent.items.len) return;
        socket.rights.append(arena, .{
            .begin = begin,
            .end = socket.sent.items.len,
            .tokens = tokens,
            .of_message = of_message,
        }) catch @panic("out of memory");
    }

    /// unix(7): who closes without having read everything resets the other.
    pub fn close(socket: *Socket) void {
        assert(!socket.closed);
        if (socket.unread().len > 0) socket.other.reset = true;
        socket.closed = true;
    }

    /// As if the kernel had given the connection up: what is on its way is lost in both directions.
    pub fn sever(socket: *Socket) void {
        for ([_]*Socket{ socket, socket.other }) |end| {
            end.severed = true;
            end.reset = true;
        }
    }
};
