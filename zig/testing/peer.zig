//! A peer that is no context: it holds one end of a connection and does with it what its manner says. Most are
//! up to no good. It acts between the calls of contexts, in the middle of them, and while they sleep.

const std = @import("std");
const ipc = @import("ipc");
const Kernel = @import("kernel.zig").Kernel;
const Payload = @import("payload.zig").Payload;
const Socket = @import("socket.zig").Socket;

/// What it has written but the connection not yet taken is kept below this.
const script_bytes_max = 64 * 1024;
const flooding_frames = 5000;
/// What a Unix socket of Linux holds by default. Two reads of it do not fit into a batch if the frames are empty.
const crowding_bytes = 212_992;

pub const Manner = enum {
    /// Sends frames, reads what comes, ends at some time.
    polite,
    /// Sends frames, says that it is done, and reads until the other end is.
    asking,
    /// Sends more whenever there is space.
    flooding,
    /// Never reads.
    deaf,
    /// Sends a byte at a time.
    crawling,
    /// Sends the beginning of a frame and then nothing.
    stalling,
    /// Sends what is no frames.
    babbling,
    /// Sends a length that nobody allows.
    boasting,
    /// Goes away at once, or in the middle of anything.
    vanishing,
    /// Reads no more, but goes on sending.
    covering_ears,
};

