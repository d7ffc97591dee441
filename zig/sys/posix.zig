//! What Linux, macOS and FreeBSD do alike, over the C library.
//!
//! The C library is always linked (a thread it does not know of cannot call back into Bun), so its
//! functions are the way in, and errno is read at once in the call that failed.

const std = @import("std");
const builtin = @import("builtin");
const sys = @import("sys.zig");
const platform = sys.platform;
const assert = std.debug.assert;
const c = std.c;

const Fd = sys.Fd;
const E = c.E;

pub const socket_path_bytes_max = @as(c.sockaddr.un, undefined).path.len - 1;

/// PATH_MAX counts the closing zero byte.
const path_bytes_max = c.PATH_MAX - 1;

/// What lay beside the bytes of a read: so much of the room for it is filled, and whether that was not all.
pub const Beside = struct { bytes: usize = 0, cut: bool = false };

/// The system as one context sees it. It owns no descriptors; it keeps what the last failure was.
pub const System = struct {
    failure: sys.Failure = .{},

    pub const Wake = platform.Wake;

    // Time, threads, memory

    /// Nanoseconds that never run backwards, from a start that means nothing.
    pub fn monotonic(system: *System) u64 {
        _ = system;
        var now: c.timespec = undefined;
        // The clock exists on every system named here and the pointer is good, which leaves
        // clock_gettime nothing to fail on.
        assert(c.clock_gettime(platform.monotonic_clock, &now) == 0);
        return @as(u64, @intCast(now.sec)) * std.time.ns_per_s + @as(u64, @intCast(now.nsec));
    }

    /// A number that no other living thread of this process has. It outlives a fork: to itself, the
    /// thread that goes on in the child is the one that called.
    pub fn threadId(system: *System) u64 {
        _ = system;
        if (thread_id == 0) thread_id = platform.threadId();
        return thread_id;
    }

    pub fn processId(system: *System) i32 {
        _ = system;
        return c.getpid();
    }

    /// Whether a process has the number `pid`, as far as this process can see: one in another
    /// container has a number that means nothing here.
    pub fn processAlive(system: *System, pid: i32) bool {
        _ = system;
        assert(pid > 0);
        // Signal 0 is never delivered (kill(2)), and std's list of signals has no name for it.
        return c.kill(pid, @enumFromInt(0)) == 0 or lastError() != .SRCH;
    }

    /// The user whose rights the process acts with.
    pub fn userId(system: *System) u32 {
        _ = system;
        return c.geteuid();
    }

    /// How many processors this process may run on; at least one.
    pub fn processorsUsable(system: *System) u32 {
        _ = system;
        return @max(1, platform.processorsUsable());
    }

    pub fn yield(system: *System) void {
        _ = system;
        _ = c.sched_yield();
    }

    /// How often somebody else has got the processor from this thread; always 0 where the system does not count that.
    pub fn switches(system: *System) u64 {
        _ = system;
        if (!@hasDecl(c.rusage, "THREAD")) return 0;
        var usage: c.rusage = undefined;
        // The thread is this one and the pointer is good, which leaves getrusage nothing to fail on.
        assert(c.getrusage(c.rusage.THREAD, &usage) == 0);
        return @intCast(usage.nvcsw + usage.nivcsw);
    }

    /// A variable of the environment, or null where it is unset. The bytes belong to the process.
    pub fn environment(system: *System, name: [:0]const u8) ?[]const u8 {
        _ = system;
        return std.mem.span(c.getenv(name) orelse return null);
    }

    /// Zeroed pages of their own. `bytes` is a multiple of the page size.
    pub fn mapPages(system: *System, bytes: usize) sys.MapError![]align(std.heap.page_size_min) u8 {
        assert(bytes > 0);
        assert(bytes % std.heap.pageSize() == 0);
        const pages = c.mmap(
            null,
            bytes,
            .{ .READ = true, .WRITE = true },
            .{ .TYPE = .PRIVATE, .ANONYMOUS = true },
            -1,
            0,
        );
        if (pages == c.MAP_FAILED) {
            _ = system.record(.mmap);
            return error.OutOfMemory;
        }
        return @as([*]align(std.heap.page_size_min) u8, @ptrCast(@alignCast(pages)))[0..bytes];
    }

    pub fn unmapPages(system: *System, pages: []align(std.heap.page_size_min) u8) void {
        _ = system;
        assert(c.munmap(@ptrCast(pages.ptr), pages.len) == 0);
    }

    // Sockets

    /// A Unix stream socket that never blocks, never raises SIGPIPE and does not outlive an exec.
    pub fn socket(system: *System) sys.SocketError!Fd {
        const fd = platform.openSocket();
        if (fd >= 0) return fd;
        return system.socketFailed(.socket);
    }

    /// Two such sockets, connected to each other.
    pub fn pair(system: *System) sys.SocketError![2]Fd {
        var fds: [2]Fd = undefined;
        if (platform.openPair(&fds) == 0) return fds;
        return system.socketFailed(.socketpair);
    }

    /// A further descriptor for what `fd` stands for, so that closing either leaves the other. It does not outlive an exec.
    pub fn duplicate(system: *System, fd: Fd) sys.DuplicateError!Fd {
        const other = c.fcntl(fd, c.F.DUPFD_CLOEXEC, @as(c_int, 0));
        if (other >= 0) return other;
        return switch (system.record(.fcntl)) {
            .MFILE => error.DescriptorLimit,
            else => error.Unexpected,
        };
    }

    fn socketFailed(system: *System, syscall: sys.Syscall) sys.SocketError {
        return switch (system.record(syscall)) {
            .MFILE, .NFILE, .NOBUFS, .NOMEM => error.DescriptorLimit,
            else => error.Unexpected,
        };
    }

    pub fn bind(system: *System, fd: Fd, path: []const u8) sys.BindError!void {
        const address = try Address.init(system, .bind, path);
        if (c.bind(fd, @ptrCast(&address.un), address.bytes) == 0) return;
        return switch (system.record(.bind)) {
            .ADDRINUSE, .EXIST => error.InUse,
            .NOENT, .NOTDIR => error.NotFound,
            .ACCES, .PERM, .ROFS => error.Permission,
            .NAMETOOLONG => error.PathTooLong,
            else => error.Unexpected,
        };
    }

    pub fn listen(system: *System, fd: Fd, backlog: u31) sys.ListenError!void {
        if (c.listen(fd, backlog) == 0) return;
        _ = system.record(.listen);
        return error.Unexpected;
    }

    /// The next connection, made like one of `socket`, or null when none waits. One that broke
    /// while it waited is passed over: each such round takes one off a bounded queue.
    pub fn accept(system: *System, fd: Fd) sys.AcceptError!?Fd {
        while (true) {
            const accepted = platform.acceptSocket(fd);
            if (accepted >= 0) return accepted;
            switch (lastError()) {
                .AGAIN => return null,
                .INTR, .CONNABORTED, .PROTO => continue,
                else => {},
            }
            return switch (system.record(.accept)) {
                .MFILE, .NFILE, .NOBUFS, .NOMEM => error.DescriptorLimit,
                else => error.Unexpected,
            };
        }
    }

    /// Connects at once or not at all. Linux says `Refused` for a plain file too, where macOS says
    /// `NotService`: who wants to tell asks `statPath`.
    pub fn connect(system: *System, fd: Fd, path: []const u8) sys.ConnectError!void {
        const address = try Address.init(system, .connect, path);
        while (true) {
            if (c.connect(fd, @ptrCast(&address.un), address.bytes) == 0) return;
            switch (lastError()) {
                .INTR => continue,
                // A call that a signal cut short went through after all.
                .ISCONN => return,
                else => {},
            }
            return switch (system.record(.connect)) {
                .NOENT, .NOTDIR => error.NotFound,
                .CONNREFUSED, .CONNRESET => error.Refused,
                .AGAIN => error.Busy,
                .ACCES, .PERM => error.Permission,
                .PROTOTYPE, .NOTSOCK => error.NotService,
                .NAMETOOLONG => error.PathTooLong,
                else => error.Unexpected,
            };
        }
    }

    /// Up to `buffer.len` bytes, which is not zero: a stream that reads nothing has ended. The descriptors that came
    /// with them go to `arrivals`, as far as it has room; without any, all are closed, and `cut` tells.
    pub fn receive(system: *System, fd: Fd, buffer: []u8, arrivals: *sys.rights.Arrivals) sys.Received {
        assert(buffer.len > 0);
        // The room for descriptors is a thousand bytes, which most reads do well without.
        if (sys.rights.cuts and arrivals.room.len == 0) return system.receiveInto(fd, buffer, &.{}, null, arrivals);
        return system.receiveRights(fd, buffer, arrivals);
    }

    noinline fn receiveRights(system: *System, fd: Fd, buffer: []u8, arrivals: *sys.rights.Arrivals) sys.Received {
        var control: sys.rights.Control = .{};
        const wanted = if (sys.rights.cuts) arrivals.room.len else sys.rights.descriptors_max;
        return system.receiveInto(fd, buffer, control.room(wanted), &control, arrivals);
    }

    inline fn receiveInto(
        system: *System,
        fd: Fd,
        buffer: []u8,
        room: []u8,
        control: ?*const sys.rights.Control,
        arrivals: *sys.rights.Arrivals,
    ) sys.Received {
        var beside: Beside = .{};
        while (true) {
            const count = platform.recvMessage(fd, buffer, room, &beside);
            if (count >= 0) {
                if (control) |laid| laid.take(beside.bytes, arrivals, closeDescriptor);
                arrivals.cut = arrivals.cut or beside.cut;
                return if (count == 0) .end else .{ .bytes = @intCast(count) };
            }
            switch (lastError()) {
                .AGAIN => return .would_block,
                .INTR => continue,
                else => {},
            }
            return switch (system.record(.recv)) {
                .CONNRESET => .reset,
                else => .failed,
            };
        }
    }

    /// Sends as much of `parts` as the peer can take now, and at most `send_parts_max` of them.
    pub fn send(system: *System, fd: Fd, parts: []const std.posix.iovec_const) sys.Sent {
        assert(parts.len > 0);
        const list = parts[0..@min(parts.len, sys.send_parts_max)];
        while (true) {
            // One part needs no list, and the kernel then has none to copy and check.
            const count = if (list.len == 1)
                platform.send(fd, parts[0].base[0..parts[0].len])
            else
                platform.sendMessage(fd, list, "");
            if (count >= 0) return .{ .bytes = @intCast(count) };
            if (isFull(lastError())) return .would_block;
            if (lastError() == .INTR) continue;
            return if (isGone(system.record(.send))) .broken else .failed;
        }
    }

    /// The same, with descriptors that go along with the first byte. They stay the caller's.
    pub fn sendRights(system: *System, fd: Fd, parts: []const std.posix.iovec_const, fds: []const Fd) sys.Passed {
        assert(parts.len > 0 and fds.len > 0 and fds.len <= sys.rights.descriptors_max);
        var control: sys.rights.Control = .{};
        const beside = control.put(fds);
        while (true) {
            const count = platform.sendMessage(fd, parts[0..@min(parts.len, sys.send_parts_max)], beside);
            if (count >= 0) return .{ .bytes = @intCast(count) };
            if (isFull(lastError())) return .would_block;
            if (lastError() == .INTR) continue;
            return switch (system.record(.send)) {
                // The socket itself is ours, and open.
                .BADF, .INVAL, .OPNOTSUPP => .unpassable,
                // The peer has asked its system to let none through (SO_PASSRIGHTS), or some policy does not.
                .PERM, .ACCES => .unpassable,
                .TOOMANYREFS => .crowded,
                else => |errno| if (isGone(errno)) .broken else .failed,
            };
        }
    }

    /// Whether all of `fds` are of a kind that can be passed, as far as can be told: it is tried between two sockets of
    /// our own, with which they go again. The answer is one about these descriptors, and so none that could be kept; and
    /// two sockets that were would be two descriptors for each context, where this is asked only behind a queue.
    pub fn passes(system: *System, fds: []const Fd) bool {
        const ends = system.pair() catch return true;
        defer for (ends) |end| system.close(end);
        const part = [_]std.posix.iovec_const{.{ .base = "?", .len = 1 }};
        return system.sendRights(ends[0], &part, fds) != .unpassable;
    }

    /// A full kernel buffer shows as ENOBUFS on macOS and FreeBSD, and passes.
    fn isFull(errno: E) bool {
        return errno == .AGAIN or errno == .NOBUFS;
    }

    /// EPROTOTYPE is what macOS answers while the peer is being closed.
    fn isGone(errno: E) bool {
        return switch (errno) {
            .PIPE, .CONNRESET, .NOTCONN, .PROTOTYPE => true,
            else => false,
        };
    }

    /// The same as `receive` for whatever can be read from, which does not block only if that was asked of it.
    pub fn read(system: *System, fd: Fd, buffer: []u8) sys.Received {
        assert(buffer.len > 0);
        while (true) {
            const count = c.read(fd, buffer.ptr, buffer.len);
            if (count > 0) return .{ .bytes = @intCast(count) };
            if (count == 0) return .end;
            switch (lastError()) {
                .AGAIN => return .would_block,
                .INTR => continue,
                else => {},
            }
            return switch (system.record(.read)) {
                .CONNRESET => .reset,
                // What a terminal says that has hung up.
                .IO => .end,
                else => .failed,
            };
        }
    }

    /// The same as `send` for whatever can be written to.
    pub fn write(system: *System, fd: Fd, bytes: []const u8) sys.Sent {
        while (true) {
            const count = platform.send(fd, bytes);
            if (count >= 0) return .{ .bytes = @intCast(count) };
            switch (lastError()) {
                .AGAIN, .NOBUFS => return .would_block,
                .INTR => continue,
                .NOTSOCK => return system.writeQuietly(fd, bytes),
                else => {},
            }
            return if (isGone(system.record(.send))) .broken else .failed;
        }
    }

    /// Whether bytes can pass between two descriptors without being copied to this process.
    pub const splices = platform.splices;

    /// The two ends of a pipe, to read from and to write to, with room for about `bytes`; null if there is none to be had.
    pub fn pipe(system: *System, bytes: u31) ?[2]Fd {
        if (!splices) return null;
        const ends = platform.openPipe(bytes);
        if (ends == null) _ = system.record(.pipe);
        return ends;
    }

    /// The two ends of a pipe, to read from and to write to, which do not block and do not outlive an exec.
    pub fn pipeEnds(system: *System) sys.SocketError![2]Fd {
        var ends: [2]Fd = undefined;
        if (platform.openEnds(&ends) == 0) return ends;
        return system.socketFailed(.pipe);
    }

    /// Moves up to `count` bytes from one descriptor into another, of which one is a pipe. The end of what can be read is
    /// `end`, and a pair of which one is of another kind than this can do is `failed`, with EINVAL.
    pub fn splice(system: *System, from: Fd, to: Fd, count: usize) sys.Spliced {
        if (!splices) return .unable;
        var held = Held.begin();
        while (true) {
            const moved = platform.splice(from, to, count);
            if (moved >= 0) {
                held.end(false);
                return if (moved == 0) .end else .{ .bytes = @intCast(moved) };
            }
            const errno = lastError();
            if (errno == .INTR) continue;
            held.end(errno == .PIPE);
            if (errno == .AGAIN) return .would_block;
            system.failure = .{ .errno = @intFromEnum(errno), .syscall = .splice };
            return switch (errno) {
                .PIPE, .NOTCONN => .broken,
                .CONNRESET => .reset,
                .INVAL, .OPNOTSUPP, .NOSYS => .unable,
                else => .failed,
            };
        }
    }

    /// A pipe that nobody reads raises a signal, which is held back and taken away again if it was not there before.
    pub fn writeQuietly(system: *System, fd: Fd, bytes: []const u8) sys.Sent {
        while (platform.writeWithoutSignal(fd, bytes)) |count| {
            if (count >= 0) return .{ .bytes = @intCast(count) };
            switch (lastError()) {
                .INTR => continue,
                .AGAIN => return .would_block,
                else => return if (system.record(.write) == .PIPE) .broken else .failed,
            }
        }
        var held = Held.begin();
        while (true) {
            const count = c.write(fd, bytes.ptr, bytes.len);
            if (count >= 0) {
                held.end(false);
                return .{ .bytes = @intCast(count) };
            }
            const errno = lastError();
            if (errno == .INTR) continue;
            held.end(errno == .PIPE);
            if (errno == .AGAIN) return .would_block;
            system.failure = .{ .errno = @intFromEnum(errno), .syscall = .write };
            return if (errno == .PIPE) .broken else .failed;
        }
    }

    /// SIGPIPE, held back for the length of one call, unless the process ignores it, as Bun does: to ask that is one call
    /// instead of three.
    const Held = struct {
        ignored: bool = false,
        pipe: c.sigset_t,
        mask: c.sigset_t,
        was_pending: bool,

        fn begin() Held {
            var held: Held = .{ .pipe = std.posix.sigemptyset(), .mask = undefined, .was_pending = undefined };
            var action: c.Sigaction = undefined;
            assert(c.sigaction(.PIPE, null, &action) == 0);
            held.ignored = action.handler.handler == c.SIG.IGN;
            if (held.ignored) return held;
            std.posix.sigaddset(&held.pipe, .PIPE);
            var pending: c.sigset_t = undefined;
            assert(signals.sigpending(&pending) == 0);
            held.was_pending = std.posix.sigismember(&pending, .PIPE);
            assert(c.pthread_sigmask(c.SIG.BLOCK, &held.pipe, &held.mask) == 0);
            return held;
        }

        /// With `raised`, the call has raised it, and unless it was there before it is taken away again.
        fn end(held: *Held, raised: bool) void {
            if (held.ignored) return;
            var taken: c_int = 0;
            if (raised and !held.was_pending) assert(c.sigwait(&held.pipe, &taken) == 0);
            var unwanted: c.sigset_t = undefined;
            assert(c.pthread_sigmask(c.SIG.SETMASK, &held.mask, &unwanted) == 0);
        }
    };

    /// What may be done with an open descriptor.
    pub fn access(system: *System, fd: Fd) sys.AccessError!sys.Access {
        const flags = c.fcntl(fd, c.F.GETFL, @as(c_int, 0));
        if (flags < 0) {
            _ = system.record(.fcntl);
            return error.Unexpected;
        }
        const known: c.O = @bitCast(@as(u32, @intCast(flags)));
        return .{
            .reads = known.ACCMODE != .WRONLY,
            .writes = known.ACCMODE != .RDONLY,
            .blocks = !known.NONBLOCK,
        };
    }

    /// Whether reading and writing wait, for all who share what `fd` stands for.
    pub fn setBlocking(system: *System, fd: Fd, blocks: bool) sys.AccessError!void {
        const flags = c.fcntl(fd, c.F.GETFL, @as(c_int, 0));
        if (flags >= 0) {
            var wanted: c.O = @bitCast(@as(u32, @intCast(flags)));
            wanted.NONBLOCK = !blocks;
            if (c.fcntl(fd, c.F.SETFL, @as(c_int, @bitCast(wanted))) == 0) return;
        }
        _ = system.record(.fcntl);
        return error.Unexpected;
    }

    /// Whether `fd` is a socket for a stream of bytes, and of which kind.
    pub fn socketKind(system: *System, fd: Fd) sys.SocketKindError!sys.SocketKind {
        const kind = system.socketOption(fd, c.SO.TYPE) orelse return error.NotStream;
        if (kind != c.SOCK.STREAM) return error.NotStream;
        var place: c.sockaddr.storage = undefined;
        var bytes: c.socklen_t = @sizeOf(c.sockaddr.storage);
        if (c.getsockname(fd, @ptrCast(&place), &bytes) != 0) return error.NotStream;
        return .{
            .local = place.family == c.AF.UNIX,
            .listens = (system.socketOption(fd, c.SO.ACCEPTCONN) orelse 0) != 0,
        };
    }

    fn socketOption(system: *System, fd: Fd, option: u32) ?c_int {
        var value: c_int = 0;
        var bytes: c.socklen_t = @sizeOf(c_int);
        if (c.getsockopt(fd, c.SOL.SOCKET, option, &value, &bytes) == 0) return value;
        _ = system.record(.getsockopt);
        return null;
    }

    /// Gives a descriptor of somebody else's making what ours have from birth: it neither blocks nor outlives an exec.
    pub fn adopt(system: *System, fd: Fd) sys.AccessError!void {
        if (c.fcntl(fd, c.F.SETFD, @as(c_int, c.FD_CLOEXEC)) < 0) {
            _ = system.record(.fcntl);
            return error.Unexpected;
        }
        platform.quieten(fd);
        platform.keepToBytes(fd);
        try system.setBlocking(fd, false);
    }

    /// The same for one that was accepted from such a socket, whose ways it has.
    pub fn adoptAccepted(system: *System, fd: Fd) void {
        _ = system;
        platform.keepToBytes(fd);
    }

    /// The path a Unix socket is bound to, in `buffer`; empty if it has none. One in Linux's abstract namespace, whose
    /// name begins with a zero, has that as ss(8) and systemd write it: with an `@` in its place.
    pub fn socketPath(system: *System, fd: Fd, buffer: *[socket_path_bytes_max + 1]u8) []const u8 {
        _ = system;
        var place: c.sockaddr.un = undefined;
        var bytes: c.socklen_t = @sizeOf(c.sockaddr.un);
        if (c.getsockname(fd, @ptrCast(&place), &bytes) != 0 or place.family != c.AF.UNIX) return "";
        const filled = @min(bytes, @sizeOf(c.sockaddr.un)) -| @offsetOf(c.sockaddr.un, "path");
        const is_abstract = builtin.os.tag == .linux and filled > 1 and place.path[0] == 0;
        if (is_abstract) place.path[0] = '@';
        const path = if (is_abstract) place.path[0..filled] else std.mem.sliceTo(place.path[0..filled], 0);
        @memcpy(buffer[0..path.len], path);
        return buffer[0..path.len];
    }

    /// Tells the peer that nothing more will come. A peer that is gone already needs no telling.
    pub fn shutdownWrite(system: *System, fd: Fd) void {
        _ = system;
        _ = c.shutdown(fd, c.SHUT.WR);
    }

    /// The descriptor is free afterwards whatever the system says, so nothing is tried twice.
    pub fn close(system: *System, fd: Fd) void {
        _ = system;
        closeDescriptor(fd);
    }

    pub fn credentials(system: *System, fd: Fd) sys.CredentialsError!sys.Credentials {
        return platform.credentials(system, fd);
    }

    /// A descriptor that stands for the peer's process even when its number is used again, or null
    /// where the system has none or the process is gone. `pid` is what `credentials` said.
    pub fn processDescriptor(system: *System, fd: Fd, pid: i32) ?Fd {
        return platform.processDescriptor(system, fd, pid);
    }

    pub fn wakeCreate(system: *System) sys.WakeError!Wake {
        return Wake.create(system);
    }

    /// Waits until one of `fds` has something to report, and says how many have. Zero comes early
    /// when a signal arrives. Where the system counts milliseconds, the wait is rounded up.
    pub fn poll(system: *System, fds: []sys.PollFd, timeout_ns: ?u64) sys.PollError!usize {
        // Linux checks the address even of an empty list, and that of an empty slice is no address.
        var none: [1]sys.PollFd = undefined;
        const list = if (fds.len == 0) none[0..0] else fds;
        const count = platform.pollDescriptors(list, timeout_ns);
        if (count >= 0) return @intCast(count);
        if (lastError() == .INTR) return 0;
        _ = system.record(.poll);
        return error.Unexpected;
    }

    /// Whether `fd` is open. Callers hand in descriptors of their own, and may be wrong.
    pub fn isOpen(system: *System, fd: Fd) bool {
        if (c.fcntl(fd, c.F.GETFD) >= 0) return true;
        _ = system.record(.fcntl);
        return false;
    }

    // Files: the run directory, locks, what a name stands for. None of this is hot.

    /// Refuses a link: whoever could plant one would choose where our sockets go.
    pub fn openDirectory(system: *System, path: []const u8) sys.OpenDirectoryError!Fd {
        const name = try Path.init(system, .open, withoutTrailingSlashes(path));
        while (true) {
            const fd = c.openat(c.AT.FDCWD, name.pointer(), .{
                .DIRECTORY = true,
                .NOFOLLOW = true,
                .CLOEXEC = true,
            });
            if (fd >= 0) return fd;
            if (lastError() == .INTR) continue;
            return switch (system.record(.open)) {
                .NOENT => error.NotFound,
                .NOTDIR, .LOOP, .MLINK => error.NotDirectory,
                .ACCES, .PERM => error.Permission,
                .MFILE, .NFILE, .NOMEM => error.DescriptorLimit,
                .NAMETOOLONG => error.PathTooLong,
                else => error.Unexpected,
            };
        }
    }

    pub fn makeDirectory(system: *System, path: []const u8, mode: u32) sys.MakeDirectoryError!void {
        const name = try Path.init(system, .mkdir, withoutTrailingSlashes(path));
        if (c.mkdir(name.pointer(), @intCast(mode)) == 0) return;
        return switch (system.record(.mkdir)) {
            .EXIST => error.Exists,
            .NOENT, .NOTDIR => error.NotFound,
            .ACCES, .PERM, .ROFS => error.Permission,
            .NOSPC, .DQUOT => error.NoSpace,
            .NAMETOOLONG => error.PathTooLong,
            else => error.Unexpected,
        };
    }

    /// What `path` stands for; a link is itself, even with slashes after it.
    pub fn statPath(system: *System, path: []const u8) sys.StatError!sys.Stat {
        return system.statAt(c.AT.FDCWD, withoutTrailingSlashes(path));
    }

    /// What `name` in the directory `dir` stands for.
    pub fn statAt(system: *System, dir: Fd, name: []const u8) sys.StatError!sys.Stat {
        const path = try Path.init(system, .fstat, name);
        var stat: sys.Stat = undefined;
        if (platform.statAt(dir, path.pointer(), &stat) == 0) return stat;
        return system.statFailed();
    }

    /// What an open descriptor stands for.
    pub fn statFd(system: *System, fd: Fd) sys.StatError!sys.Stat {
        var stat: sys.Stat = undefined;
        if (platform.statFd(fd, &stat) == 0) return stat;
        return system.statFailed();
    }

    fn statFailed(system: *System) sys.StatError {
        return switch (system.record(.fstat)) {
            .NOENT, .NOTDIR => error.NotFound,
            .ACCES, .PERM => error.Permission,
            .NAMETOOLONG => error.PathTooLong,
            else => error.Unexpected,
        };
    }

    /// Opens the lock file `name` in `dir`, and makes it if it is missing. Anything there that is
    /// not a plain file is left alone and refused.
    pub fn openLock(system: *System, dir: Fd, name: []const u8) sys.OpenFileError!Fd {
        return system.openFile(dir, name, .{
            .ACCMODE = .RDWR,
            .CREAT = true,
            .NOFOLLOW = true,
            .NONBLOCK = true,
            .CLOEXEC = true,
        });
    }

    /// Opens a file that is there, to read it or to ask for its lock.
    pub fn openRead(system: *System, dir: Fd, name: []const u8) sys.OpenFileError!Fd {
        return system.openFile(dir, name, .{
            .ACCMODE = .RDONLY,
            .NOFOLLOW = true,
            // A pipe under the name would otherwise keep us until somebody writes to it.
            .NONBLOCK = true,
            .CLOEXEC = true,
        });
    }

    fn openFile(system: *System, dir: Fd, name: []const u8, how: c.O) sys.OpenFileError!Fd {
        const path = try Path.init(system, .open, name);
        const fd = while (true) {
            const fd = c.openat(dir, path.pointer(), how, @as(c_uint, lock_mode));
            if (fd >= 0) break fd;
            if (lastError() == .INTR) continue;
            return switch (system.record(.open)) {
                .NOENT, .NOTDIR => error.NotFound,
                .LOOP, .MLINK, .ISDIR, .NXIO, .OPNOTSUPP => error.NotFile,
                .ACCES, .PERM, .ROFS => error.Permission,
                .NOSPC, .DQUOT => error.NoSpace,
                .MFILE, .NFILE, .NOMEM => error.DescriptorLimit,
                .NAMETOOLONG => error.PathTooLong,
                else => error.Unexpected,
            };
        };
        errdefer closeDescriptor(fd);
        const stat = system.statFd(fd) catch return error.Unexpected;
        if (stat.kind != .file) {
            system.failure = .{ .errno = @intFromEnum(E.INVAL), .syscall = .open };
            return error.NotFile;
        }
        return fd;
    }

    /// Takes the lock for as long as `fd` stays open; false when somebody else has it.
    pub fn lockTake(system: *System, fd: Fd) sys.LockError!bool {
        return platform.lockTake(system, fd);
    }

    /// Whether another open file holds the lock, asked without taking it even for a moment: a
    /// service that starts meanwhile must not be refused because somebody looked.
    pub fn lockHeld(system: *System, fd: Fd) sys.LockError!bool {
        return platform.lockHeld(system, fd);
    }

    pub fn unlinkAt(system: *System, dir: Fd, name: []const u8) sys.UnlinkError!void {
        const path = try Path.init(system, .unlink, name);
        if (c.unlinkat(dir, path.pointer(), 0) == 0) return;
        return switch (system.record(.unlink)) {
            .NOENT, .NOTDIR => error.NotFound,
            // Linux says EISDIR for a directory, the others EPERM.
            .ISDIR => error.NotFile,
            .ACCES, .PERM, .ROFS => error.Permission,
            .NAMETOOLONG => error.PathTooLong,
            else => error.Unexpected,
        };
    }

    pub fn setMode(system: *System, dir: Fd, name: []const u8, mode: u32) sys.SetModeError!void {
        const path = try Path.init(system, .chmod, name);
        if (c.fchmodat(dir, path.pointer(), @intCast(mode), 0) == 0) return;
        return switch (system.record(.chmod)) {
            .NOENT, .NOTDIR => error.NotFound,
            .ACCES, .PERM, .ROFS => error.Permission,
            .NAMETOOLONG => error.PathTooLong,
            else => error.Unexpected,
        };
    }

    /// The file from its start, as far as `buffer` holds it.
    pub fn readAll(system: *System, fd: Fd, buffer: []u8) sys.ReadError![]u8 {
        var filled: usize = 0;
        while (filled < buffer.len) {
            const rest = buffer[filled..];
            const count = c.pread(fd, rest.ptr, rest.len, @intCast(filled));
            if (count == 0) break;
            if (count > 0) {
                filled += @intCast(count);
            } else if (lastError() != .INTR) {
                _ = system.record(.read);
                return error.Unexpected;
            }
        }
        return buffer[0..filled];
    }

    /// Makes `bytes` all there is in the file. It is cut to length last, so that who reads at the
    /// same moment finds the new text with rests of the old behind it, and never an empty file.
    pub fn writeAll(system: *System, fd: Fd, bytes: []const u8) sys.WriteError!void {
        var written: usize = 0;
        while (written < bytes.len) {
            const rest = bytes[written..];
            const count = c.pwrite(fd, rest.ptr, rest.len, @intCast(written));
            if (count >= 0) {
                written += @intCast(count);
            } else if (lastError() != .INTR) {
                return system.writeFailed();
            }
        }
        while (c.ftruncate(fd, @intCast(bytes.len)) != 0) {
            if (lastError() != .INTR) return system.writeFailed();
        }
    }

    fn writeFailed(system: *System) sys.WriteError {
        return switch (system.record(.write)) {
            .NOSPC, .DQUOT, .FBIG => error.NoSpace,
            else => error.Unexpected,
        };
    }

    // Failures

    /// Keeps what went wrong, with a descriptor of ours or one that somebody gave us: even one of ours may not be open,
    /// since what a host gave away it can still close by its number.
    pub fn record(system: *System, syscall: sys.Syscall) E {
        const errno = lastError();
        system.failure = .{ .errno = @intFromEnum(errno), .syscall = syscall };
        return errno;
    }
};

