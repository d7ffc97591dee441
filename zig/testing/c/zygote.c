/* Uses all of earshot/zygote.h as a C program would. */
#include "must.h"
#include <earshot/zygote.h>
int main(void) { return 0; }
