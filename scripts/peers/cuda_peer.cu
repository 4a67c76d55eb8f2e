// CUDA's own conversions to E2M1 and E8M0, put together as FlashInfer's kernel for MXFP4 does it, on the host or on a GPU.
//
//     cuda_peer host|device bf16|f32 INPUT OUTPUT      raw patterns in, codes and then scale bytes out
//     cuda_peer host|device tables OUTPUT              both conversions of every BF16 pattern, one byte each
//
// FlashInfer multiplies amax by an approximate reciprocal of 6 that only a GPU has; the host takes 1/6 rounded to nearest,
// and "device" prints whether they are the same number.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <cuda_fp4.h>
#include <cuda_fp8.h>

#define BOTH __host__ __device__ static inline

BOTH float value_of(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

BOTH float sixth()
{
#ifdef __CUDA_ARCH__
    float r;
    asm volatile("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(6.0f));
    return r;
#else
    return 1.0f / 6.0f;
#endif
}

BOTH uint8_t convert_block(const float x[32], uint8_t unit[16])
{
    float amax = fabsf(x[0]); /* as __hmax: a number rather than a NaN */
    for (int i = 1; i < 32; i++)
        amax = amax != amax || fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    const float quotient = amax * sixth();
    const uint8_t byte = __nv_cvt_float_to_e8m0(quotient, __NV_SATFINITE, cudaRoundPosInf);
    const float factor = quotient == 0 ? 0.0f : byte == 0 ? 1.0f : exp2f(127.0f - (float)byte);
    for (int j = 0; j < 16; j++) {
        const float2 pair = {x[2 * j] * factor, x[2 * j + 1] * factor};
        unit[j] = __nv_cvt_float2_to_fp4x2(pair, __NV_E2M1, cudaRoundNearest);
    }
    return byte;
}

BOTH void convert_one(const uint8_t *input, bool is_bf16, size_t block, size_t nblocks, uint8_t *output)
{
    float x[32];
    for (int i = 0; i < 32; i++)
        x[i] = value_of(is_bf16 ? (uint32_t)((const uint16_t *)input)[block * 32 + i] << 16 : ((const uint32_t *)input)[block * 32 + i]);
    output[nblocks * 16 + block] = convert_block(x, output + block * 16);
}

BOTH void convert_pattern(unsigned bits, uint8_t *output)
{
    const float x = value_of(bits << 16);
    output[bits] = __nv_cvt_float_to_fp4(x, __NV_E2M1, cudaRoundNearest);
    output[65536 + bits] = __nv_cvt_bfloat16raw_to_e8m0(__nv_bfloat16_raw{(unsigned short)bits}, __NV_SATFINITE, cudaRoundPosInf);
}

__global__ void convert_all(const uint8_t *input, bool is_bf16, size_t nblocks, uint8_t *output)
{
    const size_t block = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (block < nblocks)
        convert_one(input, is_bf16, block, nblocks, output);
}

__global__ void convert_patterns(uint8_t *output)
{
    convert_pattern(blockIdx.x * blockDim.x + threadIdx.x, output);
}

__global__ void show_sixth()
{
    printf("rcp.approx.ftz.f32(6) is %08x, 1/6 rounded to nearest 3e2aaaab\n", __float_as_uint(sixth()));
}

static void check(cudaError_t error)
{
    if (error != cudaSuccess) {
        fprintf(stderr, "cuda_peer: %s\n", cudaGetErrorString(error));
        exit(2);
    }
}

static void run_on_device(const std::vector<uint8_t> &input, bool is_bf16, size_t nblocks, std::vector<uint8_t> &output)
{
    uint8_t *in, *out;
    check(cudaMalloc(&in, input.size() + 1));
    check(cudaMalloc(&out, output.size()));
    check(cudaMemcpy(in, input.data(), input.size(), cudaMemcpyHostToDevice));
    if (nblocks == 0)
        convert_patterns<<<256, 256>>>(out);
    else
        convert_all<<<(unsigned)((nblocks + 127) / 128), 128>>>(in, is_bf16, nblocks, out);
    check(cudaGetLastError());
    check(cudaMemcpy(output.data(), out, output.size(), cudaMemcpyDeviceToHost));
    if (nblocks == 0) {
        show_sixth<<<1, 1>>>();
        check(cudaDeviceSynchronize());
    }
    check(cudaFree(in));
    check(cudaFree(out));
}

static std::vector<uint8_t> read_file(const char *path)
{
    std::vector<uint8_t> bytes;
    uint8_t buffer[65536];
    FILE *f = fopen(path, "rb");
    if (f == nullptr)
        exit(2);
    for (size_t n; (n = fread(buffer, 1, sizeof(buffer), f)) > 0;)
        bytes.insert(bytes.end(), buffer, buffer + n);
    fclose(f);
    return bytes;
}

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5)
        return 2;
    const bool on_device = strcmp(argv[1], "device") == 0, is_bf16 = strcmp(argv[2], "bf16") == 0;
    const std::vector<uint8_t> input = argc == 5 ? read_file(argv[3]) : std::vector<uint8_t>();
    const size_t nblocks = input.size() / (is_bf16 ? 64 : 128);
    std::vector<uint8_t> output(argc == 5 ? nblocks * 17 : 2 * 65536);

    if (on_device)
        run_on_device(input, is_bf16, nblocks, output);
    else if (argc == 4)
        for (unsigned bits = 0; bits < 65536; bits++)
            convert_pattern(bits, output.data());
    else
        for (size_t block = 0; block < nblocks; block++)
            convert_one(input.data(), is_bf16, block, nblocks, output.data());
    FILE *f = fopen(argv[argc - 1], "wb");
    return f == nullptr || fwrite(output.data(), 1, output.size(), f) != output.size() || fclose(f) != 0;
}
