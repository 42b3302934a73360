"""The commands, one file a group. They read options, call a module, print its result; nothing else."""
