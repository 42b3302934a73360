/* Label Studio brush RLE (the format of @thi.ng/rle-pack), from a mask or straight from low-res mask logits.
 *
 * Header: 32 bits number of bytes (4 per pixel), 5 bits word size - 1 = 7, then the four run-length field widths - 1
 * (3, 4, 8, 16 bits). A run: 1 bit "repeated", 2 bits width selector, length - 1, 8 bits value. The encoder of
 * label_studio_sdk ends the stream with 1..8 zero bits, so that a stream that is already whole bytes grows by one.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "threshold() reads eight flags as one little-endian word");

typedef struct {
    uint8_t *bytes;
    size_t length, capacity;
    uint64_t pending;
    int pending_bits;
    int failed;
} BitStream;

static void put(BitStream *s, uint32_t value, int bits)
{
    if (s->length + 8 > s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 4096;
        uint8_t *grown = s->failed ? NULL : realloc(s->bytes, capacity);
        if (!grown) {
            s->failed = 1;
            return;
        }
        s->bytes = grown;
        s->capacity = capacity;
    }
    s->pending = (s->pending << bits) | value;
    s->pending_bits += bits;
    if (s->pending_bits >= 32) {
        s->pending_bits -= 32;
        const uint32_t whole = (uint32_t)(s->pending >> s->pending_bits);
        for (int i = 0; i < 4; i++)
            s->bytes[s->length++] = (uint8_t)(whole >> (24 - 8 * i));
    }
}

static void put_header(BitStream *s, int64_t pixels)
{
    put(s, (uint32_t)(pixels * 4), 32);
    put(s, 7, 5);
    put(s, 2, 4);
    put(s, 3, 4);
    put(s, 7, 4);
    put(s, 15, 4);
}

static void put_run(BitStream *s, int64_t pixels, uint32_t value)
{
    const uint32_t longest = 1u << 16;
    int64_t length = pixels * 4;
    if (length <= 8) {
        put(s, (4u << 11) | ((uint32_t)(length - 1) << 8) | value, 14);
    } else if (length <= 16) {
        put(s, (5u << 12) | ((uint32_t)(length - 1) << 8) | value, 15);
    } else if (length <= 256) {
        put(s, (6u << 16) | ((uint32_t)(length - 1) << 8) | value, 19);
    } else {
        for (; length > longest; length -= longest)
            put(s, (7u << 24) | ((longest - 1) << 8) | value, 27);
        put(s, (7u << 24) | ((uint32_t)(length - 1) << 8) | value, 27);
    }
}

/* Closes the stream and hands its buffer to the caller, who frees it; NULL when memory ran out. */
static uint8_t *finish(BitStream *s, int64_t *length)
{
    put(s, 0, 8 - s->pending_bits % 8);
    if (s->failed) {
        free(s->bytes);
        return NULL;
    }
    for (; s->pending_bits >= 8; s->pending_bits -= 8)
        s->bytes[s->length++] = (uint8_t)(s->pending >> (s->pending_bits - 8));
    *length = (int64_t)s->length;
    return s->bytes;
}

void sam2_free(void *buffer) { free(buffer); }

uint8_t *sam2_mask_to_rle(const uint8_t *mask, int64_t pixels, int64_t *length)
{
    BitStream s = {0};
    put_header(&s, pixels);
    for (int64_t start = 0, end; start < pixels; start = end) {
        const uint8_t value = mask[start];
        uint64_t eight, pattern = value * 0x0101010101010101ULL;
        for (end = start + 1; end + 8 <= pixels; end += 8) {
            memcpy(&eight, mask + end, 8);
            if (eight != pattern)
                break;
        }
        while (end < pixels && mask[end] == value)
            end++;
        put_run(&s, end - start, value);
    }
    return finish(&s, length);
}

/* Where the pixels of a thresholded row go: runs of a stream, or bytes of a mask. */
typedef struct {
    BitStream *stream;
    uint8_t *mask;
    int64_t run;
    int current;
} Sink;

static inline void emit(Sink *sink, int inside, int64_t pixels)
{
    if (pixels == 0)
        return;
    if (sink->mask) {
        memset(sink->mask, inside ? 255 : 0, (size_t)pixels);
        sink->mask += pixels;
    } else if (inside == sink->current) {
        sink->run += pixels;
    } else {
        if (sink->run)
            put_run(sink->stream, sink->run, sink->current ? 255 : 0);
        sink->current = inside;
        sink->run = pixels;
    }
}

/* The two source taps of an output coordinate, as torch's bilinear upsampling (align_corners=False) defines them. */
static inline int source_tap(int out, float scale, int size, float *weight)
{
    float at = ((float)out + 0.5f) * scale - 0.5f;
    if (at < 0.f)
        at = 0.f;
    int tap = (int)at;
    if (tap > size - 1)
        tap = size - 1;
    *weight = at - (float)tap;
    return tap;
}