/// What `std.c` lacks.
const signals = struct {
    extern "c" fn sigpending(set: *c.sigset_t) c_int;
};

/// Whoever can open a lock file can also hold a lock on it, so in a shared run directory a file
/// that others may read would let them keep its owner from serving.
const lock_mode = 0o600;

threadlocal var thread_id: u64 = 0;

/// What errno holds; good only right after the call that failed.
pub fn lastError() E {
    return @enumFromInt(c._errno().*);
}

/// A host may have closed it under us: descriptors are numbers, and whoever has one can.
pub fn closeDescriptor(fd: Fd) void {
    _ = c.close(fd);
}

/// Closes what a call opened before it failed, and leaves that call's errno as it was.
pub fn closeAfterFailure(fd: Fd) void {
    const errno = c._errno().*;
    closeDescriptor(fd);
    c._errno().* = errno;
}

pub fn timespecOf(ns: u64) c.timespec {
    return .{
        .sec = @intCast(ns / std.time.ns_per_s),
        .nsec = @intCast(ns % std.time.ns_per_s),
    };
}

/// Whole milliseconds that are not less than `ns`, or -1 for ever. A wait too long to express ends
/// early, as any wait may.
pub fn millisecondsOf(ns: ?u64) c_int {
    const whole = std.math.divCeil(u64, ns orelse return -1, std.time.ns_per_ms) catch unreachable;
    return @intCast(@min(whole, std.math.maxInt(c_int)));
}

