"""Quality checks: pictures, and areas of them, that must not be scored by cells."""
