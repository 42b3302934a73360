"""Label Studio's words: labeling configs, regions, results, projects, tokens."""
