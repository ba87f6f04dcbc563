"""The architectures, each written once against the operations protocol."""
