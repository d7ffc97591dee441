//! How a context reaches other machines: TCP sockets that listen or are on their way, for daemons. What comes over them is
//! as raw as their limits say, and of nobody whom the kernel knows.

const sys = @import("sys");
const contexts = @import("context.zig");
const services = @import("service.zig");
const Connection = @import("connection.zig").Connection;
const Handle = @import("library").handle.Handle;
const Limits = @import("connection.zig").Limits;

pub const ListenError = contexts.AddError || sys.internet.ListenError;
pub const DialError = contexts.AddError || sys.internet.DialError;

pub fn DialerType(comptime Context: type) type {
    return struct {
        /// Accepts TCP connections at `address`, whoever they come from; `addressOf` says which port it became.
        pub fn listenAt(context: *Context, address: sys.internet.Address, backlog: u31, limits: Limits) ListenError!Handle {
            try context.check();
            if (!limits.valid() or !address.valid()) return error.InvalidArgument;
            const fd = try sys.internet.listen(&context.system, address, backlog);
            errdefer context.system.close(fd);
            return context.addListener(.{ .adopted = fd }, limits, .{ .everyone = true });
        }

        /// A connection to `address`. A `connection` event tells that it is there, and its disconnection that it cannot
        /// be; until then nothing can be sent. How long that may take is the caller's to say, by closing it.
        pub fn dial(context: *Context, address: sys.internet.Address, limits: Limits) DialError!Handle {
            try context.check();
            if (!limits.valid() or !address.valid()) return error.InvalidArgument;
            const fd = try sys.internet.dial(&context.system, address);
            errdefer context.system.close(fd);
            const connection = try context.attach(fd, .none, limits, .nobody, .connecting);
            context.statistics.connections_made += 1;
            return connection.handle;
        }

        /// It is writable, and so at its goal or not on its way any more.
        pub fn arrive(context: *Context, connection: *Connection) void {
            connection.writable = false;
            connection.readable = false;
            const errno = sys.internet.outcome(connection.fd);
            if (errno != 0) return context.end(connection, .system, errno);
            connection.state = .open;
            // Its owner learns that it is there before anything comes.
            connection.read_number = context.batch_number;
            context.batch.push(.{
                .type = .connection,
                .source = connection.handle,
                .length = connection.credentials.uid,
                .offset = connection.credentials.gid,
                .data = @intCast(connection.fd),
            });
            context.watch(connection);
        }

        /// Where the other end of a TCP connection is, or where a service listens; null for what has no such address.
        pub fn addressOf(context: *Context, handle: Handle) contexts.CloseError!?sys.internet.Address {
            return addressAt(context, handle, .peer);
        }

        /// Where this end of a TCP connection is, or where a service listens; null for what has no such address.
        pub fn ownAddressOf(context: *Context, handle: Handle) contexts.CloseError!?sys.internet.Address {
            return addressAt(context, handle, .own);
        }

        fn addressAt(context: *Context, handle: Handle, end: sys.internet.End) contexts.CloseError!?sys.internet.Address {
            try context.check();
            return switch (context.table.get(handle) orelse return error.Closed) {
                .connection => |connection| if (connection.state == .ended)
                    error.Closed
                else
                    sys.internet.addressOf(connection.fd, end),
                .service => |service| sys.internet.addressOf(service.listener.descriptor(), .own),
                .timer, .external, .bound => error.Closed,
            };
        }
    };
}
