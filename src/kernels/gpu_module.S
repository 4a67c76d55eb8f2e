/* gpu_module.S - the device code, as a file that the device compiler made, among the constants of the library */
    .section .rodata
    .balign 4096
    .globl mxq_gpu_module
    .hidden mxq_gpu_module
    .type mxq_gpu_module, %object
mxq_gpu_module:
    .incbin MXQ_GPU_MODULE
    .size mxq_gpu_module, . - mxq_gpu_module
    /* A fat binary says itself how long it is; this is for readers that look for an end. */
    .quad 0
    .section .note.GNU-stack, "", %progbits
