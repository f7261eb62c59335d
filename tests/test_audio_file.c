/* SPDX-License-Identifier: MIT */
/* Recordings as the world has them: every kind, whole, cut off, mislabelled, through a pipe. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rill/stream/audio_file.h>

#include "random_numbers.h"

#define FRAMES 30000

/* libsndfile forgets its decoder's memory when a damaged Ogg stream is opened. Asked for by LeakSanitizer. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libvorbis\n";
}

static char directory[64], file_name[128];

static void make_directory(void) {
    strcpy(directory, "/tmp/rill-audio-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    snprintf(file_name, sizeof file_name, "%s/recording", directory);
    signal(SIGPIPE, SIG_IGN);
}

static void remove_directory(void) {
    unlink(file_name);
    rmdir(directory);
}

TestSuite(audio_file, .init = make_directory, .fini = remove_directory);

/* A tone a channel, 16 bit exactly, interleaved [FRAMES][channels]. */
static float *tones(int channels) {
    float *samples = malloc((size_t)channels * FRAMES * sizeof *samples);
    for (int i = 0; i < FRAMES; i++)
        for (int c = 0; c < channels; c++)
            samples[i * channels + c] = (float)round(8000 * sin(0.01 * (c + 1) * i) + 3000) / 32768;
    return samples;
}

static float *white_noise(void) {
    float *samples = malloc(FRAMES * sizeof *samples);
    random_seed(5);
    for (size_t i = 0; i < FRAMES; i++) samples[i] = (float)random_below(65536) / 65536 - 0.5f;
    return samples;
}

static void write_file(int format, int rate, int channels, const float *samples, size_t frames) {
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format};
    SNDFILE *sound = sf_open(file_name, SFM_WRITE, &info);
    cr_assert_not_null(sound, "%s", sf_strerror(NULL));
    cr_assert_eq(sf_writef_float(sound, samples, (sf_count_t)frames), (sf_count_t)frames);
    sf_close(sound);
}

