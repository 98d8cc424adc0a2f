/* streamrnn wire, version 1, for firmware: docs/wire.md is the format.
 *
 * C99, no malloc, no floating-point formatting, no static state. The caller owns every buffer; what does
 * not fit gives 0 and writes nothing that must be sent. SPDX-License-Identifier: Apache-2.0
 */
#ifndef STREAMRNN_WIRE_H
#define STREAMRNN_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest packet before COBS that the format allows, in bytes. */
#define SRNN_MAX_DECODED 4096u
/* Bytes on the wire that a packet with a payload of n bytes can need. */
#define SRNN_WIRE_SIZE(n) ((size_t)(n) + 20u + ((size_t)(n) + 20u + 253u) / 254u + 1u)
/* Longest command that is taken, before COBS; longer ones are skipped. */
#ifndef SRNN_MAX_COMMAND
#define SRNN_MAX_COMMAND 192u
#endif

typedef enum { SRNN_I16, SRNN_F32 } srnn_dtype;

/* Neighbouring channels of one kind. Numbers are text, as they shall stand in the JSON: "0.000122". */
typedef struct {
    const char *const *names;
    size_t n_names;
    const char *unit;
    srnn_dtype dtype;
    const char *scale;
    const char *offset;
} srnn_group;

typedef struct {
    const char *name;
    const char *firmware;
    const char *boot_id; /* another one at each boot */
    const char *rate_hz; /* text: "100" */
    const srnn_group *groups;
    size_t n_groups;
    uint8_t schema_id;
} srnn_device;

/* ---- to the host: each writes one packet to out and returns its length, or 0 if it does not fit. ---- */

size_t srnn_hello(uint8_t *out, size_t size, const srnn_device *device, uint32_t next_seq, uint64_t t_us);
/* n_samples = frames * channels, a frame behind the other; seq and t_us of the first frame. */
size_t srnn_data_i16(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const int16_t *samples, size_t n_samples);
size_t srnn_data_f32(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const float *samples, size_t n_samples);
/* Frames that are already laid out as the groups say, little-endian: for mixed groups. */
size_t srnn_data_raw(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const uint8_t *payload, size_t n_bytes);
/* A label boundary at t_us; is_start false: the end of the gesture. */
size_t srnn_label(uint8_t *out, size_t size, const char *label, bool is_start, uint32_t next_seq,
                  uint64_t t_us);
/* The stream is over. */
size_t srnn_end(uint8_t *out, size_t size, uint32_t next_seq, uint64_t t_us);
size_t srnn_ack(uint8_t *out, size_t size, uint32_t request_id, bool ok, const char *message,
                uint32_t next_seq, uint64_t t_us);
size_t srnn_pong(uint8_t *out, size_t size, const uint8_t token[8], uint32_t next_seq, uint64_t t_us);

/* ---- from the host ---- */

typedef enum { SRNN_START, SRNN_STOP, SRNN_SET_RATE, SRNN_DESCRIBE, SRNN_PING, SRNN_UNKNOWN } srnn_request;

typedef struct {
    srnn_request request;
    uint32_t id;      /* of a command: answer every one, act on an id once */
    uint32_t rate_hz; /* of SRNN_SET_RATE, whole Hz; 0 if it was not said */
    uint8_t token[8]; /* of SRNN_PING */
} srnn_command;

typedef struct {
    uint8_t bytes[SRNN_MAX_COMMAND + SRNN_MAX_COMMAND / 254u + 2u];
    size_t n;
    bool is_skipping;
} srnn_reader;

void srnn_reader_init(srnn_reader *reader);
/* Take one received byte; true: a whole, undamaged command stands in *command. */
bool srnn_read(srnn_reader *reader, uint8_t byte, srnn_command *command);

#ifdef __cplusplus
}
#endif
#endif
