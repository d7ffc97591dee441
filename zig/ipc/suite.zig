//! The context's behaviour on the real system: one body of tests, made once for each poller that can run here.

const Kind = @import("poller/poller.zig").Kind;

const parts = .{
    @import("suite/messages.zig"),
    @import("suite/queues.zig"),
    @import("suite/ends.zig"),
    @import("suite/services.zig"),
    @import("suite/watched.zig"),
    @import("suite/switches.zig"),
    @import("suite/descriptors.zig"),
    @import("suite/raw.zig"),
    @import("suite/handovers.zig"),
    @import("suite/dials.zig"),
    @import("suite/failures.zig"),
};

test {
    inline for (@typeInfo(Kind).@"enum".fields) |field| {
        const kind: Kind = @enumFromInt(field.value);
        if (comptime kind.isAvailable()) {
            inline for (parts) |part| _ = part.Suite(kind);
        }
    }
}