static void write_bytes(const void *bytes, size_t size) {
    FILE *file = fopen(file_name, "wb");
    cr_assert_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

static unsigned char *read_bytes(size_t *size) {
    FILE *file = fopen(file_name, "rb");
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(*size + 1);
    cr_assert_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void become_standard_input(int descriptor) {
    if (descriptor == STDIN_FILENO) return; /* the test runner had closed it */
    dup2(descriptor, STDIN_FILENO);
    close(descriptor);
}

/* Standard input becomes a pipe that a child fills with the file in pieces; returns the child. */
static pid_t pipe_in_file(void) {
    int ends[2];
    size_t size;
    unsigned char *bytes = read_bytes(&size);
    cr_assert_eq(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (size_t done = 0, step = 1; done < size; done += step, step = 1 + step * 3 % 5000) {
            if (step > size - done) step = size - done;
            if (write(ends[1], bytes + done, step) < 0) break;
        }
        _exit(0);
    }
    free(bytes);
    close(ends[1]);
    become_standard_input(ends[0]);
    return child;
}

typedef struct heard {
    rill_status opened, ended;
    rill_error why;
    float *samples;
    size_t count;
    uint64_t length;
    unsigned rate_hz, channels;
} heard;

static heard hear(const char *path, unsigned channel) {
    heard got = {.samples = calloc(200000, sizeof(float))};
    rill_audio_file *file = NULL;
    got.opened = rill_audio_file_open(path, channel, &file, &got.why);
    if (got.opened != RILL_OK) {
        cr_assert_null(file);
        cr_assert_str_neq(got.why.message, "");
        return got;
    }
    got.rate_hz = rill_audio_file_sample_rate_hz(file);
    got.channels = rill_audio_file_channels(file);
    got.length = rill_audio_file_length(file);
    for (size_t count = 1; count;) {
        const size_t block = 1 + random_below(20000);
        got.ended = rill_audio_file_read(file, block, got.samples + got.count, &count, &got.why);
        cr_assert_leq(count, block);
        cr_assert(got.ended == RILL_OK || !count, "what was read is given before the error");
        got.count += count;
        cr_assert_leq(got.count, 180000u);
    }
    rill_audio_file_close(file);
    return got;
}

static heard hear_pipe(unsigned channel) {
    const pid_t child = pipe_in_file();
    const heard got = hear("-", channel);
    int status;
    close(STDIN_FILENO);
    waitpid(child, &status, 0);
    return got;
}

static void expect_tone(const heard *got, const float *tone, int channels, unsigned channel, float tolerance,
                        const char *what) {
    for (size_t i = 0; i < got->count; i++) {
        float meant = 0;
        for (int c = 0; c < channels; c++) meant += tone[(int)i * channels + c];
        meant = channel ? tone[(int)i * channels + (int)channel - 1] : meant / (float)channels;
        cr_assert_float_eq(got->samples[i], meant, tolerance, "%s: sample %zu is %g, not %g", what, i,
                           (double)got->samples[i], (double)meant);
    }
}

Test(audio_file, reads_every_kind_rate_and_channel_count_from_files_and_pipes) {
    const struct {
        const char *name;
        int format, rate, channels;
        float tolerance;
    } kinds[] = {
        {"wav 16", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, 0},
        {"wav 24", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 44100, 2, 0},
        {"wav 8", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 11025, 2, 0.01f},
        {"wav float", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 48000, 8, 0},
        {"wav double", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 192000, 1, 0},
        {"wav extensible", SF_FORMAT_WAVEX | SF_FORMAT_PCM_32, 96000, 6, 0},
        {"wav u-law", SF_FORMAT_WAV | SF_FORMAT_ULAW, 8000, 1, 0.02f},
        {"wav adpcm", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 16000, 1, 0.1f},
        {"rf64", SF_FORMAT_RF64 | SF_FORMAT_FLOAT, 16000, 2, 0},
        {"w64", SF_FORMAT_W64 | SF_FORMAT_FLOAT, 16000, 1, 0},
        {"aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 22050, 2, 0},
        {"au", SF_FORMAT_AU | SF_FORMAT_PCM_16, 16000, 3, 0},
        {"aiff adpcm", SF_FORMAT_AIFF | SF_FORMAT_IMA_ADPCM, 16000, 1, 0.1f},
        {"au adpcm", SF_FORMAT_AU | SF_FORMAT_G721_32, 8000, 1, 0.1f},
        {"8svx", SF_FORMAT_SVX | SF_FORMAT_PCM_16, 8000, 1, 0},
        {"flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 44100, 2, 0},
        {"htk", SF_FORMAT_HTK | SF_FORMAT_PCM_16, 16000, 1, 0},
        {"caf", SF_FORMAT_CAF | SF_FORMAT_PCM_16, 16000, 1, 0},
        {"ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 16000, 1, 0.1f},
    };
    random_seed(3);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const int channels = kinds[k].channels;
        float *tone = tones(channels);
        write_file(kinds[k].format, kinds[k].rate, channels, tone, FRAMES);
        for (unsigned channel = 0; channel <= (unsigned)channels; channel += (unsigned)channels) {
            for (int piped = 0; piped < 2; piped++) {
                heard got = piped ? hear_pipe(channel) : hear(file_name, channel);
                cr_assert_eq(got.opened, RILL_OK, "%s", got.why.message);
                cr_assert_eq(got.ended, RILL_OK, "%s: %s", kinds[k].name, got.why.message);
                cr_assert_eq(got.rate_hz, (unsigned)kinds[k].rate);
                cr_assert_eq(got.channels, (unsigned)channels);
                cr_assert(got.count >= FRAMES && got.count < FRAMES + 2048, "%s: %zu", kinds[k].name,
                          got.count);
                cr_assert(piped || got.length == got.count, "%s", kinds[k].name);
                if (got.count > FRAMES) got.count = FRAMES; /* ADPCM fills its last block */
                expect_tone(&got, tone, channels, channel, kinds[k].tolerance, kinds[k].name);
                free(got.samples);
            }
        }
        free(tone);
    }
}

Test(audio_file, passes_floats_as_they_are) {
    const float odd[] = {NAN, INFINITY, -7.5f, 1e30f, 1e-40f, -0.0f, 1.0f};
    write_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, odd, 7);
    heard got = hear(file_name, 0);
    cr_assert_eq(got.count, 7u);
    cr_assert_arr_eq(got.samples, odd, sizeof odd);
    cr_assert_eq(got.ended, RILL_OK);
    free(got.samples);
    for (size_t frames = 0; frames < 2; frames++) {
        write_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, odd + 6, frames);
        got = hear(file_name, 0);
        cr_assert(got.opened == RILL_OK && got.ended == RILL_OK, "%s", got.why.message);
        cr_assert_eq(got.count, frames);
        free(got.samples);
    }
}

/* A WAV that a program wrote which could not know its length. */
static void write_streamed_wav(uint32_t riff, uint32_t data, size_t frames) {
    unsigned char bytes[44 + 2 * FRAMES] =
        "RIFF....WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data";
    for (size_t i = 0; i < 4; i++) {
        bytes[4 + i] = (unsigned char)(riff >> 8 * i);
        bytes[40 + i] = (unsigned char)(data >> 8 * i);
    }
    for (size_t i = 0; i < 2 * frames; i++) bytes[44 + i] = (unsigned char)(i * 7);
    write_bytes(bytes, 44 + 2 * frames);
}

Test(audio_file, reads_a_wav_of_unknown_length_to_its_end) {
    const uint32_t lengths[][2] = {
        {0, 0}, {36, 0}, {UINT32_MAX, UINT32_MAX}, {0x7ffff024, 0x7ffff000}, {0x80000024, 0x80000000}};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int piped = 0; piped < 2; piped++) {
            write_streamed_wav(lengths[k][0], lengths[k][1], 12345);
            heard got = piped ? hear_pipe(0) : hear(file_name, 0);
            cr_assert(got.opened == RILL_OK && got.ended == RILL_OK, "%s", got.why.message);
            cr_assert_eq(got.count, 12345u, "data length %x%s: %zu samples", lengths[k][1],
                         piped ? " through a pipe" : "", got.count);
            cr_assert_eq(got.length, piped ? 0u : 12345u);
            free(got.samples);
        }
}

Test(audio_file, reads_an_au_of_unknown_length_to_its_end) {
    const uint32_t lengths[] = {UINT32_MAX, 0xFFFFFFF0, 0x80000000, 0x7FFFFFFF};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int piped = 0; piped < 2; piped++) {
            unsigned char bytes[24 + 2 * 12345] = ".snd\0\0\0\x18....\0\0\0\3\0\0\x3e\x80\0\0\0\1";
            for (size_t i = 0; i < 4; i++) bytes[11 - i] = (unsigned char)(lengths[k] >> 8 * i);
            for (size_t i = 24; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 7);
            write_bytes(bytes, sizeof bytes);
            heard got = piped ? hear_pipe(0) : hear(file_name, 0);
            cr_assert(got.opened == RILL_OK && got.ended == RILL_OK, "%s", got.why.message);
            cr_assert_eq(got.count, 12345u, "data length %x%s: %zu samples", lengths[k],
                         piped ? " through a pipe" : "", got.count);
            free(got.samples);
        }
}

