//! What the processor that this runs on has, whatever the library was built for.

const std = @import("std");
const builtin = @import("builtin");

/// Whether it has what the second build of the ciphers needs: instructions for AES and for
/// multiplication without carries, on x86-64 AVX2 besides, which the system must keep across switches.
pub fn hasCiphers() bool {
    return switch (builtin.cpu.arch) {
        .x86_64 => hasX86(),
        .aarch64 => hasArm(),
        else => false,
    };
}

/// Intel's Software Developer's Manual, volume 1, 14.3 and 14.7.1: what CPUID says, and in XCR0 which
/// registers the system saves.
fn hasX86() bool {
    const pclmulqdq = 1 << 1;
    const aes = 1 << 25;
    const osxsave = 1 << 27;
    const avx = 1 << 28;
    const avx2 = 1 << 5;
    const wanted = pclmulqdq | aes | osxsave | avx;
    if (identify(0, 0).eax < 7) return false;
    if (identify(1, 0).ecx & wanted != wanted) return false;
    const sse_and_avx_state = 0b110;
    if (savedState() & sse_and_avx_state != sse_and_avx_state) return false;
    return identify(7, 0).ebx & avx2 != 0;
}

const Leaf = struct { eax: u32, ebx: u32, ecx: u32 };

fn identify(leaf: u32, part: u32) Leaf {
    var eax: u32 = undefined;
    var ebx: u32 = undefined;
    var ecx: u32 = undefined;
    asm volatile ("cpuid"
        : [eax] "={eax}" (eax),
          [ebx] "={ebx}" (ebx),
          [ecx] "={ecx}" (ecx),
        : [leaf] "{eax}" (leaf),
          [part] "{ecx}" (part),
        : .{ .edx = true });
    return .{ .eax = eax, .ebx = ebx, .ecx = ecx };
}

fn savedState() u32 {
    return asm volatile ("xgetbv"
        : [low] "={eax}" (-> u32),
        : [register] "{ecx}" (@as(u32, 0)),
        : .{ .edx = true });
}

/// Linux tells programs in the auxiliary vector, by bits of its asm/hwcap.h. On the other systems
/// here the builds for arm64 count on it anyway.
fn hasArm() bool {
    if (builtin.os.tag != .linux) return false;
    const aes = 1 << 3;
    const pmull = 1 << 4;
    const found = std.c.getauxval(std.elf.AT_HWCAP);
    return found & (aes | pmull) == aes | pmull;
}

test "the standard library finds the same" {
    // For arm64 it reads /proc/cpuinfo, which tells an emulated program of another processor.
    if (builtin.cpu.arch != .x86_64) return error.SkipZigTest;
    const target = try std.zig.system.resolveTargetQuery(std.testing.io, .{});
    const wanted: std.Target.Cpu.Feature.Set = std.Target.x86.featureSet(&.{ .aes, .pclmul, .avx, .avx2 });
    try std.testing.expectEqual(target.cpu.features.isSuperSetOf(wanted), hasCiphers());
}
