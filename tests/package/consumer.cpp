/* SPDX-License-Identifier: MIT */
/* The same, seen from C++. */
#include "consumer.c"
