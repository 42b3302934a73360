"""The last day of this backend, minute by minute, for the page at `/ui/health`: where nobody runs Prometheus, too."""
