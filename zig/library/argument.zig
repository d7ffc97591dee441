//! What a C program hands over, made into what Zig works with.

/// A list that comes as a pointer and a count. Nothing needs no memory: without a pointer there may
/// be no count either.
pub fn list(
    comptime Item: type,
    pointer: ?[*]const Item,
    count: u32,
) error{InvalidArgument}![]const Item {
    if (pointer) |first| return first[0..count];
    return if (count == 0) &.{} else error.InvalidArgument;
}