pub fn statKindOf(mode: u32) sys.Stat.Kind {
    return switch (mode & c.S.IFMT) {
        c.S.IFREG => .file,
        c.S.IFDIR => .directory,
        c.S.IFLNK => .link,
        c.S.IFSOCK => .socket,
        c.S.IFIFO => .pipe,
        c.S.IFCHR, c.S.IFBLK => .device,
        else => .other,
    };
}

pub const Address = struct {
    un: c.sockaddr.un,
    bytes: c.socklen_t,

    /// An empty path would be a name that Linux makes up, and a zero byte would cut the name short:
    /// neither is what was asked for, so neither reaches the system.
    pub fn init(
        system: *System,
        syscall: sys.Syscall,
        path: []const u8,
    ) error{ PathTooLong, NotFound, Unexpected }!Address {
        try checkPath(system, syscall, path, socket_path_bytes_max);
        var address: Address = .{
            .un = .{ .path = @splat(0) },
            .bytes = @intCast(@offsetOf(c.sockaddr.un, "path") + path.len + 1),
        };
        @memcpy(address.un.path[0..path.len], path);
        if (@hasField(c.sockaddr.un, "len")) address.un.len = @intCast(address.bytes);
        return address;
    }
};

const Path = struct {
    bytes: [path_bytes_max + 1]u8,

    fn init(
        system: *System,
        syscall: sys.Syscall,
        path: []const u8,
    ) error{ PathTooLong, NotFound, Unexpected }!Path {
        try checkPath(system, syscall, path, path_bytes_max);
        var copy: Path = .{ .bytes = undefined };
        @memcpy(copy.bytes[0..path.len], path);
        copy.bytes[path.len] = 0;
        return copy;
    }

    fn pointer(path: *const Path) [*:0]const u8 {
        return @ptrCast(&path.bytes);
    }
};

/// Says of a path what the system would, in the system's words.
fn checkPath(
    system: *System,
    syscall: sys.Syscall,
    path: []const u8,
    bytes_max: usize,
) error{ PathTooLong, NotFound, Unexpected }!void {
    if (path.len == 0) {
        system.failure = .{ .errno = @intFromEnum(E.NOENT), .syscall = syscall };
        return error.NotFound;
    }
    if (path.len > bytes_max) {
        system.failure = .{ .errno = @intFromEnum(E.NAMETOOLONG), .syscall = syscall };
        return error.PathTooLong;
    }
    if (std.mem.findScalar(u8, path, 0) != null) {
        system.failure = .{ .errno = @intFromEnum(E.INVAL), .syscall = syscall };
        return error.Unexpected;
    }
}

/// With a slash after it the system follows a link that it would otherwise refuse.
fn withoutTrailingSlashes(path: []const u8) []const u8 {
    var bytes = path.len;
    while (bytes > 1 and path[bytes - 1] == '/') bytes -= 1;
    return path[0..bytes];
}
