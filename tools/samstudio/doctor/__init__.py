"""Which link between Label Studio, the SAM2 backend and the person is broken, why, and what mends it."""
