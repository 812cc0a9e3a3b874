"""ROOM 10: many images: plan, one job an image, and the engines that launch jobs."""
