//! How messages leave a context: straight into the kernel where nothing waits for the connection, else by its queue.
//! Everything that was taken ends up sent, queued, or counted as lost with the connection's disconnection.

const std = @import("std");
const sys = @import("sys");
const areFrames = @import("queue.zig").areFrames;
const batches = @import("batch.zig");
const connections = @import("connection.zig");
const contexts = @import("context.zig");
const frame = @import("frame.zig");
const SendError = contexts.SendError;
const SendRightsError = contexts.SendRightsError;
const WaitError = contexts.WaitError;
const Connection = connections.Connection;
const Handle = @import("library").handle.Handle;
const Statistics = @import("statistics.zig").Statistics;
const assert = std.debug.assert;

pub fn SenderType(comptime Context: type) type {
    return struct {
        /// Sends the runs in the first `outbox_bytes` of the outbox. Each run's `token_or_result` then holds the
        /// bytes queued for its connection, or the code for why none of it was taken, as `code` maps it.
        pub fn flush(context: *Context, outbox_bytes: u32, comptime code: fn (SendError) i32) WaitError!void {
            try context.check();
            try sendOutbox(context, outbox_bytes, code);
            sendUnsent(context);
        }

        pub fn sendOutbox(context: *Context, outbox_bytes: u32, comptime code: fn (SendError) i32) error{InvalidArgument}!void {
            const outbox = context.batch.outbox;
            if (outbox_bytes > outbox.len) return error.InvalidArgument;
            var at: usize = 0;
            while (at < outbox_bytes) {
                if (outbox_bytes - at < @sizeOf(batches.Run) or at % @alignOf(batches.Run) != 0)
                    return error.InvalidArgument;
                const run: *batches.Run = @ptrCast(@alignCast(outbox[at..].ptr));
                at += @sizeOf(batches.Run);
                if (run.bytes > outbox_bytes - at) return error.InvalidArgument;
                const frames = outbox[at..][0..run.bytes];
                at = std.mem.alignForward(usize, at + run.bytes, @alignOf(batches.Run));
                run.token_or_result = if (sendRun(context, run, frames)) |queued|
                    @intCast(@min(queued, std.math.maxInt(i32)))
                else |failure| refused: {
                    // Its owner is to learn of it now, and not when something else happens.
                    context.woken = true;
                    break :refused code(failure);
                };
            }
        }

        fn sendRun(context: *Context, run: *const batches.Run, frames: []u8) SendError!u64 {
            const connection = try context.connectionOf(run.connection);
            const payload_bytes_max = connection.limits.message_bytes_max;
            if (connection.queue.raw) return sendPayloads(context, connection, run, frames);
            // Most runs are shorter than one message may be, and then there is nothing to look for.
            if (frames.len > frame.header_bytes + @as(usize, payload_bytes_max)) {
                var walker: frame.Walker = .{ .bytes = frames };
                while (walker.next()) |payload| {
                    if (payload.len > payload_bytes_max) return error.MessageTooLong;
                }
            }
            return transmit(context, run.connection, "", frames, run.messages, run.token_or_result);
        }

        /// The frames are the outbox's alone: where bytes go as they are, the headers stay behind.
        fn sendPayloads(context: *Context, connection: *Connection, run: *const batches.Run, frames: []u8) SendError!u64 {
            if (!areFrames(frames, run.messages)) return malformed(context, connection);
            // All of them at once, so that all are taken or none is.
            var walker: frame.Walker = .{ .bytes = frames };
            var bytes: usize = 0;
            while (walker.next()) |payload| {
                @memmove(frames[bytes..][0..payload.len], payload);
                bytes += payload.len;
            }
            return transmit(context, run.connection, "", frames[0..bytes], run.messages, run.token_or_result);
        }

        /// Queues one message, to be sent by the next `wait` or `flush`. A `token` other than 0 asks for a
        /// `message_tx` event. Returns the bytes queued for the connection.
        pub fn schedule(context: *Context, handle: Handle, payload: []const u8, token: i32) SendError!u64 {
            try context.check();
            const connection = try sendable(context, handle, payload.len);
            const header: Header = .of(connection, payload.len);
            const total = header.slice().len + payload.len;
            if (total == 0) return nothing(context, connection, token);
            if (connection.queue.bytes() + total > connection.limits.queue_bytes_max) {
                // Some of it may be gone by now: only what the peer really does not take counts against it.
                sendQueued(context, connection);
                if (!connection.takesMessages()) return lost(context, connection, 1, total);
                if (connection.queue.bytes() + total > connection.limits.queue_bytes_max)
                    return overLimit(context, connection, 1, total);
            }
            const space = try connection.queue.reserve(context.allocator, total);
            try noteTaken(context, connection, total, 1, token);
            @memcpy(space[0..header.slice().len], header.slice());
            @memcpy(space[header.slice().len..], payload);
            connection.queue.commit(total, 1);
            context.statistics.queued_bytes += total;
            if (context.serviceOf(connection)) |service| service.statistics.queued_bytes += total;
            if (!connection.in_unsent) {
                connection.in_unsent = true;
                context.unsent.pushBackAssumeCapacity(handle);
            }
            noteQueue(context, connection);
            return connection.queue.bytes();
        }

        /// Sends one message now, behind what is queued for the connection already. What the kernel does not take
        /// is queued. Returns the bytes queued for the connection: 0 where the kernel has everything.
        pub fn write(context: *Context, handle: Handle, payload: []const u8) SendError!u64 {
            try context.check();
            const connection = try sendable(context, handle, payload.len);
            const header: Header = .of(connection, payload.len);
            return transmit(context, handle, header.slice(), payload, 1, 0);
        }

        /// The same with descriptors, which go along with the message and stay the caller's: what has to wait keeps
        /// copies of them. After `CarriesNone`, `Unpassable`, `Crowded`, `DescriptorLimit` and `DescriptorsTooMany` nothing was taken.
        pub fn sendRights(
            context: *Context,
            handle: Handle,
            payload: []const u8,
            fds: []const sys.Fd,
        ) SendRightsError!u64 {
            if (fds.len == 0) return write(context, handle, payload);
            try context.check();
            if (fds.len > sys.rights.descriptors_max) return error.DescriptorsTooMany;
            const connection = try sendable(context, handle, payload.len);
            const header: Header = .of(connection, payload.len);
            const total = header.slice().len + payload.len;
            // They ride on at least one byte.
            if (total == 0) return error.InvalidArgument;
            // TCP would leave them behind without a word.
            if (connection.credentials.isNobody()) return error.CarriesNone;
            const user = connection.credentials.uid;
            if (context.descriptors.heldFor(user) + fds.len > connection.limits.descriptors_held_max)
                return error.DescriptorsTooMany;
            try context.descriptors.reserve(context.allocator);
            try makeRoom(context, connection, total, 1);
            const mark: Mark = .of(connection);
            const attached = connection.attachments.len;
            var sent: connections.Sent = .taken;
            if (mark.queued > 0) {
                const space = try connection.queue.reserve(context.allocator, total);
                const begin = connection.bytes_taken;
                // Later nobody would be there to be told.
                if (!context.system.passes(fds)) return error.Unpassable;
                try connection.attach(context.allocator, &context.system, begin, begin + total, fds);
                @memcpy(space[0..header.slice().len], header.slice());
                @memcpy(space[header.slice().len..], payload);
                connection.queue.commit(total, 1);
            } else {
                sent = connection.sendRights(context.allocator, &context.system, header.slice(), payload, fds);
                switch (sent) {
                    .unpassable => return error.Unpassable,
                    .crowded => return error.Crowded,
                    .descriptor_limit => return error.DescriptorLimit,
                    .taken, .broken, .failed, .malformed, .out_of_memory => {},
                }
            }
            connection.bytes_taken += total;
            if (connection.attachments.len > attached) context.descriptors.hold(user, @intCast(fds.len));
            return settle(context, connection, sent, mark, 1, total);
        }

        /// What goes before a payload on the wire.
        const Header = struct {
            bytes: [frame.header_bytes]u8,
            length: usize,

            fn of(connection: *const Connection, payload_bytes: usize) Header {
                return .{
                    .bytes = frame.encodeHeader(@intCast(payload_bytes)),
                    .length = if (connection.queue.raw) 0 else frame.header_bytes,
                };
            }

            fn slice(header: *const Header) []const u8 {
                return header.bytes[0..header.length];
            }
        };

        fn sendable(context: *Context, handle: Handle, payload_bytes: usize) SendError!*Connection {
            const connection = try context.connectionOf(handle);
            // Bytes without frames are no messages, however many go at once.
            const bytes_max = if (connection.queue.raw) connections.Limits.message_bytes_limit else connection.limits.message_bytes_max;
            if (payload_bytes > bytes_max) return error.MessageTooLong;
            const header: Header = .of(connection, payload_bytes);
            if (!connection.takesMessages()) return tooLate(context, connection, 1, header.length + payload_bytes);
            return connection;
        }

        fn transmit(
            context: *Context,
            handle: Handle,
            head: []const u8,
            body: []const u8,
            messages: u32,
            token: i32,
        ) SendError!u64 {
            const connection = try context.connectionOf(handle);
            const total = head.len + body.len;
            const shortest: usize = if (connection.queue.raw) 0 else frame.header_bytes;
            // No message is shorter than that, and a report speaks of one message.
            if (messages * shortest > total or (token != 0 and messages != 1)) return malformed(context, connection);
            if (!connection.takesMessages()) return tooLate(context, connection, messages, total);
            if (total == 0 and connection.queue.raw) return nothing(context, connection, token);
            try makeRoom(context, connection, total, messages);
            const mark: Mark = .of(connection);
            if (mark.queued > 0) {
                if (head.len == 0 and !connection.queue.raw and !areFrames(body, messages))
                    return malformed(context, connection);
                const space = try connection.queue.reserve(context.allocator, total);
                try noteTaken(context, connection, total, messages, token);
                @memcpy(space[0..head.len], head);
                @memcpy(space[head.len..], body);
                connection.queue.commit(total, messages);
                return settle(context, connection, .taken, mark, messages, total);
            }
            try noteTaken(context, connection, total, messages, token);
            const sent = connection.send(context.allocator, &context.system, head, body, messages);
            return settle(context, connection, sent, mark, messages, total);
        }

        /// No bytes without a frame are no message; but who asked for a report waits for it.
        fn nothing(context: *Context, connection: *Connection, token: i32) SendError!u64 {
            try noteTaken(context, connection, 0, 1, token);
            if (connection.reports.len > 0) context.attend(connection);
            return connection.queue.bytes();
        }

        /// Sends what waits, if anything does, and sees that `bytes` more may wait behind it.
        fn makeRoom(context: *Context, connection: *Connection, bytes: usize, messages: u32) SendError!void {
            if (connection.queue.bytes() == 0) return;
            sendQueued(context, connection);
            if (!connection.takesMessages()) return lost(context, connection, messages, bytes);
            const queued = connection.queue.bytes();
            if (queued + bytes > connection.limits.queue_bytes_max and queued > 0)
                return overLimit(context, connection, messages, bytes);
        }

        /// What is to be known of messages that were taken: what became of them, where the connection stood before.
        fn settle(
            context: *Context,
            connection: *Connection,
            sent: connections.Sent,
            mark: Mark,
            messages: u32,
            total: usize,
        ) SendError!u64 {
            noteSent(context, connection, mark);
            switch (sent) {
                .taken => {},
                .malformed => return malformed(context, connection),
                .out_of_memory => {
                    // The front of it may be with the kernel, so the connection cannot go on.
                    const messages_left = messages - @as(u32, @intCast(connection.messages_sent - mark.messages));
                    lose(context, connection, messages_left, total - @as(usize, @intCast(connection.bytes_sent - mark.bytes)));
                    context.end(connection, .out_of_memory, 0);
                    return error.Ended;
                },
                .broken, .failed => {
                    breakOff(context, connection, sent);
                    return lost(context, connection, messages, total);
                },
                // Whoever sends descriptors is told of these, and nothing was taken.
                .unpassable, .crowded, .descriptor_limit => unreachable,
            }
            const grew = mark.queued == 0;
            if (grew and connection.queue.bytes() > connection.limits.queue_bytes_max and
                connection.limits.queue_policy == .close)
            {
                context.end(connection, .queue_limit, 0);
                return error.Ended;
            }
            noteQueue(context, connection);
            return connection.queue.bytes();
        }

        /// Where a connection stood before something was sent.
        const Mark = struct {
            bytes: u64,
            messages: u64,
            queued: usize,

            fn of(connection: *const Connection) Mark {
                return .{
                    .bytes = connection.bytes_sent,
                    .messages = connection.messages_sent,
                    .queued = connection.queue.bytes(),
                };
            }
        };

        fn overLimit(context: *Context, connection: *Connection, messages: u32, bytes: usize) SendError {
            if (connection.limits.queue_policy == .refuse) {
                // Who was refused waits for a drain event, however little is queued.
                if (!connection.drained) connection.pressed = true;
                return error.QueueFull;
            }
            context.end(connection, .queue_limit, 0);
            return lost(context, connection, messages, bytes);
        }

        /// Unless its owner has closed it, he cannot know yet that it takes no more: the disconnection tells, and
        /// counts these too.
        fn tooLate(context: *Context, connection: *Connection, messages: u32, bytes: usize) SendError {
            // One that is still being made has taken nothing, and may yet be.
            if (connection.given_up or connection.state == .connecting) return error.Closed;
            return lost(context, connection, messages, bytes);
        }

        /// For messages over which the connection ended: its disconnection counts them, as it does those queued before.
        fn lost(context: *Context, connection: *Connection, messages: u32, bytes: usize) SendError {
            lose(context, connection, messages, bytes);
            return error.Ended;
        }

        fn malformed(context: *Context, connection: *Connection) SendError {
            context.end(connection, .malformed, 0);
            return error.Malformed;
        }

        pub fn sendQueued(context: *Context, connection: *Connection) void {
            const mark: Mark = .of(connection);
            const sent = connection.sendQueued(context.allocator, &context.system);
            noteSent(context, connection, mark);
            context.descriptors.release(connection.credentials.uid, connection.descriptors_gone);
            connection.descriptors_gone = 0;
            // Something has gone, so that the wait of what is left begins anew.
            if (sent != .crowded or mark.bytes != connection.bytes_sent) connection.crowded_ns = null;
            switch (sent) {
                .taken => noteQueue(context, connection),
                .broken, .failed => breakOff(context, connection, sent),
                .crowded => awaitRoom(context, connection),
                // The queue holds whole frames, with copies of their descriptors, and needs nothing more.
                .malformed, .out_of_memory, .unpassable, .descriptor_limit => unreachable,
            }
        }

        /// The system keeps no more descriptors of this user on their way, until somebody, who may be anybody, has read
        /// some of them; nothing tells when, so it is tried again.
        fn awaitRoom(context: *Context, connection: *Connection) void {
            // There would be no end of trying: the poller goes on telling that a peer is gone.
            if (connection.hung_up) return breakOff(context, connection, .broken);
            const errno = context.system.failure.errno;
            const now_ns = context.system.monotonic();
            const since_ns = connection.crowded_ns orelse now_ns;
            connection.crowded_ns = since_ns;
            // One that is draining has a deadline of its own.
            if (connection.state != .draining and now_ns >= since_ns +| connections.crowded_max_ns)
                return context.end(connection, .descriptor_limit, errno);
            if (!connection.in_crowded) {
                connection.in_crowded = true;
                context.crowded.pushBackAssumeCapacity(connection.handle);
                if (context.crowded_due_ns == null) context.crowded_due_ns = now_ns +| connections.crowded_retry_ns;
            }
            noteQueue(context, connection);
        }

        pub fn sendCrowded(context: *Context, now_ns: u64) void {
            if (now_ns < context.crowded_due_ns orelse return) return;
            context.crowded_due_ns = null;
            var left = context.crowded.len;
            while (left > 0) : (left -= 1) {
                const handle = context.crowded.popFront() orelse return;
                const connection = context.connectionOf(handle) catch continue;
                connection.in_crowded = false;
                // What was tried since then, for another reason, may have gone.
                if (connection.state != .ended and connection.crowded_ns != null) sendQueued(context, connection);
            }
        }

        pub fn sendUnsent(context: *Context) void {
            while (context.unsent.popFront()) |handle| {
                const connection = context.connectionOf(handle) catch continue;
                connection.in_unsent = false;
                if (connection.state != .ended and !connection.broken) sendQueued(context, connection);
            }
        }

        /// The peer takes no more. What it has sent may still be unread, so an open connection goes on until its end.
        fn breakOff(context: *Context, connection: *Connection, sent: connections.Sent) void {
            if (sent == .failed) return context.end(connection, .system, context.system.failure.errno);
            connection.broken = true;
            dropQueue(context, connection);
            if (connection.state != .open) return context.end(connection, .peer_reset, 0);
            context.watch(connection);
            context.attend(connection);
        }

        pub fn dropQueue(context: *Context, connection: *Connection) void {
            const queued = connection.queue.bytes();
            lose(context, connection, connection.queue.messages, queued);
            context.statistics.queued_bytes -= queued;
            if (context.serviceOf(connection)) |service| service.statistics.queued_bytes -= queued;
            connection.queue.deinit(context.allocator);
            connection.crowded_ns = null;
            const dropped = connection.dropAttachments(context.allocator, &context.system);
            context.descriptors.release(connection.credentials.uid, dropped);
        }

        fn lose(context: *Context, connection: *Connection, messages: u32, bytes: usize) void {
            connection.messages_lost +|= messages;
            connection.bytes_lost += bytes;
            context.statistics.messages_lost += messages;
            if (context.serviceOf(connection)) |service| service.statistics.messages_lost += messages;
        }

        fn noteTaken(context: *Context, connection: *Connection, bytes: usize, messages: u32, token: i32) error{OutOfMemory}!void {
            const end_at = connection.bytes_taken + bytes;
            if (token != 0) {
                assert(messages == 1);
                const header_bytes: usize = if (connection.queue.raw) 0 else frame.header_bytes;
                try connection.report(context.allocator, end_at, @intCast(bytes - header_bytes), token);
            }
            connection.bytes_taken = end_at;
        }

        fn noteSent(context: *Context, connection: *Connection, mark: Mark) void {
            const bytes = connection.bytes_sent - mark.bytes;
            const messages = connection.messages_sent - mark.messages;
            const queued = connection.queue.bytes();
            add(&context.statistics, bytes, messages, queued, mark.queued);
            if (context.serviceOf(connection)) |service| add(&service.statistics, bytes, messages, queued, mark.queued);
            if (bytes > 0 and connection.reports.len > 0) context.attend(connection);
        }

        fn add(statistics: *Statistics, bytes: u64, messages: u64, queued: usize, queued_before: usize) void {
            statistics.bytes_sent += bytes;
            statistics.messages_sent += messages;
            statistics.queued_bytes = statistics.queued_bytes + queued - queued_before;
        }

        /// After the queue has changed: watch for what is wanted, and tell who waits for it to empty.
        fn noteQueue(context: *Context, connection: *Connection) void {
            const queued = connection.queue.bytes();
            if (queued > connection.limits.queue_bytes_high) {
                connection.pressed = true;
                connection.drained = false;
            } else if (connection.pressed and queued <= connection.limits.queue_bytes_high / 2) {
                connection.pressed = false;
                connection.drained = true;
                context.attend(connection);
            }
            if (queued == 0 and connection.state != .open) context.attend(connection);
            context.watch(connection);
        }
    };
}
