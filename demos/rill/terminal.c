/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t stop, resized = 1, drawing, raw;
static struct termios before;

static const char enter[] = "\x1b[?1049h\x1b[?25l\x1b[?7l", leave[] = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

static void restore(void) {
    if (raw) tcsetattr(STDIN_FILENO, TCSANOW, &before);
    if (drawing) terminal_write(leave, sizeof leave - 1);
    raw = drawing = 0;
}

static void on_stop(int signal_number) {
    if (stop) {
        restore();
        _exit(128 + signal_number);
    }
    stop = 1;
}

static void on_crash(int signal_number) {
    restore();
    raise(signal_number); /* the default has been put back: SA_RESETHAND */
}

static void on_resize(int signal_number) {
    (void)signal_number;
    resized = 1;
}

static void handle(int signal_number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    sigaction(signal_number, &action, NULL);
}

/* Ctrl-Z: the shell gets its own screen meanwhile. */
static void on_suspend(int signal_number) {
    const int error = errno;
    sigset_t mine;
    sigemptyset(&mine);
    sigaddset(&mine, signal_number);
    if (drawing) terminal_write(leave, sizeof leave - 1);
    handle(signal_number, SIG_DFL, 0);
    raise(signal_number);
    sigprocmask(SIG_UNBLOCK, &mine, NULL); /* stops here */
    handle(signal_number, on_suspend, SA_RESTART);
    if (drawing) terminal_write(enter, sizeof enter - 1);
    errno = error;
}

void stop_watch(void) {
    handle(SIGINT, on_stop, 0);
    handle(SIGTERM, on_stop, 0);
    struct sigaction inherited;
    const bool nohup = sigaction(SIGHUP, NULL, &inherited) == 0 && inherited.sa_handler == SIG_IGN;
    if (!nohup) handle(SIGHUP, on_stop, 0);
}

bool stop_requested(void) {
    return stop;
}

bool terminal_can_draw(void) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && term && *term && strcmp(term, "dumb") != 0;
}

void terminal_enter(bool keys) {
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGQUIT};
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        handle(crashes[i], on_crash, (int)(SA_RESETHAND | SA_NODEFER));
    handle(SIGWINCH, on_resize, SA_RESTART);
    handle(SIGTSTP, on_suspend, SA_RESTART);
    if (keys && isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0) {
        struct termios single = before;
        single.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        single.c_cc[VSUSP] = _POSIX_VDISABLE; /* the shell would be left without echo */
        single.c_cc[VMIN] = 0;
        single.c_cc[VTIME] = 0;
        raw = tcsetattr(STDIN_FILENO, TCSANOW, &single) == 0;
    }
    drawing = 1;
    terminal_write(enter, sizeof enter - 1);
    static bool registered;
    if (!registered) atexit(restore);
    registered = true;
}

void terminal_leave(void) {
    restore();
}

void terminal_size(size_t *columns, size_t *rows) {
    static struct winsize size;
    if (resized) {
        resized = 0;
        const int terminal = isatty(STDOUT_FILENO) ? STDOUT_FILENO : STDERR_FILENO;
        if (ioctl(terminal, TIOCGWINSZ, &size) != 0 || !size.ws_col || !size.ws_row)
            size = (struct winsize){.ws_col = 80, .ws_row = 24};
    }
    *columns = size.ws_col;
    *rows = size.ws_row;
}

static bool key_waits(void) {
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&in, 1, 0) == 1 && (in.revents & POLLIN);
}

unsigned char terminal_key(void) {
    unsigned char key = 0;
    if (!raw || !key_waits() || read(STDIN_FILENO, &key, 1) != 1) return 0;
    if (key != 0x1b || !key_waits()) return key;
    /* An arrow or function key: ESC [ … final byte, ESC O x. */
    unsigned char next = 0;
    if (read(STDIN_FILENO, &next, 1) == 1 && (next == '[' || next == 'O'))
        while (key_waits() && read(STDIN_FILENO, &next, 1) == 1 && !(next >= 0x40 && next <= 0x7E)) {
        }
    return 0;
}

bool terminal_write(const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, count);
        if (written < 0 && errno != EINTR) return false;
        if (written > 0) {
            bytes += written;
            count -= (size_t)written;
        }
    }
    return true;
}
