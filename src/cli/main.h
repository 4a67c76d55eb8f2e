/* main.h - what the commands share: their table, and the end of the program */
#ifndef MXQ_MAIN_H
#define MXQ_MAIN_H

#include "cli/options.h"

/* cmd_quantize.c */
extern const struct mxq_command mxq_cmd_quantize;

/* cmd_dequantize.c */
extern const struct mxq_command mxq_cmd_dequantize;

/* cmd_convert.c */
extern const struct mxq_command mxq_cmd_convert;

/* cmd_info.c */
extern const struct mxq_command mxq_cmd_info;

/* cmd_gen.c */
extern const struct mxq_command mxq_cmd_gen;

/* cmd_diff.c */
extern const struct mxq_command mxq_cmd_diff;

/* cmd_verify.c */
extern const struct mxq_command mxq_cmd_verify;

/* cmd_bench.c */
extern const struct mxq_command mxq_cmd_bench;

/* cmd_selftest.c */
extern const struct mxq_command mxq_cmd_selftest;

/* cmd_profiles.c */
extern const struct mxq_command mxq_cmd_profiles;

/* cmd_devices.c */
extern const struct mxq_command mxq_cmd_devices;

#endif /* MXQ_MAIN_H */
