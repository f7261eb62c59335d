/* SPDX-License-Identifier: MIT */
/* rill devices: the microphones. */
#include <argp.h>
#include <stdio.h>

#include <rill/stream/live.h>

#include "command.h"
#include "json_line.h"
#include "message.h"
#include "options.h"
#include "text.h"

enum { DEVICES = 256 };

static const struct argp_child children[] = {{&options_output, 0, NULL, 0}, {0}};

static error_t parse(int key, char *text, struct argp_state *state) {
    if (key == ARGP_KEY_INIT)
        options_share(state, children, state->input);
    else if (key == ARGP_KEY_ARG)
        argp_error(state, "devices takes no \"%s\"", text);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static const char doc[] =
    "Lists the microphones; * marks the default one."
    "\vThe index, or part of the name, is what rill listen --device takes. The exit code is "
    "3 when there is none.";

static bool print_json(const rill_device *device) {
    json_t *made = json_object();
    json_object_set_new(made, "index", json_integer(device->index));
    json_object_set_new(made, "name", json_text(device->name));
    json_object_set_new(made, "host_api", json_text(device->host_api));
    json_object_set_new(made, "channels", json_integer(device->channels));
    json_object_set_new(made, "default_rate_hz", json_decimal(device->default_rate_hz, 3));
    json_object_set_new(made, "default", json_boolean(device->is_default));
    return json_line(made);
}

static bool print_line(const rill_device *device) {
    char name[3 * sizeof device->name], host[3 * sizeof device->host_api];
    text_clean(name, sizeof name, device->name);
    text_clean(host, sizeof host, device->host_api);
    printf("%c %2d  %s  (%s, %u channels, %.0f Hz)\n", device->is_default ? '*' : ' ', device->index, name,
           host, device->channels, device->default_rate_hz);
    return output_flush();
}

int command_devices(int count, char **arguments) {
    struct options options = options_defaults();
    const struct argp argp = {NULL, parse, "", doc, children, NULL, NULL};
    options_parse(&argp, count, arguments, &options);
    static rill_device devices[DEVICES];
    size_t found = 0;
    rill_error why;
    rill_status status = rill_devices_list(DEVICES, devices, &found, &why);
    if (status != RILL_OK || found == 0) {
        complain("%s", status != RILL_OK ? why.message : "there is no microphone");
        return EXIT_NO_DEVICE;
    }
    bool written = true;
    for (size_t i = 0; written && i < found && i < DEVICES; i++)
        written = options.json ? print_json(&devices[i]) : print_line(&devices[i]);
    return written ? EXIT_DONE : EXIT_OUTPUT;
}