/* Samplers and editors write pictures of the sound before it. */
Test(audio_file, reads_a_wav_with_much_before_its_data) {
    enum { JUNK = 3000000, HEADER = 36 };
    float *tone = tones(1);
    size_t size;
    write_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 8000, 1, tone, FRAMES);
    unsigned char *bytes = read_bytes(&size), *more = calloc(1, size + JUNK + 8);
    cr_assert_arr_eq(bytes + HEADER, "data", 4);
    const uint32_t riff = (uint32_t)(size + JUNK), junk = JUNK;
    memcpy(more, bytes, HEADER);
    memcpy(more + 4, &riff, sizeof riff);
    memcpy(more + HEADER, "JUNK", 4);
    memcpy(more + HEADER + 4, &junk, sizeof junk);
    memcpy(more + HEADER + 8 + JUNK, bytes + HEADER, size - HEADER);
    write_bytes(more, size + JUNK + 8);
    for (int piped = 0; piped < 2; piped++) {
        heard got = piped ? hear_pipe(0) : hear(file_name, 0);
        cr_assert_eq(got.opened, RILL_OK, "%s", got.why.message);
        cr_assert_eq(got.ended, RILL_OK);
        cr_assert_eq(got.count, FRAMES);
        expect_tone(&got, tone, 1, 0, 1e-4F, "much before the data");
        free(got.samples);
    }
    free(bytes);
    free(more);
    free(tone);
}

