"""What Prometheus is told of a deployment that no server tells of itself: clicks, backups, certificates, images."""