pub const Peer = struct {
    kernel: *Kernel,
    socket: *Socket,
    manner: Manner,
    /// What it is going to send.
    script: std.ArrayList(u8) = .empty,
    at: usize = 0,
    frames_left: u32,
    /// The longest frame it sends; a boasting one sends a longer one at the end.
    message_bytes_max: u32,
    /// All its frames are empty, so that there are as many as can be.
    is_hollow: bool,
    /// Some of what it sends has tokens with it, at any place.
    is_laden: bool,

    pub fn init(kernel: *Kernel, socket: *Socket, message_bytes_max: u32) Peer {
        const die = kernel.random();
        return .{
            .kernel = kernel,
            .socket = socket,
            .manner = die.enumValue(Manner),
            .frames_left = die.uintAtMost(u32, 20),
            .message_bytes_max = message_bytes_max,
            .is_hollow = kernel.oneIn(4),
            .is_laden = kernel.oneIn(2),
        };
    }

    /// Does one thing, or nothing.
    pub fn step(peer: *Peer) void {
        if (peer.socket.closed) return;
        const die = peer.kernel.random();
        switch (die.uintLessThan(u8, 8)) {
            0...3 => peer.write(),
            4...6 => if (peer.reads()) peer.read(),
            else => peer.end(),
        }
    }

    /// From now on it sends as many frames as fit into the connection.
    pub fn crowd(peer: *Peer) void {
        peer.manner = .flooding;
        peer.is_hollow = peer.kernel.random().boolean();
        peer.socket.capacity = crowding_bytes;
    }

    /// One that floods is never behind, however fast the others are.
    pub fn flood(peer: *Peer) void {
        if (peer.manner != .flooding) return;
        while (!peer.socket.closed and !peer.socket.writes_ended and !peer.socket.isBroken() and peer.socket.space() > 0)
            peer.write();
    }

    fn reads(peer: *const Peer) bool {
        return switch (peer.manner) {
            .deaf, .covering_ears => false,
            .polite, .asking, .flooding, .crawling, .stalling, .babbling, .boasting, .vanishing => true,
        };
    }

    fn write(peer: *Peer) void {
        if (peer.socket.writes_ended or peer.socket.isBroken()) return;
        if (peer.at == peer.script.items.len) peer.compose();
        const rest = peer.script.items[peer.at..];
        if (rest.len == 0) return;
        const die = peer.kernel.random();
        const count = switch (peer.manner) {
            .crawling => 1,
            .flooding => rest.len,
            else => if (die.boolean()) rest.len else die.intRangeAtMost(usize, 1, rest.len),
        };
        const taken = peer.socket.put(peer.kernel.arena, rest[0..count], peer.kernel.now_ns);
        peer.at += taken;
        if (peer.is_laden and peer.kernel.oneIn(4)) {
            const tokens = peer.kernel.drawTokens(die.intRangeAtMost(usize, 1, if (peer.kernel.oneIn(8)) 20 else 2));
            peer.socket.putRights(peer.kernel.arena, peer.socket.sent.items.len - taken, tokens, false);
        }
        peer.kernel.trace("peer {t} sends {d} to socket {d}", .{ peer.manner, taken, peer.socket.number });
    }

    /// Writes the next part of the script.
    fn compose(peer: *Peer) void {
        peer.script.clearRetainingCapacity();
        peer.at = 0;
        if (peer.frames_left == 0 and peer.manner != .flooding) return peer.composeEnd();
        const die = peer.kernel.random();
        var frames = die.intRangeAtMost(u32, 1, 5);
        frames = if (peer.manner == .flooding) flooding_frames else @min(frames, peer.frames_left);
        while (frames > 0 and peer.script.items.len < script_bytes_max) : (frames -= 1) {
            peer.composeFrame();
            peer.frames_left -|= 1;
        }
    }

    fn composeFrame(peer: *Peer) void {
        const die = peer.kernel.random();
        const most: u32 = if (die.uintLessThan(u8, 16) == 0) peer.message_bytes_max else @min(peer.message_bytes_max, 64);
        const payload: Payload = .draw(die, if (peer.is_hollow) 0 else die.uintAtMost(u32, most));
        peer.append(&ipc.frame.encodeHeader(payload.length));
        peer.append(payload.bytes());
    }

    /// What comes after the last good frame.
    fn composeEnd(peer: *Peer) void {
        const die = peer.kernel.random();
        switch (peer.manner) {
            .polite, .asking, .flooding, .deaf, .crawling, .vanishing, .covering_ears => {},
            .stalling => {
                const length = die.intRangeAtMost(u32, 1, @max(1, peer.message_bytes_max));
                const payload: Payload = .draw(die, die.uintLessThan(u32, length));
                peer.append(&ipc.frame.encodeHeader(length));
                peer.append(payload.bytes());
                // Sometimes not even the header is whole.
                if (die.boolean()) peer.script.shrinkRetainingCapacity(die.intRangeAtMost(usize, 1, 3));
                peer.manner = .deaf;
            },
            .babbling => {
                var noise: [100]u8 = undefined;
                die.bytes(&noise);
                peer.append(if (die.boolean()) "GET / HTTP/1.1\r\n" else noise[0..die.intRangeAtMost(usize, 1, noise.len)]);
            },
            .boasting => {
                peer.append(&ipc.frame.encodeHeader(if (die.boolean())
                    peer.message_bytes_max + 1
                else
                    die.intRangeAtMost(u32, peer.message_bytes_max + 1, std.math.maxInt(u32))));
                peer.append("and more");
            },
        }
    }

    fn append(peer: *Peer, bytes: []const u8) void {
        peer.script.appendSlice(peer.kernel.arena, bytes) catch @panic("out of memory");
    }

    fn read(peer: *Peer) void {
        const unread = peer.socket.unread().len;
        if (unread == 0) return;
        const die = peer.kernel.random();
        _ = peer.socket.take(if (die.boolean()) unread else die.intRangeAtMost(usize, 1, unread));
    }

    fn end(peer: *Peer) void {
        const die = peer.kernel.random();
        const done = peer.frames_left == 0 and peer.at == peer.script.items.len;
        switch (peer.manner) {
            .asking => if (done) {
                peer.socket.writes_ended = true;
                if (peer.socket.unread().len == 0 and peer.socket.isOver()) peer.close();
            },
            .vanishing => if (die.uintLessThan(u8, 8) == 0) peer.close(),
            .covering_ears => if (die.uintLessThan(u8, 8) == 0) {
                peer.socket.reads_ended = true;
            },
            .polite, .crawling, .babbling, .boasting, .flooding => if (done and die.uintLessThan(u8, 8) == 0) peer.close(),
            .stalling, .deaf => if (die.uintLessThan(u8, 64) == 0) peer.close(),
        }
    }

    pub fn close(peer: *Peer) void {
        if (peer.socket.closed) return;
        peer.kernel.trace("peer {t} closes socket {d}", .{ peer.manner, peer.socket.number });
        peer.socket.close();
    }

    /// The run is coming to its end: it reads all there is, and says whether there was anything.
    pub fn settle(peer: *Peer) bool {
        if (peer.socket.closed) return false;
        const unread = peer.socket.unread().len;
        if (peer.socket.reads_ended or unread == 0) return false;
        _ = peer.socket.take(unread);
        return true;
    }
};
