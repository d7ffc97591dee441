//! poll(2): on every system, for few descriptors; its cost grows with each one watched.
//!
//! The kernel wants one array of descriptors. Beside it stand their tokens, slot by slot, and a map
//! from descriptor to slot, so that nothing but the wait itself looks at every one. The last slot
//! moves into the place of one that is removed. A descriptor that somebody closed under us stands in
//! its slot as its complement, which is negative and so passed over by the kernel, until it is
//! removed or its number is added anew.

const std = @import("std");
const sys = @import("sys");
const poller = @import("poller.zig");

const Allocator = std.mem.Allocator;
const E = std.c.E;
const Fd = sys.Fd;
const POLL = sys.POLL;

pub const Poll = struct {
    system: *sys.System,
    allocator: Allocator,
    fds: std.ArrayList(sys.PollFd) = .empty,
    tokens: std.ArrayList(u64) = .empty,
    slots: std.AutoHashMapUnmanaged(Fd, u32) = .empty,
    /// Where the next wait begins to look, so that a short list of results serves all in turn.
    next: usize = 0,
    /// One was removed since `descriptors` were copied last.
    removed: bool = false,

    pub fn init(system: *sys.System, allocator: Allocator) poller.InitError!Poll {
        return .{ .system = system, .allocator = allocator };
    }

    pub fn deinit(poll: *Poll) void {
        poll.fds.deinit(poll.allocator);
        poll.tokens.deinit(poll.allocator);
        poll.slots.deinit(poll.allocator);
    }

    pub fn add(poll: *Poll, fd: Fd, token: u64, interest: poller.Interest) poller.AddError!void {
        const known = poll.slots.get(fd);
        const closed = if (known) |slot| poll.fds.items[slot].fd < 0 else false;
        if (known != null and !closed) return poll.refuse(.EXIST);
        // The others learn it from the kernel; poll would only find out while it waits.
        if (!poll.system.isOpen(fd)) return error.Unexpected;
        if (closed) poll.remove(fd);
        try poll.fds.ensureUnusedCapacity(poll.allocator, 1);
        try poll.tokens.ensureUnusedCapacity(poll.allocator, 1);
        try poll.slots.ensureUnusedCapacity(poll.allocator, 1);
        const slot: u32 = @intCast(poll.fds.items.len);
        poll.fds.appendAssumeCapacity(.{ .fd = fd, .events = eventsOf(interest), .revents = 0 });
        poll.tokens.appendAssumeCapacity(token);
        poll.slots.putAssumeCapacity(fd, slot);
    }

    pub fn modify(poll: *Poll, fd: Fd, token: u64, interest: poller.Interest) poller.AddError!void {
        const slot = poll.slots.get(fd) orelse return poll.refuse(.NOENT);
        poll.fds.items[slot].events = eventsOf(interest);
        poll.tokens.items[slot] = token;
    }

    pub fn remove(poll: *Poll, fd: Fd) void {
        const removed = poll.slots.fetchRemove(fd) orelse return;
        const slot = removed.value;
        poll.removed = true;
        _ = poll.fds.swapRemove(slot);
        _ = poll.tokens.swapRemove(slot);
        if (slot < poll.fds.items.len) {
            const moved = poll.fds.items[slot].fd;
            poll.slots.putAssumeCapacity(if (moved < 0) ~moved else moved, slot);
        }
    }

    pub fn wait(poll: *Poll, ready: []poller.Ready, timeout_ns: ?u64) poller.WaitError!usize {
        const count = try poll.system.poll(poll.fds.items, timeout_ns);
        if (count == 0) return 0;
        const slots = poll.fds.items.len;
        const wanted = @min(count, ready.len);
        var found: usize = 0;
        var slot = if (poll.next < slots) poll.next else 0;
        for (0..slots) |_| {
            if (poll.fds.items[slot].revents != 0) {
                ready[found] = poll.readyAt(slot);
                found += 1;
            }
            slot = if (slot + 1 == slots) 0 else slot + 1;
            if (found == wanted) break;
        }
        poll.next = slot;
        return found;
    }

    fn readyAt(poll: *Poll, slot: usize) poller.Ready {
        const entry = &poll.fds.items[slot];
        // macOS does not watch every device and says "invalid" of one that is open: always ready.
        // Of one that is not open, because somebody closed it under us, the end is what is left;
        // told once, since the kernel would say it at every wait, and none would sleep again.
        const invalid = entry.revents & POLL.NVAL != 0;
        const unwatchable = invalid and poll.system.isOpen(entry.fd);
        const events = if (unwatchable) entry.events else entry.revents;
        if (invalid and !unwatchable) {
            entry.fd = ~entry.fd;
            poll.removed = true;
        }
        return .{
            .token = poll.tokens.items[slot],
            .readable = events & POLL.IN != 0,
            .writable = events & POLL.OUT != 0,
            .ended = !unwatchable and events & (POLL.HUP | POLL.ERR | POLL.NVAL) != 0,
        };
    }

    pub fn held(poll: *const Poll) u32 {
        _ = poll;
        return 0;
    }

    pub fn waitable(poll: *const Poll) ?Fd {
        _ = poll;
        return null;
    }

    pub fn descriptors(poll: *const Poll) []const sys.PollFd {
        return poll.fds.items;
    }

    fn refuse(poll: *Poll, errno: E) error{Unexpected} {
        poll.system.failure = .{ .errno = @intFromEnum(errno), .syscall = .poll };
        return error.Unexpected;
    }
};

fn eventsOf(interest: poller.Interest) i16 {
    var events: i16 = 0;
    if (interest.readable) events |= POLL.IN;
    if (interest.writable) events |= POLL.OUT;
    return events;
}
