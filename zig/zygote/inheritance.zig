//! What a clone has of the zygote's descriptors. A fork shares every one of them, and with an epoll or an eventfd that is
//! shared two event loops wake each other and take each other's events. So a clone gets new ones of these under the old
//! numbers, with the same registrations; keeps what was meant for it; and all else is closed.
//!
//!     zygote: study() once, before it waits for requests        what is there, from /proc/self/fd and fdinfo
//!     clone:  renew()                                           new ones, under the old numbers
//!             keepOnly(…)                                       0, 1, 2, the new ones, and what is given

const std = @import("std");
const sys = @import("sys");
const process = sys.process;
const registrations = sys.registration;
const Registration = registrations.Registration;
const numberAfter = registrations.numberAfter;

const Fd = sys.Fd;

/// A Bun process has one event loop, of one epoll and one eventfd. A few more are those of libraries.
pub const renewed_max = 64;
pub const registrations_max = 1024;
/// Besides 0, 1 and 2, and those that are renewed.
pub const kept_max = 8;

/// Registrations are some 90 bytes of text each.
const text_bytes_max = 128 * 1024;

pub const StudyError = process.Error || error{
    /// More event loops, or registrations, than are provided for.
    TooMany,
};

const Renewed = struct {
    fd: Fd,
    kind: registrations.Kind,
    /// Of a counter: what it counts now. Of a timer: its clock.
    value: u32 = 0,
    flags: u32 = 0,
};

pub const Inheritance = struct {
    renewed: [renewed_max]Renewed = undefined,
    renewed_count: usize = 0,
    registrations: [registrations_max]Registration = undefined,
    registrations_count: usize = 0,
    text: [text_bytes_max]u8 = undefined,

    /// Looks at the descriptors of this process as they are now.
    pub fn study(inheritance: *Inheritance, system: *sys.System) StudyError!void {
        inheritance.renewed_count = 0;
        inheritance.registrations_count = 0;
        var numbers: process.Numbers = try .open(system, "/proc/self/fd");
        defer numbers.close();
        while (numbers.next()) |fd| {
            if (fd == numbers.fd) continue;
            const kind = registrations.kindOf(fd) orelse continue;
            if (inheritance.renewed_count == renewed_max) return error.TooMany;
            const renewed = &inheritance.renewed[inheritance.renewed_count];
            inheritance.renewed_count += 1;
            renewed.* = .{ .fd = fd, .kind = kind };
            try inheritance.read(system, renewed);
        }
    }

    fn read(inheritance: *Inheritance, system: *sys.System, renewed: *Renewed) StudyError!void {
        const text = try registrations.describe(system, renewed.fd, &inheritance.text);
        if (text.len == inheritance.text.len) return error.TooMany;
        var lines = std.mem.tokenizeScalar(u8, text, '\n');
        while (lines.next()) |line| switch (renewed.kind) {
            .poller => try inheritance.addRegistration(renewed.fd, line),
            .counter => {
                if (numberAfter(line, "eventfd-count:", 16)) |count| renewed.value = @truncate(count);
                if (numberAfter(line, "flags:", 8)) |flags| renewed.flags |= flagsOf(flags);
                const semaphore = numberAfter(line, "eventfd-semaphore:", 10) orelse 0;
                if (semaphore != 0) renewed.flags |= process.eventCounterFlags.semaphore;
            },
            .timer => if (numberAfter(line, "clockid:", 10)) |clock| {
                renewed.value = @truncate(clock);
            },
        };
    }

    fn flagsOf(flags: u64) u32 {
        return @as(u32, @truncate(flags)) & process.eventCounterFlags.nonblock;
    }

    fn addRegistration(inheritance: *Inheritance, poller: Fd, line: []const u8) StudyError!void {
        const registration = Registration.parse(poller, line) orelse return;
        if (inheritance.registrations_count == registrations_max) return error.TooMany;
        inheritance.registrations[inheritance.registrations_count] = registration;
        inheritance.registrations_count += 1;
    }

    /// In the clone. `kept` are descriptors that it keeps besides: what is registered of them is registered anew as well.
    pub fn renew(inheritance: *const Inheritance, system: *sys.System, kept: []const Fd) process.Error!void {
        for (inheritance.renewed[0..inheritance.renewed_count]) |renewed| {
            const fresh = switch (renewed.kind) {
                .poller => sys.epoll.create(system) catch |failure| return switch (failure) {
                    error.DescriptorLimit => error.DescriptorLimit,
                    error.Unexpected => error.Unexpected,
                },
                .counter => try process.createEventCounter(system, renewed.value, renewed.flags),
                .timer => try sys.timer.copy(system, renewed.fd, renewed.value),
            };
            defer system.close(fresh);
            try process.replace(system, fresh, renewed.fd);
        }
        for (inheritance.registrations[0..inheritance.registrations_count]) |registration| {
            if (!inheritance.survives(registration.fd, kept)) continue;
            sys.epoll.add(
                system,
                registration.poller,
                registration.fd,
                registration.events,
                registration.data,
            ) catch |failure| switch (failure) {
                // It was closed by its number, and another file has that now.
                error.NotWatchable => {},
                error.OutOfMemory => return error.OutOfMemory,
                error.WatchLimit, error.Unexpected => return error.Unexpected,
            };
        }
    }

    fn survives(inheritance: *const Inheritance, fd: Fd, kept: []const Fd) bool {
        if (fd <= 2) return true;
        if (std.mem.findScalar(Fd, kept, fd) != null) return true;
        return for (inheritance.renewed[0..inheritance.renewed_count]) |renewed| {
            if (renewed.fd == fd) break true;
        } else false;
    }

    /// In the clone: closes all but 0, 1, 2, what was renewed, and `kept`.
    pub fn keepOnly(inheritance: *const Inheritance, system: *sys.System, kept: []const Fd) process.Error!void {
        std.debug.assert(kept.len <= kept_max);
        var order: [renewed_max + kept_max]Fd = undefined;
        var count: usize = 0;
        for (inheritance.renewed[0..inheritance.renewed_count]) |renewed| {
            order[count] = renewed.fd;
            count += 1;
        }
        for (kept) |fd| {
            order[count] = fd;
            count += 1;
        }
        std.mem.sort(Fd, order[0..count], {}, std.sort.asc(Fd));
        var from: u32 = 3;
        for (order[0..count]) |fd| {
            if (fd < from) continue;
            if (fd > from) try process.closeRange(system, from, @intCast(fd - 1));
            from = @intCast(fd + 1);
        }
        try process.closeRange(system, from, std.math.maxInt(u32));
    }
};
