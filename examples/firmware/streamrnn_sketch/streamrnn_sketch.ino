// A board for streamrnn: an MPU-6050 on I2C at 100 Hz, on any Arduino core with 4 KB of RAM (ESP32, SAMD, RP2040).
// Copy streamrnn_wire.h and streamrnn_wire.c from the folder above into this folder first.
// SPDX-License-Identifier: Apache-2.0
#include <Wire.h>

#include "streamrnn_wire.h"

static const uint32_t BAUD = 115200;
static const uint32_t FRAME_US = 10000;  // 100 Hz; say the same in DEVICE
static const uint8_t MPU = 0x68;
static const int N_CHANNELS = 6;
static const int FRAMES_PER_PACKET = 2;

static const char *const ACC[] = {"acc_x", "acc_y", "acc_z"};
static const char *const GYRO[] = {"gyro_x", "gyro_y", "gyro_z"};
static const srnn_group GROUPS[] = {
    {ACC, 3, "g", SRNN_I16, "0.00012207031", "0"},   // +-4 g
    {GYRO, 3, "dps", SRNN_I16, "0.030517578", "0"},   // +-1000 degrees a second
};
static char bootId[9];
static const srnn_device DEVICE = {"arduino-mpu6050", "1.0", bootId, "100", GROUPS, 2, 1};

static uint8_t out[SRNN_WIRE_SIZE(512)];
static srnn_reader reader;
static int16_t samples[FRAMES_PER_PACKET * N_CHANNELS];
static int framesHeld = 0;
static uint32_t seq = 0;  // index of the next frame
static uint64_t firstUs = 0;
static bool isStreaming = false;
static uint32_t lastHelloMs = 0;
static uint32_t lastId = 0;
static bool hasLastId = false;

// micros() wraps after 71 minutes; the wire's clock does not.
static uint64_t nowUs() {
  static uint32_t last = 0;
  static uint64_t high = 0;
  uint32_t now = micros();
  if (now < last) high += 1ULL << 32;
  last = now;
  return high + now;
}

static void emit(size_t n) { Serial.write(out, n); }

static void sayHello() {
  lastHelloMs = millis();
  emit(srnn_hello(out, sizeof out, &DEVICE, seq, nowUs()));
}

static void writeRegister(uint8_t address, uint8_t value) {
  Wire.beginTransmission(MPU);
  Wire.write(address);
  Wire.write(value);
  Wire.endTransmission();
}

static void readFrame(int16_t *frame) {
  Wire.beginTransmission(MPU);
  Wire.write(0x3B);
  Wire.endTransmission(false);
  Wire.requestFrom(MPU, (uint8_t)14);
  for (int i = 0; i < 7; i++) {
    int high = Wire.read();
    int16_t value = (int16_t)((high << 8) | Wire.read());
    if (i != 3) *frame++ = value;  // 3 is the temperature
  }
}

static void answer(const srnn_command &command) {
  if (command.request == SRNN_PING) {
    emit(srnn_pong(out, sizeof out, command.token, seq, nowUs()));
    return;
  }
  bool isOk = command.request != SRNN_UNKNOWN && (command.request != SRNN_SET_RATE || command.rate_hz == 100);
  emit(srnn_ack(out, sizeof out, command.id, isOk, isOk ? "" : "not on this board", seq, nowUs()));
  if (!isOk || (hasLastId && command.id == lastId)) return;  // a repeat: answered, but not done again
  hasLastId = true;
  lastId = command.id;
  if (command.request == SRNN_START) isStreaming = true;
  if (command.request == SRNN_STOP) isStreaming = false;
  if (command.request == SRNN_DESCRIBE || command.request == SRNN_SET_RATE) sayHello();
}

static void takeFrame() {
  if (framesHeld == 0) firstUs = nowUs();
  readFrame(&samples[framesHeld * N_CHANNELS]);
  if (++framesHeld < FRAMES_PER_PACKET) return;
  emit(srnn_data_i16(out, sizeof out, DEVICE.schema_id, seq, firstUs, samples, FRAMES_PER_PACKET * N_CHANNELS));
  seq += FRAMES_PER_PACKET;
  framesHeld = 0;
}

void setup() {
  Serial.begin(BAUD);
  Wire.begin();
  Wire.setClock(400000);
  writeRegister(0x6B, 0);     // wake
  writeRegister(0x1C, 0x08);  // +-4 g
  writeRegister(0x1B, 0x10);  // +-1000 degrees a second
  // Another id at each boot: noise of an open pin, or better what your board has (esp_random()).
  uint32_t id = micros();
  for (int i = 0; i < 32; i++) id = id * 1664525u + 1013904223u + (uint32_t)analogRead(A0);
  for (int i = 0; i < 8; i++) bootId[i] = "0123456789abcdef"[(id >> (4 * i)) & 15];
  srnn_reader_init(&reader);
  Serial.write((uint8_t)0);  // ends whatever the boot loader said
  sayHello();
}

void loop() {
  static uint32_t nextUs = micros();
  srnn_command command;
  while (Serial.available() > 0) {
    if (srnn_read(&reader, (uint8_t)Serial.read(), &command)) answer(command);
  }
  if (millis() - lastHelloMs >= (isStreaming ? 5000u : 1000u)) sayHello();
  if ((int32_t)(micros() - nextUs) < 0) return;
  nextUs += FRAME_US;
  if (isStreaming) takeFrame();
}
