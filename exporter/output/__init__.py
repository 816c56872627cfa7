"""What is published: snapshots as finished bytes, swapped at once, and the exporter's metrics about itself."""
