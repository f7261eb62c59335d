/* SPDX-License-Identifier: MIT */
/* Libraries below us print to standard error; rill does not. Put aside for the length of a call, it is put
 * aside for every thread of the process. */
#ifndef RILL_STANDARD_ERROR_H
#define RILL_STANDARD_ERROR_H

/* From any thread, in pairs. */
void rill_standard_error_put_aside(void);
void rill_standard_error_put_back(void);

#endif
