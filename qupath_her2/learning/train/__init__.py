"""The training loop and its parts: losses, augmentation, schedules, state."""
