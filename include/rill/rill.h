/* SPDX-License-Identifier: MIT */
/* The attention library whole. The encoder is <rill/encoder.h>; what listens is in <rill/stream/>. */
#ifndef RILL_RILL_H
#define RILL_RILL_H

#include <rill/assignment.h>
#include <rill/attention.h>
#include <rill/box_matching.h>
#include <rill/convolution.h>
#include <rill/feature_map.h>
#include <rill/gradient.h>
#include <rill/graph_attention.h>
#include <rill/linear_window.h>
#include <rill/position.h>
#include <rill/relative_position.h>
#include <rill/rollback.h>
#include <rill/saved_state.h>
#include <rill/scores.h>
#include <rill/softmax.h>
#include <rill/status.h>
#include <rill/steady_state.h>

#endif
