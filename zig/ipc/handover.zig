//! How sockets change hands between contexts, of one process or of several: a context goes on with one that another had,
//! and gives copies of its own away.
//!
//!     one                                     the other
//!     copies(handle) ── sendRights ─────────▶ adopt(descriptor)
//!     close(handle, leave)                    accepts, and talks
//!
//! Both may have a listening socket at once: the system gives each connection to one of them.

const std = @import("std");
const sys = @import("sys");
const contexts = @import("context.zig");
const services = @import("service.zig");
const Handle = @import("library").handle.Handle;
const Limits = @import("connection.zig").Limits;

/// Of one handle: what listens, and the lock of its name.
pub const copies_max = 2;

pub const AdoptError = contexts.AddError || error{
    /// What is to be adopted is no socket for a stream of bytes.
    NotStream,
};
pub const CopyError = contexts.CloseError || error{
    DescriptorLimit,
    Unexpected,
    /// Part of a message has come, or waits to be sent, and would be lost to whoever goes on.
    Unfinished,
};

pub fn HandoverType(comptime Context: type) type {
    return struct {
        /// Goes on with a socket from elsewhere: one that listens is a service, any other a connection. On success it is
        /// the context's; on failure the caller's.
        pub fn adopt(context: *Context, fd: sys.Fd, limits: Limits, allow: services.Allow) AdoptError!Handle {
            try context.check();
            if (!limits.valid() or !allow.valid()) return error.InvalidArgument;
            const kind = try context.system.socketKind(fd);
            try context.system.adopt(fd);
            // Of a peer on another machine the kernel knows no user to allow.
            const who: services.Allow = if (kind.local) allow else .{ .everyone = true };
            if (kind.listens) return context.addListener(.{ .adopted = fd }, limits, who);
            if (kind.local) return context.addConnection(fd, limits);
            sys.internet.prepare(fd);
            const connection = try context.attach(fd, .none, limits, .nobody, .open);
            context.statistics.connections_made += 1;
            return connection.handle;
        }

        /// Copies of what a handle stands for, to be given away: the socket, and the lock of a service that has one.
        /// They are the caller's.
        pub fn copies(context: *Context, handle: Handle, out: *[copies_max]sys.Fd) CopyError![]sys.Fd {
            try context.check();
            var held: [copies_max]sys.Fd = undefined;
            var count: usize = 1;
            switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| {
                    if (connection.state != .open or connection.broken) return error.Closed;
                    if (connection.queue.bytes() > 0 or connection.inbound.midMessage()) return error.Unfinished;
                    held[0] = connection.fd;
                },
                .external => |external| held[0] = external.duplicate,
                .service => |service| {
                    held[0] = service.listener.descriptor();
                    if (service.listener.lock()) |lock| {
                        held[1] = lock;
                        count = 2;
                    }
                },
                .timer, .bound => return error.Closed,
            }
            for (held[0..count], 0..) |fd, made| {
                out[made] = context.system.duplicate(fd) catch |failure| {
                    for (out[0..made]) |copy| context.system.close(copy);
                    return failure;
                };
            }
            return out[0..count];
        }
    };
}
