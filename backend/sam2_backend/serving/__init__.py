"""From a prompt to a mask: image embeddings, the queue in front of the device, prewarming."""
