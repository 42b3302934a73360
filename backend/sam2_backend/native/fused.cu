/* What SAM 2 computes between matrix products, in one pass over memory each; apart, these steps take half of an encode's
 * time on a large GPU. Compiled at start-up (`engine/nvrtc.py`) for a type and a number of channels.
 *
 * HALF: 0 if `Element` is float32, 1 if it is bfloat16, 2 if it is float16. Always four elements at once.
 */
#if HALF == 0
typedef float4 Elements;
static __device__ float4 widen(Elements four) { return four; }
static __device__ Elements narrow(float4 four) { return four; }
#else
typedef ushort4 Elements;
static __device__ float wide(unsigned short half)
{
#if HALF == 1
    return __uint_as_float((unsigned)half << 16);
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#endif
}
static __device__ unsigned short rounded(float value)
{
    unsigned short half;
#if HALF == 1
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(half) : "f"(value));
#else
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
#endif
    return half;
}
static __device__ float4 widen(Elements four)
{
    return make_float4(wide(four.x), wide(four.y), wide(four.z), wide(four.w));
}
static __device__ Elements narrow(float4 four)
{
    return make_ushort4(rounded(four.x), rounded(four.y), rounded(four.z), rounded(four.w));
}
#endif

/* x (1 + erf(x / sqrt(2))) / 2, with the erf of Abramowitz and Stegun 7.1.26, whose error is at most 1.5e-7. */
static __device__ float gelu_of(float x)
{
    const float z = fabsf(x) * 0.70710678f, t = __fdividef(1.f, 1.f + 0.3275911f * z);
    const float sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    const float outside = 0.5f * sum * __expf(-z * z);
    return x * (x < 0.f ? outside : 1.f - outside);
}

/* In place, on `count` times four elements. */
extern "C" __global__ void gelu(Elements *values, int count)
{
    const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (at >= count)
        return;
    float4 four = widen(values[at]);
    four = make_float4(gelu_of(four.x), gelu_of(four.y), gelu_of(four.z), gelu_of(four.w));
    values[at] = narrow(four);
}

#ifdef CHANNELS
#define LANES 32
#define STEPS ((CHANNELS + 4 * LANES - 1) / (4 * LANES))

static __device__ float over_the_warp(float value)
{
    for (int distance = LANES / 2; distance; distance /= 2)
        value += __shfl_xor_sync(0xffffffffu, value, distance);
    return value;
}

/* stream, sum: (rows, CHANNELS) float32, sum = stream + part. part may be null; then, or if it is null itself, sum is
 * not written. normed: (rows, CHANNELS), the layer norm of the sum. One warp a row; blockDim: (LANES, rows). */
extern "C" __global__ void residual_norm(const float4 *stream, const Elements *part, const float4 *weight,
                                         const float4 *bias, float4 *sum, Elements *normed, int rows, float epsilon)
{
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y, first = row * (CHANNELS / 4);
    if (row >= rows)
        return;
    float4 kept[STEPS];
    float total = 0.f;
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int at = threadIdx.x + LANES * step;
        float4 value = make_float4(0.f, 0.f, 0.f, 0.f);
        if (at < CHANNELS / 4) {
            value = stream[first + at];
            if (part) {
                const float4 more = widen(part[first + at]);
                value.x += more.x, value.y += more.y, value.z += more.z, value.w += more.w;
                if (sum)
                    sum[first + at] = value;
            }
        }
        kept[step] = value;
        total += value.x + value.y + value.z + value.w;
    }
    const float mean = over_the_warp(total) / CHANNELS;
    float squares = 0.f;
#pragma unroll
    for (int step = 0; step < STEPS; step++)
        if (threadIdx.x + LANES * step < CHANNELS / 4) {
            float4 &value = kept[step];
            value.x -= mean, value.y -= mean, value.z -= mean, value.w -= mean;
            squares += value.x * value.x + value.y * value.y + value.z * value.z + value.w * value.w;
        }
    const float scale = rsqrtf(over_the_warp(squares) / CHANNELS + epsilon);
#pragma unroll
    for (int step = 0; step < STEPS; step++) {
        const int at = threadIdx.x + LANES * step;
        if (at < CHANNELS / 4) {
            const float4 value = kept[step], w = weight[at], b = bias[at];
            normed[first + at] = narrow(make_float4(value.x * scale * w.x + b.x, value.y * scale * w.y + b.y,
                                                    value.z * scale * w.z + b.z, value.w * scale * w.w + b.w));
        }
    }
}
#endif