/* The first output pixel in low..high whose value has another sign than `left`, the value at column `column`. */
static inline int crossing(float left, float right, int column, int low, int high, const float *weight, float per_column)
{
    const int inside = left > 0.f;
    const float share = left / (left - right);
    int at = low;
    if (share > 0.f && share <= 1.f)
        at = (int)(((float)column + share + 0.5f) * per_column + 0.5f);
    at = at < low ? low : at > high ? high : at;
#define SIGN_AT(pixel) ((1.f - weight[pixel]) * left + weight[pixel] * right > 0.f)
    while (at > low && SIGN_AT(at - 1) != inside)
        at--;
    while (at < high && SIGN_AT(at) == inside)
        at++;
#undef SIGN_AT
    return at;
}

/* Bilinear upsampling of logits (h, w) to (height, width), thresholded at 0, without ever holding the upsampled values.
 *
 * Per output row the w columns are interpolated vertically; inside one cell between two columns the row is linear, so
 * its sign changes at most once, and where follows from the two values. Cost: height * w + runs.
 */
static int threshold(const float *logits, int h, int w, int height, int width, Sink *sink)
{
    const float scale_y = (float)h / (float)height, scale_x = (float)w / (float)width;
    const float per_column = (float)width / (float)w;
    float *weight = malloc(sizeof(float) * (size_t)width);
    int *first = malloc(sizeof(int) * ((size_t)w + 1)); /* first output pixel whose left tap is this column */
    float *lowest = malloc(sizeof(float) * (size_t)h), *highest = malloc(sizeof(float) * (size_t)h);
    float *row = malloc(sizeof(float) * ((size_t)w + 1));
    uint8_t *changes = calloc((size_t)w + 8, 1); /* 1 where the sign changes from this column to the next */
    int ok = weight && first && lowest && highest && row && changes;
    if (!ok)
        goto done;

    int column = 0;
    for (int x = 0; x < width; x++)
        for (int tap = source_tap(x, scale_x, w, &weight[x]); column <= tap; column++)
            first[column] = x;
    for (; column <= w; column++)
        first[column] = width;
    for (int y = 0; y < h; y++) {
        const float *values = logits + (size_t)y * w;
        lowest[y] = highest[y] = values[0];
        for (int x = 1; x < w; x++) {
            lowest[y] = values[x] < lowest[y] ? values[x] : lowest[y];
            highest[y] = values[x] > highest[y] ? values[x] : highest[y];
        }
    }

    for (int y = 0; y < height; y++) {
        float below;
        const int top = source_tap(y, scale_y, h, &below), bottom = top < h - 1 ? top + 1 : top;
        if (highest[top] <= 0.f && highest[bottom] <= 0.f) {
            emit(sink, 0, width);
            continue;
        }
        if (lowest[top] > 0.f && lowest[bottom] > 0.f) {
            emit(sink, 1, width);
            continue;
        }
        const float *upper = logits + (size_t)top * w, *lower = logits + (size_t)bottom * w;
        for (int x = 0; x < w; x++)
            row[x] = (1.f - below) * upper[x] + below * lower[x];
        for (int x = 0; x < w - 1; x++)
            changes[x] = (row[x] > 0.f) != (row[x + 1] > 0.f);
        int start = 0;
        for (int block = 0; block < w; block += 8) {
            uint64_t eight;
            memcpy(&eight, changes + block, 8);
            for (; eight; eight &= eight - 1) {
                const int end = block + __builtin_ctzll(eight) / 8;
                const int at = crossing(row[end], row[end + 1], end, first[end], first[end + 1], weight, per_column);
                emit(sink, row[end] > 0.f, at - start);
                start = at;
            }
        }
        emit(sink, row[w - 1] > 0.f, width - start);
    }
done:
    free(weight);
    free(first);
    free(lowest);
    free(highest);
    free(row);
    free(changes);
    return ok;
}

uint8_t *sam2_logits_to_rle(const float *logits, int h, int w, int height, int width, int64_t *length)
{
    BitStream s = {0};
    Sink sink = {.stream = &s};
    put_header(&s, (int64_t)height * width);
    if (!threshold(logits, h, w, height, width, &sink))
        s.failed = 1;
    put_run(&s, sink.run, sink.current ? 255 : 0);
    return finish(&s, length);
}

int sam2_logits_to_mask(const float *logits, int h, int w, int height, int width, uint8_t *mask)
{
    Sink sink = {.mask = mask};
    return threshold(logits, h, w, height, width, &sink);
}

/* The bytes as the text of a JSON array; `text` has room for 4 * count + 2. Returns the characters written. */
int64_t sam2_rle_to_json(const uint8_t *bytes, int64_t count, char *text)
{
    char words[256][4] = {0};
    uint8_t lengths[256];
    for (int value = 0; value < 256; value++) {
        char *end = words[value];
        if (value >= 100)
            *end++ = (char)('0' + value / 100);
        if (value >= 10)
            *end++ = (char)('0' + value / 10 % 10);
        *end++ = (char)('0' + value % 10);
        *end++ = ',';
        lengths[value] = (uint8_t)(end - words[value]);
    }
    char *at = text;
    *at++ = '[';
    for (int64_t i = 0; i < count; i++) {
        memcpy(at, words[bytes[i]], 4);
        at += lengths[bytes[i]];
    }
    if (count)
        at--;
    *at++ = ']';
    return at - text;
}
