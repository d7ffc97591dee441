//! The ciphers once more, compiled for processors that have instructions for them, as an object that
//! the library is linked with. Its two functions are hidden: nobody outside the library sees them.
//! Nothing in here may run where `sys.processor.hasCiphers` says no.

const aead = @import("aead.zig");
const Suite = @import("suite.zig").Suite;

/// A root of its own, it needs no more than a way to end.
pub const panic = @import("std").debug.no_panic;

fn encrypt(
    suite: Suite,
    key: *const aead.Key,
    nonce: u64,
    beside: [*]const u8,
    beside_bytes: usize,
    bytes: [*]const u8,
    bytes_count: usize,
    into: [*]u8,
    tag: *aead.Tag,
) callconv(.c) void {
    aead.encrypt(suite, key, nonce, beside[0..beside_bytes], bytes[0..bytes_count], into, tag);
}

fn decrypt(
    suite: Suite,
    key: *const aead.Key,
    nonce: u64,
    beside: [*]const u8,
    beside_bytes: usize,
    bytes: [*]const u8,
    bytes_count: usize,
    into: [*]u8,
    tag: *const aead.Tag,
) callconv(.c) bool {
    return aead.decrypt(suite, key, nonce, beside[0..beside_bytes], bytes[0..bytes_count], into, tag);
}

comptime {
    @export(&encrypt, .{ .name = "earshot_seal_second_encrypt", .visibility = .hidden });
    @export(&decrypt, .{ .name = "earshot_seal_second_decrypt", .visibility = .hidden });
}
