/* A board without hardware: talks the wire on stdin and stdout, for tests and for reading.
 *
 * It says HELLO, then answers what comes in. START sends 40 packets of 5 frames and a label around the
 * second half; the end of stdin ends the stream. Sample c of frame n is n * 37 + c * 1000, as int16.
 *
 *   cc -std=c99 -Wall -Wextra -o demo demo_main.c streamrnn_wire.c
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include "streamrnn_wire.h"

#include <stdio.h>

enum { N_CHANNELS = 6, FRAMES_PER_PACKET = 5, N_PACKETS = 40, FRAME_US = 10000 };

static const char *const acc_names[] = {"acc_x", "acc_y", "acc_z"};
static const char *const gyro_names[] = {"gyro_x", "gyro_y", "gyro_z"};
static const srnn_group groups[] = {
    {acc_names, 3, "g", SRNN_I16, "0.000122", "0"},
    {gyro_names, 3, "dps", SRNN_I16, "0.061", "0.5"},
};
static const srnn_device device = {"C \"demo\"", "1.0", "b0001", "100", groups, 2, 3};

static uint32_t seq;
static uint8_t out[SRNN_WIRE_SIZE(1024)];

static uint64_t now_us(void) { return (uint64_t)seq * FRAME_US; }

static void emit(size_t n) { fwrite(out, 1, n, stdout); }

static void stream(void) {
    int16_t samples[FRAMES_PER_PACKET * N_CHANNELS];
    for (int packet = 0; packet < N_PACKETS; packet++) {
        if (packet == N_PACKETS / 2) {
            emit(srnn_label(out, sizeof out, "wave", true, seq, now_us()));
        }
        for (int i = 0; i < FRAMES_PER_PACKET * N_CHANNELS; i++) {
            uint32_t frame = seq + (uint32_t)(i / N_CHANNELS);
            samples[i] = (int16_t)(uint16_t)(frame * 37u + (uint32_t)(i % N_CHANNELS) * 1000u);
        }
        emit(srnn_data_i16(out, sizeof out, device.schema_id, seq, now_us(), samples,
                           FRAMES_PER_PACKET * N_CHANNELS));
        seq += FRAMES_PER_PACKET;
    }
    emit(srnn_label(out, sizeof out, "wave", false, seq, now_us()));
}

static void answer(const srnn_command *command) {
    static bool has_last;
    static uint32_t last_id;
    bool is_repeat = has_last && command->id == last_id;
    if (command->request == SRNN_PING) {
        emit(srnn_pong(out, sizeof out, command->token, seq, now_us()));
        return;
    }
    has_last = true;
    last_id = command->id;
    if (command->request == SRNN_SET_RATE && command->rate_hz != 100) {
        emit(srnn_ack(out, sizeof out, command->id, false, "100 Hz only", seq, now_us()));
        return;
    }
    bool is_known = command->request != SRNN_UNKNOWN;
    emit(srnn_ack(out, sizeof out, command->id, is_known, is_known ? "" : "no such command", seq, now_us()));
    if (is_repeat) {
        return;
    }
    if (command->request == SRNN_DESCRIBE || command->request == SRNN_SET_RATE) {
        emit(srnn_hello(out, sizeof out, &device, seq, now_us()));
    } else if (command->request == SRNN_START) {
        stream();
    }
}

int main(void) {
    srnn_reader reader;
    srnn_command command;
    int byte;
    srnn_reader_init(&reader);
    emit(srnn_hello(out, sizeof out, &device, seq, now_us()));
    while ((byte = getchar()) != EOF) {
        if (srnn_read(&reader, (uint8_t)byte, &command)) {
            answer(&command);
        }
    }
    emit(srnn_end(out, sizeof out, seq, now_us()));
    return 0;
}
