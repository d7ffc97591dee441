//! The C face of a zygote. What the functions mean is documented in `earshot/zygote.h`.

const std = @import("std");
const sys = @import("sys");
const zygote = @import("zygote");
const codes = zygote.code;

pub fn listThreads(names: ?[*]u8, names_bytes: u32) callconv(.c) i32 {
    if (!sys.process.available) return codes.of(error.NotAvailable);
    const room = names orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    var written: usize = 0;
    const count = zygote.threads.list(&system, room[0..names_bytes], &written) catch |failure| return codes.of(failure);
    @memset(room[written..names_bytes], 0);
    return @intCast(count);
}

pub fn lifeline(out: ?*[2]sys.Fd) callconv(.c) i32 {
    if (!sys.process.available) return codes.of(error.NotAvailable);
    const ends = out orelse return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    ends.* = system.pipe(4096) orelse return codes.of(error.DescriptorLimit);
    return 0;
}

pub fn serve(given: ?*const zygote.Settings, out: ?*zygote.Clone) callconv(.c) i32 {
    if (!sys.process.available) return codes.of(error.NotAvailable);
    const settings = given orelse return codes.of(error.InvalidArgument);
    const clone = out orelse return codes.of(error.InvalidArgument);
    if (std.enums.fromInt(zygote.Orphans, @intFromEnum(settings.orphans)) == null) return codes.of(error.InvalidArgument);
    var system: sys.System = .{};
    const found = zygote.serve(&system, std.heap.c_allocator, settings.*) catch |failure| return codes.of(failure);
    clone.* = found orelse return 0;
    return 1;
}
