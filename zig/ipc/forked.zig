//! A process forked by a test, to own something, to race for it, or to be killed with it.
//!
//! Parent and child speak in single numbers. The child ends without the parent's `defer`s, and
//! hears 0 when the parent is gone, so that a failed test leaves no process behind.

const std = @import("std");
const sys = @import("sys");
const c = std.c;

pub const Forked = struct {
    pid: i32,
    channel: Channel,

    /// One end of the conversation. It blocks.
    pub const Channel = struct {
        fd: sys.Fd,

        pub fn say(channel: Channel, number: i32) void {
            const bytes = std.mem.asBytes(&number);
            // Whoever has gone away need not be told, and the speaker must not die of it.
            _ = c.send(channel.fd, bytes, bytes.len, sys.platform.send_flags);
        }

        pub fn hear(channel: Channel) i32 {
            var number: i32 = 0;
            const bytes = std.mem.asBytes(&number);
            const count = c.recv(channel.fd, bytes, bytes.len, c.MSG.WAITALL);
            return if (count == bytes.len) number else 0;
        }
    };

    /// Runs `body(channel, context)` in a child. What the child changes, the parent does not see.
    pub fn start(comptime body: anytype, context: anytype) !Forked {
        var fds: [2]sys.Fd = undefined;
        if (c.socketpair(c.AF.UNIX, c.SOCK.STREAM, 0, &fds) != 0) return error.NoChannel;
        const pid = c.fork();
        if (pid < 0) return error.NoFork;
        if (pid == 0) {
            _ = c.close(fds[0]);
            body(Channel{ .fd = fds[1] }, context);
            c._exit(0);
        }
        _ = c.close(fds[1]);
        return .{ .pid = pid, .channel = .{ .fd = fds[0] } };
    }

    pub fn say(child: Forked, number: i32) void {
        child.channel.say(number);
    }

    pub fn hear(child: Forked) i32 {
        return child.channel.hear();
    }

    /// Lets the child go on to its end, and waits for that.
    pub fn finish(child: *Forked) void {
        // A child forked later has this end open as well, so that to close it would not be heard.
        _ = c.shutdown(child.channel.fd, c.SHUT.RDWR);
        _ = c.close(child.channel.fd);
        child.wait();
    }

    pub fn kill(child: *Forked) void {
        _ = c.kill(child.pid, .KILL);
        child.finish();
    }

    fn wait(child: *Forked) void {
        while (c.waitpid(child.pid, null, 0) < 0) {
            if (@as(c.E, @enumFromInt(c._errno().*)) != .INTR) break;
        }
        child.* = undefined;
    }
};
