/* gpu_shape.h - the sizes that hip_kernels.hip and gpu_launch.c must agree on */
#ifndef MXQ_GPU_SHAPE_H
#define MXQ_GPU_SHAPE_H

#define GPU_BLOCK_THREADS 256

/* A tile: this many rows of this many bytes of input each, 256 values of 16 bits or 128 of 32. */
#define GPU_TILE_ROWS 64
#define GPU_TILE_NBYTES 512

/* Rows of a strip, which is as wide as a tile; and how many strips from top to bottom come before the next ones. */
#define GPU_STRIP_ROWS 256
#define GPU_STRIP_GROUP 16

/*
 * Tiles across and down are blocks in x and y; where there are more, blocks take several. NVIDIA allows no more in y, and
 * HIP wants fewer than 2^32 threads in x.
 */
#define GPU_LARGEST_GRID_X 0xffffffu
#define GPU_LARGEST_GRID_Y 0xffffu

#endif /* MXQ_GPU_SHAPE_H */
