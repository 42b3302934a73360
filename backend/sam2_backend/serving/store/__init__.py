"""The image-embedding store: content-addressed, bounded in bytes, memory first, then disk."""
