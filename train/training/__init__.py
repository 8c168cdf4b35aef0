"""The training loop of networks: data, device, losses, optimizers, checkpoints and metrics log."""