Test(audio_file, says_where_a_recording_breaks_off_after_giving_what_is_there) {
    const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16,  SF_FORMAT_WAV | SF_FORMAT_FLOAT,
                           SF_FORMAT_AIFF | SF_FORMAT_PCM_16, SF_FORMAT_AU | SF_FORMAT_PCM_16,
                           SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_W64 | SF_FORMAT_PCM_16,
                           SF_FORMAT_W64 | SF_FORMAT_FLOAT};
    float *tone = tones(1);
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++)
        for (int piped = 0; piped < 2; piped++) {
            size_t size;
            write_file(formats[k], 10000, 1, tone, FRAMES);
            free(read_bytes(&size));
            cr_assert_eq(truncate(file_name, (off_t)(size / 2)), 0);
            heard got = piped ? hear_pipe(0) : hear(file_name, 0);
            cr_assert_eq(got.opened, RILL_OK, "%s", got.why.message);
            cr_assert_eq(got.ended, RILL_BAD_FORMAT, "format %x, %zu samples", (unsigned)formats[k],
                         got.count);
            cr_assert_not_null(strstr(got.why.message, " s of 3.0 s"), "%s", got.why.message);
            cr_assert(got.count > FRAMES / 5 && got.count <= FRAMES / 2 + 1, "%zu", got.count);
            expect_tone(&got, tone, 1, 1, 0, "before the break");
            free(got.samples);
        }
    free(tone);
}

/* As ffmpeg writes ADPCM to a pipe: no length, and no number of samples. */
Test(audio_file, reads_adpcm_of_unknown_length_to_its_end) {
    size_t size;
    float *noise = white_noise();
    write_file(SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 16000, 1, noise, FRAMES);
    heard whole = hear(file_name, 0);
    unsigned char *bytes = read_bytes(&size), *fact = bytes + 40;
    cr_assert(!memcmp(fact, "fact", 4) && !memcmp(fact + 12, "data", 4));
    memcpy(fact, "LIST", 4);
    memset(bytes + 4, 0xFF, 4);
    memset(fact + 16, 0xFF, 4);
    write_bytes(bytes, size);
    for (int piped = 0; piped < 2; piped++) {
        heard got = piped ? hear_pipe(0) : hear(file_name, 0);
        cr_assert(got.opened == RILL_OK && got.ended == RILL_OK, "%s", got.why.message);
        cr_assert_geq(got.count, whole.count, "%zu samples%s", got.count, piped ? " of a pipe" : "");
        cr_assert_arr_eq(got.samples, whole.samples, whole.count * sizeof *got.samples);
        free(got.samples);
    }
    free(whole.samples);
    free(bytes);
    free(noise);
}

/* What libsndfile takes for whole when it is cut off. */
Test(audio_file, says_that_what_is_decoded_in_blocks_or_pages_breaks_off) {
    const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM,  SF_FORMAT_WAV | SF_FORMAT_GSM610,
                           SF_FORMAT_AIFF | SF_FORMAT_IMA_ADPCM, SF_FORMAT_W64 | SF_FORMAT_MS_ADPCM,
                           SF_FORMAT_VOC | SF_FORMAT_PCM_16,     SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                           SF_FORMAT_OGG | SF_FORMAT_OPUS};
    float *noise = white_noise();
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++) {
        size_t size;
        write_file(formats[k], 8000, 1, noise, FRAMES);
        free(read_bytes(&size));
        for (size_t part = 16; part >= 10; part -= part == 16 ? 1 : 5)
            for (int piped = 0; piped < 2; piped++) {
                cr_assert_eq(truncate(file_name, (off_t)(size * part / 16)), 0);
                heard got = piped ? hear_pipe(0) : hear(file_name, 0);
                cr_assert_eq(got.opened, RILL_OK, "%s", got.why.message);
                cr_assert_eq(got.ended, part == 16 ? RILL_OK : RILL_BAD_FORMAT,
                             "format %x, %zu/16%s: %zu samples", (unsigned)formats[k], part,
                             piped ? " of a pipe" : "", got.count);
                if (part < 16)
                    cr_assert_not_null(strstr(got.why.message, "breaks off at "), "%s", got.why.message);
                cr_assert(got.count > FRAMES / 4 && got.count < (part < 16 ? FRAMES : 2 * FRAMES),
                          "format %x, %zu/16%s: %zu samples", (unsigned)formats[k], part,
                          piped ? " of a pipe" : "", got.count);
                free(got.samples);
            }
    }
    free(noise);
}

