/* SPDX-License-Identifier: MIT */
#include "chosen_model.h"

#include "message.h"

extern const unsigned char embedded_model[], embedded_model_end[];

rill_model *chosen_model_open(const char *path) {
    rill_model *model = NULL;
    rill_error why;
    size_t size = (size_t)(embedded_model_end - embedded_model);
    rill_status status = path ? rill_model_open(path, &model, &why)
                              : rill_model_from_memory("embedded model", embedded_model, size, &model, &why);
    if (status == RILL_OK) return model;
    complain("%s", why.message);
    return NULL;
}
