//! The root of a test program that runs the suite on kqueue where the system has none, over the
//! emulation library libkqueue. Only this file wants it linked:
//!
//!     zig test -lc -lkqueue --dep sys -Mroot=zig/ipc/poller/emulated.zig -Msys=zig/sys/sys.zig

const suite = @import("suite.zig");

test {
    _ = suite.Suite(@import("kqueue.zig").Kqueue);
}
