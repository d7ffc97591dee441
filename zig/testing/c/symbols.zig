//! Looks at what the shared library exports: all that `exports.zig` lists, and nothing besides. A symbol too many could
//! take the place of one of the host's.
//!
//!     symbols LIBRARY

const std = @import("std");
const exports = @import("exports");
const elf = std.elf;

const listed = exports.functions ++ exports.foreign_functions;

pub fn main(init: std.process.Init) !u8 {
    const gpa = init.arena.allocator();
    const arguments = try init.minimal.args.toSlice(gpa);
    if (arguments.len != 2) return 2;
    const path = arguments[1];
    const bytes = try std.Io.Dir.cwd().readFileAlloc(init.io, path, gpa, .unlimited);
    // Other systems keep their symbols otherwise; what is exported follows from the same lines there.
    if (!std.mem.startsWith(u8, bytes, elf.MAGIC)) return 0;

    var wrong: u8 = 0;
    var found: std.StringHashMapUnmanaged(void) = .empty;
    for (try symbolsOf(bytes)) |symbol| {
        if (symbol.st_shndx == elf.SHN_UNDEF) continue;
        const name = try nameOf(bytes, symbol);
        if (name.len == 0) continue;
        try found.put(gpa, name, {});
        if (!isListed(name)) {
            std.debug.print("{s} exports {s}, which is not listed\n", .{ path, name });
            wrong = 1;
        }
    }
    inline for (listed) |entry| if (!found.contains(entry[0])) {
        std.debug.print("{s} does not export {s}\n", .{ path, entry[0] });
        wrong = 1;
    };
    return wrong;
}

fn isListed(name: []const u8) bool {
    inline for (listed) |entry| if (std.mem.eql(u8, name, entry[0])) return true;
    return false;
}

fn sectionsOf(bytes: []const u8) ![]align(1) const elf.Elf64_Shdr {
    const header = std.mem.bytesAsValue(elf.Elf64_Ehdr, bytes[0..@sizeOf(elf.Elf64_Ehdr)]);
    const start: usize = @intCast(header.e_shoff);
    return std.mem.bytesAsSlice(elf.Elf64_Shdr, bytes[start..][0 .. header.e_shnum * @sizeOf(elf.Elf64_Shdr)]);
}

fn dynamicSection(bytes: []const u8) !elf.Elf64_Shdr {
    for (try sectionsOf(bytes)) |section| if (section.sh_type == elf.SHT_DYNSYM) return section;
    return error.NoDynamicSymbols;
}

fn contentOf(bytes: []const u8, section: elf.Elf64_Shdr) []const u8 {
    return bytes[@intCast(section.sh_offset)..][0..@intCast(section.sh_size)];
}

fn symbolsOf(bytes: []const u8) ![]align(1) const elf.Elf64_Sym {
    return std.mem.bytesAsSlice(elf.Elf64_Sym, contentOf(bytes, try dynamicSection(bytes)));
}

fn nameOf(bytes: []const u8, symbol: elf.Elf64_Sym) ![]const u8 {
    const names = contentOf(bytes, (try sectionsOf(bytes))[(try dynamicSection(bytes)).sh_link]);
    return std.mem.sliceTo(names[symbol.st_name..], 0);
}
