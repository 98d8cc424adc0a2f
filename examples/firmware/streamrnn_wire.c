/* SPDX-License-Identifier: Apache-2.0 */
#include "streamrnn_wire.h"

#include <string.h>

enum { VERSION = 1, HEADER_SIZE = 16, CRC_SIZE = 4, FULL_RUN = 255 };
enum { TYPE_HELLO = 1, TYPE_DATA = 2, TYPE_EVENT = 3, TYPE_CMD = 4, TYPE_ACK = 5, TYPE_PING = 6, TYPE_PONG = 7 };

/* CRC-32, polynomial 0xEDB88320, four bits at a time: 64 bytes of table. */
static const uint32_t crc_table[16] = {
    0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
    0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu,
};

static uint32_t crc_add(uint32_t crc, uint8_t byte) {
    crc ^= byte;
    crc = (crc >> 4) ^ crc_table[crc & 15u];
    return (crc >> 4) ^ crc_table[crc & 15u];
}

/* ---- writing: COBS and CRC as the bytes come, straight into the caller's buffer ---- */

typedef struct {
    uint8_t *out;
    size_t size;
    size_t at;      /* where the next byte goes */
    size_t code_at; /* where the length of the open run goes */
    size_t n_bytes; /* before COBS */
    uint32_t crc;
    bool is_ok;
} writer;

static void store(writer *w, uint8_t byte) {
    if (w->at < w->size) {
        w->out[w->at++] = byte;
    } else {
        w->is_ok = false;
    }
}

/* End the open run and begin another. */
static void next_run(writer *w) {
    w->out[w->code_at] = (uint8_t)(w->at - w->code_at);
    w->code_at = w->at;
    store(w, 0);
}

static void stuff(writer *w, uint8_t byte) {
    if (!w->is_ok) {
        return;
    }
    if (w->at - w->code_at == FULL_RUN) { /* a full run has no zero behind it */
        next_run(w);
    }
    if (!w->is_ok) {
        return;
    }
    w->n_bytes++;
    if (byte == 0) {
        next_run(w);
    } else {
        store(w, byte);
    }
}

static void put(writer *w, uint8_t byte) {
    w->crc = crc_add(w->crc, byte);
    stuff(w, byte);
}

static void put_bytes(writer *w, const uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        put(w, bytes[i]);
    }
}

static void put_word(writer *w, uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) {
        put(w, (uint8_t)(value >> (8 * i)));
    }
}

static void put_text(writer *w, const char *text) {
    put_bytes(w, (const uint8_t *)text, strlen(text));
}

static void put_decimal(writer *w, uint32_t value) {
    uint8_t digits[10];
    size_t n = 0;
    do {
        digits[n++] = (uint8_t)('0' + value % 10u);
        value /= 10u;
    } while (value != 0);
    while (n > 0) {
        put(w, digits[--n]);
    }
}

/* A JSON string; control characters become blanks. */
static void put_string(writer *w, const char *text) {
    put(w, '"');
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\') {
            put(w, '\\');
        }
        put(w, c < 0x20 ? ' ' : c);
    }
    put(w, '"');
}

static void put_member(writer *w, const char *before, const char *text) {
    put_text(w, before);
    put_string(w, text);
}

static writer begin(uint8_t *out, size_t size, int type, uint8_t schema_id, uint32_t seq, uint64_t t_us) {
    writer w = {out, size, 0, 0, 0, 0xFFFFFFFFu, true};
    store(&w, 0);
    put(&w, VERSION);
    put(&w, (uint8_t)type);
    put(&w, 0);
    put(&w, schema_id);
    put_word(&w, seq, 4);
    put_word(&w, t_us, 8);
    return w;
}

static size_t finish(writer *w) {
    uint32_t crc = ~w->crc;
    for (int i = 0; i < CRC_SIZE; i++) {
        stuff(w, (uint8_t)(crc >> (8 * i)));
    }
    if (!w->is_ok || w->n_bytes > SRNN_MAX_DECODED || w->at >= w->size) {
        return 0;
    }
    w->out[w->code_at] = (uint8_t)(w->at - w->code_at);
    w->out[w->at++] = 0;
    return w->at;
}

static void put_group(writer *w, const srnn_group *group) {
    put_text(w, "{\"names\":[");
    for (size_t i = 0; i < group->n_names; i++) {
        if (i > 0) {
            put(w, ',');
        }
        put_string(w, group->names[i]);
    }
    put_member(w, "],\"unit\":", group->unit);
    put_member(w, ",\"dtype\":", group->dtype == SRNN_I16 ? "i16" : "f32");
    put_text(w, ",\"scale\":");
    put_text(w, group->scale);
    put_text(w, ",\"offset\":");
    put_text(w, group->offset);
    put(w, '}');
}

