/* Antialiased bilinear resize of an RGB image to a square, with SAM 2's normalisation: the arithmetic of torch's
 * interpolate(mode="bilinear", antialias=True), which SAM2Transforms applies, in float32 and without a float copy of
 * the whole image.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__)
#define FOR_EACH_CPU __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FOR_EACH_CPU
#endif

typedef float Pixel __attribute__((vector_size(16), aligned(4)));

/* Triangle filter taps of every output coordinate: first[i], count[i], weights[i * room ...]. */
typedef struct {
    int *first, *count, room;
    float *weights;
} Taps;

static int make_taps(Taps *taps, int in, int out)
{
    const float scale = (float)in / (float)out, support = scale >= 1.f ? scale : 1.f, inverse = 1.f / support;
    taps->room = (int)(2.f * support) + 3;
    taps->first = malloc(sizeof(int) * (size_t)out);
    taps->count = malloc(sizeof(int) * (size_t)out);
    taps->weights = malloc(sizeof(float) * (size_t)out * (size_t)taps->room);
    if (!taps->first || !taps->count || !taps->weights)
        return 0;
    for (int i = 0; i < out; i++) {
        const float center = scale * ((float)i + 0.5f);
        int low = (int)(center - support + 0.5f), high = (int)(center + support + 0.5f);
        low = low < 0 ? 0 : low;
        high = high > in ? in : high;
        float *weights = taps->weights + (size_t)i * taps->room, total = 0.f;
        for (int j = low; j < high; j++) {
            float distance = ((float)j - center + 0.5f) * inverse;
            distance = distance < 0.f ? -distance : distance;
            total += weights[j - low] = distance < 1.f ? 1.f - distance : 0.f;
        }
        for (int j = 0; j < high - low; j++)
            weights[j] /= total;
        taps->first[i] = low;
        taps->count[i] = high - low;
    }
    return 1;
}

static void free_taps(Taps *taps)
{
    free(taps->first);
    free(taps->count);
    free(taps->weights);
}

FOR_EACH_CPU static void blend_rows(const uint8_t *rows, ptrdiff_t stride, const float *weights, int count, int length,
                                    float *out)
{
    enum { CHUNK = 2048 }; /* keeps the sums in the first-level cache */
    for (int start = 0; start < length; start += CHUNK) {
        const int n = length - start < CHUNK ? length - start : CHUNK;
        float *sums = out + start;
        memset(sums, 0, sizeof(float) * (size_t)n);
        for (int r = 0; r < count; r++) {
            const uint8_t *row = rows + r * stride + start;
            const float weight = weights[r];
            for (int i = 0; i < n; i++)
                sums[i] += weight * (float)row[i];
        }
    }
}

FOR_EACH_CPU static void blend_columns(const float *row, const Taps *taps, int size, const float *gain,
                                       const float *offset, float *out)
{
    const size_t plane = (size_t)size * (size_t)size;
    for (int x = 0; x < size; x++) {
        const float *from = row + 3 * (ptrdiff_t)taps->first[x], *weights = taps->weights + (size_t)x * taps->room;
        Pixel sum = {0};
        for (int j = 0; j < taps->count[x]; j++, from += 3) {
            Pixel pixel;
            memcpy(&pixel, from, sizeof pixel);
            sum += pixel * weights[j];
        }
        for (int c = 0; c < 3; c++)
            out[c * plane + (size_t)x] = sum[c] * gain[c] + offset[c];
    }
}

/* rgb: height rows of width * 3 bytes, `stride` bytes apart. out: (3, size, size) float32, pixel * gain + offset. */
int sam2_resize(const uint8_t *rgb, int height, int width, ptrdiff_t stride, int size, const float *gain,
                const float *offset, float *out)
{
    Taps rows = {0}, columns = {0};
    float *row = malloc(sizeof(float) * ((size_t)width * 3 + 1)); /* one more: a pixel is loaded as four floats */
    const int ok = row && make_taps(&rows, height, size) && make_taps(&columns, width, size);
    if (ok) {
        row[(size_t)width * 3] = 0.f;
        for (int y = 0; y < size; y++) {
            blend_rows(rgb + rows.first[y] * stride, stride, rows.weights + (size_t)y * rows.room, rows.count[y],
                       width * 3, row);
            blend_columns(row, &columns, size, gain, offset, out + (size_t)y * (size_t)size);
        }
    }
    free_taps(&rows);
    free_taps(&columns);
    free(row);
    return ok;
}
