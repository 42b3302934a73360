"""A very small SAM 2 trained from scratch on drawn shapes, for demonstrations and tests."""