Test(audio_file, says_that_damage_is_damage) {
    const struct {
        int format;
        size_t share; /* of the file; all of an Ogg's are in a few pages */
    } kinds[] = {{SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 3},
                 {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 3},
                 {SF_FORMAT_OGG | SF_FORMAT_VORBIS, 100}};
    float *noise = white_noise();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t size;
        write_file(kinds[k].format, 8000, 1, noise, FRAMES);
        unsigned char *bytes = read_bytes(&size);
        memset(bytes + size / 2, 0, size / kinds[k].share);
        write_bytes(bytes, size);
        heard got = hear(file_name, 0);
        cr_assert_eq(got.ended, RILL_BAD_FORMAT, "format %x, %zu samples", (unsigned)kinds[k].format,
                     got.count);
        cr_assert_not_null(strstr(got.why.message, "is damaged"), "%s", got.why.message);
        cr_assert_lt(got.count, FRAMES);
        free(got.samples);
        free(bytes);
    }
    free(noise);
}

/* Two recordings in one file: all is heard, or it is said that it is not. */
Test(audio_file, loses_nothing_of_recordings_joined_by_cat_without_a_word) {
    const struct {
        const char *name;
        int format;
    } kinds[] = {{"mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III},
                 {"ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},
                 {"flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16}};
    float *noise = white_noise(); /* that no codec makes smaller than what it reads ahead */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        size_t size;
        write_file(kinds[k].format, 16000, 1, noise, FRAMES);
        heard one = hear(file_name, 0);
        cr_assert(one.opened == RILL_OK && one.ended == RILL_OK, "%s: %s", kinds[k].name, one.why.message);
        unsigned char *bytes = read_bytes(&size), *twice = malloc(2 * size);
        memcpy(twice, bytes, size);
        memcpy(twice + size, bytes, size);
        write_bytes(twice, 2 * size);
        heard two = hear(file_name, 0);
        cr_assert_eq(two.opened, RILL_OK, "%s", two.why.message);
        cr_assert_geq(two.count, FRAMES);
        for (int cut = 0; cut < 2 && two.count < 2 * FRAMES; cut++) { /* the second breaks off, then */
            cr_assert_eq(two.ended, RILL_BAD_FORMAT, "%s: %zu samples", kinds[k].name, two.count);
            cr_assert_not_null(strstr(two.why.message, "another recording follows at 1.9 s"), "%s",
                               two.why.message);
            free(two.samples);
            cr_assert_eq(truncate(file_name, (off_t)(2 * size - 100)), 0);
            two = hear(file_name, 0);
        }
        free(one.samples);
        free(two.samples);
        free(bytes);
        free(twice);
    }
    free(noise);
}

Test(audio_file, refuses_what_is_no_recording_and_says_what_to_do) {
    const struct {
        const char *bytes;
        size_t size;
        rill_status status;
        const char *word;
    } cases[] = {
        {"", 0, RILL_BAD_FORMAT, "empty"},
        {"hello, this is a text\n", 22, RILL_BAD_FORMAT, "ffmpeg"},
        {"\0\0\0\x1c"
         "ftypM4A \0\0\2\0",
         16, RILL_UNSUPPORTED, "ffmpeg"},
        {"\x1a\x45\xdf\xa3\1\0\0\0\0\0\0\x1f", 12, RILL_BAD_FORMAT, "ffmpeg"},
        {"RIFF", 4, RILL_BAD_FORMAT, ""},
        {"RIFF\x24\0\0\0WAVE", 12, RILL_BAD_FORMAT, ""},
        {"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff\1\0\1\0", 24, RILL_BAD_FORMAT, ""},
        {"RIFF\0\0\0\0WAVEdata\0\0\0\0abcd", 24, RILL_BAD_FORMAT, ""},
        {"fLaC\0\0\0\x22", 8, RILL_BAD_FORMAT, ""},
        {"ID3\4\0\0\x7f\x7f\x7f\x7f", 10, RILL_BAD_FORMAT, ""},
        {"ID3\3\0\0\0\0\0\4tag!RIFF\0\0\0\0WAVE", 26, RILL_UNSUPPORTED, "ffmpeg"},
        {"\xff\xfb\x90", 3, RILL_BAD_FORMAT, ""},
        {"OggS\0\2", 6, RILL_BAD_FORMAT, ""},
        {"x", 1, RILL_BAD_FORMAT, ""},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int piped = 0; piped < 2; piped++) {
            write_bytes(cases[k].bytes, cases[k].size);
            heard got = piped ? hear_pipe(0) : hear(file_name, 0);
            cr_assert_eq(got.opened, cases[k].status, "case %zu: %d %s", k, (int)got.opened, got.why.message);
            cr_assert_not_null(strstr(got.why.message, cases[k].word), "%s", got.why.message);
            cr_assert_not_null(strstr(got.why.message, piped ? "standard input" : file_name));
            free(got.samples);
        }
    char missing[160];
    snprintf(missing, sizeof missing, "%s/missing.wav", directory);
    const struct {
        const char *path;
        rill_status status;
    } places[] = {{missing, RILL_NOT_FOUND}, {directory, RILL_BAD_FORMAT}, {"/dev/zero", RILL_UNSUPPORTED}};
    for (size_t k = 0; k < 3; k++) {
        heard got = hear(places[k].path, 0);
        cr_assert_eq(got.opened, places[k].status, "%s", got.why.message);
        free(got.samples);
    }
    float *tone = tones(2);
    write_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 2, tone, 10);
    heard got = hear(file_name, 3);
    cr_assert_eq(got.opened, RILL_BAD_ARGUMENT);
    cr_assert_not_null(strstr(got.why.message, "2 channels"), "%s", got.why.message);
    free(got.samples);
    free(tone);
}

Test(audio_file, says_why_of_a_path_however_long) {
    char path[3000], folder[] = "a folder with a long name/";
    for (size_t i = 0; i + 1 < sizeof path; i++) path[i] = folder[i % (sizeof folder - 1)];
    path[sizeof path - 1] = 0;
    heard got = hear(path, 0);
    cr_assert_eq(got.opened, RILL_NOT_FOUND);
    cr_assert_eq(strncmp(got.why.message, path, 100), 0);
    cr_assert_not_null(strstr(got.why.message, ": No such file or directory"), "%s", got.why.message);
    free(got.samples);
}

/* Any bytes changed anywhere: an error or samples, never a crash or an endless loop. */
Test(audio_file, survives_damage) {
    const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                           SF_FORMAT_OGG | SF_FORMAT_VORBIS, SF_FORMAT_AIFF | SF_FORMAT_PCM_16};
    float *tone = tones(1);
    random_seed(11);
    for (size_t trial = 0; trial < 200; trial++) {
        size_t size;
        write_file(formats[trial % 4], 16000, 1, tone, 3000);
        unsigned char *bytes = read_bytes(&size);
        for (size_t k = 1 + random_below(20); k; k--)
            bytes[random_below(trial % 3 ? 60 : size)] = (unsigned char)random_below(256);
        write_bytes(bytes, trial % 5 ? size : random_below(size));
        free(bytes);
        rill_audio_file *file;
        float samples[1000];
        size_t count = 1, turns = 0;
        if (rill_audio_file_open(file_name, 0, &file, NULL) != RILL_OK) continue;
        for (; count && turns < 100; turns++) rill_audio_file_read(file, 1000, samples, &count, NULL);
        cr_assert_lt(turns, 100, "trial %zu does not end", trial);
        rill_audio_file_close(file);
    }
    free(tone);
}

/* What a library below has to say of damage is told by us, or not at all. */
Test(audio_file, leaves_standard_error_to_the_program) {
    float *tone = tones(1);
    size_t size;
    write_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 16000, 1, tone, FRAMES);
    unsigned char *bytes = read_bytes(&size);
    random_seed(7);
    for (size_t i = size / 3; i < size / 2; i++) bytes[i] = (unsigned char)random_below(256);
    write_bytes(bytes, size);
    FILE *said = tmpfile();
    fflush(stderr);
    const int kept = dup(STDERR_FILENO);
    dup2(fileno(said), STDERR_FILENO);
    heard got = hear(file_name, 0);
    rill_audio_file *file;
    cr_assert_eq(rill_audio_file_open(file_name, 0, &file, NULL), RILL_OK);
    rill_audio_file_seek(file, FRAMES - FRAMES / 10, NULL);
    rill_audio_file_close(file);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    cr_assert_eq(got.opened, RILL_OK, "%s", got.why.message);
    cr_assert_eq(lseek(fileno(said), 0, SEEK_END), 0, "something was printed");
    fclose(said);
    free(got.samples);
    free(bytes);
    free(tone);
}

