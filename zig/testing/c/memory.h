/* What header.zig reads of the C header of libearshot-memory. */
#include <earshot/memory.h>
