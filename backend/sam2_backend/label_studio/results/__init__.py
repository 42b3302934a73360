"""A mask as Label Studio's result items, in the format of the project's own control tag."""