size_t srnn_hello(uint8_t *out, size_t size, const srnn_device *device, uint32_t next_seq, uint64_t t_us) {
    writer w = begin(out, size, TYPE_HELLO, device->schema_id, next_seq, t_us);
    put_member(&w, "{\"name\":", device->name);
    put_member(&w, ",\"firmware\":", device->firmware);
    put_member(&w, ",\"boot_id\":", device->boot_id);
    put_text(&w, ",\"rate_hz\":");
    put_text(&w, device->rate_hz);
    put_text(&w, ",\"groups\":[");
    for (size_t i = 0; i < device->n_groups; i++) {
        if (i > 0) {
            put(&w, ',');
        }
        put_group(&w, &device->groups[i]);
    }
    put_text(&w, "]}");
    return finish(&w);
}

size_t srnn_data_i16(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const int16_t *samples, size_t n_samples) {
    writer w = begin(out, size, TYPE_DATA, schema_id, seq, t_us);
    for (size_t i = 0; i < n_samples; i++) {
        put_word(&w, (uint16_t)samples[i], 2);
    }
    return finish(&w);
}

size_t srnn_data_f32(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const float *samples, size_t n_samples) {
    writer w = begin(out, size, TYPE_DATA, schema_id, seq, t_us);
    for (size_t i = 0; i < n_samples; i++) {
        uint32_t bits;
        memcpy(&bits, &samples[i], sizeof bits);
        put_word(&w, bits, 4);
    }
    return finish(&w);
}

size_t srnn_data_raw(uint8_t *out, size_t size, uint8_t schema_id, uint32_t seq, uint64_t t_us,
                     const uint8_t *payload, size_t n_bytes) {
    writer w = begin(out, size, TYPE_DATA, schema_id, seq, t_us);
    put_bytes(&w, payload, n_bytes);
    return finish(&w);
}

size_t srnn_label(uint8_t *out, size_t size, const char *label, bool is_start, uint32_t next_seq,
                  uint64_t t_us) {
    writer w = begin(out, size, TYPE_EVENT, 0, next_seq, t_us);
    put_member(&w, "{\"kind\":\"label\",\"label\":", label);
    put_member(&w, ",\"phase\":", is_start ? "start" : "end");
    put(&w, '}');
    return finish(&w);
}

size_t srnn_end(uint8_t *out, size_t size, uint32_t next_seq, uint64_t t_us) {
    writer w = begin(out, size, TYPE_EVENT, 0, next_seq, t_us);
    put_text(&w, "{\"kind\":\"end\"}");
    return finish(&w);
}

size_t srnn_ack(uint8_t *out, size_t size, uint32_t request_id, bool ok, const char *message,
                uint32_t next_seq, uint64_t t_us) {
    writer w = begin(out, size, TYPE_ACK, 0, next_seq, t_us);
    put_text(&w, "{\"id\":");
    put_decimal(&w, request_id);
    put_text(&w, ok ? ",\"ok\":true" : ",\"ok\":false");
    put_member(&w, ",\"message\":", message);
    put(&w, '}');
    return finish(&w);
}

size_t srnn_pong(uint8_t *out, size_t size, const uint8_t token[8], uint32_t next_seq, uint64_t t_us) {
    writer w = begin(out, size, TYPE_PONG, 0, next_seq, t_us);
    put_bytes(&w, token, 8);
    return finish(&w);
}

/* ---- reading: the few lines of JSON that a CMD is ---- */

typedef struct {
    const char *at;
    const char *end;
} cursor;

static void skip_blanks(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) {
        c->at++;
    }
}

static bool take(cursor *c, char wanted) {
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) {
        return false;
    }
    c->at++;
    return true;
}

/* A string: where it starts and how long it is, escapes as they stand. */
static bool take_string(cursor *c, const char **text, size_t *n) {
    if (!take(c, '"')) {
        return false;
    }
    *text = c->at;
    while (c->at < c->end && *c->at != '"') {
        c->at += (*c->at == '\\' && c->end - c->at > 1) ? 2 : 1;
    }
    *n = (size_t)(c->at - *text);
    return take(c, '"');
}

/* A whole number; a fraction of zeros behind it is let pass ("200.0"). */
static bool take_number(cursor *c, uint32_t *value) {
    uint64_t number = 0;
    skip_blanks(c);
    const char *start = c->at;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        number = 10u * number + (uint64_t)(*c->at - '0');
        if (number > UINT32_MAX) {
            return false;
        }
    }
    if (c->at == start) {
        return false;
    }
    if (c->at < c->end && *c->at == '.') {
        do {
            c->at++;
        } while (c->at < c->end && *c->at == '0');
    }
    *value = (uint32_t)number;
    return true;
}

