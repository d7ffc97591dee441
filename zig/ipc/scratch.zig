//! A directory of its own for each test of files, sockets and locks, gone when the test is over,
//! and the few things such tests do to the system that the library itself never does. A test that
//! leaves a descriptor open when it gives its directory up is stopped there.
//!
//! What fails here is the machine's or the test's own fault, so it panics where it happens.

const std = @import("std");
const sys = @import("sys");
const c = std.c;

extern "c" fn mkdtemp(template: [*:0]u8) ?[*:0]u8;
extern "c" fn mkfifo(path: [*:0]const u8, mode: c.mode_t) c_int;

pub const Scratch = struct {
    root: [template.len:0]u8,
    /// Paths handed out live as long as the directory does.
    arena: std.heap.ArenaAllocator,
    descriptors_before: usize,

    /// Short, so that a name fits behind it wherever the tests run.
    const template = "/tmp/earshot-test-XXXXXX";

    pub fn init() !Scratch {
        var scratch: Scratch = .{
            .root = template.*,
            .arena = .init(std.testing.allocator),
            .descriptors_before = descriptors(),
        };
        if (mkdtemp(&scratch.root) == null) return error.ScratchUnavailable;
        return scratch;
    }

    pub fn deinit(scratch: *Scratch) void {
        std.Io.Dir.cwd().deleteTree(std.testing.io, &scratch.root) catch |failure|
            std.debug.print("{s} stays behind: {t}\n", .{ scratch.root, failure });
        scratch.arena.deinit();
        if (sys.kqueue.foreign) return;
        std.testing.expectEqual(scratch.descriptors_before, descriptors()) catch
            @panic("a descriptor leaked");
    }

    /// The absolute path of what is called `ending` in here.
    pub fn path(scratch: *Scratch, ending: []const u8) [:0]const u8 {
        return std.fmt.allocPrintSentinel(
            scratch.arena.allocator(),
            "{s}/{s}",
            .{ scratch.root, ending },
            0,
        ) catch @panic("out of memory");
    }

    /// The mode is exactly the one given, whatever the process masks.
    pub fn makeDirectory(scratch: *Scratch, ending: []const u8, mode: u32) void {
        const made = scratch.path(ending);
        must(c.mkdir(made, 0o700));
        scratch.setMode(ending, mode);
    }

    pub fn setMode(scratch: *Scratch, ending: []const u8, mode: u32) void {
        must(c.fchmodat(c.AT.FDCWD, scratch.path(ending), @intCast(mode), 0));
    }

    pub fn file(scratch: *Scratch, ending: []const u8, text: []const u8) void {
        std.Io.Dir.cwd().writeFile(std.testing.io, .{
            .sub_path = scratch.path(ending),
            .data = text,
        }) catch @panic("a file could not be written");
    }

    /// What the file holds, up to `buffer.len` bytes.
    pub fn read(scratch: *Scratch, ending: []const u8, buffer: []u8) []u8 {
        return std.Io.Dir.cwd().readFile(std.testing.io, scratch.path(ending), buffer) catch
            @panic("a file could not be read");
    }

    pub fn link(scratch: *Scratch, target: []const u8, ending: []const u8) void {
        const leads_to = scratch.path(target);
        must(c.symlink(leads_to, scratch.path(ending)));
    }

    pub fn hardLink(scratch: *Scratch, target: []const u8, ending: []const u8) void {
        const leads_to = scratch.path(target);
        must(c.link(leads_to, scratch.path(ending)));
    }

    pub fn pipe(scratch: *Scratch, ending: []const u8) void {
        must(mkfifo(scratch.path(ending), 0o600));
    }

    pub fn give(scratch: *Scratch, ending: []const u8, uid: u32) void {
        must(c.fchownat(c.AT.FDCWD, scratch.path(ending), uid, uid, c.AT.SYMLINK_NOFOLLOW));
    }

    pub fn rename(scratch: *Scratch, from: []const u8, to: []const u8) void {
        const source = scratch.path(from);
        must(c.rename(source, scratch.path(to)));
    }

    /// Takes away a file, or an empty directory.
    pub fn remove(scratch: *Scratch, ending: []const u8) void {
        const gone = scratch.path(ending);
        if (c.unlink(gone) != 0) must(c.rmdir(gone));
    }

    pub fn exists(scratch: *Scratch, ending: []const u8) bool {
        var system: sys.System = .{};
        _ = system.statPath(scratch.path(ending)) catch return false;
        return true;
    }

    /// How many things lie in the directory `ending`.
    pub fn entries(scratch: *Scratch, ending: []const u8) usize {
        const io = std.testing.io;
        var directory = std.Io.Dir.openDirAbsolute(io, scratch.path(ending), .{
            .iterate = true,
        }) catch @panic("a directory could not be opened");
        defer directory.close(io);
        var iterator = directory.iterate();
        var count: usize = 0;
        while (iterator.next(io) catch @panic("a directory could not be read")) |_| count += 1;
        return count;
    }

    /// How many descriptors are open. Tests have few; this looks well beyond them.
    pub fn descriptors() usize {
        var system: sys.System = .{};
        var count: usize = 0;
        for (0..descriptors_max) |fd| count += @intFromBool(system.isOpen(@intCast(fd)));
        return count;
    }

    const descriptors_max = 1024;

    /// Skips the test, with the reason, where what there is no room for stays open under numbers that nobody knows: so it
    /// is where a program emulates the system for another processor.
    pub fn needCutRights() !void {
        var system: sys.System = .{};
        const pair = try system.pair();
        defer for (pair) |fd| system.close(fd);
        const part = [_]std.posix.iovec_const{.{ .base = "x", .len = 1 }};
        _ = system.sendRights(pair[0], &part, &.{ pair[0], pair[0], pair[0] });
        const before = descriptors();
        var room: [1]sys.Fd = undefined;
        var arrivals: sys.rights.Arrivals = .{ .room = &room };
        var byte: [1]u8 = undefined;
        _ = system.receive(pair[1], &byte, &arrivals);
        const after = descriptors();
        for (arrivals.fds()) |fd| system.close(fd);
        if (after == before + arrivals.count) return;
        // They have the next free numbers.
        var next = try system.duplicate(pair[0]);
        system.close(next);
        for (0..after - before - arrivals.count) |_| {
            next += 1;
            while (!system.isOpen(next)) next += 1;
            system.close(next);
        }
        std.debug.print("skipped: descriptors that there is no room for are not closed here\n", .{});
        return error.SkipZigTest;
    }

    /// Skips the test, with the reason, where it is not root's.
    pub fn needRoot(reason: []const u8) error{SkipZigTest}!void {
        if (c.geteuid() == 0) return;
        std.debug.print("skipped: {s}\n", .{reason});
        return error.SkipZigTest;
    }
};

fn must(result: c_int) void {
    if (result != 0) std.debug.panic("the scratch directory: errno {d}", .{c._errno().*});
}
