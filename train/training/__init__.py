"""The training loop: data, device, losses, optimizers and metrics log."""
