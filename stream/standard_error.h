/* SPDX-License-Identifier: MIT */
/* Libraries below us print to standard error; rill does not. Put aside for the length of a call, it is put
 * aside for every thread of the process. */
#ifndef RILL_STANDARD_ERROR_H
#define RILL_STANDARD_ERROR_H

/* Returns what to give to rill_standard_error_put_back; −1 when there is no standard error. */
int rill_standard_error_put_aside(void);
void rill_standard_error_put_back(int kept);

#endif
