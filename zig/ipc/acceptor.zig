//! How connections come to a service: accepted, judged by what the kernel says of the peer, and reported. Where no
//! descriptor is left, accepting pauses; the clients wait in the kernel's queue meanwhile.

const std = @import("std");
const sys = @import("sys");
const contexts = @import("context.zig");
const AddError = contexts.AddError;
const Reason = @import("event.zig").Reason;

/// Connections accepted from one service in one go, so that a flood of new ones does not hold up the others.
pub const accept_max = 64;
/// How long accepting pauses when no descriptor was left.
const accept_pause_ns = 50 * std.time.ns_per_ms;

pub fn AcceptorType(comptime Context: type) type {
    return struct {
        pub fn accept(context: *Context, service: *Context.Service, now_ns: u64) void {
            var accepted: u32 = 0;
            while (accepted < accept_max) : (accepted += 1) {
                const fd = (context.system.accept(service.listener.descriptor()) catch |failure| return pauseAccepting(context, service, switch (failure) {
                    error.DescriptorLimit => .descriptor_limit,
                    error.Unexpected => .system,
                }, now_ns)) orelse return;
                if (service.listener == .adopted) context.system.adoptAccepted(fd);
                welcome(context, service, fd) catch |failure| {
                    context.system.close(fd);
                    switch (failure) {
                        error.Refused => {},
                        error.OutOfMemory => return pauseAccepting(context, service, .out_of_memory, now_ns),
                        error.WatchLimit, error.HandleLimit => return pauseAccepting(context, service, .descriptor_limit, now_ns),
                        error.WrongThread, error.InvalidArgument, error.Unexpected => return pauseAccepting(context, service, .system, now_ns),
                    }
                };
            }
            // There may be more; they come after everybody else, and after those who have just come were heard. A flood of
            // new ones would else grow faster than what they say is read, and who speaks at once wait behind all of it.
            context.unheard = true;
            context.line(service);
        }

        fn welcome(context: *Context, service: *Context.Service, fd: sys.Fd) (AddError || error{Refused})!void {
            // Nobody knows who it was, so nobody can be let in; those who come after are not to wait for that.
            const credentials = context.system.credentials(fd) catch |failure| switch (failure) {
                error.NotConnected => remote: {
                    const kind = context.system.socketKind(fd) catch return error.Refused;
                    if (kind.local) return error.Refused;
                    sys.internet.prepare(fd);
                    break :remote sys.Credentials.nobody;
                },
                error.Unexpected => {
                    note(context, service, .system);
                    return error.Refused;
                },
            };
            const refusal: Reason = if (!service.allow.permits(credentials, context.own_user))
                .not_allowed
            else if (service.statistics.connections_open >= service.limits.connections_max)
                .connections_limit
            else
                .none;
            if (refusal != .none) {
                service.statistics.count(refusal);
                context.statistics.count(refusal);
                context.batch.push(.{
                    .type = .@"error",
                    .reason = refusal,
                    .source = service.handle,
                    .length = credentials.uid,
                    .data = @intCast(@max(credentials.pid, 0)),
                });
                return error.Refused;
            }
            const connection = try context.attach(fd, service.handle, service.limits, credentials, .open);
            context.statistics.connections_accepted += 1;
            service.statistics.connections_accepted += 1;
            service.statistics.connections_open += 1;
            service.statistics.descriptors += 1;
            context.batch.push(.{
                .type = .connection,
                .source = connection.handle,
                .origin = service.handle,
                .detail = credentials.pid,
                .length = credentials.uid,
                .offset = credentials.gid,
                .data = @intCast(connection.fd),
            });
        }

        /// Stops accepting for a moment: the clients wait in the kernel's queue meanwhile.
        fn pauseAccepting(context: *Context, service: *Context.Service, reason: Reason, now_ns: u64) void {
            const paused_ns = if (now_ns == 0) context.system.monotonic() else now_ns;
            context.deadlines.set(&service.deadline, service.handle, paused_ns +| accept_pause_ns);
            if (service.paused) return;
            service.paused = true;
            // Unlike watching it for nothing, this cannot fail, and then report it over and over.
            context.poller.remove(service.listener.descriptor());
            note(context, service, reason);
        }

        /// Reports trouble that a service had with the system.
        fn note(context: *Context, service: *Context.Service, reason: Reason) void {
            service.statistics.count(reason);
            context.statistics.count(reason);
            context.batch.push(.{
                .type = .@"error",
                .reason = reason,
                .source = service.handle,
                .detail = context.system.failure.errno,
            });
        }

        /// The pause is over: accepting by hand shows whether descriptors are there again before it is watched again.
        pub fn resumeAccepting(context: *Context, service: *Context.Service, now_ns: u64) void {
            accept(context, service, now_ns);
            if (service.deadline.armed) return;
            if (context.poller.add(service.listener.descriptor(), service.handle.number(), .{ .readable = true })) {
                service.paused = false;
            } else |_| context.deadlines.set(&service.deadline, service.handle, now_ns +| accept_pause_ns);
        }
    };
}