static void *open_again_and_again(void *unused) {
    for (size_t turn = 0; turn < 300; turn++) {
        rill_audio_file *file = NULL;
        if (rill_audio_file_open(file_name, 0, &file, NULL) == RILL_OK) rill_audio_file_close(file);
    }
    return unused;
}

/* Recordings may be read by many threads, each its own. */
Test(audio_file, gives_standard_error_back_whoever_reads_at_once) {
    pthread_t threads[4];
    struct stat before, after;
    float *tone = tones(1);
    write_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, tone, FRAMES);
    cr_assert_eq(fstat(STDERR_FILENO, &before), 0);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_again_and_again, NULL), 0);
    for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_assert_eq(fstat(STDERR_FILENO, &after), 0);
    cr_assert(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
    free(tone);
}

Test(audio_file, seeks_in_files_and_not_in_pipes) {
    float *tone = tones(2), samples[100];
    const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16};
    rill_audio_file *file;
    rill_error why;
    size_t count;
    for (size_t k = 0; k < 2; k++) {
        write_file(formats[k], 16000, 2, tone, FRAMES);
        cr_assert_eq(rill_audio_file_open(file_name, 2, &file, &why), RILL_OK, "%s", why.message);
        for (uint64_t place = 29950; place; place /= 3) {
            cr_assert_eq(rill_audio_file_seek(file, place, &why), RILL_OK, "%s", why.message);
            cr_assert_eq(rill_audio_file_read(file, 100, samples, &count, &why), RILL_OK);
            cr_assert_eq(count, place > FRAMES - 100 ? FRAMES - place : 100);
            for (size_t i = 0; i < count; i++) cr_assert_float_eq(samples[i], tone[2 * (place + i) + 1], 0);
        }
        cr_assert_neq(rill_audio_file_seek(file, (uint64_t)1 << 63, &why), RILL_OK);
        rill_audio_file_close(file);
    }
    const pid_t child = pipe_in_file();
    int status;
    cr_assert_eq(rill_audio_file_open("-", 2, &file, &why), RILL_OK, "%s", why.message);
    cr_assert_eq(rill_audio_file_seek(file, 5, &why), RILL_UNSUPPORTED);
    cr_assert_eq(rill_audio_file_read(file, 100, samples, &count, &why), RILL_OK);
    cr_assert_float_eq(samples[1], tone[3], 0);
    rill_audio_file_close(file);
    close(STDIN_FILENO);
    waitpid(child, &status, 0);
    free(tone);
}

