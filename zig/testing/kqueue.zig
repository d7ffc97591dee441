//! kqueue(2) over epoll(7): what test programs on Linux are linked with by
//! `-Dkqueue-library=stand-in`, so that the kqueue poller runs there, and contexts on it.
//!
//! It has what the poller uses, the filters READ, WRITE and USER, and does with them what the manual
//! pages of macOS and FreeBSD say and their kernels do: that a reader's EV_EOF comes when the peer
//! stops sending, and a writer's only when the peer reads no more; that an add changes no EV_CLEAR;
//! that a pipe without a reader is refused to who wants to write. Anything else that is asked of it
//! stops the program: better no answer than one that was made up.
//!
//!     queue    an epoll, so that it can itself be waited for
//!     note     what one descriptor's filters are; it stands in the epoll once, for both
//!     user     the one user event: while it is triggered, `lit` stands in the epoll
//!
//! A kernel forgets a descriptor that is closed. Here that is noticed when its number comes back, and
//! so it is with a queue.

const std = @import("std");
const sys = @import("sys");
const c = std.c;
const kq = sys.kqueue;
const linux = std.os.linux;

const E = c.E;
const EPOLL = linux.EPOLL;
const Fd = sys.Fd;

/// Not the allocators of tests: a closed queue is not seen, and its notes stay.
const allocator = std.heap.c_allocator;

/// How many events one call brings at most.
const events_max = 256;

const Trigger = enum { none, level, edge };

const Note = struct {
    read: Trigger = .none,
    write: Trigger = .none,
    /// Whose turn it is where there is room for one only.
    write_next: bool = false,

    fn isEmpty(note: Note) bool {
        return note.read == .none and note.write == .none;
    }

    /// One descriptor has one way to be told of. The poller is in such a state only between two of
    /// its changes, and does not wait there.
    fn isMixed(note: Note) bool {
        return (note.read == .edge and note.write == .level) or
            (note.read == .level and note.write == .edge);
    }

    fn events(note: Note) u32 {
        var wanted: u32 = 0;
        if (note.read != .none) wanted |= EPOLL.IN | EPOLL.RDHUP;
        if (note.write != .none) wanted |= EPOLL.OUT;
        if (note.read != .level and note.write != .level) wanted |= EPOLL.ET;
        return wanted;
    }
};

const Queue = struct {
    notes: std.AutoHashMapUnmanaged(Fd, Note) = .empty,
    user: enum { none, waiting, triggered } = .none,
};

var queues: std.AutoHashMapUnmanaged(Fd, Queue) = .empty;
/// Guards all of the above. Nobody sleeps while holding it.
var mutex: c.pthread_mutex_t = .{};

/// Always readable. It is open before anybody begins to count descriptors.
var lit: Fd = -1;

fn openLit() callconv(.c) void {
    lit = c.eventfd(1, linux.EFD.CLOEXEC | linux.EFD.NONBLOCK);
}

export const open_lit_early: *const fn () callconv(.c) void linksection(".init_array") = &openLit;

export fn kqueue() Fd {
    const fd = c.epoll_create1(0);
    if (fd < 0) return fd;
    lock();
    defer unlock();
    const place = queues.getOrPut(allocator, fd) catch @panic("out of memory");
    if (place.found_existing) place.value_ptr.notes.deinit(allocator);
    place.value_ptr.* = .{};
    return fd;
}

export fn kevent(
    fd: Fd,
    changes: [*]const kq.Kevent,
    changes_count: c_int,
    events: [*]kq.Kevent,
    events_count: c_int,
    timeout: ?*const c.timespec,
) c_int {
    const room: usize = @intCast(events_count);
    var found: usize = 0;
    for (changes[0..@intCast(changes_count)]) |wanted| {
        const errno = change(fd, wanted);
        if (errno == .SUCCESS and wanted.flags & kq.flag_receipt == 0) continue;
        if (found == room) return fail(errno);
        events[found] = wanted;
        events[found].flags = kq.flag_error;
        events[found].data = @intFromEnum(errno);
        found += 1;
    }
    if (found > 0 or room == 0) return @intCast(found);
    return wait(fd, events[0..@min(room, events_max)], timeout);
}

fn change(fd: Fd, wanted: kq.Kevent) E {
    lock();
    defer unlock();
    const queue = queues.getPtr(fd) orelse return .BADF;
    return switch (wanted.filter) {
        kq.filter_read, kq.filter_write => changeNote(fd, queue, wanted),
        kq.filter_user => changeUser(fd, queue, wanted),
        else => @panic("the stand-in has no such filter"),
    };
}

fn changeNote(queue_fd: Fd, queue: *Queue, wanted: kq.Kevent) E {
    const fd: Fd = @intCast(wanted.ident);
    const present = queue.notes.get(fd) orelse Note{};
    var note = present;
    const trigger = if (wanted.filter == kq.filter_read) &note.read else &note.write;
    const adds = wanted.flags & kq.flag_add != 0;
    if (!adds and trigger.* == .none) return .NOENT;
    if (adds) {
        if (wanted.filter == kq.filter_write and isPipeWithoutReader(fd)) return .PIPE;
        if (trigger.* == .none) trigger.* = triggerOf(wanted);
    } else if (wanted.flags & kq.flag_delete != 0) {
        trigger.* = .none;
    } else if (wanted.flags & kq.flag_enable == 0) @panic("the stand-in has no such change");
    if (present.isEmpty()) return putNote(queue_fd, queue, fd, note, EPOLL.CTL_ADD);
    if (note.isEmpty()) {
        _ = queue.notes.remove(fd);
        return control(queue_fd, EPOLL.CTL_DEL, fd, 0);
    }
    const errno = putNote(queue_fd, queue, fd, note, EPOLL.CTL_MOD);
    if (errno != .NOENT and errno != .BADF) return errno;
    // The file was closed, and what was noted of it is gone. Its number may be another's by now.
    _ = queue.notes.remove(fd);
    if (errno == .BADF or !adds) return errno;
    note = .{};
    (if (wanted.filter == kq.filter_read) &note.read else &note.write).* = triggerOf(wanted);
    return putNote(queue_fd, queue, fd, note, EPOLL.CTL_ADD);
}