/* Any other value without braces in it: strings, true, -1e3. */
static bool skip_scalar(cursor *c) {
    const char *text;
    size_t n;
    skip_blanks(c);
    if (c->at < c->end && *c->at == '"') {
        return take_string(c, &text, &n);
    }
    const char *start = c->at;
    while (c->at < c->end && strchr(",}{[]\" ", *c->at) == NULL) {
        c->at++;
    }
    return c->at > start;
}

static bool is_text(const char *text, size_t n, const char *wanted) {
    return n == strlen(wanted) && memcmp(text, wanted, n) == 0;
}

static bool read_args(cursor *c, srnn_command *command) {
    if (!take(c, '{')) {
        return false;
    }
    if (take(c, '}')) {
        return true;
    }
    do {
        const char *key;
        size_t n;
        if (!take_string(c, &key, &n) || !take(c, ':')) {
            return false;
        }
        if (is_text(key, n, "rate_hz") ? !take_number(c, &command->rate_hz) : !skip_scalar(c)) {
            return false;
        }
    } while (take(c, ','));
    return take(c, '}');
}

static srnn_request request_named(const char *text, size_t n) {
    static const char *const names[] = {"START", "STOP", "SET_RATE", "DESCRIBE"};
    for (int i = 0; i < 4; i++) {
        if (is_text(text, n, names[i])) {
            return (srnn_request)i;
        }
    }
    return SRNN_UNKNOWN;
}

static bool read_json(cursor c, srnn_command *command) {
    bool has_id = false;
    bool has_name = false;
    if (!take(&c, '{')) {
        return false;
    }
    do {
        const char *key;
        const char *text;
        size_t n;
        bool is_ok;
        if (!take_string(&c, &key, &n) || !take(&c, ':')) {
            return false;
        }
        if (is_text(key, n, "id")) {
            is_ok = has_id = take_number(&c, &command->id);
        } else if (is_text(key, n, "cmd")) {
            is_ok = has_name = take_string(&c, &text, &n);
            if (is_ok) {
                command->request = request_named(text, n);
            }
        } else if (is_text(key, n, "args")) {
            is_ok = read_args(&c, command);
        } else {
            is_ok = skip_scalar(&c);
        }
        if (!is_ok) {
            return false;
        }
    } while (take(&c, ','));
    return take(&c, '}') && has_id && has_name;
}

/* Undo COBS in place; 0 if it does not add up. */
static size_t unstuff(uint8_t *bytes, size_t n) {
    size_t from = 0;
    size_t to = 0;
    while (from < n) {
        size_t code = bytes[from];
        if (code == 0 || from + code > n) {
            return 0;
        }
        memmove(&bytes[to], &bytes[from + 1], code - 1);
        to += code - 1;
        from += code;
        if (code < FULL_RUN && from < n) {
            bytes[to++] = 0;
        }
    }
    return to;
}

static bool read_packet(const uint8_t *bytes, size_t n, srnn_command *command) {
    uint32_t crc = 0xFFFFFFFFu;
    if (n < HEADER_SIZE + CRC_SIZE) {
        return false;
    }
    n -= CRC_SIZE;
    for (size_t i = 0; i < n; i++) {
        crc = crc_add(crc, bytes[i]);
    }
    crc = ~crc;
    for (size_t i = 0; i < CRC_SIZE; i++) {
        if (bytes[n + i] != (uint8_t)(crc >> (8 * i))) {
            return false;
        }
    }
    if (bytes[0] != VERSION) {
        return false;
    }
    memset(command, 0, sizeof *command);
    if (bytes[1] == TYPE_PING && n == HEADER_SIZE + sizeof command->token) {
        command->request = SRNN_PING;
        memcpy(command->token, &bytes[HEADER_SIZE], sizeof command->token);
        return true;
    }
    cursor c = {(const char *)&bytes[HEADER_SIZE], (const char *)&bytes[n]};
    return bytes[1] == TYPE_CMD && read_json(c, command);
}

void srnn_reader_init(srnn_reader *reader) {
    reader->n = 0;
    reader->is_skipping = false;
}

bool srnn_read(srnn_reader *reader, uint8_t byte, srnn_command *command) {
    if (byte != 0) {
        if (reader->n < sizeof reader->bytes) {
            reader->bytes[reader->n++] = byte;
        } else {
            reader->is_skipping = true;
        }
        return false;
    }
    size_t n = reader->is_skipping ? 0 : unstuff(reader->bytes, reader->n);
    srnn_reader_init(reader);
    return read_packet(reader->bytes, n, command);
}