/* A pipe is heard while it is written: half of it is there before the rest comes. */
static void hear_half(const char *what) {
    int ends[2];
    float samples[1000];
    size_t size, count, heard_so_far = 0;
    rill_audio_file *file;
    rill_error why;
    unsigned char *bytes = read_bytes(&size);
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], bytes, size / 2), (ssize_t)(size / 2));
    become_standard_input(ends[0]);
    cr_assert_eq(rill_audio_file_open("-", 0, &file, &why), RILL_OK, "%s: %s", what, why.message);
    while (heard_so_far < FRAMES / 3) { /* would wait for ever if it wanted more than is there */
        cr_assert_eq(rill_audio_file_read(file, 1000, samples, &count, &why), RILL_OK, "%s", what);
        heard_so_far += count;
    }
    cr_assert_eq(write(ends[1], bytes + size / 2, size - size / 2), (ssize_t)(size - size / 2));
    close(ends[1]);
    for (count = 1; count; heard_so_far += count)
        cr_assert_eq(rill_audio_file_read(file, 1000, samples, &count, &why), RILL_OK, "%s", why.message);
    cr_assert_eq(heard_so_far, FRAMES, "%s", what);
    rill_audio_file_close(file);
    free(bytes);
}

Test(audio_file, hears_a_pipe_as_it_comes, .timeout = 30) {
    const struct {
        const char *name;
        int format;
    } kinds[] = {{"wav", SF_FORMAT_WAV},
                 {"wav extensible", SF_FORMAT_WAVEX},
                 {"rf64", SF_FORMAT_RF64},
                 {"aiff", SF_FORMAT_AIFF},
                 {"au", SF_FORMAT_AU}};
    float *tone = tones(1);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        write_file(kinds[k].format | SF_FORMAT_PCM_16, 16000, 1, tone, FRAMES);
        hear_half(kinds[k].name);
    }
    free(tone);
    write_streamed_wav(UINT32_MAX, UINT32_MAX, FRAMES);
    hear_half("wav of unknown length");
    float *noise = white_noise();
    write_file(SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 16000, 1, noise, FRAMES);
    hear_half("flac");
    free(noise);
}

