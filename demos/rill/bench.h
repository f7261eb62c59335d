/* SPDX-License-Identifier: MIT */
/* The benchmarks of the rill bench command. Each takes its own name as arguments[0] and returns an exit code.
 */
#ifndef BENCH_H
#define BENCH_H

int bench_attention(int count, char **arguments);
int bench_kernels(int count, char **arguments);
int bench_machine(int count, char **arguments);
int bench_paper(int count, char **arguments);
int bench_report(int count, char **arguments);
int bench_stream(int count, char **arguments);

#endif
