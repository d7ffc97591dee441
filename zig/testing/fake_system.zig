//! What `sys.System` is, on a fake kernel: everything a context calls, with the faults of the run.

const std = @import("std");
const sys = @import("sys");
const kernels = @import("kernel.zig");
const Kernel = kernels.Kernel;
const Socket = @import("socket.zig").Socket;
const Fault = @import("fault.zig").Fault;

pub const FakeSystem = struct {
    kernel: *Kernel,
    /// Whose system it is.
    number: u8,
    failure: sys.Failure = .{},

    pub const own_user = 1000;

    pub fn monotonic(system: *FakeSystem) u64 {
        return system.kernel.clock();
    }

    pub fn threadId(system: *FakeSystem) u64 {
        return system.kernel.thread;
    }

    pub fn userId(_: *FakeSystem) u32 {
        return own_user;
    }

    pub fn processorsUsable(system: *FakeSystem) u32 {
        return system.kernel.random().intRangeAtMost(u32, 1, 2);
    }

    pub fn yield(system: *FakeSystem) void {
        system.kernel.letOthers();
    }

    pub fn switches(system: *FakeSystem) u64 {
        return system.kernel.random().int(u1);
    }

    pub fn mapPages(system: *FakeSystem, bytes: usize) sys.MapError![]align(std.heap.page_size_min) u8 {
        if (system.kernel.happens(.allocation_failed)) return error.OutOfMemory;
        return system.kernel.pages.take(bytes);
    }

    pub fn unmapPages(system: *FakeSystem, pages: []align(std.heap.page_size_min) u8) void {
        system.kernel.pages.give(pages);
    }

    // Sockets

    pub fn accept(system: *FakeSystem, fd: sys.Fd) sys.AcceptError!?sys.Fd {
        const kernel = system.kernel;
        if (!kernel.enter()) return error.Unexpected;
        const file = kernel.fileOf(system.number, fd) orelse return error.Unexpected;
        const listener = switch (file.body) {
            .listener => |listener| listener,
            else => {
                kernel.complain("{d} accepts from descriptor {d}, which does not listen", .{ system.number, fd });
                return error.Unexpected;
            },
        };
        listener.accepts += 1;
        if (listener.backlog.items.len == 0 or kernel.happens(.accept_blocked)) return null;
        if (kernel.happens(.accept_failed)) {
            system.fail(.accept, .IO);
            return error.Unexpected;
        }
        const socket = listener.backlog.items[0];
        const accepted = if (kernel.happens(.accept_limit)) null else kernel.open(system.number, .{ .socket = socket });
        if (accepted == null) {
            system.fail(.accept, .MFILE);
            return error.DescriptorLimit;
        }
        _ = listener.backlog.orderedRemove(0);
        socket.accepted = true;
        kernel.trace("{d} accepts socket {d} as descriptor {d}", .{ system.number, socket.number, accepted.? });
        return accepted;
    }

    pub fn credentials(system: *FakeSystem, fd: sys.Fd) sys.CredentialsError!sys.Credentials {
        const kernel = system.kernel;
        if (!kernel.enter()) return error.Unexpected;
        const socket = kernel.socketOf(system.number, fd) orelse return error.Unexpected;
        if (kernel.happens(.credentials_failed)) {
            if (kernel.oneIn(2)) {
                system.fail(.getsockopt, .NOTCONN);
                return error.NotConnected;
            }
            system.fail(.getsockopt, .IO);
            return error.Unexpected;
        }
        return socket.other.credentials;
    }

    pub fn processDescriptor(_: *FakeSystem, _: sys.Fd, _: i32) ?sys.Fd {
        return null;
    }

    pub fn receive(system: *FakeSystem, fd: sys.Fd, buffer: []u8, arrivals: *sys.rights.Arrivals) sys.Received {
        const kernel = system.kernel;
        if (!kernel.enter()) return .failed;
        const socket = kernel.socketOf(system.number, fd) orelse return .failed;
        if (buffer.len == 0) kernel.complain("{d} reads nothing from descriptor {d}", .{ system.number, fd });
        socket.reads += 1;
        socket.told.blocked = false;
        if (kernel.happens(.reset)) socket.sever();
        if (kernel.happens(.read_failed)) {
            socket.told.failed = true;
            system.fail(.recv, .IO);
            return .failed;
        }
        if (kernel.happens(.read_blocked)) {
            socket.told.blocked = socket.isReadable();
            return .would_block;
        }
        const unread = socket.unread().len;
        if (unread == 0) return system.receiveNothing(socket);
        var most = @min(unread, buffer.len);
        const ahead = socket.rightsAhead();
        if (ahead) |rights| if (rights.begin < socket.received + most) {
            most = @min(most, rights.end - socket.received);
        };
        const count = if (kernel.happens(.short_read)) kernel.random().intRangeAtMost(usize, 1, most) else most;
        @memcpy(buffer[0..count], socket.take(count));
        if (socket.rights_late.len > 0) {
            system.arrive(socket, socket.rights_late, arrivals);
            socket.rights_late = &.{};
        }
        if (ahead) |rights| if (rights.begin < socket.received) {
            socket.rights_received += 1;
            rights.landed = socket.received - 1;
            system.arriveAll(socket, rights.tokens, arrivals);
        };
        system.spoil(socket, buffer[0..count]);
        kernel.trace("{d} reads {d} of {d} from socket {d}", .{ system.number, count, unread, socket.number });
        return .{ .bytes = count };
    }

    fn arriveAll(system: *FakeSystem, socket: *Socket, tokens: []const u32, arrivals: *sys.rights.Arrivals) void {
        const kernel = system.kernel;
        kernel.trace("{d} gets {d} tokens with socket {d}, with room for {d}", .{
            system.number, tokens.len, socket.number, arrivals.room.len,
        });
        if (kernel.planted) |planted| switch (planted) {
            .rights_swallowed => if (kernel.oneIn(4)) return system.arrive(socket, tokens[1..], arrivals),
            .rights_late => if (kernel.oneIn(4)) {
                socket.rights_late = tokens;
                return;
            },
            .rights_changed => if (kernel.oneIn(4)) return system.arrive(socket, kernel.drawTokens(tokens.len), arrivals),
            else => {},
        };
        system.arrive(socket, tokens, arrivals);
    }

    fn arrive(system: *FakeSystem, socket: *Socket, tokens: []const u32, arrivals: *sys.rights.Arrivals) void {
        const kernel = system.kernel;
        for (tokens) |token| {
            if (arrivals.count == arrivals.room.len) {
                socket.told.cut_room = true;
                arrivals.cut = true;
                return;
            }
            const opened = if (kernel.happens(.accept_limit)) null else kernel.open(system.number, .{ .token = token });
            const fd = opened orelse {
                socket.told.cut_table = true;
                arrivals.cut = true;
                return;
            };
            arrivals.room[arrivals.count] = fd;
            arrivals.count += 1;
        }
    }

    fn receiveNothing(system: *FakeSystem, socket: *Socket) sys.Received {
        if (socket.reset) {
            socket.reset = false;
            socket.told.reset = true;
            system.kernel.trace("{d} reads a reset from socket {d}", .{ system.number, socket.number });
            return .reset;
        }
        if (!socket.isOver()) return .would_block;
        socket.told.end = true;
        system.kernel.trace("{d} reads the end of socket {d}", .{ system.number, socket.number });
        return .end;
    }

    fn spoil(system: *FakeSystem, socket: *Socket, bytes: []u8) void {
        switch (system.kernel.planted orelse return) {
            .byte_changed => if (system.kernel.oneIn(20)) {
                bytes[bytes.len - 1] +%= 1;
            },
            .byte_dropped => if (socket.unread().len > 0 and system.kernel.oneIn(20)) {
                _ = socket.take(1);
            },
            .bytes_repeated => if (system.kernel.oneIn(20)) {
                socket.received -= 1;
            },
            else => {},
        }
    }

    pub fn send(system: *FakeSystem, fd: sys.Fd, parts: []const std.posix.iovec_const) sys.Sent {
        const kernel = system.kernel;
        if (!kernel.enter()) return .failed;
        const socket = kernel.socketOf(system.number, fd) orelse return .failed;
        var total: usize = 0;
        for (parts) |part| total += part.len;
        if (kernel.happens(.reset)) socket.sever();
        if (kernel.happens(.write_failed)) {
            socket.told.failed = true;
            system.fail(.send, .IO);
            return .failed;
        }
        if (socket.isBroken()) {
            socket.told.broken = true;
            system.fail(.send, .PIPE);
            kernel.trace("{d} finds socket {d} broken", .{ system.number, socket.number });
            return .broken;
        }
        if (total == 0) return .{ .bytes = 0 };
        const most = @min(total, socket.space());
        if (most == 0 or kernel.happens(.write_blocked)) {
            socket.refused_ns = kernel.now_ns;
            return .would_block;
        }
        const count = if (kernel.happens(.short_write)) kernel.random().intRangeAtMost(usize, 1, most) else most;
        if (count < total) socket.refused_ns = kernel.now_ns;
        kernel.trace("{d} sends {d} of {d} to socket {d}", .{ system.number, count, total, socket.number });
        if (kernel.isPlanted(.send_overstated) and count > 1 and kernel.oneIn(20)) {
            system.sendParts(socket, parts, count - 1);
        } else {
            system.sendParts(socket, parts, count);
        }
        return .{ .bytes = count };
    }

    fn sendParts(system: *FakeSystem, socket: *Socket, parts: []const std.posix.iovec_const, count: usize) void {
        var left = count;
        for (parts) |part| {
            const step = @min(left, part.len);
            const taken = socket.put(system.kernel.arena, part.base[0..step], system.kernel.now_ns);
            std.debug.assert(taken == step);
            left -= step;
        }
    }

    /// The same, with descriptors that go along. They are tokens.
    pub fn sendRights(
        system: *FakeSystem,
        fd: sys.Fd,
        parts: []const std.posix.iovec_const,
        fds: []const sys.Fd,
    ) sys.Passed {
        const kernel = system.kernel;
        const socket = kernel.socketOf(system.number, fd) orelse return .failed;
        if (fds.len == 0 or fds.len > sys.rights.descriptors_max)
            kernel.complain("{d} sends {d} descriptors at once", .{ system.number, fds.len });
        const tokens = kernel.arena.alloc(u32, fds.len) catch @panic("out of memory");
        for (fds, tokens) |passed, *token| {
            // Whoever passes what it does not have passes -1 here.
            if (passed == -1) {
                system.fail(.send, .BADF);
                return .unpassable;
            }
            token.* = kernel.tokenOf(system.number, passed) orelse return .unpassable;
        }
        if (kernel.happens(.rights_crowded)) {
            system.fail(.send, .TOOMANYREFS);
            // Linux finds out about this before it looks whether anybody is there.
            if (socket.hasEnded()) socket.told.broken = true;
            socket.refused_ns = kernel.now_ns;
            if (socket.crowded_ns == null) socket.crowded_ns = kernel.now_ns;
            return .crowded;
        }
        const begin = socket.sent.items.len;
        switch (system.send(fd, parts)) {
            .would_block => return .would_block,
            .broken => return .broken,
            .failed => return .failed,
            .bytes => |count| {
                socket.crowded_ns = null;
                socket.putRights(kernel.arena, begin, tokens, true);
                return .{ .bytes = count };
            },
        }
    }

    /// All that is open does.
    pub fn passes(system: *FakeSystem, fds: []const sys.Fd) bool {
        const known = std.mem.indexOfScalar(sys.Fd, fds, -1) == null;
        if (!known) system.fail(.send, .BADF);
        return known;
    }

    /// Only external descriptors and tokens are duplicated.
    pub fn duplicate(system: *FakeSystem, fd: sys.Fd) sys.DuplicateError!sys.Fd {
        const kernel = system.kernel;
        if (fd == -1) {
            system.fail(.fcntl, .BADF);
            return error.Unexpected;
        }
        const file = kernel.fileOf(system.number, fd) orelse return error.Unexpected;
        if (kernel.happens(.accept_limit)) {
            system.fail(.fcntl, .MFILE);
            return error.DescriptorLimit;
        }
        const body: kernels.File.Body = switch (file.body) {
            .token => |token| .{ .token = token },
            else => .{ .duplicate = file.body.external },
        };
        return kernel.open(system.number, body) orelse error.DescriptorLimit;
    }

    /// All are sockets between processes of one machine.
    pub fn socketKind(_: *FakeSystem, _: sys.Fd) sys.SocketKindError!sys.SocketKind {
        return .{ .local = true, .listens = false };
    }

    /// Pipes of the kernel's are for the real one.
    pub const splices = false;

    pub fn pipe(_: *FakeSystem, _: u31) ?[2]sys.Fd {
        return null;
    }

    pub fn splice(_: *FakeSystem, _: sys.Fd, _: sys.Fd, _: usize) sys.Spliced {
        return .unable;
    }

    pub fn adoptAccepted(_: *FakeSystem, _: sys.Fd) void {}

    pub fn read(system: *FakeSystem, fd: sys.Fd, buffer: []u8) sys.Received {
        var none: sys.rights.Arrivals = .{};
        return system.receive(fd, buffer, &none);
    }

    pub fn write(system: *FakeSystem, fd: sys.Fd, bytes: []const u8) sys.Sent {
        return system.send(fd, &.{.{ .base = bytes.ptr, .len = bytes.len }});
    }

    pub fn access(_: *FakeSystem, _: sys.Fd) sys.AccessError!sys.Access {
        return .{ .reads = true, .writes = true, .blocks = false };
    }

    /// Nothing here ever blocks.
    pub fn setBlocking(_: *FakeSystem, _: sys.Fd, _: bool) sys.AccessError!void {}

    pub fn shutdownWrite(system: *FakeSystem, fd: sys.Fd) void {
        const socket = system.kernel.socketOf(system.number, fd) orelse return;
        socket.writes_ended = true;
    }

    pub fn close(system: *FakeSystem, fd: sys.Fd) void {
        system.kernel.trace("{d} closes descriptor {d}", .{ system.number, fd });
        system.kernel.close(system.number, fd);
    }

    fn fail(system: *FakeSystem, syscall: sys.Syscall, errno: std.c.E) void {
        system.failure = .{ .errno = @intFromEnum(errno), .syscall = syscall };
    }

    // Waking

    pub fn wakeCreate(system: *FakeSystem) sys.WakeError!Wake {
        const kernel = system.kernel;
        if (kernel.happens(.accept_limit)) return error.DescriptorLimit;
        const signal = kernel.arena.create(kernels.Signal) catch @panic("out of memory");
        signal.* = .{};
        const fd = kernel.open(system.number, .{ .wake = signal }) orelse return error.DescriptorLimit;
        return .{ .kernel = kernel, .number = system.number, .fd = fd, .signal = signal };
    }

    pub const Wake = struct {
        kernel: *Kernel,
        number: u8,
        fd: sys.Fd,
        signal: *kernels.Signal,

        pub const descriptors = 1;

        pub fn descriptor(wake: Wake) sys.Fd {
            return wake.fd;
        }

        pub fn ring(wake: Wake) void {
            wake.signal.lit = true;
        }

        pub fn clear(wake: Wake) void {
            wake.kernel.wake_clears += 1;
            wake.signal.lit = false;
        }

        pub fn close(wake: Wake) void {
            wake.kernel.close(wake.number, wake.fd);
        }
    };
};
