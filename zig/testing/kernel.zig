//! The kernel of the fake: a descriptor table, names that can be connected to, a clock, and the dice. It is all in
//! memory and does nothing by itself; everything it decides is drawn from one seed, so a run can be had again.
//!
//! It also watches how it is used. Whoever uses a descriptor that is not open or not theirs, or closes one that a
//! poller still watches, is found out: the first such complaint is kept and fails the run.

const std = @import("std");
const sys = @import("sys");
const Fault = @import("fault.zig").Fault;
const Faults = @import("fault.zig").Faults;
const Pages = @import("pages.zig").Pages;
const Planted = @import("fault.zig").Planted;
const Socket = @import("socket.zig").Socket;
const assert = std.debug.assert;

/// Enough for every scenario; a run in which descriptors are short lowers `Kernel.files_limit`.
const files_max = 256;
/// A context that makes so many calls within one of its own calls is not waiting, it is running in circles.
const calls_max = 20_000;

pub const Listener = struct {
    number: u32,
    backlog: std.ArrayList(*Socket) = .empty,
    closed: bool = false,
    /// How often the owner tried to accept.
    accepts: u32 = 0,
};

/// A descriptor that something outside makes readable.
pub const Signal = struct { lit: bool = false };

pub const File = struct {
    /// The context that has it, by number; `outside` for everybody else.
    owner: u8,
    body: Body,
    /// A poller watches it.
    watched: bool = false,

    pub const Body = union(enum) {
        socket: *Socket,
        listener: *Listener,
        wake: *Signal,
        /// External to its context, and none of the descriptors that it counts.
        external: *Signal,
        /// The same under a descriptor of the context's own.
        duplicate: *Signal,
        /// Something that only has to be held.
        plain,
        /// Something that is passed from one to another, and known by its number.
        token: u32,
    };

    pub const State = struct { readable: bool, writable: bool, ended: bool };

    pub fn state(file: *const File) State {
        return switch (file.body) {
            .socket => |socket| .{
                .readable = socket.isReadable(),
                .writable = socket.isWritable(),
                .ended = socket.hasEnded(),
            },
            .listener => |listener| .{ .readable = listener.backlog.items.len > 0, .writable = false, .ended = false },
            .wake, .external, .duplicate => |signal| .{ .readable = signal.lit, .writable = false, .ended = false },
            .plain, .token => .{ .readable = false, .writable = false, .ended = false },
        };
    }
};

pub const outside: u8 = 255;

/// What the world outside does in the middle of a call of a context, or while one sleeps.
pub const Meanwhile = struct {
    pointer: *anyopaque,
    function: *const fn (*anyopaque) void,
};