/* A live microphone's raw samples, say, which would be copied for ever. */
Test(audio_file, refuses_a_pipe_of_no_format_before_it_ends, .timeout = 30) {
    int ends[2];
    rill_audio_file *file = NULL;
    rill_error why;
    float *noise = white_noise();
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], noise, 4000), 4000);
    become_standard_input(ends[0]);
    cr_assert_eq(rill_audio_file_open("-", 0, &file, &why), RILL_BAD_FORMAT);
    cr_assert_not_null(strstr(why.message, "ffmpeg"), "%s", why.message);
    cr_assert_null(file);
    close(ends[1]);
    free(noise);
}

static bool stop_soon(void *questions) {
    return ++*(int *)questions > 20;
}

/* libsndfile's own word on a failure is the last of any thread. */
Test(audio_file, refuses_a_pipe_of_no_format_whoever_opens_at_once, .timeout = 60) {
    pthread_t threads[3];
    float *noise = white_noise();
    write_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, noise, 10);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, open_again_and_again, NULL), 0);
    for (int round = 0; round < 300; round++) {
        int ends[2], questions = 0;
        rill_audio_file *file = NULL;
        rill_error why;
        cr_assert_eq(pipe(ends), 0);
        cr_assert_eq(write(ends[1], noise, 4000), 4000);
        become_standard_input(ends[0]);
        cr_assert_eq(rill_audio_file_open_until("-", 0, stop_soon, &questions, &file, &why), RILL_BAD_FORMAT,
                     "round %d: %s", round, why.message);
        close(ends[1]);
    }
    for (size_t i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    free(noise);
}

/* Whoever is asked to end need not wait for a pipe that is open and silent. */
Test(audio_file, stops_waiting_for_a_silent_pipe_when_asked, .timeout = 30) {
    size_t size;
    write_streamed_wav(UINT32_MAX, UINT32_MAX, FRAMES);
    unsigned char *bytes = read_bytes(&size);
    for (size_t part = 0; part <= 20000; part += 10000) { /* nothing, then the header and something */
        int ends[2];
        rill_audio_file *file = NULL;
        rill_error why;
        cr_assert_eq(pipe(ends), 0);
        cr_assert_eq(write(ends[1], bytes, part), (ssize_t)part);
        become_standard_input(ends[0]);
        int questions = 0;
        rill_status status = rill_audio_file_open_until("-", 0, stop_soon, &questions, &file, &why);
        if (part == 0) {
            cr_expect_eq(status, RILL_IO_ERROR);
        } else {
            cr_assert_eq(status, RILL_OK, "%s", why.message);
            float got[FRAMES];
            size_t count;
            cr_expect_eq(rill_audio_file_read(file, FRAMES, got, &count, &why), RILL_OK);
            cr_expect_eq(count, (part - 44) / 2);
            cr_expect_eq(rill_audio_file_read(file, FRAMES, got, &count, &why), RILL_IO_ERROR);
            cr_expect_eq(count, 0u);
        }
        rill_audio_file_close(file);
        close(ends[1]);
    }
    free(bytes);
}
