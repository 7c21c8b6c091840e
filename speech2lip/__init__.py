"""Speech2Lip: learn one person's mouth from a short video and make it say any audio."""

__version__ = "0.1.0"
