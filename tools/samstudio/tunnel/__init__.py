"""A public address for a backend that a Label Studio elsewhere must reach, by ngrok.

The backend keeps its own basic auth; the tunnel adds none, as a second one would collide with API tokens.
"""