pub const Kernel = struct {
    arena: std.mem.Allocator,
    pages: *Pages,
    prng: std.Random.DefaultPrng,
    faults: Faults = .{},
    planted: ?Planted = null,
    files: [files_max]?File = @splat(null),
    files_limit: usize = files_max,
    sockets: std.ArrayList(*Socket) = .empty,
    now_ns: u64 = std.time.ns_per_s,
    /// What the clock last told anybody.
    told_ns: u64 = 0,
    thread: u64 = 1,
    meanwhile: ?Meanwhile = null,
    /// Rung for a context that would sleep for ever otherwise, if that is meant to be.
    rescue: ?*Signal = null,
    in_meanwhile: bool = false,
    /// What was passed along so far: each has a number of its own.
    tokens: u32 = 0,
    /// Calls since `beginCall`.
    calls: u32 = 0,
    /// Calls to pollers, likewise.
    waits: u32 = 0,
    /// How often a ring was heard.
    wake_clears: u32 = 0,
    /// Faults that happened so far, by kind: what a context complains of must have a cause.
    happened: std.EnumArray(Fault, u32) = .initFill(0),
    complaint: ?[]const u8 = null,
    verbose: bool = false,
    /// Some connections of the run have no frames.
    has_raw: bool = false,

    pub fn init(arena: std.mem.Allocator, pages: *Pages, seed: u64) Kernel {
        return .{ .arena = arena, .pages = pages, .prng = .init(seed) };
    }

    pub fn random(kernel: *Kernel) std.Random {
        return kernel.prng.random();
    }

    pub fn happens(kernel: *Kernel, fault: Fault) bool {
        if (!kernel.faults.happens(kernel.random(), fault)) return false;
        kernel.happened.getPtr(fault).* += 1;
        return true;
    }

    /// True once in `count` times.
    pub fn oneIn(kernel: *Kernel, count: u32) bool {
        return kernel.random().uintLessThan(u32, count) == 0;
    }

    pub fn isPlanted(kernel: *Kernel, planted: Planted) bool {
        return kernel.planted == planted;
    }

    pub fn complain(kernel: *Kernel, comptime format: []const u8, arguments: anytype) void {
        if (kernel.complaint != null) return;
        kernel.complaint = std.fmt.allocPrint(kernel.arena, format, arguments) catch @panic("out of memory");
    }

    pub fn trace(kernel: *const Kernel, comptime format: []const u8, arguments: anytype) void {
        if (!kernel.verbose) return;
        std.debug.print("{d:>12} ", .{kernel.now_ns});
        std.debug.print(format ++ "\n", arguments);
    }

    // Calls

    /// A context is about to be called.
    pub fn beginCall(kernel: *Kernel) void {
        kernel.calls = 0;
        kernel.waits = 0;
    }

    /// Every call of a context into the system comes by here. False once it runs in circles.
    pub fn enter(kernel: *Kernel) bool {
        kernel.calls += 1;
        if (kernel.calls > calls_max) {
            kernel.complain("a context makes calls without end", .{});
            return false;
        }
        if (kernel.happens(.meanwhile)) kernel.letOthers();
        return true;
    }

    pub fn letOthers(kernel: *Kernel) void {
        const meanwhile = kernel.meanwhile orelse return;
        if (kernel.in_meanwhile) return;
        kernel.in_meanwhile = true;
        defer kernel.in_meanwhile = false;
        meanwhile.function(meanwhile.pointer);
    }

    // Time

    pub fn clock(kernel: *Kernel) u64 {
        kernel.now_ns += kernel.random().intRangeAtMost(u64, 20, 500);
        kernel.told_ns = kernel.now_ns;
        if (kernel.isPlanted(.clock_ahead) and kernel.oneIn(4)) kernel.told_ns += std.time.ns_per_ms;
        return kernel.told_ns;
    }

    // Descriptors

    /// The lowest free number, as POSIX has it: numbers come back at once, and whoever kept an old one gets caught.
    pub fn open(kernel: *Kernel, owner: u8, body: File.Body) ?sys.Fd {
        for (kernel.files[0..kernel.files_limit], 0..) |*file, fd| {
            if (file.* != null) continue;
            file.* = .{ .owner = owner, .body = body };
            return @intCast(fd);
        }
        // A table that is really full is a cause as good as one that was drawn.
        kernel.happened.getPtr(.accept_limit).* += 1;
        return null;
    }

    pub fn fileOf(kernel: *Kernel, owner: u8, fd: sys.Fd) ?*File {
        if (fd >= 0 and fd < files_max) {
            if (kernel.files[@intCast(fd)]) |*file| {
                if (file.owner == owner) return file;
            }
        }
        kernel.complain("{d} uses descriptor {d}, which is not its own", .{ owner, fd });
        return null;
    }

    pub fn socketOf(kernel: *Kernel, owner: u8, fd: sys.Fd) ?*Socket {
        const file = kernel.fileOf(owner, fd) orelse return null;
        switch (file.body) {
            .socket => |socket| return socket,
            else => kernel.complain("{d} uses descriptor {d} as a socket", .{ owner, fd }),
        }
        return null;
    }

    pub fn close(kernel: *Kernel, owner: u8, fd: sys.Fd) void {
        const file = kernel.fileOf(owner, fd) orelse return;
        if (file.watched) kernel.complain("{d} closes descriptor {d} while a poller watches it", .{ owner, fd });
        switch (file.body) {
            .socket => |socket| socket.close(),
            .listener => |listener| {
                listener.closed = true;
                for (listener.backlog.items) |socket| {
                    socket.other.reset = true;
                    socket.close();
                }
                listener.backlog.clearRetainingCapacity();
            },
            .wake, .external, .duplicate, .plain, .token => {},
        }
        if (kernel.isPlanted(.descriptor_leaked) and file.body == .socket) return;
        kernel.files[@intCast(fd)] = null;
    }

    /// Things that there have not been before, to be passed along.
    pub fn drawTokens(kernel: *Kernel, count: usize) []u32 {
        const tokens = kernel.arena.alloc(u32, count) catch @panic("out of memory");
        for (tokens) |*token| {
            kernel.tokens += 1;
            token.* = kernel.tokens;
        }
        return tokens;
    }

    /// Which of them a context holds under that number; null for none.
    pub fn tokenOf(kernel: *Kernel, owner: u8, fd: sys.Fd) ?u32 {
        const file = kernel.fileOf(owner, fd) orelse return null;
        return switch (file.body) {
            .token => |token| token,
            else => null,
        };
    }

    pub fn countFiles(kernel: *Kernel, owner: u8) u32 {
        var count: u32 = 0;
        for (kernel.files) |slot| {
            const file = slot orelse continue;
            count += @intFromBool(file.owner == owner and file.body != .external);
        }
        return count;
    }

    // Sockets

    /// Two ends of a new connection; neither has a descriptor yet. The first belongs to `user`.
    pub fn connectPair(kernel: *Kernel, user: u32, group: u32) [2]*Socket {
        var ends: [2]*Socket = undefined;
        for (&ends) |*end| end.* = kernel.arena.create(Socket) catch @panic("out of memory");
        for (ends, 0..) |end, index| {
            const number: u32 = @intCast(kernel.sockets.items.len);
            end.* = .{
                .number = number,
                .other = ends[1 - index],
                // Each end is a process of its own, so that an event tells which one it speaks of.
                .credentials = .{ .uid = user, .gid = group, .pid = process_first + @as(i32, @intCast(number)) },
                .capacity = kernel.drawCapacity(),
            };
            kernel.sockets.append(kernel.arena, end) catch @panic("out of memory");
        }
        return ends;
    }

    const process_first = 1000;

    /// The end that a service has of the connection from process `pid`.
    pub fn socketByProcess(kernel: *Kernel, pid: i64) ?*Socket {
        const number = pid - process_first;
        if (number < 0 or number >= kernel.sockets.items.len) return null;
        return kernel.sockets.items[@intCast(number)].other;
    }

    /// From one byte, where nothing ever goes through in one piece, to more than one read takes.
    fn drawCapacity(kernel: *Kernel) usize {
        const die = kernel.random();
        return switch (die.uintLessThan(u8, 32)) {
            0...3 => die.intRangeAtMost(usize, 1, 8),
            4...15 => die.intRangeAtMost(usize, 9, 300),
            16...27 => die.intRangeAtMost(usize, 301, 20_000),
            28...30 => 212_992,
            else => 1 << 20,
        };
    }

    pub const ConnectError = error{ Refused, Busy };

    /// Connects to a listener; the end returned is the client's.
    pub fn connect(kernel: *Kernel, listener: *Listener, user: u32, group: u32) ConnectError!*Socket {
        if (listener.closed) return error.Refused;
        if (listener.backlog.items.len >= backlog_max) return error.Busy;
        const ends = kernel.connectPair(user, group);
        listener.backlog.append(kernel.arena, ends[1]) catch @panic("out of memory");
        return ends[0];
    }

    const backlog_max = 8;
};
