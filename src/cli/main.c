/* main.c - the table of commands */
#include "cli/main.h"

#include "cli/msg.h"
#include "cli/signals.h"
#include "io/json_memory.h"
#include "kernels/mxq.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct mxq_command *const commands[] = {
    &mxq_cmd_quantize, &mxq_cmd_dequantize, &mxq_cmd_convert,  &mxq_cmd_diff,     &mxq_cmd_verify,  &mxq_cmd_info,
    &mxq_cmd_gen,      &mxq_cmd_bench,      &mxq_cmd_selftest, &mxq_cmd_profiles, &mxq_cmd_devices,
};

#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_program_help(void)
{
    printf(
        "usage: mxfp4q COMMAND [OPTION]... [ARGUMENT]...\n\n"
        "Quantizes BF16, FP16 and FP32 matrices to MXFP4, rowwise and columnwise, in AITER's layouts.\n\ncommands:\n");
    for (size_t i = 0; i < NCOMMANDS; i++)
        printf("  %-12s%s\n", commands[i]->name, commands[i]->summary);
    printf(
        "\n  --help      this text; after a command, its own\n  --version   the version\n\n"
        "Exit status: 0 done; 1 different (diff, verify, selftest, profiles --diff); 2 trouble: usage, file, data or\n"
        "device. See mxfp4q(1).\n");
    return MXQ_EXIT_OK;
}

static int print_version(void)
{
    printf("mxfp4q %s\n", MXQ_VERSION);
    return MXQ_EXIT_OK;
}

static const struct mxq_command *find_command(const char *name)
{
    for (size_t i = 0; i < NCOMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int run(int argc, char *argv[])
{
    const struct mxq_command *command;

    if (argc < 2) {
        mxq_print_error("no command (see mxfp4q --help)");
        return MXQ_EXIT_TROUBLE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)
        return print_program_help();
    if (strcmp(argv[1], "--version") == 0)
        return print_version();
    command = find_command(argv[1]);
    if (command == NULL) {
        mxq_print_error("unknown command \"%s\" (see mxfp4q --help)", argv[1]);
        return MXQ_EXIT_TROUBLE;
    }
    return command->run(argc - 1, argv + 1);
}

/*
 * A standard descriptor that is closed would be given to the first file that is opened, and messages would be written into
 * that file. So each is taken, in a way in which using it fails as before.
 */
static bool occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            return false;
    return true;
}

int main(int argc, char *argv[])
{
    int status;

    if (!occupy_standard_descriptors())
        return MXQ_EXIT_TROUBLE;
    mxq_watch_json_memory();
    mxq_install_signal_handlers();
    status = run(argc, argv);
    return mxq_close_stdout() ? status : MXQ_EXIT_TROUBLE;
}
