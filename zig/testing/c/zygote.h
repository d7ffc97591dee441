/* What header.zig reads of the C header of libearshot-zygote. */
#include <earshot/zygote.h>
