/* What header.zig reads of the C header of libearshot-seal. */
#include <earshot/seal.h>