fn triggerOf(wanted: kq.Kevent) Trigger {
    return if (wanted.flags & kq.flag_clear != 0) .edge else .level;
}

fn putNote(queue_fd: Fd, queue: *Queue, fd: Fd, note: Note, operation: u32) E {
    queue.notes.ensureUnusedCapacity(allocator, 1) catch @panic("out of memory");
    const errno = control(queue_fd, operation, fd, note.events());
    if (errno == .SUCCESS) queue.notes.putAssumeCapacity(fd, note);
    return errno;
}

fn isPipeWithoutReader(fd: Fd) bool {
    var system: sys.System = .{};
    const stat = system.statFd(fd) catch return false;
    if (stat.kind != .pipe) return false;
    var fds = [1]sys.PollFd{.{ .fd = fd, .events = 0, .revents = 0 }};
    const count = system.poll(&fds, 0) catch return false;
    return count == 1 and fds[0].revents & sys.POLL.ERR != 0;
}

fn changeUser(queue_fd: Fd, queue: *Queue, wanted: kq.Kevent) E {
    if (wanted.ident != 0) @panic("the stand-in has one user event");
    if (wanted.flags & kq.flag_clear != 0) @panic("the stand-in's user event stays");
    if (wanted.flags & kq.flag_add != 0) {
        if (queue.user == .none) queue.user = .waiting;
    } else if (queue.user == .none) return .NOENT;
    if (wanted.flags & kq.flag_delete != 0) {
        defer queue.user = .none;
        return if (queue.user == .triggered) control(queue_fd, EPOLL.CTL_DEL, lit, 0) else .SUCCESS;
    }
    if (wanted.fflags & kq.note_trigger == 0 or queue.user == .triggered) return .SUCCESS;
    const errno = control(queue_fd, EPOLL.CTL_ADD, lit, EPOLL.IN);
    if (errno == .SUCCESS) queue.user = .triggered;
    return errno;
}

fn control(queue_fd: Fd, operation: u32, fd: Fd, events: u32) E {
    var event: linux.epoll_event = .{ .events = events, .data = .{ .fd = fd } };
    return linux.errno(linux.epoll_ctl(queue_fd, operation, fd, &event));
}

fn wait(fd: Fd, events: []kq.Kevent, timeout: ?*const c.timespec) c_int {
    var buffer: [events_max]linux.epoll_event = undefined;
    // Any of them may come to two.
    const places = @max(1, events.len / 2);
    const count = linux.syscall6(
        .epoll_pwait2,
        @intCast(fd),
        @intFromPtr(&buffer),
        places,
        @intFromPtr(timeout),
        0,
        0,
    );
    const errno = linux.errno(count);
    if (errno != .SUCCESS) return fail(errno);
    lock();
    defer unlock();
    const queue = queues.getPtr(fd).?;
    var found: usize = 0;
    for (buffer[0..count]) |event| {
        if (event.data.fd == lit) {
            events[found] = kq.change(0, kq.filter_user, 0, 0);
            found += 1;
        } else if (queue.notes.getPtr(event.data.fd)) |note| {
            found += report(events[found..], event, note);
        }
    }
    return @intCast(found);
}

/// What one descriptor comes to.
fn report(events: []kq.Kevent, event: linux.epoll_event, note: *Note) usize {
    if (note.isMixed()) @panic("the stand-in cannot tell of one filter once, and of another always");
    const lost = EPOLL.HUP | EPOLL.ERR;
    const reads = note.read != .none and event.events & (EPOLL.IN | EPOLL.RDHUP | lost) != 0;
    const writes = note.write != .none and event.events & (EPOLL.OUT | lost) != 0;
    const one_only = reads and writes and events.len == 1;
    if (one_only) note.write_next = !note.write_next;
    var found: usize = 0;
    if (reads and !(one_only and note.write_next)) {
        const at_end = event.events & (EPOLL.RDHUP | lost) != 0;
        events[found] = reportOf(event, kq.filter_read, at_end);
        found += 1;
    }
    if (writes and !(one_only and !note.write_next)) {
        const at_end = event.events & lost != 0;
        events[found] = reportOf(event, kq.filter_write, at_end);
        found += 1;
    }
    return found;
}

fn reportOf(event: linux.epoll_event, filter: i16, at_end: bool) kq.Kevent {
    var told = kq.change(@intCast(event.data.fd), filter, if (at_end) kq.flag_eof else 0, 0);
    // Beside an end stands the socket's error.
    if (event.events & EPOLL.ERR != 0) told.fflags = @intFromEnum(E.CONNRESET);
    told.data = 1;
    return told;
}

fn fail(errno: E) c_int {
    c._errno().* = @intFromEnum(errno);
    return -1;
}

fn lock() void {
    std.debug.assert(c.pthread_mutex_lock(&mutex) == .SUCCESS);
}

fn unlock() void {
    std.debug.assert(c.pthread_mutex_unlock(&mutex) == .SUCCESS);
}
