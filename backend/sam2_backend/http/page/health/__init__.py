"""`/ui/health`: how the backend does now and did in the last day; HTML and SVG of the server's, without a script."""
